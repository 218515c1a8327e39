"""Every option does something, and what happens is counted: those that no other test needs."""

import time

import pytest
from fakediscord import threaded

from bot import wait_for


def counted(bot, **least):
    """Wait until each counter has at least this value; workers report theirs once a second."""
    wait_for(lambda: all(bot.counters()[name] >= n for name, n in least.items()), 10, f"{least} in {bot.counters()}")


def answered(fake, text="!ping", channel=0, timeout=20):
    message = fake.say(fake.channels[channel], text)
    assert fake.wait(lambda: fake.replies_to(message["id"]), timeout), "no answer"
    return message


# Options

def test_user_agent_url(polite, bots):
    bot = bots(polite, user_agent_url="https://example.org/mybot")
    bot.start().ready()
    bot.ctl("call", "GET", "/users/@me")
    agents = {request["headers"].get("User-Agent", "") for request in polite.requests}
    assert agents and all("https://example.org/mybot" in agent for agent in agents), agents


@pytest.mark.parametrize("options, bits", [
    ({}, 1 << 9 | 1 << 12 | 1 << 15),
    ({"content": False}, 1 << 9 | 1 << 12),
    ({"intents": ["GUILDS", "GUILD_MESSAGES"]}, 1 << 0 | 1 << 9),
])
def test_intents(polite, bots, options, bits):
    bots(polite, **options).start().ready()
    assert [one["intents"] for one in polite.identifies] == [bits]


def test_events_of_a_pool(polite, bots):
    """GUILDS brings GUILD_CREATE, which nobody wants; the pool does not want messages either."""
    bot = bots(polite, pools={"echo": {"events": ["MESSAGE_DELETE"]}}, intents=["GUILDS", "GUILD_MESSAGES"])
    bot.start().ready()
    message = polite.say(polite.channels[0], "!ping")
    polite.delete(polite.channels[0], message["id"])
    counted(bot, events_unwanted=1, deliveries_acked=1)
    assert not polite.answers()


def test_call_timeout(polite, bots):
    bot = bots(polite, call_timeout=1)
    bot.start().ready()
    polite.slow(n=10, delay_s=60, method="GET", path="/users/@me")
    began = time.monotonic()
    done = bot.ctl_run("call", "GET", "/users/@me")
    assert done.returncode == 1 and "EDEADLINE" in done.stderr
    assert 0.8 < time.monotonic() - began < 50, "not the 60 s of the answer"


def test_credit_bytes(polite, bots):
    """Two bodies of a little over 30 KiB are open at once, the others wait for their turn."""
    bot = bots(polite, pools={"echo": {"workers": 1, "credit_bytes": "64K"}},
               env={"BULKHEAD_FAULTS": "worker.slow=match=wide,arg=1000"})
    bot.start().ready()
    polite.say_many([(polite.channels[i], "wide " + "x" * 30000) for i in range(6)])
    seen = set()

    def finished():
        status = bot.status()["deliveries"]
        seen.add(status["given"])
        return status["finished"] >= 6
    wait_for(finished, 20, "all six finished")
    assert max(seen) <= 2, seen


def test_rest_per_second(polite, bots):
    bot = bots(polite, rest_per_second=5)
    bot.start().ready()
    began = time.monotonic()
    messages = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(16)])
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 30)
    assert time.monotonic() - began > 2, "16 requests take 2 s and more at 5 a second"


def test_poison_and_log_level(polite, bots):
    bot = bots(polite, poison=1, log_level="warning", env={"BULKHEAD_FAULTS": "worker.crash=match=boom"})
    bot.start().ready()
    polite.say(polite.channels[0], "boom")
    wait_for(lambda: bot.status()["deliveries"]["aside"] == 1, 10, "set aside after the first death")
    counters = bot.counters()
    assert counters["worker_crashes"] == 1 and counters["deliveries_poison"] == 1
    assert not bot.logged(" info | notice "), "what is below the level is not logged"


def test_journal_may_change_its_size(polite, bots):
    bot = bots(polite, journal="64K")
    bot.start().ready()
    done = [answered(polite, channel=i) for i in range(5)]
    for size, n_bytes in (("1M", 1 << 20), ("64K", 1 << 16)):
        assert bot.stop() == 0
        bot.configure({"echo": {}}, journal=size)
        bot.start().ready()
        assert (bot.dir / "run" / "journal").stat().st_size == n_bytes
        assert bot.ask("explain", done[0]["id"])["deliveries"][0]["state"] == "finished"
    assert len(polite.identifies) == 1 and len(polite.answers()) == 5


# Counters and fault points

def test_rest_counters(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    polite.rate_limit(n=1, retry_after=0.2, method="POST")
    answered(polite)
    polite.fail(n=1, status=502, method="POST")
    answered(polite)
    polite.reset(n=1, method="GET", path="/users/@me")
    bot.ctl("call", "GET", "/users/@me")
    counted(bot, rest_requests=6, rest_429=1, rest_5xx=1, rest_failures=1, rest_retries=2)
    assert len(polite.answers()) == 2


def test_event_counters(bots):
    """Every event twice: the second is known."""
    with threaded.Fake(polite=True, dup_p=1.0, limits=False) as fake:
        bot = bots(fake)
        bot.start().ready()
        for _ in range(3):
            answered(fake)
        counted(bot, events_duplicate=3, events_journaled=6, deliveries_given=6, deliveries_acked=6, gateway_frames=9,
                gateway_bytes=1000, gateway_dispatches=9)
        assert len(fake.answers()) == 3


def test_gateway_counters(polite, bots):
    bot = bots(polite, backoff_max=1)
    bot.start().ready()
    before = len(polite.connections)
    polite.op10()
    counted(bot, gateway_unexpected=1)
    assert bot.logged("unexpected ev=RX_HELLO state=READY") and len(polite.connections) == before, "nothing changes"
    polite.junk()
    counted(bot, gateway_bad_frames=1)
    wait_for(lambda: len(polite.connections) > before, 20, "a new connection")
    bot.ready()
    assert bot.logged("no gateway payload, dropping the connection seq=1 bytes=2") and len(polite.identifies) == 1
    before = len(polite.connections)
    polite.drop()
    wait_for(lambda: len(polite.connections) > before, 20, "a new connection")
    bot.ready()
    polite.op9(resumable=False)
    wait_for(lambda: len(polite.identifies) > 1, 30, "a new session")
    counted(bot, gateway_connects=4, gateway_resumes=2, gateway_identifies=2, gateway_lost=1)
    assert bot.logged("session lost"), "the gap is shown"


def test_worker_counters(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 1}, "hung": {}, "halted": {}}, hang=1, stopped=1, args=["--faults"],
               env={"BULKHEAD_FAULTS": "worker.spin=slot=hung.0,match=!ping,for=1;worker.stop=slot=halted.0,match=!ping,for=1;"
                                       "worker.slow=slot=echo.0,match=!ping,arg=1000"})
    bot.start().ready()
    polite.say(polite.channels[0], "!ping")
    counted(bot, worker_hung=1, worker_stopped=1, worker_kills=2, deliveries_returned=2)
    bot.kill("echo.0")
    counted(bot, worker_crashes=1, worker_starts=8)
    bot.ready()
    exits = bot.counters()["worker_exits"]
    bot.ctl("restart", "echo")
    counted(bot, worker_exits=exits + 1)
    assert bot.ctl_run("show", "worker", "nobody.9").returncode == 66
    assert bot.counters()["control_clients"] > 5


@pytest.mark.parametrize("fault, text", [
    ("child.exec=slot=bad.0", "could not be started"),
    ("worker.no_ready=slot=bad.0", "READY"),
])
def test_start_faults(polite, bots, fault, text):
    bot = bots(polite, pools={"echo": {}, "bad": {}}, start_deadline=1, env={"BULKHEAD_FAULTS": fault})
    bot.start()
    wait_for(lambda: bot.socket.exists() and (bot.worker("bad.0")["last"] or {}).get("text"), 20, "buried")
    assert text in bot.worker("bad.0")["last"]["text"]
    assert bot.counters()["worker_exits" if "exec" in fault else "worker_no_ready"] >= 1
    wait_for(lambda: bot.status()["gateway"]["state"].lower() == "ready", 20, "live")
    answered(polite)


def test_short_writes_and_silent_names(polite, bots):
    """Frames in two pieces change nothing; a name that is never answered fails by its deadline."""
    bot = bots(polite, env={"BULKHEAD_FAULTS": "chan.short_write=always"})
    bot.start().ready()
    for i in range(10):
        answered(polite, channel=i)
    other = bots(None, token="x", api_url="https://discord.test/api/v10", start_patience=2, connect_timeout=0.5,
                 rest_grace=1, env={"BULKHEAD_FAULTS": "resolve.silent=always"})
    other.start()
    assert other.process.wait(120) == 69
    assert "discord.test" in other.log()
