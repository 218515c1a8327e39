"""SIGTERM at any moment: out within the bound, status 0, no child left, nothing leaked."""

import json
import os
import pathlib
import re
import signal
import socket
import threading
import time

import pytest
from fakediscord import threaded

from bot import alive, wait_for

BOUND_S = 3 + 2 + 1 + 2
MARGIN_S = 20            # of a machine that has other things to do


def stop_options():
    return {"drain": 3, "last_word": 2, "rest_grace": 1}


def stops(bot, status=0, orphans_s=0):
    bot.wanted = False
    bot.process.send_signal(signal.SIGTERM)
    assert bot.process.wait(BOUND_S + MARGIN_S) == status, bot.log()

    def left():
        return [pid for pid in bot.children_ever() if alive(pid)]
    wait_for(lambda: not left(), orphans_s, f"children left: {left()}")
    for line in ("LeakSanitizer", "AddressSanitizer", "runtime error"):
        assert line not in bot.log()


def test_at_every_phase_of_connecting(bots):
    """TCP accepted and silent; no HELLO; no answer to IDENTIFY; live."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        bot = bots(None, token="x", api_url=f"http://127.0.0.1:{silent.getsockname()[1]}/api/v10", **stop_options())
        bot.start()
        wait_for(lambda: bot.socket.exists() and bot.worker("rest.0")["state"] == "ready", 20, "waiting for the API")
        stops(bot)


def test_without_hello(polite, bots):
    polite.no_hello(5)
    bot = bots(polite, **stop_options())
    bot.start()
    assert polite.wait(lambda: polite.connections, 20)
    stops(bot)


def test_while_retrying(polite, bots):
    polite.refuse(-1)
    bot = bots(polite, **stop_options())
    bot.start()
    wait_for(lambda: bot.socket.exists() and bot.status()["gateway"]["state"].lower() == "backoff", 20, "backing off")
    stops(bot)


def stall_config(bot, fake):
    """The configuration is a pipe that nobody writes to: its reader waits."""
    bot.conf.unlink()
    os.mkfifo(bot.conf, 0o600)
    return lambda: children(bot.pid)


def stall_leftovers(bot, fake):
    """The rest worker of a killed predecessor still has a request on the wire."""
    bot.start().ready()
    fake.slow(n=1, delay_s=300, method="POST")
    fake.say(fake.channels[0], "!ping")
    wait_for(lambda: any(r["method"] == "POST" for r in fake.requests), 10, "on the wire")
    bot.process.kill()
    bot.process.wait()
    return lambda: bot.logged(r"rest\.\d#1 of the former supervisor still runs")


def stall_api(bot, fake):
    fake.slow(n=1000, delay_s=300, method="GET")
    return lambda: any(r["path"].endswith("/gateway/bot") for r in fake.requests)


def stall_api_retried(bot, fake):
    fake.fail(n=1000, status=503, method="GET")
    return lambda: len([r for r in fake.requests if r["path"].endswith("/gateway/bot")]) > 1


def stall_hello(bot, fake):
    fake.no_hello(5)
    return lambda: fake.connections


def stall_identify(bot, fake):
    fake.no_ready(5)
    return lambda: fake.identifies


def stall_worker(bot, fake):
    bot.env["BULKHEAD_FAULTS"] = "worker.no_ready=slot=echo.0"
    return lambda: bot.socket.exists() and bot.worker("echo.0")["state"] == "starting"


def children(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


STALLS = [stall_config, stall_leftovers, stall_api, stall_api_retried, stall_hello, stall_identify, stall_worker]


@pytest.mark.parametrize("stall", STALLS, ids=lambda f: f.__name__.removeprefix("stall_"))
def test_at_each_phase_of_a_start(polite, bots, stall):
    """Every step of the start, made to wait: SIGTERM ends it at once or within the bound of what it waits for."""
    bot = bots(polite, drain=60, last_word=60, rest_grace=1)
    there = stall(bot, polite)
    bot.start()
    wait_for(there, 20, stall.__name__)
    began = time.monotonic()
    # Those of a predecessor are not ours: they end by themselves within rest_grace.
    stops(bot, orphans_s=2 if stall is stall_leftovers else 0)
    if stall is not stall_leftovers:
        assert time.monotonic() - began < 30, "nothing of it has anything to finish"


def test_the_report_of_what_was_cut(polite, bots):
    """One finishes in T1, one is cut with its message half written, one worker has to be killed."""
    bot = bots(polite, pools={"echo": {}, "bad": {"events": ["MESSAGE_REACTION_ADD"]}}, hang=600, drain=3, last_word=1, rest_grace=1,
               env={"BULKHEAD_FAULTS": "worker.spin=slot=bad.0,match=emoji"})
    bot.start().ready()
    polite.react(polite.channels[2], polite.say(polite.channels[2], "hm")["id"], "\U0001f525")
    cut = polite.say(polite.channels[0], "!stream 200")
    assert polite.wait(lambda: polite.replies_to(cut["id"]), 20)
    polite.slow(n=1, delay_s=2, method="POST")
    done = polite.say(polite.channels[1], "!ping")
    wait_for(lambda: [r for r in polite.requests if r["method"] == "POST" and polite.channels[1] in r["path"]], 10, "it is asked for")
    bot.wanted = False
    told = json.loads(bot.ctl("-j", "stop"))
    assert bot.process.wait(60) == 0
    assert polite.replies_to(done["id"]), "finished within T1"
    assert told["finished"] >= 1 and told["handed_back"] + told["taken_back"] >= 3, told
    left = {(row["pool"], row["object"]) for row in told["left"]}
    assert ("echo", cut["id"]) in left and any(pool == "bad" for pool, _ in left), told
    assert next(row for row in told["left"] if row["object"] == cut["id"])["key"] == polite.channels[0]
    assert told["streams_cut"] == 1 and len(told["killed"]) == 1 and told["killed"][0].startswith("bad.0#1"), told
    assert 3000 <= told["handlers_ms"] < 20000 and told["total_ms"] >= told["handlers_ms"] + told["rest_ms"]
    assert not told["hurried"]
    log = bot.log()
    assert re.search(rf"stopped with dlv#\w+ unfinished: pool=echo .*object={cut['id']} key={polite.channels[0]}", log)
    assert re.search(r"stop: held=\d+ finished=\d+ handed_back=\d+ .*killed=1 handlers_ms=", log)
    polite.calm()
    bot.env.pop("BULKHEAD_FAULTS")
    bot.start().ready()
    want = " ".join(f"word{i}" for i in range(1, 201))

    def shown():
        messages = polite.call(lambda: list(polite.server.world.messages[polite.channels[0]].values()))
        return " ".join(m["content"] for m in messages if m["author"]["id"] == polite.bot_id)
    wait_for(lambda: shown() == want, 60, "the next start goes on with it")


def test_limits_longer_than_the_stop(bots):
    """A last edit and replies wait for a limit beyond the bound: handed back, told, done by the next start, once."""
    with threaded.Fake(polite=True, limits={"edits": (1, 60.0), "messages": (2, 60.0)}) as strict:
        bot = bots(strict, drain=3, last_word=1, rest_grace=1)
        bot.start().ready()
        story, busy = strict.channels[:2]

        def shown(channel):
            messages = strict.call(lambda: list(strict.server.world.messages[channel].values()))
            return [m["content"] for m in messages if m["author"]["id"] == strict.bot_id]
        strict.say(story, "!stream 20 20")
        wait_for(lambda: shown(story) and shown(story)[0].endswith("word20"), 10, "the one edit is used up")
        told = strict.say(story, "!stream 45 20")
        wait_for(lambda: len(shown(story)) == 2, 10, "the second one is begun")
        pings = [strict.say(busy, "!ping") for _ in range(4)]
        wait_for(lambda: len(shown(busy)) == 2, 10, "both messages are used up")
        bot.wanted = False
        report = json.loads(bot.ctl("-j", "stop"))
        assert bot.process.wait(60) == 0
        left = {row["object"] for row in report["left"]}
        assert told["id"] in left and len(left & {p["id"] for p in pings}) == 2, report
        assert report["streams_cut"] + report["streams_unsent"] == 1, report
        assert not report["killed"]
        strict.server.opts.limits.update(edits=None, messages=None)
        bot.start().ready()
        want = " ".join(f"word{i}" for i in range(1, 46))
        wait_for(lambda: shown(story)[1:] == [want] and len(shown(busy)) == 4, 30, "the next start does it")


def test_for_good(polite, bots):
    """stop --final closes with 1000 and the next start identifies; a plain one resumes."""
    bot = bots(polite, **stop_options())
    bot.start().ready()
    bot.ctl("stop")
    bot.process.wait(60)
    bot.start().ready()
    assert len(polite.identifies) == 1 and len(polite.resumes) == 1
    text = bot.ctl("stop", "--final")
    assert text.startswith("stopped\n") and "in all" in text
    bot.process.wait(60)
    bot.start().ready()
    assert len(polite.identifies) == 2 and len(polite.resumes) == 1
    assert bot.ctl_run("stop", "--now").returncode == 64


def test_at_once(polite, bots):
    for _ in range(5):
        bot = bots(polite, **stop_options())
        bot.start()
        wait_for(lambda b=bot: "bulkheadd" in b.log(), 10, "its first line")
        stops(bot)


def test_under_load(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}}, **stop_options())
    bot.start().ready()
    ended = threading.Event()

    def talk():
        i = 0
        while not ended.is_set():
            polite.say(polite.channels[i % 20], "!ping")
            i += 1
    talker = threading.Thread(target=talk)
    talker.start()
    try:
        assert polite.wait(lambda: len(polite.answers()) > 50, 20)
        stops(bot)
    finally:
        ended.set()
        talker.join()


def test_with_a_hung_worker_and_a_silent_api(polite, bots):
    polite.slow(n=1000, delay_s=300, method="POST")
    bot = bots(polite, pools={"echo": {}, "bad": {}}, hang=600,
               env={"BULKHEAD_FAULTS": "worker.spin=slot=bad.0,match=!ping"}, **stop_options())
    bot.start().ready()
    polite.say(polite.channels[0], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["given"] == 2, 10, "both have it")
    stops(bot)


def test_second_sigterm_hurries(polite, bots):
    polite.slow(n=1000, delay_s=300, method="POST")
    bot = bots(polite, drain=120, last_word=1, rest_grace=1)
    bot.start().ready()
    polite.say(polite.channels[0], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it has it")
    bot.process.send_signal(signal.SIGTERM)
    wait_for(lambda: bot.logged("stopping"), 5, "stopping")
    bot.process.send_signal(signal.SIGTERM)
    assert bot.process.wait(30) == 0


def test_unfinished_is_finished_by_the_next_start(polite, bots):
    polite.slow(n=1, delay_s=300, method="POST")
    bot = bots(polite, **stop_options())
    bot.start().ready()
    message = polite.say(polite.channels[0], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it has it")
    stops(bot)
    bot.start().ready()
    assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
    assert len(polite.answers()) == 1


def test_ctl_stop(polite, bots):
    bot = bots(polite, **stop_options())
    bot.start().ready()
    bot.ctl("stop")
    assert bot.process.wait(60) == 0


@pytest.mark.parametrize("count", [100])
def test_restarts_leave_no_descriptor(polite, bots, count):
    bot = bots(polite, **stop_options())
    bot.start().ready()
    for _ in range(3):
        bot.ctl("restart", "echo")
    baseline = bot.fds()
    for _ in range(count):
        bot.ctl("restart", "echo")
    wait_for(lambda: bot.fds() <= baseline, 5, f"descriptors back to {baseline}, now {bot.fds()}")
    assert bot.worker("echo.0")["generation"] >= count
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]))


def test_killed_supervisor_leaves_no_child(polite, bots):
    bot = bots(polite, rest_grace=1)
    bot.start().ready()
    pids = [w["pid"] for w in bot.status()["workers"]]
    bot.process.kill()
    bot.process.wait()
    wait_for(lambda: not [p for p in pids if alive(p)], 10, "no orphan")
