"""A reply that grows: its text is whole in the end, in the same messages, whoever dies meanwhile."""

import re
import signal
import time

import pytest

from bot import alive, wait_for
from fakediscord import threaded

MARK = "\u23f3 restarting \u2026"
CUT = "\u26a0 interrupted"


def full(words):
    return " ".join(f"word{i}" for i in range(1, words + 1))


def shown(fake, channel):
    """What stands in the channel of the bot, oldest first; deleted messages do not."""
    messages = fake.call(lambda: list(fake.server.world.messages[channel].values()))
    return [m for m in messages if m["author"]["id"] == fake.bot_id]


def text(fake, channel):
    return " ".join(m["content"] for m in shown(fake, channel))


def patches(fake, channel):
    return [p for p in fake.posts if p["method"] == "PATCH" and p["channel_id"] == channel]


def grown(fake, channel, words, timeout=60):
    fake.wait(lambda: text(fake, channel) == full(words), timeout)
    assert text(fake, channel) == full(words)


def begun(fake, channel, edits=1, timeout=20):
    """It is visible and has grown since; the id of its first message."""
    assert fake.wait(lambda: len(patches(fake, channel)) >= edits, timeout), "the reply grows"
    return shown(fake, channel)[0]["id"]


def idle(bot):
    """Every delivery is acked."""
    wait_for(lambda: bot.status()["streams_open"] == 0, 30, "no stream is open")
    wait_for(lambda: bot.worker("echo.0")["open"] == 0, 30, "every delivery is acked")


def test_grows(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    said = polite.say(channel, "!stream 80")
    begun(polite, channel)
    rest = bot.active_rest()["name"]
    assert bot.worker(rest)["streams"] == 1 and bot.worker("echo.0")["streams"] == 1
    grown(polite, channel, 80)
    idle(bot)
    assert len(polite.answers(channel)) == 1, "one message"
    assert polite.replies_to(said["id"])[0]["id"] == shown(polite, channel)[0]["id"]
    steps = [p["content"] for p in polite.posts if p["channel_id"] == channel and p["bot"] == polite.bot_id]
    assert all(full(80).startswith(s) for s in steps) and steps == sorted(steps, key=len), "each shows more"
    edits = [r for r in polite.requests if r["method"] == "PATCH"]
    gaps = [b["t"] - a["done_t"] for a, b in zip(edits, edits[1:-1])]
    assert gaps and min(gaps) >= 1.19, "1.2 s between an answer and the next edit, but for the last"
    typed = [r["t"] for r in polite.requests if r["path"].endswith("/typing")]
    first = next(r["t"] for r in polite.requests if r["method"] == "POST" and r["path"].endswith("/messages"))
    assert len(typed) == 1 and typed[0] < first, "typing until the first text, not after it"


@pytest.mark.parametrize("victim", ["echo.0", "rest", "supervisor"])
def test_killed(fake, bots, victim):
    """kill -9 while it grows: the same message is completed, one answer stands, the gateway never noticed."""
    bot = bots(fake, keep=True)
    bot.start().ready()
    channel = fake.channels[0]
    fake.say(channel, "!stream 160")
    message = begun(fake, channel, edits=2)
    bot.kill(victim)
    grown(fake, channel, 160)
    bot.ready()
    idle(bot)
    assert [m["id"] for m in shown(fake, channel)] == [message], "the same message, and no other"
    if victim != "supervisor":
        assert len(fake.connections) == 1
    lengths = [len(p["content"]) for p in patches(fake, channel)]
    assert lengths == sorted(lengths), "nothing that was shown was taken back"


def test_killed_with_many(polite, bots):
    """What a worker held when somebody killed it goes on side by side, not one after another as suspects would."""
    bot = bots(polite, pools={"echo": {"workers": 1}})
    bot.start().ready()
    channels = polite.channels[:12]
    polite.say_many([(c, "!stream 160 16") for c in channels])
    for _ in range(2):
        wait_for(lambda: bot.worker("echo.0")["streams"] == 12, 20, "all are open")
        bot.kill("echo.0")
        bot.ready()
    # Each takes 10 s: two minutes if they took turns.
    wait_for(lambda: bot.worker("echo.0")["streams"] == 12, 5, "all are open again at once")
    for channel in channels:
        grown(polite, channel, 160)
    idle(bot)
    assert all(len(polite.answers(c)) == 1 for c in channels)
    assert bot.counters()["deliveries_poison"] == 0


@pytest.mark.parametrize("point", ["rest.crash_before", "rest.crash_after", "supervisor.crash_asked",
                                   "supervisor.crash_effect"])
def test_killed_at_the_create(fake, bots, point):
    """Between asking for the first message and hearing of it: its nonce makes it one."""
    # Of the rest workers only the one that starts as the active one dies of it: its spare takes over.
    rest = point.startswith("rest")
    env = {"BULKHEAD_FAULTS": f"{point}=slot=rest.0,match=/messages,for=1"} if rest else {}
    bot = bots(fake, keep=True, args=["--faults"], env=env)
    bot.start().ready()
    if rest and bot.active_rest()["name"] != "rest.0":
        bot.ctl("restart", "rest.1")
    if not rest:
        bot.ctl("fault", point, "match=/messages,for=1")
    active, supervisor = bot.active_rest()["pid"], bot.pid
    channel = fake.channels[0]
    fake.say(channel, "!stream 60")
    grown(fake, channel, 60)
    bot.ready()
    idle(bot)
    assert len(shown(fake, channel)) == 1
    assert not alive(active) and (rest or bot.pid != supervisor), "the fault struck"


def test_slow_edits(polite, bots):
    """5 s for each PATCH: the text is read at full speed, one edit is under way at most."""
    bot = bots(polite)
    bot.start().ready()
    polite.slow(n=-1, delay_s=5.0, method="PATCH")
    channel = polite.channels[0]
    polite.say(channel, "!stream 200 100")
    grown(polite, channel, 200)
    idle(bot)
    edits = [r for r in polite.requests if r["method"] == "PATCH"]
    assert 1 <= len(edits) <= 3, "in 2 s of text and 5 s for each edit there is no time for more"
    assert all(a["done_t"] <= b["t"] for a, b in zip(edits, edits[1:])), "one under way"


@pytest.mark.parametrize("scope", ["user", "shared", "cloudflare"])
def test_limited(polite, bots, scope):
    """429 for a create and for edits, with JSON and with Cloudflare's HTML: the text is whole in the end."""
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    polite.rate_limit(n=1, scope=scope, retry_after=1.0, method="POST", path="/messages$")
    polite.rate_limit(n=2, scope=scope, retry_after=1.0, method="PATCH")
    polite.say(channel, "!stream 100")
    grown(polite, channel, 100)
    idle(bot)
    assert len(shown(polite, channel)) == 1
    assert bot.counters()["rest_429"] == 3


def test_no_429_of_our_own(bots):
    """The limits as they are observed, eight streams in one channel, three in others: not one request too many."""
    with threaded.Fake(polite=True) as strict:
        bot = bots(strict)
        bot.start().ready()
        channels = dict(zip(strict.channels, (8, 2, 1)))
        strict.say_many([(c, "!stream 60") for c, n in channels.items() for _ in range(n)])

        def all_there():
            return all([m["content"] for m in shown(strict, c)] == [full(60)] * n for c, n in channels.items())
        assert strict.wait(all_there, 90), [[m["content"][-20:] for m in shown(strict, c)] for c in channels]
        idle(bot)
        assert bot.counters()["rest_429"] == 0
        assert not strict.violations


def test_deleted_midway(polite, bots):
    """Somebody deletes it: it is not edited, not posted again, and the delivery is done."""
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    polite.say(channel, "!stream 400")
    message = begun(polite, channel)
    polite.delete(channel, message)
    idle(bot)
    assert not shown(polite, channel)
    asked = len(polite.requests)
    polite.say(channel, "!ping")
    assert polite.wait(lambda: shown(polite, channel), 10), "the channel goes on"
    later = [r for r in polite.requests[asked:] if message in r["path"]]
    assert not later, "nobody asks for the deleted message again"


@pytest.mark.parametrize("what", ["created", "edited"])
def test_answer_lost(polite, bots, what):
    """Carried out, and the answer is lost: one message, and its text is whole."""
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    if what == "created":
        polite.lose_answer(n=1)
    else:
        polite.lose_answer(n=2, method="PATCH", path=r"/messages/\d+$")
    polite.say(channel, "!stream 60")
    grown(polite, channel, 60)
    idle(bot)
    assert len(polite.answers(channel)) == 1
    assert len([f for f in polite.requests if f["lost"]]) >= 1, "an answer was lost"


def test_rolls_over(fake, bots):
    """More than two messages hold: each has its last text before the next is made, and borders lose nothing."""
    bot = bots(fake)
    bot.start().ready()
    channel = fake.channels[0]
    fake.say(channel, "!stream 700 400")
    grown(fake, channel, 700)
    idle(bot)
    messages = shown(fake, channel)
    assert len(messages) == 3 and all(len(m["content"]) <= 2000 for m in messages)
    made = {p["id"]: i for i, p in enumerate(fake.posts) if p["method"] == "POST" and not p["again"]}
    for before, after in zip(messages, messages[1:]):
        last = max(i for i, p in enumerate(fake.posts) if p["id"] == before["id"])
        assert last < made[after["id"]], "it was complete before the next one"
    assert "message_reference" in messages[0] and all("message_reference" not in m for m in messages[1:])


@pytest.mark.parametrize("victim", ["echo.0", "rest", "supervisor"])
def test_killed_on_the_second_page(fake, bots, victim):
    bot = bots(fake, keep=True)
    bot.start().ready()
    channel = fake.channels[0]
    fake.say(channel, "!stream 500 60")
    assert fake.wait(lambda: len(shown(fake, channel)) >= 2, 30)
    ids = [m["id"] for m in shown(fake, channel)]
    bot.kill(victim)
    grown(fake, channel, 500)
    bot.ready()
    idle(bot)
    assert [m["id"] for m in shown(fake, channel)] == ids, "the same messages"
    assert len(shown(fake, channel)) == 2


def test_stop_with_streams(polite, bots):
    """SIGTERM with 20 streams: each ends whole or marked within the bound, and the next start goes on with it."""
    bot = bots(polite, pools={"echo": {"credit": 64}}, drain=1, last_word=8)
    bot.start().ready()
    channels = polite.channels[:20]
    for channel in channels:
        polite.say(channel, "!stream 120")
    for channel in channels:
        assert polite.wait(lambda c=channel: shown(polite, c), 20)
    ids = {c: shown(polite, c)[0]["id"] for c in channels}
    assert bot.stop(signal.SIGTERM, timeout=2 * (1 + 8 + 5 + 2)) == 0
    for channel in channels:
        (message,) = shown(polite, channel)
        assert message["content"] == full(120) or message["content"].endswith("\n" + MARK), message["content"][-60:]
        assert full(120).startswith(message["content"].removesuffix("\n" + MARK))
    bot.start().ready()
    for channel in channels:
        grown(polite, channel, 120)
    idle(bot)
    assert {c: [m["id"] for m in shown(polite, c)] for c in channels} == {c: [i] for c, i in ids.items()}


def test_rest_restart_hands_over(polite, bots):
    """`restart` of the active rest worker: it lets go, the spare goes on with the same message."""
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    polite.say(channel, "!stream 160")
    message = begun(polite, channel, edits=2)
    bot.ctl("restart", bot.active_rest()["name"])
    grown(polite, channel, 160)
    idle(bot)
    assert [m["id"] for m in shown(polite, channel)] == [message]
    assert not re.search(r"cut|EAMBIGUOUS|unexpected", bot.log())


def test_forbidden_channel(polite, bots):
    """403: it stops, the delivery is done, and the next one does not ask again for a while."""
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    polite.fail(n=-1, status=403, method="POST", path="/messages$")
    for _ in range(3):
        polite.say(channel, "!stream 40")
    assert polite.wait(lambda: any(r["status"] == 403 for r in polite.requests), 20)
    wait_for(lambda: bot.counters()["deliveries_acked"] >= 3, 20, "each is acked")
    idle(bot)
    assert len([r for r in polite.requests if r["status"] == 403]) == 1
    last = polite.requests[-1]["t"]
    time.sleep(0.5)
    assert polite.requests[-1]["t"] == last, "no typing, no retry"


def interrupted(fake, channel, words, timeout=20):
    """One message: as far as it came, and the mark of an answer that nobody goes on with, once."""
    assert fake.wait(lambda: text(fake, channel).endswith(CUT), timeout), text(fake, channel)[-60:]
    (message,) = shown(fake, channel)
    said = message["content"].removesuffix("\n" + CUT)
    assert said and full(words).startswith(said) and MARK not in said, message["content"][-60:]


def set_aside(bot, why):
    wait_for(lambda: bot.status()["deliveries"]["aside"], 20, "set aside")
    wait_for(lambda: bot.status()["streams_open"] == 0, 20, "its message is marked")
    assert bot.logged(rf"set aside: {why} pool=echo")
    assert bot.counters()["streams_interrupted"] == 1


@pytest.mark.parametrize("end, options, why", [
    ("stop", {"stale": 0}, "stale"),
    ("kill", {"stale": 0}, "stale"),
    ("stop", {"pools": {"other": {}}}, "refused"),
])
def test_not_continued(polite, bots, end, options, why):
    """Too old for the next start, or nobody is there to go on: the mark changes from restarting to interrupted."""
    bot = bots(polite, drain=0)
    bot.start().ready()
    channel = polite.channels[0]
    polite.say(channel, "!stream 400")
    begun(polite, channel)
    if end == "stop":
        assert bot.stop() == 0
        assert text(polite, channel).endswith("\n" + MARK)
    else:
        bot.kill("supervisor")
        bot.process.wait()
    bot.configure(**{"pools": {"echo": {}}} | options)
    bot.start().ready()
    interrupted(polite, channel, 400)
    set_aside(bot, why)
    assert bot.counters()["deliveries_stale"] == (why == "stale")
    # It is done once: another start leaves the message alone.
    assert bot.stop() == 0
    asked = len(polite.requests)
    bot.start().ready()
    bot.ctl("call", "GET", "/users/@me")
    assert not [r for r in polite.requests[asked:] if "/messages" in r["path"]]


@pytest.mark.parametrize("victim", ["echo.0", "rest"])
def test_given_up(polite, bots, victim):
    """Its worker dies of it too often, or the rest worker does: the message says that nobody goes on."""
    bot = bots(polite, poison=1)
    bot.start().ready()
    channel = polite.channels[0]
    polite.say(channel, "!stream 400")
    begun(polite, channel)
    for _ in range(2 if victim == "echo.0" else 1):      # at first it is only a suspect
        before = bot.worker("echo.0")["pid"]
        # A signal of a crash: SIGKILL of a worker that waits blames nobody.
        bot.kill(victim, signal.SIGQUIT if victim == "echo.0" else signal.SIGKILL)
        if victim == "echo.0":
            bot.ready()
            assert bot.worker("echo.0")["pid"] != before
            wait_for(lambda: bot.worker("echo.0")["streams"] == 1 or bot.status()["deliveries"]["aside"], 20, "again")
    interrupted(polite, channel, 400)
    if victim == "echo.0":
        set_aside(bot, "poison")
    bot.ready()
    idle(bot)
    assert bot.counters()["streams_interrupted"] == 1
    polite.say(channel, "!ping")
    assert polite.wait(lambda: len(shown(polite, channel)) == 2, 10), "the channel goes on"
