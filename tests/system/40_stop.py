"""SIGTERM at any moment: out within the bound, status 0, no child left, nothing leaked."""

import signal
import socket
import threading

import pytest
from fakediscord import threaded

from bot import alive, wait_for

BOUND_S = 3 + 2 + 1 + 2


def stop_options():
    return {"drain": 3, "last_word": 2, "rest_grace": 1}


def stops(bot, status=0):
    bot.wanted = False
    bot.process.send_signal(signal.SIGTERM)
    assert bot.process.wait(BOUND_S) == status, bot.log()
    left = [pid for pid in bot.children_ever() if alive(pid)]
    assert not left, f"children left: {left}"
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
    bot = bots(polite, drain=30, last_word=1, rest_grace=1)
    bot.start().ready()
    polite.say(polite.channels[0], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it has it")
    bot.process.send_signal(signal.SIGTERM)
    wait_for(lambda: bot.logged("stopping"), 5, "stopping")
    bot.process.send_signal(signal.SIGTERM)
    assert bot.process.wait(10) == 0


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
    assert bot.process.wait(5) == 0


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
