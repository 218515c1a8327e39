#!/usr/bin/python3
"""How long answers take while workers are replaced: delays at rest and during each kind of change, as a markdown table.

    rolling.py BUILD [--rate N] [--rounds N]

BUILD holds bulkheadd, bulkhead-worker, bulkheadctl.  The fake Discord says N !pings a second over 20 channels; a delay
is the time from its sending MESSAGE_CREATE to the arrival of the POST that answers it.  A round is one verb of
bulkheadctl; a message belongs to it when it was said between the verb's start and half a second after its end.
Nothing is asserted but that each ping was answered once: times depend on the machine.
"""

import argparse
import pathlib
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests" / "discord")]

from bot import Bot  # noqa: E402
from fakediscord import threaded  # noqa: E402

AFTER_S = 0.5


def measure(build, rate, rounds):
    phases = [("at rest", None), ("restart echo --rolling", ("restart", "echo", "--rolling")),
              ("restart rest --rolling", ("restart", "rest", "--rolling")), ("restart echo", ("restart", "echo")),
              ("scale echo 4, scale echo 2", None)]
    windows = {name: [] for name, _ in phases}
    said, over = [], threading.Event()
    with threaded.Fake(limits=False, polite=True) as fake:
        bot = Bot(fake, pools={"echo": {"workers": 2}}, build=build)

        def talk():
            start, n = time.monotonic(), 0
            while not over.is_set():
                said.append(fake.say(fake.channels[n % 20], "!ping")["id"])
                n += 1
                over.wait(max(0.0, start + n / rate - time.monotonic()))

        try:
            bot.start().ready()
            talker = threading.Thread(target=talk)
            talker.start()
            over.wait(1)
            for _ in range(rounds):
                for name, verb in phases:
                    began = time.monotonic()
                    if verb is not None:
                        bot.ctl(*verb)
                    elif name == "at rest":
                        over.wait(1)
                    else:
                        bot.ctl("scale", "echo", "4")
                        bot.ctl("scale", "echo", "2")
                    over.wait(AFTER_S)
                    windows[name].append((began, time.monotonic()))
            over.set()
            talker.join()
            answered = fake.wait(lambda: all(fake.replies_to(i) for i in said), 30)
            assert answered and len(fake.answers()) == len(said), "each ping is answered once"
            sent, posted = fake.call(lambda: (
                {r["id"]: r["t"] for r in fake.server.records.sent if r["name"] == "MESSAGE_CREATE"},
                {r["message"]["message_reference"]["message_id"]: r["t"] for r in fake.server.records.posts
                 if r["method"] == "POST"}))
        finally:
            bot.close()
    print("| during | pings | p50 ms | p99 ms | longest ms |\n|---|---:|---:|---:|---:|")
    for name, _ in phases:
        delays = sorted((posted[i] - sent[i]) * 1000 for i in said
                        if any(a <= sent[i] <= b for a, b in windows[name]))
        print(f"| {name} | {len(delays)} | {delays[len(delays) // 2]:.1f} | {delays[len(delays) * 99 // 100]:.1f} "
              f"| {delays[-1]:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    measure(args.build.resolve(), args.rate, args.rounds)
