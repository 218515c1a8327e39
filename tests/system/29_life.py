"""Busy is told from hung, each death leaves an obituary that says what it was, and the siblings answer meanwhile."""

import os
import re
import signal

import pytest
from fakediscord import threaded

from bot import wait_for

ASAN = "asan" in os.environ.get("BULKHEAD_BUILD", "")


def newest(bot, name, after):
    """The newest obituary of a worker, once it is of another process than `after`; with -j's whole document."""
    def there():
        obituaries = bot.ask("show", "worker", name)["obituaries"]
        return obituaries and obituaries[0]["pid"] == after and obituaries[0]
    return wait_for(there, 20, f"the obituary of {name} pid {after}")


def functions(obituary):
    return [m.group(1) for m in (re.search(r"\((\w+)\+0x", frame) for frame in obituary["backtrace"]) if m]


def answered(fake, channel):
    message = fake.say(channel, "!ping")
    assert fake.wait(lambda: fake.replies_to(message["id"]), 10), "a sibling answers"


def test_obituaries(polite, bots):
    bot = bots(polite, pools={"echo": {}, "bad": {}}, args=["--faults"], hang=1, stopped=1, poison=1)
    bot.start().ready()

    def die(fault, *spec, sig=None):
        """One death of bad.0, while its sibling pool answers; its obituary."""
        wait_for(lambda: bot.worker("bad.0")["state"] == "ready", 20, "the bad one is back")
        pid = bot.worker("bad.0")["pid"]
        if fault:
            bot.ctl("fault", fault, ",".join(["slot=bad.0", "match=!strike", "for=1", *spec]))
        said = polite.say(polite.channels[0], "!strike")
        if sig:
            bot.kill("bad.0", sig)
        answered(polite, polite.channels[1])
        died = newest(bot, "bad.0", pid)
        if fault:
            assert died["running"] and died["what"]["event"] == "MESSAGE_CREATE"
            assert died["what"]["object"] == said["id"] and died["held"][0]["object"] == said["id"]
        assert died["generation"] and died["cpu_ms"] == died["user_ms"] + died["sys_ms"]
        return died

    spun = die("worker.spin")
    assert spun["cause"] == "hung" and {"strike_delivery", "main"} <= set(functions(spun)), spun
    assert spun["crash"] == "SIGABRT" and 900 <= spun["running_ms"] < 10000
    assert spun["user_ms"] >= 500 and spun["max_rss_kib"] > 1000 and spun["fds"] >= 5, spun
    assert not any("strike_delivery" in line for line in spun["lines"]), "the backtrace is kept apart"

    blocked = die("worker.block")
    assert blocked["cause"] == "hung" and "strike_delivery" in functions(blocked), blocked
    assert blocked["user_ms"] < spun["user_ms"]

    deaf = die("worker.block", "arg=1")
    assert deaf["cause"] == "hung" and deaf["code"] == signal.SIGKILL and deaf["backtrace"] == []
    assert "no backtrace" in deaf["text"]

    stopped = die("worker.stop")
    assert stopped["cause"] == "stopped" and stopped["code"] == signal.SIGKILL

    crashed = die("worker.crash")
    if ASAN:
        assert crashed["cause"] == "exit" and "AddressSanitizer" in crashed["crash"] and crashed["backtrace"]
    else:
        assert crashed["cause"] == "signal" and crashed["code"] == signal.SIGSEGV
        assert "strike_delivery" in functions(crashed) and crashed["crash"] == "SIGSEGV"

    # For a person: what happened, in the order that one asks, each with its figures.
    text = bot.ctl("show", "worker", "bad.0")
    assert re.search(r"^bad\.0#[56]  (ready|starting|backoff)", text)
    blocks = text.split(" ago  ")[1:]
    assert len(blocks) == 5
    assert re.search(r"hung +killed: no progress for 1s while running MESSAGE_CREATE \d+ for \d", blocks[-1])
    assert "backtrace (SIGABRT), innermost first" in blocks[-1] and "strike_delivery+0x" in blocks[-1]
    assert re.search(r"used +CPU \d+m?s user, \d+m?s system; \d+ [KM]iB; \d+ descriptors", blocks[-1])
    assert re.search(r"holds +MESSAGE_CREATE \d+, out for", blocks[-1])
    # One line of each in the log.
    deaths = re.findall(r"bad\.0#\d+ .*cause=(\w+) ", bot.log())
    assert deaths == [d["cause"] for d in (spun, blocked, deaf, stopped, crashed)]
    assert bot.worker("echo.0")["restarts"] == 0
    assert bot.status()["gateway"]["beats"] is not None


def test_busy_is_not_hung(bots):
    """200 slow replies at once in one worker, and a `hang` that each of them outlives three times over."""
    with threaded.Fake(polite=True, limits=False, channels=200) as fake:
        bot = bots(fake, pools={"echo": {"credit": 512}}, hang=1, drain=1, last_word=1)
        bot.start().ready()
        for channel in fake.channels:
            fake.say(channel, "!stream 5 1")
        wait_for(lambda: bot.worker("echo.0")["streams"] >= 200, 30, "all are open at once")
        live = bot.ask("show", "worker", "echo.0")
        assert live["scopes"] == 200 and len(live["held"]) == 8 and live["held"][0]["event"] == "MESSAGE_CREATE"
        assert re.search(r"and 192 more", bot.ctl("show", "worker", "echo.0"))
        wait_for(lambda: bot.worker("echo.0")["open"] == 0, 60, "all are complete")
        live = bot.ask("show", "worker", "echo.0")
        assert live["restarts"] == 0 and live["obituaries"] == [] and live["quiet_ms"] < 2000
        assert len(fake.answers()) == 200
