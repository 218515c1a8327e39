#!/usr/bin/python3
"""What many answers at once cost one chat worker, and how they end when it is stopped in the middle.

    streams.py BUILD [--streams N] [--seconds S]

N questions in N channels are asked at once; a fake model answers each with 25 tokens a second for about S seconds, so
that all grow at the same time.  Discord's limits hold (50 requests a second in all, 5 edits in 5 s of a channel).  CPU
is that of each process while all of them grow; lateness is how late the timers of a process fired, as it counts it
itself (`bulkheadctl show worker`), from its start on.  Then the same again with SIGTERM in the middle: every message
must end whole or marked, and the stop within its bound.  The exit status says so; times depend on the machine.
"""

import argparse
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

from talking import cpu_s, pids, talking  # noqa: E402

from bot import wait_for  # noqa: E402
from fakediscord import threaded  # noqa: E402
from fakemodel.threaded import FakeModel  # noqa: E402

PACE = 25                               # tokens a second of one answer; a token is up to 8 characters
CHARS = 5.2                             # of a token, about
MARK = "\u23f3 restarting \u2026"


def shown(fake, channel):
    messages = fake.call(lambda: list(fake.server.world.messages[channel].values()))
    return [m["content"] for m in messages if m["author"]["id"] == fake.bot_id]


def whole(model):
    """{question: the model's whole answer}"""
    return {str(r["body"]["messages"][-1]["content"]).split()[-1]: r["answer"] for r in list(model.requests) if r["answer"]}


class Run:
    """All streams are open and grow."""

    def __init__(self, args, **options):
        self.fake = threaded.Fake(polite=True, channels=args.streams)
        self.model = FakeModel(pace=PACE, length=int(args.seconds * PACE * CHARS))
        self.args, self.options = args, options

    def __enter__(self):
        self.fake.__enter__()
        self.model.__enter__()
        self.bot = talking(self.fake, self.model, 1, **self.options)
        self.bot.start().ready()
        self.fake.say_many([(c, f"<@{self.fake.bot_id}> please tell me about n{i}")
                            for i, c in enumerate(self.fake.channels)])
        wait_for(lambda: self.bot.worker("chat.0")["streams"] == self.args.streams, 20, "all streams are open")
        return self

    def __exit__(self, kind, *_):
        self.bot.close(keep_dir=kind is not None)
        self.model.__exit__(None, None, None)
        self.fake.__exit__(None, None, None)

    def ends(self, marked):
        """(messages that are whole, messages with the mark, what is wrong)"""
        answers, done, cut, wrong = whole(self.model), 0, 0, []
        for i, channel in enumerate(self.fake.channels):
            said, answer = shown(self.fake, channel), answers.get(f"n{i}", "")
            if len(said) == 1 and said[0] == answer:
                done += 1
            elif marked and len(said) == 1 and ("\n" + said[0]).endswith("\n" + MARK) \
                    and answer.startswith(said[0].removesuffix(MARK).rstrip("\n")):
                cut += 1
            elif marked and not said:
                cut += 1                # nothing was visible yet: there is nothing to mark
            else:
                wrong.append(f"n{i}: {[s[-60:] for s in said]}")
        return done, cut, wrong


def grow(args):
    with Run(args) as run:
        before, began = {n: (p, cpu_s(p)) for n, p in pids(run.bot).items()}, time.monotonic()
        asked = len(run.fake.requests)
        time.sleep(args.seconds * 0.8)
        took = time.monotonic() - began
        used = {n: (cpu_s(p) - was) / took for n, (p, was) in before.items()}
        rate = (len(run.fake.requests) - asked) / took
        assert run.bot.worker("chat.0")["streams"] == args.streams, "an answer ended while the CPU was measured"
        wait_for(lambda: not run.bot.status()["streams_open"], 60 + args.streams, "every answer is whole")
        took_all = time.monotonic() - began
        status = run.bot.status()
        late = {w["name"]: w["timers"] for w in status["workers"]} | {"supervisor": status["timers"]}
        done, _, wrong = run.ends(marked=False)
        refused = run.bot.counters()["rest_429"]
        print(f"\n{args.streams} streams in one chat worker, {PACE} tokens/s each, {rate:.0f} requests/s to Discord, "
              f"{done} whole after {took_all:.0f} s, {refused} times 429\n")
        print("| process | CPU of one core | timers | late p50 | p99 | at most |\n|---|---|---|---|---|---|")
        for name in sorted(used):
            t = late[name]
            print(f"| {name} | {used[name] * 100:.1f} % | {t['fired']} | {t['late_p50_us'] / 1000:.2f} ms | "
                  f"{t['late_p99_us'] / 1000:.2f} ms | {t['late_max_us'] / 1000:.2f} ms |")
        return wrong + ([f"{refused} answers 429"] if refused else [])


def stop(args):
    bound = {"drain": 2, "last_word": 10, "rest_grace": 5}
    with Run(args, **bound) as run:
        time.sleep(args.seconds * 0.4)
        began = time.monotonic()
        run.bot.process.send_signal(signal.SIGTERM)
        status = run.bot.process.wait(120)
        took = time.monotonic() - began
        done, cut, wrong = run.ends(marked=True)
        print(f"\nSIGTERM while {args.streams} grow: {done} whole, {cut} marked, {len(wrong)} neither; exit {status} "
              f"after {took:.1f} s, the bound is {sum(bound.values()) + 2} s")
        if took > sum(bound.values()) + 2.5 or status != 0:
            wrong.append("the stop took longer than its bound, or failed")
        return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=12, help="that one answer takes")
    args = parser.parse_args()
    os.environ["BULKHEAD_BUILD"] = args.build
    wrong = grow(args) + stop(args)
    for line in wrong[:20]:
        print(f"streams: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
