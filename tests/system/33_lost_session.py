"""A session that cannot be resumed: what was said meanwhile is asked for, answered once and in order, or shown as a gap."""

import pytest
from fakediscord import threaded

from bot import wait_for

HISTORY = r"/channels/\d+/messages$"


@pytest.fixture
def fake():
    """As bad as it gets, but for what is counted here."""
    with threaded.Fake(limits=False, swap_p=0, lose_p=0, buffer_events=2000) as server:
        yield server


def answered(fake, messages, timeout=30):
    messages = list(messages)
    assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in messages), timeout), \
        f"no answer to {sum(not fake.replies_to(m['id']) for m in messages)} of {len(messages)}"


def once_and_in_order(fake, messages):
    for channel in {m["channel_id"] for m in messages}:
        asked = [m["id"] for m in messages if m["channel_id"] == channel]
        got = [a["message_reference"]["message_id"] for a in fake.answers(channel)]
        assert got == asked, f"order in channel {channel}"


def pings(fake, channels):
    return [fake.say(c, "!ping") for c in channels]


def read(fake):
    return [r for r in fake.requests if r["method"] == "GET" and r["path"].endswith("/messages")]


def lose(fake, how):
    """The session ends, and no other begins before fake.refuse(0)."""
    fake.refuse()
    how()
    fake.wait(lambda: not fake.state()["connections"], 10)


def filled(bot, timeout=40):
    """The gap, when it is done with."""
    return wait_for(lambda: (lambda g: g if g and not g["filling"] and g["done"] else None)(bot.status()["gap"]),
                    timeout, "the back-fill ends")


def identified(fake, n):
    assert fake.wait(lambda: len(fake.identifies) >= n, 40), "no new session"


def test_what_was_said_meanwhile(fake, bots):
    """In channels of a guild and in direct messages; what comes both ways is answered once, behind what was missed."""
    bot = bots(fake, pools={"echo": {"workers": 2}})
    bot.start().ready()
    assert bot.status()["gap"] is None
    where = [*fake.channels[:4], fake.dm]
    said = pings(fake, where)
    answered(fake, said)
    lose(fake, lambda: fake.op9(resumable=False))
    missed = pings(fake, where * 2 + [fake.channels[0]] * 110)
    fake.slow(n=1000, delay_s=0.4, method="GET", path=HISTORY)
    fake.refuse(0)
    identified(fake, 2)
    live = pings(fake, where + [fake.channels[9]])
    answered(fake, missed + live, 60)
    once_and_in_order(fake, said + missed + live)
    gap = filled(bot)
    # The channel with 110 more is asked twice.
    assert (gap["channels"], gap["filled"], gap["refused"], gap["failed"], gap["skipped"]) == (5, 5, 0, 0, 0), gap
    assert gap["requests"] == len(read(fake)) == 6, gap
    assert gap["recovered"] == len(missed) and gap["whole"] and gap["unasked_ms"] == 0, gap
    assert gap["from"] <= gap["lost"] < gap["to"] < gap["done"], gap
    paths = bot.ask("explain", missed[0]["id"])["deliveries"]
    assert len(paths) == 1 and paths[0]["replayed"] and not bot.ask("explain", live[0]["id"])["deliveries"][0]["replayed"]
    status = bot.status()
    assert status["health"] == "ok", status["why"]
    shown = bot.ask("show", "gaps")
    assert len(shown["gaps"]) == 1 and shown["gaps"][0] == gap | {"missing": []} and shown["channels_known"] == 6
    assert "5 of 5 channels filled" in bot.ctl("status")
    counters = bot.counters()
    assert (counters["gaps"], counters["gap_requests"], counters["gap_recovered"], counters["gap_filled"]) == (1, 6, len(missed), 5)
    assert bot.logged("gap begins:") and bot.logged("gap filled:")


def test_what_cannot_be_filled_is_counted(fake, bots):
    """No access, a deleted channel, no answer in time, beyond the bound: each is counted, and live messages go on."""
    bot = bots(fake, backfill_wait=3, backfill_requests=4)
    bot.start().ready()
    said = []
    for channel in reversed(fake.channels[:6]):        # 0 spoke last, 4 and 5 longest ago
        said.append(fake.say(channel, "!ping"))
        answered(fake, said)
    lose(fake, lambda: fake.close(4009))
    missed = pings(fake, fake.channels[:6])
    fake.forbid(n=1000, method="GET", path=f"/channels/{fake.channels[1]}/messages$")
    fake.slow(n=1000, delay_s=60, method="GET", path=f"/channels/{fake.channels[2]}/messages$")
    fake.forbid(n=1000, code=50013, method="GET", path=f"/channels/{fake.channels[3]}/messages$")
    fake.refuse(0)
    identified(fake, 2)
    live = pings(fake, fake.channels[:6])
    answered(fake, [missed[0], *live])
    gap = filled(bot)
    assert (gap["channels"], gap["filled"], gap["refused"], gap["failed"], gap["skipped"]) == (6, 1, 2, 1, 2), gap
    assert gap["recovered"] == 1 and not gap["whole"]
    assert all(not fake.replies_to(m["id"]) for m in missed[1:])
    once_and_in_order(fake, said[::-1] + missed[:1] + live)
    status = bot.status()
    assert status["health"] == "degraded" and any("missing in 3 of 6 channels" in why for why in status["why"])
    missing = {row["channel"]: row["why"] for row in bot.ask("show", "gaps")["gaps"][0]["missing"]}
    assert missing == dict(zip(fake.channels[1:6], ("refused", "failed", "refused", "skipped", "skipped"))), missing
    assert f"channel {fake.channels[2]}: failed" in bot.ctl("show", "gaps")
    counters = bot.counters()
    assert (counters["gap_refused"], counters["gap_failed"], counters["gap_skipped"]) == (2, 1, 2)
    assert "not whole" in bot.ctl("status") and bot.logged("gap not filled:")


def test_killed_in_the_middle(fake, bots):
    """The supervisor dies after every third message that it fetched; each next one goes on."""
    bot = bots(fake, keep=True, env={"BULKHEAD_FAULTS": "supervisor.crash_backfill=after=2,for=1"})
    bot.start().ready()
    where = [*fake.channels[:3], fake.dm]
    said = pings(fake, where)
    answered(fake, said)
    lose(fake, lambda: fake.close(4007))
    missed = pings(fake, where * 3)
    fake.refuse(0)
    identified(fake, 2)
    live = pings(fake, where)
    answered(fake, missed + live, 60)
    once_and_in_order(fake, said + missed + live)
    gap = filled(bot)
    assert len(bot.exits) >= 2 and gap["failed"] == gap["skipped"] == 0, (bot.exits, gap)
    assert gap["recovered"] + gap["known"] >= len(missed), gap


def test_more_than_the_journal_holds(fake, bots):
    """A page is taken as room comes; what is live waits behind it all the same."""
    bot = bots(fake, journal="64K")
    bot.start().ready()
    where = fake.channels[:3]
    said = pings(fake, where)
    answered(fake, said)
    lose(fake, lambda: fake.close(4009))
    missed = fake.say_many([(c, "!ping" + " " * 1900) for _ in range(30) for c in where])
    fake.refuse(0)
    identified(fake, 2)
    live = fake.say_many([(c, "!ping" + " " * 1900) for _ in range(5) for c in where])
    answered(fake, missed + live, 60)
    once_and_in_order(fake, said + missed + live)
    gap = filled(bot)
    assert gap["whole"] and gap["recovered"] == len(missed), gap


def test_away_too_long(polite, bots):
    """A session that can be resumed after a restart needs no back-fill; one that is gone does, and so does none at all."""
    bot = bots(polite)
    bot.start().ready()
    said = pings(polite, polite.channels[:2])
    answered(polite, said)
    assert bot.stop() == 0
    said += pings(polite, polite.channels[:2])
    bot.start().ready()
    answered(polite, said)
    assert bot.status()["gap"] is None and not read(polite)

    assert bot.stop() == 0
    polite.forget_sessions()
    said += pings(polite, polite.channels[:2])
    bot.start().ready(40)
    answered(polite, said)
    assert filled(bot)["recovered"] == 2

    # Without back-fill the gap is shown all the same.
    assert bot.stop() == 0
    bot.configure({"echo": {}}, backfill=False)
    polite.forget_sessions()
    lost = pings(polite, polite.channels[:2])
    before = len(read(polite))
    bot.start().ready(60)
    gap = filled(bot)
    assert (gap["channels"], gap["filled"], gap["skipped"], gap["recovered"]) == (2, 0, 2, 0), gap
    said += pings(polite, polite.channels[:2])
    answered(polite, said)
    once_and_in_order(polite, said)
    assert not any(polite.replies_to(m["id"]) for m in lost) and len(read(polite)) == before
