"""A worker that misbehaves is handled; the others answer, the heartbeat keeps its time, status says why."""

import re
import signal
import socket

import pytest
from fakediscord import threaded

from bot import wait_for

pytestmark = pytest.mark.alone       # heartbeat jitter is asserted

BAD = {
    "never ready": ("worker.no_ready=slot=bad.0", "start_deadline", r"READY"),
    "exits at once": ("worker.exit=slot=bad.0,arg=3", None, r"status 3"),
    "spins": ("worker.spin=slot=bad.0,match=!ping", "hang", r"hung|no progress|SIGABRT"),
    "stops itself": ("worker.stop=slot=bad.0,match=!ping", "stopped", r"stopped"),
}


def kept_time(machine, bot, fake):
    """The supervisor's own account of its heartbeats, cross-checked by the fake's, which is no faster than the machine."""
    machine.kept_time(bot)
    arrivals = [h["t"] for h in fake.heartbeats]
    worst = max(b - a for a, b in zip(arrivals, arrivals[1:])) - 0.25
    assert worst < 0.5 + 2 * machine.worst(), f"the fake saw a beat {worst:.3f} s late; {machine.told()}"


@pytest.mark.parametrize("name", BAD)
def test_bad_worker(bots, watched, name):
    fault, option, pattern = BAD[name]
    with threaded.Fake(polite=True, heartbeat_ms=250, limits=False) as fake:
        options = {option: 2} if option else {}
        bot = bots(fake, pools={"echo": {"workers": 1}, "bad": {"workers": 1}},
                   env={"BULKHEAD_FAULTS": fault}, **options)
        machine = watched(bot.start())
        wait_for(lambda: bot.socket.exists() and bot.worker("echo.0")["state"] == "ready"
                 and bot.status()["gateway"]["state"].lower() == "ready", 20, "the good worker and the gateway")
        for i in range(30):
            message = fake.say(fake.channels[i % 5], "!ping")
            assert fake.wait(lambda m=message: fake.replies_to(m["id"]), 20), "the good pool answers"
        wait_for(lambda: (bot.worker("bad.0")["last"] or {}).get("cause"), 20, "the bad one is buried")
        last = bot.worker("bad.0")["last"]
        assert re.search(pattern, last["text"], re.I), last
        assert re.search(pattern, bot.ctl("show", "worker", "bad.0"), re.I)
        assert bot.worker("echo.0")["restarts"] == 0
        status = bot.status()
        assert status["health"] != "ok" or bot.worker("bad.0")["state"] == "ready"
        wait_for(lambda: bot.status()["gateway"]["beats"] >= 3, 10, "three heartbeats")
        kept_time(machine, bot, fake)


def test_sigstop_from_outside(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}}, stopped=2)
    bot.start().ready()
    pid = bot.kill("echo.0", signal.SIGSTOP)
    messages = [polite.say(channel, "!ping") for channel in polite.channels[:10]]
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 20)
    wait_for(lambda: bot.worker("echo.0")["pid"] not in (pid, 0), 20, "replaced")
    assert len(polite.answers()) == 10
    assert "stopped" in bot.worker("echo.0")["last"]["text"]


def test_exit_125_is_held(polite, bots):
    bot = bots(polite, pools={"echo": {}, "bad": {}}, args=["--faults"],
               env={"BULKHEAD_FAULTS": "worker.exit=slot=bad.0,arg=125"})
    bot.start()
    wait_for(lambda: bot.socket.exists() and bot.worker("bad.0")["state"] == "held", 20, "held")
    assert bot.ctl_run("restart", "bad").returncode == 1, "it is held again, and ctl says so"
    bot.ctl("fault", "worker.exit", "")
    bot.ctl("restart", "bad")
    assert bot.worker("bad.0")["state"] == "ready"


def test_garbage_from_outside_is_survived(polite, bots):
    """Bytes that are no frame, on the control socket."""
    bot = bots(polite)
    bot.start().ready()
    for junk in (b"\xff" * 64, b"\x00\x00\x00\x06\x91\xdf\x98\x98\x98\x98", b"\x00\x00\x00\x01\xc1", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(bot.socket))
            client.sendall(junk)
            client.settimeout(10)
            while client.recv(4096):
                pass
    assert bot.status()["health"] == "ok" and bot.counters()["control_refused"] == 2, "two of them were frames"
    assert bot.ctl_run("fault", "worker.exit", "always").returncode == 77
    assert bot.counters()["control_refused"] == 3
