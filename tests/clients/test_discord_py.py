"""discord.py against the fake: when they disagree, the fake is wrong."""

import asyncio
import contextlib
import functools
import threading

import discord
import pytest
import yarl
from discord import gateway, http
from fakediscord.threaded import Fake

TIMEOUT = 60


class Bot(discord.Client):
    def __init__(self):
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(intents=intents, guild_ready_timeout=0.1)
        self.log = []

    async def before_identify_hook(self, shard_id, *, initial=False):
        """Not the 5 s that discord.py waits here: the fake is told to take an IDENTIFY at any time."""

    async def on_ready(self):
        self.log.append("ready")

    async def on_resumed(self):
        self.log.append("resumed")

    async def on_message(self, message):
        if message.author == self.user:
            return
        self.log.append(message.content)
        if message.content == "!ping":
            await message.reply("pong")
        elif message.content == "!all":
            async with message.channel.typing():
                sent = await message.channel.send("one", nonce=77)
                await sent.edit(content="two")
                await sent.add_reaction("👍")
                history = [m.content async for m in message.channel.history(limit=2)]
                await sent.delete()
                dm = await message.author.create_dm()
                await dm.send("|".join(history))


class Discord(contextlib.ExitStack):
    """A bot in a thread of its own, pointed at a fake."""

    def __init__(self, patch, zlib=True, **opts):
        super().__init__()
        self.fake = self.enter_context(Fake(**{"polite": True, "identify_window_s": 0.0, **opts}))
        patch.setattr(http.Route, "BASE", self.fake.url)
        patch.setattr(gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(self.fake.gateway_url))
        connect = gateway.DiscordWebSocket.from_client.__func__
        patch.setattr(gateway.DiscordWebSocket, "from_client",
                      classmethod(functools.partial(connect, zlib=zlib)))
        if not zlib:
            # discord.py always asks for payload compression too, which it cannot read.
            send = gateway.DiscordWebSocket.send_as_json

            async def send_plain(ws, data):
                if data["op"] == gateway.DiscordWebSocket.IDENTIFY:
                    data["d"]["compress"] = False
                await send(ws, data)
            patch.setattr(gateway.DiscordWebSocket, "send_as_json", send_plain)
        self.bot = None
        self.loop = asyncio.new_event_loop()
        self.closing = asyncio.Event()
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        asyncio.set_event_loop(self.loop)

        async def main():
            self.bot = Bot()
            try:
                async with self.bot:
                    bot = asyncio.ensure_future(self.bot.start(self.fake.token))
                    await asyncio.wait([bot, asyncio.ensure_future(self.closing.wait())],
                                       return_when=asyncio.FIRST_COMPLETED)
                    if bot.done():
                        await bot
            except Exception as e:
                self.error = e
        self.loop.run_until_complete(main())
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def __enter__(self):
        self.thread.start()
        self.callback(self.close)
        return self

    def close(self):
        with contextlib.suppress(RuntimeError):         # the bot has ended by itself
            self.loop.call_soon_threadsafe(self.closing.set)
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()

    def saw(self, what, times=1):
        return self.fake.wait(lambda: self.bot is not None and self.bot.log.count(what) >= times, TIMEOUT)

    def ping(self, channel):
        message = self.fake.say(channel, "!ping")
        assert self.fake.wait(lambda: self.fake.replies_to(message["id"]), TIMEOUT)
        assert [m["content"] for m in self.fake.replies_to(message["id"])] == ["pong"]


@pytest.fixture(params=[True, False], ids=["zlib-stream", "plain"])
def zlib(request):
    return request.param


def test_connects_answers_and_resumes(monkeypatch, zlib):
    with Discord(monkeypatch, zlib) as d:
        fake = d.fake
        assert d.saw("ready")
        assert {c["compress"] for c in fake.connections} == {"zlib-stream" if zlib else None}
        guild = d.bot.guilds[0]
        assert [str(c.id) for c in guild.text_channels] == fake.channels
        d.ping(fake.channels[0])

        fake.op7()
        assert d.saw("resumed")
        d.ping(fake.channels[1])

        # A TCP reset while something is said: the RESUME brings it.
        fake.refuse()
        fake.drop()
        missed = fake.say(fake.channels[2], "!ping")
        fake.refuse(0)
        assert d.saw("resumed", 2)
        assert fake.wait(lambda: fake.replies_to(missed["id"]), TIMEOUT)

        fake.cut()
        torn = fake.say(fake.channels[3], "!ping")
        assert d.saw("resumed", 3)
        assert fake.wait(lambda: fake.replies_to(torn["id"]), TIMEOUT)

        assert [r["result"] for r in fake.resumes] == ["ok"] * 3 or fake.resumes[-1]["result"] == "ok"
        assert len(fake.identifies) == 1
        assert all(r["port"] != fake.port for r in fake.resumes)
        assert len(fake.answers()) == 4
    assert not fake.violations and not fake.unimplemented


def test_session_lost(monkeypatch, zlib):
    with Discord(monkeypatch, zlib) as d:
        assert d.saw("ready")
        d.fake.op9(False)
        assert d.saw("ready", 2)
        d.ping(d.fake.channels[0])
        assert len(d.fake.identifies) == 2


def test_rest_as_discord_py_speaks_it(monkeypatch):
    with Discord(monkeypatch) as d:
        fake = d.fake
        assert d.saw("ready")
        message = fake.say(fake.channels[0], "!all")
        assert fake.wait(lambda: fake.answers(fake.dm), TIMEOUT), d.error
        assert fake.answers(fake.dm)[0]["content"] == "two|!all"
        assert fake.posts[0]["nonce"] == "77" or fake.posts[0]["nonce"] == 77
        assert fake.wait(lambda: any(r["name"] == "MESSAGE_DELETE" for r in fake.sent))
        assert message["id"] in fake.delivered()
    assert not fake.violations and not fake.unimplemented


def test_limits_and_errors_are_understood(monkeypatch):
    with Discord(monkeypatch, limits={"messages": (2, 0.5)}) as d:
        fake = d.fake
        assert d.saw("ready")
        fake.rate_limit(1, "user", 0.2, method="POST")
        fake.fail(1, 502, method="POST")
        asked = fake.say_many([(fake.channels[0], "!ping")] * 5)
        assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in asked), TIMEOUT)
        assert len(fake.answers()) == 5


def test_worst_discord_still_speaks_discord(monkeypatch, zlib):
    with Discord(monkeypatch, zlib, polite=False, lose_p=0.0, seed=3, dup_p=0.2, swap_p=0.2) as d:
        fake = d.fake
        assert d.saw("ready")
        said = fake.say_many([(fake.channels[i % 10], f"m{i}") for i in range(200)])
        assert fake.wait(lambda: {m["content"] for m in said} <= set(d.bot.log), TIMEOUT)
        assert len(d.bot.log) > 201
    assert not fake.violations


def test_wrong_token_and_missing_intent(monkeypatch):
    with Discord(monkeypatch, privileged=0) as d:
        d.thread.join(TIMEOUT)
        assert isinstance(d.error, discord.PrivilegedIntentsRequired)
    with Discord(monkeypatch) as d:
        assert d.saw("ready")
        d.fake.token_revoked()
        d.thread.join(TIMEOUT)
        assert isinstance(d.error, discord.ConnectionClosed) and d.error.code == 4004
