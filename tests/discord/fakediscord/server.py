"""The fake as a whole: two listening sockets, one application, the world behind it."""

import asyncio
import socket
import ssl
import time

from aiohttp import web

from . import options
from .admin import Admin
from .faults import Faults
from .gateway import CONTENT, Gateway
from .records import Records
from .rest import BASE, Rest
from .world import World

BACKLOG = 128
BURST = 50          # messages said in one turn of the loop


class FakeDiscord:
    def __init__(self, opts=None, **given):
        self.opts = opts or options.make(**given)
        self.records = Records(self.opts.keep)
        self.world = World(self.opts)
        self.faults = Faults(self)
        self.rest = Rest(self)
        self.admin = Admin(self)
        self.gateway = None
        self.interactions = {}          # token -> id
        self.callbacks = {}             # id -> body of its first answer
        self.port = self.opts.port
        self.resume_port = self.opts.resume_port
        self.dead_port = None           # bound, never listening: connections are refused
        self.runner = None
        self.main = self.resume = None

    # Addresses

    @property
    def tls(self):
        return bool(self.opts.cert)

    def address(self, scheme, port):
        return f"{scheme}{'s' if self.tls else ''}://{self.opts.host}:{port}"

    @property
    def url(self):
        return self.address("http", self.port) + BASE

    @property
    def admin_url(self):
        return self.address("http", self.port) + "/_fake"

    @property
    def gateway_url(self):
        return self.address("ws", self.port)

    @property
    def gateway_url_told(self):
        return self.address("ws", self.dead_port.getsockname()[1]) if self.faults.gone else self.gateway_url

    @property
    def resume_url(self):
        return self.address("ws", self.resume_port)

    # Start and stop

    async def start(self):
        loop = asyncio.get_running_loop()
        if self.gateway is None:
            self.gateway = Gateway(self, loop)
        self.gateway.loop = loop
        self.dead_port = socket.socket()
        self.dead_port.bind((self.opts.host, 0))
        self.runner = web.ServerRunner(web.Server(self.handle, access_log=None), handle_signals=False)
        await self.runner.setup()
        await self.listen(True)
        await self.listen_resume(True)

    async def stop(self):
        """As if the machine had lost its power: every connection is reset."""
        await self.listen(False)
        await self.listen_resume(False)
        self.admin.end()
        for conn in list(self.gateway.connections.values()):
            conn.drop("stopped")
        await self.runner.server.shutdown(0.2)
        await self.runner.cleanup()
        for session in list(self.gateway.sessions.values()):
            self.gateway.forget(session)
        self.dead_port.close()

    async def open(self, port):
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.opts.cert, self.opts.key or None)
        return await asyncio.get_running_loop().create_server(
            self.runner.server, self.opts.host, port, ssl=context, backlog=BACKLOG, reuse_address=True)

    async def listen(self, on):
        if on and self.main is None:
            self.main = await self.open(self.port)
            self.port = self.main.sockets[0].getsockname()[1]
        elif not on and self.main is not None:
            self.main.close()
            self.main = None

    async def listen_resume(self, on):
        if on and self.resume is None:
            self.resume = await self.open(self.resume_port)
            self.resume_port = self.resume.sockets[0].getsockname()[1]
        elif not on and self.resume is not None:
            self.resume.close()
            self.resume = None

    async def handle(self, request):
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, OSError, web.HTTPException):
            raise
        except Exception as e:
            self.records.add("violations", kind="crash of the fake", path=request.path, what=repr(e))
            raise

    async def answer(self, request):
        path = request.path
        if path.startswith("/_fake/"):
            return await self.admin.handle(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.gateway.handle(request)
        if path.startswith(BASE + "/"):
            return await self.rest.handle(request)
        self.records.add("violations", kind="route", method=request.method, path=path, what="not under " + BASE)
        return web.json_response({"message": "404: Not Found", "code": 0}, status=404)

    # What users do

    def say(self, channel_id, text, author=None, reply_to=None):
        """A user says something.  author is an id; the message is returned."""
        world = self.world
        user = world.users[author] if author else world.people[0]
        if user is world.bot:
            raise ValueError("the bot speaks over REST")
        message = world.create(channel_id, user, text, reference=reply_to and {"message_id": reply_to})
        self.records.show("say", channel_id=channel_id, id=message["id"], content=text,
                          author=user["username"])
        self.gateway.dispatch("MESSAGE_CREATE", world.event(message), channel_id)
        return message

    async def say_many(self, pairs, author=None):
        """[(channel_id, text)] at once; heartbeats are still read on time."""
        said = []
        for n, (channel_id, text) in enumerate(pairs):
            said.append(self.say(channel_id, text, author))
            if n % BURST == BURST - 1:
                await asyncio.sleep(0)
        return said

    def edit(self, channel_id, message_id, text):
        message = self.world.edit(self.world.messages[channel_id][message_id], content=text)
        self.records.show("edit", channel_id=channel_id, id=message_id, content=text)
        self.gateway.dispatch("MESSAGE_UPDATE", self.world.event(message), channel_id)
        return message

    def delete(self, channel_id, message_id):
        self.world.delete(channel_id, message_id)
        d = {"id": message_id, "channel_id": channel_id}
        if "guild_id" in self.world.channels[channel_id]:
            d["guild_id"] = self.world.guild_id
        self.records.show("delete", channel_id=channel_id, id=message_id)
        self.gateway.dispatch("MESSAGE_DELETE", d, channel_id)

    def react(self, channel_id, message_id, emoji, author=None, remove=False):
        world = self.world
        message = world.messages[channel_id][message_id]
        name, _, emoji_id = emoji.partition(":")
        user = world.users[author] if author else world.people[0]
        d = {"user_id": user["id"], "channel_id": channel_id, "message_id": message_id,
             "emoji": {"id": emoji_id or None, "name": name}, "type": 0, "burst": False}
        if "guild_id" in world.channels[channel_id]:
            d["guild_id"] = world.guild_id
            if not remove:
                d["member"] = world.member(user)
        if not remove:
            d["message_author_id"] = message["author"]["id"]
        self.records.show("unreact" if remove else "react", channel_id=channel_id, id=message_id, emoji=emoji)
        self.gateway.dispatch("MESSAGE_REACTION_REMOVE" if remove else "MESSAGE_REACTION_ADD", d, channel_id)

    def purge(self, channel_id, message_ids):
        """Several deletions in one event."""
        for message_id in message_ids:
            self.world.delete(channel_id, message_id)
        self.records.show("purge", channel_id=channel_id, ids=list(message_ids))
        self.gateway.dispatch("MESSAGE_DELETE_BULK", {"ids": list(message_ids), **self.place(channel_id)}, channel_id)

    def type(self, channel_id, author=None):
        user = self.world.users[author] if author else self.world.people[0]
        self.gateway.dispatch("TYPING_START", {"user_id": user["id"], "timestamp": int(time.time()),
                                               **self.place(channel_id)}, channel_id)

    def rename(self, channel_id, name):
        channel = self.world.channels[channel_id]
        channel["name"] = name
        self.gateway.dispatch("CHANNEL_UPDATE", channel, channel_id)

    def place(self, channel_id):
        guild = {"guild_id": self.world.guild_id} if "guild_id" in self.world.channels[channel_id] else {}
        return {"channel_id": channel_id, **guild}

    def interact(self, channel_id, command="ask"):
        """A user calls a command; its answers are in `callbacks`, by the id that is returned."""
        world = self.world
        interaction_id = world.new_id()
        token = f"interaction-{interaction_id}"
        self.interactions[token] = interaction_id
        self.records.show("interact", channel_id=channel_id, id=interaction_id, content=command)
        self.gateway.dispatch("INTERACTION_CREATE", {
            "id": interaction_id, "application_id": world.application_id, "type": 2, "token": token, "version": 1,
            "data": {"id": world.application_id, "name": command, "type": 1}, "user": world.people[0],
            "locale": "en-US", "entitlements": [], **self.place(channel_id)}, channel_id)
        return interaction_id

    def readable(self, message):
        """A message as REST shows it: the portal's setting decides about content, not the intents."""
        if self.opts.privileged & CONTENT or self.world.content_visible(self.world.event(message)):
            return message
        return {**message, "content": "", "embeds": [], "attachments": [], "components": []}

    def state(self):
        """For people and for GET /_fake/state."""
        records, gateway, world = self.records, self.gateway, self.world
        return {
            "seed": self.opts.seed, "polite": self.opts.polite, "url": self.url, "gateway_url": self.gateway_url,
            "resume_url": self.resume_url, "guild_id": world.guild_id, "bot_id": world.bot["id"],
            "channels": world.text_channels, "dm": world.dm_id, "users": [u["id"] for u in world.people],
            "connections": [{"n": c.n, "compress": c.compress, "stalled": c.stalled, "session":
                             c.session and c.session.id} for c in gateway.connections.values()],
            "sessions": [{"id": s.id, "seq": s.seq, "acked": s.acked, "trimmed": s.trimmed,
                          "buffered": len(s.buffer), "connected": s.conn is not None, "intents": s.intents}
                         for s in gateway.sessions.values()],
            "identifies_left": gateway.identifies_left,
            "rules": [{"action": r.action, "n": r.n, "p": r.p} for r in self.faults.rules],
            "counts": {k: len(getattr(records, k)) for k in ("sent", "requests", "posts", "heartbeats", "identifies",
                       "resumes", "presences", "connections", "violations", "unimplemented", "faults")},
            "violations": records.violations[-20:],
        }
