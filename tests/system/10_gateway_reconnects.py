"""Whatever the gateway does, answers go on, and a session that can be resumed is resumed."""

import re

import pytest
from fakediscord import threaded

from bot import ROOT, wait_for


def answered(fake, channel, timeout=20):
    message = fake.say(channel, "!ping")
    assert fake.wait(lambda: fake.replies_to(message["id"]), timeout), "no answer"
    return message


def live_again(bot, fake, before):
    wait_for(lambda: len(fake.connections) > before, 20, "a new connection")
    bot.ready(20)


RESUMABLE = {
    "reset": lambda fake: fake.drop(),
    "half a frame, then reset": lambda fake: fake.cut(now=True),
    "op 7": lambda fake: fake.op7(),
    "op 9 true": lambda fake: fake.op9(resumable=True),
    "close 4000": lambda fake: fake.close(4000),
    "close 4008": lambda fake: fake.close(4008),
    "close 1001": lambda fake: fake.close(1001),
    "close 4999, not in the table": lambda fake: fake.close(4999),
}
FRESH = {
    "op 9 false": lambda fake: fake.op9(resumable=False),
    "close 4007": lambda fake: fake.close(4007),
    "close 4009": lambda fake: fake.close(4009),
}


# The codec matters to few of them.
@pytest.mark.parametrize("name, compress", [(name, "zlib") for name in RESUMABLE] + [("reset", "none"), ("op 7", "none")] + [
    ("half a frame, then reset", "zstd"), ("op 7", "zstd")])
def test_resumes(polite, bots, name, compress):
    bot = bots(polite, compress=compress)
    bot.start().ready()
    answered(polite, polite.channels[0])
    before = len(polite.connections)
    RESUMABLE[name](polite)
    missed = polite.say(polite.channels[1], "!ping")
    live_again(bot, polite, before)
    assert polite.wait(lambda: polite.replies_to(missed["id"])), "what was said meanwhile is replayed"
    answered(polite, polite.channels[2])
    assert len(polite.identifies) == 1 and len(polite.resumes) >= 1
    assert len(polite.answers()) == 3
    spoken = {"none": None, "zlib": "zlib-stream", "zstd": "zstd-stream"}[compress]
    assert {c["compress"] for c in polite.connections} == {spoken}, "the same on every connection"


def test_zstd_is_given_up_where_it_is_not_spoken(bots):
    with threaded.Fake(polite=True, zstd=False) as fake:
        bot = bots(fake, compress="zstd")
        bot.start().ready(20)
        answered(fake, fake.channels[0])
        assert [c["compress"] for c in fake.connections] == ["zlib-stream"]
        assert len(fake.faults) == 2, "asked for twice, not for ever"
        assert "zstd failed 2 times: zlib from now on" in bot.log()


@pytest.mark.parametrize("name", FRESH)
def test_identifies_again(polite, bots, name):
    bot = bots(polite)
    bot.start().ready()
    answered(polite, polite.channels[0])
    before = len(polite.connections)
    FRESH[name](polite)
    live_again(bot, polite, before)
    answered(polite, polite.channels[1])
    assert len(polite.identifies) == 2
    assert wait_for(lambda: bot.status()["gap"]["done"], 20, "the gap is shown")


def fatal_codes():
    table = (ROOT / "proto" / "closecodes.def").read_text()
    return [int(code) for code in re.findall(r"^CLOSE\((\d+), FATAL", table, re.M)]


@pytest.mark.parametrize("code", fatal_codes())
def test_fatal_close_ends_it(polite, bots, code):
    """Each close that no retry mends, from the table itself: one sentence with the code, a status of its own."""
    bot = bots(polite)
    bot.start().ready()
    polite.close(code)
    status = bot.process.wait(120)
    assert status == {4004: 77, 4013: 76, 4014: 76}.get(code, 79)
    errors = [line for line in bot.log().splitlines() if " err " in line]
    assert len(errors) == 1 and str(code) in errors[0], errors
    assert len(polite.identifies) == 1


def test_op1_is_answered_at_once(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    before = len(polite.heartbeats)
    polite.op1()
    assert polite.wait(lambda: len(polite.heartbeats) > before, 5)


def test_zombie_is_noticed(bots):
    with threaded.Fake(polite=True, heartbeat_ms=400, zombie_factor=1000) as fake:
        bot = bots(fake)
        bot.start().ready()
        before = len(fake.connections)
        fake.stall(what="all")
        live_again(bot, fake, before)
        answered(fake, fake.channels[0])
        assert len(fake.identifies) == 1, "a zombie is resumed"
        assert bot.counters()["gateway_zombies"] >= 1


def test_deafness_is_noticed(bots):
    """Silence alone is no reason; silence where an event was asked for is: the connection is resumed."""
    with threaded.Fake(polite=True, heartbeat_ms=800, limits=False, zombie_factor=1000) as fake:
        bot = bots(fake, probe_silence=0.2, probe_every=0.5, probe_answer=0.5)
        bot.start().ready()
        answered(fake, fake.channels[0])
        wait_for(lambda: bot.counters()["gateway_probes"] >= 2, 20, "silence is probed")
        assert bot.counters()["gateway_deaf"] == 0, "and answered"
        # The one that takes over knows its guilds from the journal: RESUMED names none.
        assert bot.stop() == 0
        bot.start().ready()
        fake.stall(what="dispatch")
        missed = fake.say(fake.channels[0], "!ping")
        assert fake.wait(lambda: fake.replies_to(missed["id"]), 20), "what it did not hear is replayed"
        counters, status = bot.counters(), bot.status()["gateway"]
        assert counters["gateway_deaf"] == status["deafs"] == 1
        assert len(fake.identifies) == 1 and bot.logged("deaf: no event for")


def test_no_hello(bots, polite):
    polite.no_hello(1)
    bot = bots(polite, hello_timeout=1, backoff_max=1)
    bot.start().ready(30)
    answered(polite, polite.channels[0])


def test_op7_instead_of_hello(bots, polite):
    polite.op7_first(1)
    bots(polite, backoff_max=1).start().ready(30)
    answered(polite, polite.channels[0])


def test_resume_url_that_is_gone(bots, polite):
    """READY's resume URL leads nowhere: the general one is tried, and the session is kept."""
    bot = bots(polite, backoff_max=1, connect_timeout=1)
    bot.start().ready()
    before = len(polite.connections)
    polite.resume_gone()
    polite.drop()
    live_again(bot, polite, before)
    answered(polite, polite.channels[0])


def test_tls(bots, certificate):
    cert, key = certificate
    with threaded.Fake(polite=True, cert=cert, key=key, limits=False) as fake:
        bot = bots(fake, ca_file=cert)
        bot.start().ready()
        answered(fake, fake.channels[0])
        before = len(fake.connections)
        fake.drop()
        live_again(bot, fake, before)
        answered(fake, fake.channels[0])
        assert len(fake.identifies) == 1


def test_tls_of_a_stranger_is_refused(bots, certificate):
    cert, key = certificate
    with threaded.Fake(polite=True, cert=cert, key=key) as fake:
        bot = bots(fake, start_patience=2)
        bot.start()
        assert bot.process.wait(120) == 69, "without its authority the certificate is not trusted"
        assert "certificate" in bot.log().lower()
        assert not fake.identifies
