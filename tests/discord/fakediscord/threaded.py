"""The fake behind a thread, for pytest: every call is safe from any thread.

    with threaded.Fake(polite=True) as fake:
        fake.say(fake.channels[0], "!ping")
        assert fake.wait(lambda: fake.answers(fake.channels[0]))
"""

from . import options
from .faults import PUBLIC
from .loopthread import LoopThread
from .server import FakeDiscord


class Index:
    """What predicates ask again and again, kept up to date in the loop's thread."""

    def __init__(self, bot_id):
        self.bot_id = bot_id
        self.created = []
        self.by_channel = {}
        self.by_question = {}
        self.sent = {}                  # (event, by the bot) -> {object id: rows of sent}

    def add(self, log, row):
        if log == "posts" and row["method"] == "POST" and not row["again"]:
            message = row["message"]
            self.created.append(message)
            self.by_channel.setdefault(row["channel_id"], []).append(message)
            question = message.get("message_reference", {}).get("message_id")
            if question:
                self.by_question.setdefault(question, []).append(message)
        elif log == "sent":
            own = row["d"].get("author", {}).get("id") == self.bot_id
            self.sent.setdefault((row["name"], own), {}).setdefault(row["id"], []).append(row)


class Fake(LoopThread):
    name = "fake-discord"

    def __init__(self, **opts):
        super().__init__()
        self.opts = options.make(**opts)
        self.server = FakeDiscord(self.opts)
        self.index = Index(self.bot_id)
        self.server.records.listeners.append(self.note)
        self.server.records.hooks.append(self.index.add)

    async def starting(self):
        if not self.opts.polite:
            print(f"fake discord: seed={self.opts.seed}")       # pytest shows it when the test fails
        self.server.admin.ended = False
        await self.server.start()

    async def stopping(self):
        await self.server.stop()

    # Addresses and names

    @property
    def url(self):
        return self.server.url

    @property
    def admin_url(self):
        return self.server.admin_url

    @property
    def gateway_url(self):
        return self.server.gateway_url

    @property
    def resume_url(self):
        return self.server.resume_url

    @property
    def port(self):
        return self.server.port

    @property
    def token(self):
        return self.opts.token

    @property
    def seed(self):
        return self.opts.seed

    @property
    def channels(self):
        return self.server.world.text_channels

    @property
    def dm(self):
        return self.server.world.dm_id

    @property
    def guild_id(self):
        return self.server.world.guild_id

    @property
    def bot_id(self):
        return self.server.world.bot["id"]

    @property
    def users(self):
        return [u["id"] for u in self.server.world.people]

    # Records: lists of dicts that only grow (up to the option keep)

    def __getattr__(self, name):
        if name in ("sent", "requests", "posts", "heartbeats", "identifies", "resumes", "presences", "connections", "violations",
                    "unimplemented", "faults", "feed"):
            return getattr(self.server.records, name)
        if name in PUBLIC:
            return lambda *args, **kwargs: self.call(getattr(self.server.faults, name), *args, **kwargs)
        raise AttributeError(name)

    def state(self):
        return self.call(self.server.state)

    def answers(self, channel_id=None):
        """What the bot created, in order: [message]; deleted ones included, deduplicated POSTs not."""
        found = self.index.created if channel_id is None else self.index.by_channel.get(channel_id, ())
        return list(found)

    def replies_to(self, message_id):
        """The bot's messages that refer to this one."""
        return list(self.index.by_question.get(message_id, ()))

    def delivered(self, name="MESSAGE_CREATE", bot=False):
        """{object id: dispatches} of what was sent or replayed: of others, or with bot=True of the bot itself."""
        return dict(self.index.sent.get((name, bot), ()))

    # Users

    def say(self, channel_id, text, author=None, reply_to=None):
        return self.call(self.server.say, channel_id, text, author, reply_to)

    def say_many(self, pairs, author=None):
        return self.call(self.server.say_many, pairs, author)

    def edit(self, channel_id, message_id, text):
        return self.call(self.server.edit, channel_id, message_id, text)

    def delete(self, channel_id, message_id):
        return self.call(self.server.delete, channel_id, message_id)

    def purge(self, channel_id, message_ids):
        return self.call(self.server.purge, channel_id, message_ids)

    def type(self, channel_id, author=None):
        return self.call(self.server.type, channel_id, author)

    def rename(self, channel_id, name):
        return self.call(self.server.rename, channel_id, name)

    def interact(self, channel_id, command="ask"):
        return self.call(self.server.interact, channel_id, command)

    @property
    def callbacks(self):
        """{interaction id: body of its one answer}"""
        return dict(self.server.callbacks)

    def react(self, channel_id, message_id, emoji, author=None, remove=False):
        return self.call(self.server.react, channel_id, message_id, emoji, author, remove)
