"""What is nobody's fault costs no answer: a full journal, an API that is down."""

import re

import pytest

from bot import wait_for


def answered_in_order(fake, messages, timeout=60):
    assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in messages), timeout), \
        f"unanswered: {sum(not fake.replies_to(m['id']) for m in messages)} of {len(messages)}"
    for channel in fake.channels:
        asked = [m["id"] for m in messages if m["channel_id"] == channel]
        assert [a["message_reference"]["message_id"] for a in fake.answers(channel)] == asked, f"channel {channel}"


def test_an_event_that_does_not_fit_is_held(polite, bots):
    """Each refusal was a lost connection, the third in a row the session, and the same event twice was passed over;
    a delivery whose call could not be noted was set aside as poison."""
    bot = bots(polite, pools={"echo": {"workers": 2}}, journal="64K")
    bot.start().ready()
    # Some as large as a body may be: an eighth of the journal.
    messages = polite.say_many([(polite.channels[i % 20], "!ping" + " " * (6500 if i % 5 == 0 else 0))
                                for i in range(300)])
    answered_in_order(polite, messages)
    assert len(polite.identifies) == 1 and not polite.resumes, "neither session nor connection was given up"
    # What is aside may only be the bot's own messages, which hold the large ones that they refer to.
    ours = {m["id"] for m in messages}
    assert not [n for n in re.findall(r"set aside: .* object=(\d+)", bot.log()) if n in ours]


def test_one_large_event_after_many_small_ones(polite, bots):
    """The memory of what is finished left no room for the largest body, and nothing was under way to give any."""
    bot = bots(polite, journal="64K")
    bot.start().ready()
    small = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(200)])
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in small), 60)
    large = [polite.say(polite.channels[0], "!ping" + " " * 6900) for _ in range(3)]
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in large), 20)
    assert not polite.resumes


@pytest.mark.parametrize("status", [500, 502])
def test_an_api_that_is_down(polite, bots, status):
    """Longer than the rest worker tries by itself: what was said meanwhile was lost."""
    bot = bots(polite, pools={"echo": {"workers": 2}})
    bot.start().ready()
    polite.fail(None, status, method="POST")
    messages = [polite.say(polite.channels[i % 5], "!ping") for i in range(20)]
    wait_for(lambda: len(re.findall("asks again", bot.log())) >= 5, 30, "each conversation met the outage")
    polite.calm()
    answered_in_order(polite, messages)
    assert bot.status()["health"] == "ok", "nothing is set aside"


@pytest.mark.parametrize("text", ["!ping", "!stream 5"])
def test_a_token_that_died(polite, bots, text):
    """What came in before anybody noticed was acked with the 401 and never answered; it waits for the new token."""
    bot = bots(polite, pools={"echo": {"workers": 2}}, drain=0.2, last_word=0.2)
    bot.start().ready()
    polite.fail(None, 401, method="POST")
    messages = [polite.say(polite.channels[i], text) for i in range(3)]
    wait_for(lambda: bot.log().count("Discord refused the token") >= 9, 30, "each met it, and asked again")
    assert bot.stop() == 0 and not polite.answers()
    polite.calm()
    bot.start().ready()
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 20)
    assert len(polite.answers()) == 3 and bot.status()["deliveries"]["aside"] == 0


def test_the_lock_ends_with_its_owner(polite, bots):
    """Killed between fork and exec of a worker, it left a flock with the child: its successor exited with 73 (seen
    once in 125 kills).  A lock of the process itself is gone with it."""
    bot = bots(polite)
    bot.start().ready()
    inode = (bot.dir / "run" / "lock").stat().st_ino
    with open("/proc/locks") as locks:
        rows = [row.split() for row in locks if row.split()[5].endswith(f":{inode}")]
    assert [(row[1], row[3], int(row[4])) for row in rows] == [("POSIX", "WRITE", bot.pid)]
