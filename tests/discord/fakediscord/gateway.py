"""The gateway: sessions, IDENTIFY budget, RESUME, and who gets which event."""

import itertools
import json
import random

from aiohttp import web

from . import wsframe
from .connection import Connection
from .session import Session

GUILDS, MEMBERS, PRESENCES, CONTENT = 1 << 0, 1 << 1, 1 << 8, 1 << 15

# event: (intent in a guild, intent in a DM)
INTENTS = {
    "MESSAGE_CREATE": (1 << 9, 1 << 12),
    "MESSAGE_UPDATE": (1 << 9, 1 << 12),
    "MESSAGE_DELETE": (1 << 9, 1 << 12),
    "MESSAGE_DELETE_BULK": (1 << 9, 1 << 12),
    "MESSAGE_REACTION_ADD": (1 << 10, 1 << 13),
    "MESSAGE_REACTION_REMOVE": (1 << 10, 1 << 13),
    "TYPING_START": (1 << 11, 1 << 14),
    "CHANNEL_CREATE": (1 << 0, 1 << 0),
    "CHANNEL_UPDATE": (1 << 0, 1 << 0),
    "CHANNEL_DELETE": (1 << 0, 1 << 0),
    "INTERACTION_CREATE": (0, 0),       # comes without asking
}
SPOKEN = {"zlib-stream", "zstd-stream"}
MEMBERS_EVERY_S = 30.0
MEMBERS_MATCHED = 100
NONCE_BYTES = 32


def dumps(d):
    return json.dumps(d, separators=(",", ":")).encode()


class Gateway:
    def __init__(self, server, loop):
        self.server = server
        self.opts = server.opts
        self.records = server.records
        self.world = server.world
        self.faults = server.faults
        self.loop = loop
        self.chaos = random.Random(f"{self.opts.seed}:chaos")
        self.verdicts = random.Random(f"{self.opts.seed}:resume")
        self.connections = {}
        self.sessions = {}
        self.slots = {}                 # identify key -> time of the last one
        self.identifies_left = self.opts.identify_total
        self.members_asked = {}
        self.counter = itertools.count(1)

    def next_n(self):
        return next(self.counter)

    def token_ok(self, token):
        return token == self.opts.token and not self.faults.revoked

    async def handle(self, request):
        """An upgrade request."""
        query = request.query
        if request.path != "/":
            self.records.add("violations", kind="gateway", what=f"path {request.path}")
            return web.Response(status=404)
        if self.faults.refuses():
            wsframe.reset(request.transport)
            return web.Response(status=503)
        if query.get("compress") == "zstd-stream" and not self.opts.zstd:
            self.records.add("faults", name="zstd refused")
            return web.Response(status=400)
        if query.get("encoding", "json") != "json" or query.get("compress", "zlib-stream") not in SPOKEN:
            self.records.add("violations", kind="gateway", what=f"not spoken here: {dict(query)}")
            return web.Response(status=400, text="encoding or compression not spoken by this fake")
        conn = Connection(self, request)
        self.connections[conn.n] = conn
        self.records.show("connect", conn=conn.n, compress=conn.compress, port=conn.record["port"])
        return await conn.run()

    # IDENTIFY and RESUME

    def identify_slot(self, shard_id, now):
        """None, "op9" for an IDENTIFY too early, or 4004 when the day's budget is gone."""
        if self.identifies_left <= 0:
            return 4004
        self.identifies_left -= 1
        key = shard_id % self.opts.max_concurrency
        last = self.slots.get(key)
        if last is not None and now - last < self.opts.identify_window_s:
            return "op9"
        self.slots[key] = now
        return None

    def begin(self, conn, intents, shard):
        session = Session(self, intents, shard)
        self.sessions[session.id] = session
        conn.session = session
        session.attach(conn)
        world = self.world
        app = world.application()
        ready = {"v": 10, "user_settings": {}, "user": {**world.bot, "email": None, "verified": True,
                                                        "mfa_enabled": True},
                 "session_type": "normal", "session_id": session.id,
                 "resume_gateway_url": self.server.resume_url, "relationships": [], "private_channels": [],
                 "presences": [], "guilds": [{"id": world.guild_id, "unavailable": True}],
                 "application": {"id": app["id"], "flags": app["flags"]}, "_trace": ["fake"]}
        if shard:
            ready["shard"] = shard
        self.emit_to(session, "READY", ready)
        if intents & GUILDS and self.owns(session, world.guild_id):
            self.emit_to(session, "GUILD_CREATE", world.guild_create(bool(intents & PRESENCES)))
        self.records.show("identify", conn=conn.n, session=session.id)

    def resume(self, conn, d, now):
        session = self.sessions.get(d["session_id"])
        seq = d.get("seq")
        verdict = "ok"
        if not self.token_ok(d["token"]):
            verdict = "4004"
        elif session is None:
            verdict = "op9"
        elif type(seq) is not int or not session.can_resume(seq):
            verdict = self.opts.resume_failure
            if verdict == "either":
                verdict = self.verdicts.choice(("op9", "4007"))
        events = session.missed(seq) if verdict == "ok" else []
        self.records.add("resumes", t=now, conn=conn.n, session=d["session_id"], seq=seq, result=verdict,
                         replayed=len(events), newest=session.seq if session else None,
                         trimmed=session.trimmed if session else None, port=conn.record["port"])
        self.records.show("resume", conn=conn.n, session=d["session_id"], result=verdict,
                          replayed=len(events))
        if verdict != "ok":
            # One that lay unread while its client gave up and resumed elsewhere ends nobody else's session.
            if session is not None and verdict != "4004" and session.conn is None:
                self.forget(session)
            if verdict == "op9":
                return conn.invalidate(False)
            return conn.close(int(verdict), "Invalid seq." if verdict == "4007" else "Authentication failed.")
        old = session.conn
        if old is not None:
            old.session = None
            old.close(4000, "resumed elsewhere")
        conn.session = session
        session.attach(conn)
        for event in events:
            conn.send_event(event, replay=True)
        return self.emit_to(session, "RESUMED", {"_trace": ["fake"]})

    def forget(self, session):
        """The session no longer exists."""
        self.sessions.pop(session.id, None)
        if session.conn is not None:
            session.conn.session = None
            session.conn = None
        session.end()

    # Events

    def emit_to(self, session, t, d):
        session.emit(t, d, dumps(d))

    def owns(self, session, guild_id):
        shard_id, shards = session.shard or (0, 1)
        if guild_id is None:
            return shard_id == 0
        return (int(guild_id) >> 22) % shards == shard_id

    def dispatch(self, t, d, channel_id):
        """An event of the world goes to each session that may see it."""
        guild_id = d.get("guild_id")
        bit = INTENTS[t][0 if guild_id else 1]
        raw = bare = bare_raw = None
        for session in list(self.sessions.values()):
            if (bit and not session.intents & bit) or not self.owns(session, guild_id):
                continue
            if "content" in d and not session.intents & CONTENT and not self.world.content_visible(d):
                if bare is None:
                    bare = {**d, "content": "", "embeds": [], "attachments": [], "components": []}
                    bare_raw = dumps(bare)
                session.emit(t, bare, bare_raw, channel_id)
            else:
                if raw is None:
                    raw = dumps(d)
                session.emit(t, d, raw, channel_id)

    def members(self, session, d, now):
        """Answers op 8."""
        world = self.world
        guild_id = d["guild_id"][0] if isinstance(d["guild_id"], list) else d["guild_id"]
        nonce = d.get("nonce")
        extra = {}
        if isinstance(nonce, str) and len(nonce.encode()) <= NONCE_BYTES:
            extra["nonce"] = nonce
        if guild_id != world.guild_id:
            return
        everybody = d.get("query") == "" and not d.get("limit")
        if everybody:
            if not session.intents & MEMBERS:
                return
            wait = self.members_asked.get(guild_id, -MEMBERS_EVERY_S) + MEMBERS_EVERY_S - now
            if wait > 0:
                self.emit_to(session, "RATE_LIMITED", {"opcode": 8, "retry_after": round(wait, 3),
                                                       "meta": {"guild_id": guild_id, **extra}})
                return
            self.members_asked[guild_id] = now
            found = list(world.users.values())
        elif "query" in d:
            limit = min(d.get("limit") or MEMBERS_MATCHED, MEMBERS_MATCHED)
            found = [u for u in world.users.values() if u["username"].startswith(str(d["query"]))][:limit]
        else:
            ids = d["user_ids"] if isinstance(d["user_ids"], list) else [d["user_ids"]]
            ids = [str(i) for i in ids[:MEMBERS_MATCHED]]
            found = [world.users[i] for i in ids if i in world.users]
            missing = [i for i in ids if i not in world.users]
            if missing:
                extra["not_found"] = missing
        step = self.opts.members_to_send
        count = max(1, -(-len(found) // step))
        for i in range(count):
            self.emit_to(session, "GUILD_MEMBERS_CHUNK", {
                "guild_id": guild_id, "members": [world.member(u) for u in found[i * step:(i + 1) * step]],
                "chunk_index": i, "chunk_count": count, **extra})
