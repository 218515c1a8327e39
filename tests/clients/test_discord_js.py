"""discord.js against the fake: when they disagree, the fake is wrong."""

import contextlib

import pytest
from fakediscord.threaded import Fake
from nodejs import Program

TIMEOUT = 60


class Discord(contextlib.ExitStack):
    """A fake and a bot that is told its address."""

    def __init__(self, token=None, compress=False, **opts):
        super().__init__()
        self.fake = self.enter_context(Fake(**{"polite": True, "identify_window_s": 0.0, **opts}))
        self.bot = self.enter_context(Program("bot.mjs", api=self.fake.url.removesuffix("/v10"),
                                              token=token or self.fake.token, compress=compress))

    def saw(self, event, times=1, timeout=TIMEOUT):
        return self.bot.wait(lambda: len(self.bot.events(event)) >= times, timeout)

    def ping(self, channel):
        message = self.fake.say(channel, "!ping")
        self.answered(message)

    def answered(self, message):
        assert self.fake.wait(lambda: self.fake.replies_to(message["id"]), TIMEOUT), self.bot.lines
        assert [m["content"] for m in self.fake.replies_to(message["id"])] == ["pong"]


@pytest.fixture(params=[False, True], ids=["plain", "identify-compress"])
def compress(request):
    return request.param


def test_connects_answers_and_resumes(compress):
    with Discord(compress=compress) as d:
        fake = d.fake
        assert d.saw("ready")
        assert d.bot.events("ready") == [{"event": "ready", "user": fake.bot_id, "guilds": [fake.guild_id]}]
        assert set(fake.channels) <= set(d.bot.result("channels"))
        assert [i["d"]["compress"] for i in fake.identifies] == [compress]
        d.ping(fake.channels[0])
        d.ping(fake.dm)
        assert d.saw("message", 2) and [m["dm"] for m in d.bot.events("message")] == [False, True]

        # A TCP reset while something is said: the RESUME brings it.
        fake.refuse()
        fake.drop()
        missed = fake.say(fake.channels[1], "!ping")
        fake.refuse(0)
        assert d.saw("resumed")
        d.answered(missed)

        # Half of a dispatch, then a reset.
        fake.cut()
        torn = fake.say(fake.channels[2], "!ping")
        assert d.saw("resumed", 2)
        d.answered(torn)

        fake.op7()
        assert d.saw("resumed", 3)
        d.ping(fake.channels[3])

        assert len(fake.identifies) == 1 and fake.resumes[-1]["result"] == "ok"
        assert all(r["port"] != fake.port for r in fake.resumes)
        assert len(fake.answers()) == 5
    assert not fake.violations and not fake.unimplemented


def test_session_lost():
    with Discord() as d:
        assert d.saw("ready")
        d.fake.op9(False)
        assert d.fake.wait(lambda: len(d.fake.identifies) == 2, TIMEOUT)
        assert d.fake.wait(lambda: d.fake.state()["sessions"], TIMEOUT)
        d.ping(d.fake.channels[0])


def test_rest_as_discord_js_speaks_it():
    with Discord() as d:
        fake = d.fake
        assert d.saw("ready")
        message = fake.say(fake.channels[0], "!all")
        assert d.saw("all done"), d.bot.lines
        dm = fake.answers(fake.dm)
        assert [m["content"] for m in dm] == ["two|!all"]
        assert fake.posts[0]["nonce"] == "77"
        assert d.saw("deleted") and d.saw("edited") and d.saw("reaction")
        assert message["id"] in fake.delivered() and not d.bot.events("error")
    assert not fake.violations and not fake.unimplemented


def test_limits_and_errors_are_understood():
    with Discord(limits={"messages": (2, 0.5)}) as d:
        fake = d.fake
        assert d.saw("ready")
        fake.rate_limit(1, "user", 0.2, method="POST")
        fake.fail(1, 502, method="POST")
        asked = fake.say_many([(fake.channels[0], "!ping")] * 5)
        for message in asked:
            d.answered(message)
        assert len(fake.answers()) == 5 and d.saw("limited")
    assert not fake.violations


def test_worst_discord_still_speaks_discord():
    with Discord(compress=True, polite=False, lose_p=0.0, seed=3, dup_p=0.2, swap_p=0.2) as d:
        fake = d.fake
        assert d.saw("ready")
        said = fake.say_many([(fake.channels[i % 10], f"m{i}") for i in range(200)])
        texts = {m["content"] for m in said}
        assert d.bot.wait(lambda: texts <= {m["content"] for m in d.bot.events("message")}, TIMEOUT)
    assert not fake.violations


@pytest.mark.parametrize("token, opts, what", [("wrong.token", {}, "invalid token"),
                                               (None, {"privileged": 0}, "disallowed intents")])
def test_refused(token, opts, what):
    with Discord(token, **opts) as d:
        assert d.bot.wait(lambda: [e for e in [*d.bot.events("login failed"), *d.bot.events("error")]
                                   if what in e["message"]], TIMEOUT), d.bot.lines
