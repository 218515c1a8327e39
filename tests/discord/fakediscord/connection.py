"""One gateway connection: opcodes, heartbeats, frames out, and what can be done to it."""

import collections
import json
import time
import zlib

from aiohttp import WSMsgType, web

from . import wsframe, zstdstream
from .options import INTENTS_ALL

MAX_PAYLOAD = 4096
CLOSE_WAIT_S = 2.0
CUT_DELAY_S = 0.02
PRESENCE_KEYS = {"since", "activities", "status", "afk"}
ENDS_SESSION = {4003, 4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014}


class Connection:
    def __init__(self, gateway, request):
        self.gateway = gateway
        self.opts = gateway.opts
        self.records = gateway.records
        self.loop = gateway.loop
        self.n = gateway.next_n()
        self.request = request
        self.transport = request.transport
        query = request.query
        self.version = query.get("v")
        self.compress = query.get("compress")
        self.pack = None                # what makes a message of the stream of bytes
        if self.compress == "zlib-stream":
            deflate = zlib.compressobj(3)
            self.pack = lambda data: deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
        elif self.compress == "zstd-stream":
            self.pack = zstdstream.Compressor().message
        self.blobs = False              # Identify.compress
        self.session = None
        self.closing = None             # the code that we sent
        self.dead = False
        self.stalled = None             # None, "all", "ack", "dispatch"
        self.cut = False                # the next dispatch is cut in the middle
        self.waiting = collections.deque()
        self.sends = collections.deque()
        self.presences = collections.deque()
        self.hello_t = None
        self.beat_t = None
        self.asked = 0
        self.timers = []
        self.record = self.records.add(
            "connections", n=self.n, query=dict(query), compress=self.compress, peer=request.remote,
            port=request.transport.get_extra_info("sockname")[1], end=None, close_sent=None, close_got=None)

    # Out

    def send_op(self, op, d=None):
        self.push(json.dumps({"t": None, "s": None, "op": op, "d": d}, separators=(",", ":")).encode())

    def send_event(self, event, replay=False):
        self.push(event.raw, event, replay)

    def push(self, payload, event=None, replay=False):
        if self.dead or self.closing is not None:
            return
        if self.stalled == "all" or (self.stalled == "dispatch" and event is not None):
            self.waiting.append((payload, event, replay))
        else:
            self.write(payload, event, replay)

    def write(self, payload, event, replay):
        opcode = wsframe.TEXT
        if self.pack is not None:
            opcode = wsframe.BINARY
            payload = self.pack(payload)
        elif self.blobs and len(payload) > 1024:
            opcode = wsframe.BINARY
            payload = zlib.compress(payload)
        data = wsframe.message(opcode, payload, self.opts.fragment_bytes)
        if self.cut and event is not None:
            self.cut_frame(data)
            return
        self.transport.write(data)
        if event is not None:
            self.records.add("sent", s=event.s, name=event.t, d=event.d, id=event.d.get("id"),
                             channel_id=event.channel_id, session=self.session.id, conn=self.n,
                             dup=event.dup, replay=replay)
        if self.transport.get_write_buffer_size() > self.opts.outbox_bytes:
            self.drop("reads too slowly")

    # Faults

    def drop(self, why="dropped"):
        """TCP reset."""
        if not self.dead:
            self.dead = True
            self.record["end"] = why
            wsframe.reset(self.transport)

    def cut_frame(self, data):
        """Half of a frame, then a reset."""
        self.cut = False
        self.closing = 0
        self.transport.write(data[: max(1, len(data) // 2)])
        self.later(CUT_DELAY_S, self.drop, "cut in a frame")

    def cut_now(self):
        self.cut_frame(wsframe.frame(wsframe.TEXT, b'{"t":null,"s":null,"op":11,"d":null}'))

    def stall(self, what):
        self.stalled = what
        if what == "all":
            self.transport.pause_reading()

    def unstall(self):
        if self.stalled == "all" and not self.dead:
            self.transport.resume_reading()
        self.stalled = None
        while self.waiting and not self.dead:
            self.write(*self.waiting.popleft())

    def close(self, code, reason=""):
        if self.dead or self.closing is not None:
            return
        self.closing = code
        self.record["close_sent"] = code
        self.transport.write(wsframe.close(code, reason))
        if self.session is not None:
            session = self.session
            if code in ENDS_SESSION:
                self.gateway.forget(session)
            elif session.conn is self:
                session.detach()
        self.later(CLOSE_WAIT_S, self.transport.close)

    def reconnect(self):
        """op 7; the fake closes the connection itself when the client does not."""
        self.send_op(7)
        self.later(self.opts.reconnect_grace_s, self.close, 4000, "reconnect was asked for")

    def invalidate(self, resumable):
        session = self.session
        self.send_op(9, resumable)
        if session is not None:
            session.conn = None
            self.session = None
            if resumable:
                session.detach()
            else:
                self.gateway.forget(session)

    def ask_beat(self):
        self.asked += 1
        self.send_op(1)

    # Life

    def later(self, delay, call, *args):
        self.timers.append(self.loop.call_later(delay, call, *args))

    async def run(self):
        ws = web.WebSocketResponse(autoclose=False, compress=False, max_msg_size=1 << 20, timeout=1.0)
        await ws.prepare(self.request)
        try:
            self.greet()
            async for msg in ws:
                if msg.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    if self.closing is None and not self.dead:
                        self.on_message(msg)
                elif msg.type == WSMsgType.CLOSE:
                    if self.closing is None and not self.dead:
                        self.transport.write(wsframe.close(msg.data or 1000))
                    break
        finally:
            self.finish(ws)
        return ws

    def greet(self):
        faults = self.gateway.faults
        if self.version != "10":
            self.close(4012, "Invalid API version.")
        elif faults.take("op7_first"):
            self.reconnect()
        elif not faults.take("no_hello"):
            self.send_op(10, {"heartbeat_interval": self.opts.heartbeat_ms, "_trace": ["fake"]})
            self.hello_t = time.monotonic()
            self.later(self.limit_s(), self.zombie)

    def limit_s(self):
        return self.opts.heartbeat_ms / 1000 * self.opts.zombie_factor

    def zombie(self):
        if self.closing is not None:
            return
        if self.stalled == "all":       # what it sent lies unread: nothing can be said about it
            self.later(self.limit_s(), self.zombie)
            return
        left = (self.beat_t or self.hello_t) + self.limit_s() - time.monotonic()
        if left > 0.001:
            self.later(left, self.zombie)
        else:
            self.record["end"] = "no heartbeat"
            self.close(self.opts.zombie_code, "no heartbeat")

    def finish(self, ws):
        for timer in self.timers:
            timer.cancel()
        code = ws.close_code
        if self.closing is None and not self.dead:
            self.record["close_got"] = code if code not in (None, 1006) else None
        self.record["end"] = self.record["end"] or "closed"
        self.record["end_t"] = time.monotonic()
        session, self.session = self.session, None
        if session is not None and session.conn is self:
            if self.record["close_got"] in (1000, 1001):
                self.gateway.forget(session)
            else:
                session.detach()
        self.gateway.connections.pop(self.n, None)
        self.dead = True
        self.transport.close()
        self.records.show("disconnect", conn=self.n, sent=self.closing, got=self.record["close_got"],
                          why=self.record["end"])

    # In

    def on_message(self, msg):
        now = time.monotonic()
        self.sends.append(now)
        while now - self.sends[0] >= self.opts.send_window_s:
            self.sends.popleft()
        if len(self.sends) > self.opts.send_limit:
            return self.close(4008, "You are being rate limited.")
        data = msg.data if isinstance(msg.data, bytes) else msg.data.encode("utf-8", "surrogatepass")
        if len(data) > MAX_PAYLOAD or msg.type is WSMsgType.BINARY:
            return self.close(4002, "Error while decoding payload.")
        try:
            payload = json.loads(data)
            op, d = payload["op"], payload.get("d")
        except (ValueError, TypeError, KeyError, RecursionError):
            return self.close(4002, "Error while decoding payload.")
        handler = self.HANDLERS.get(op) if isinstance(op, int) else None
        if handler is None:
            return self.close(4001, "Unknown opcode.")
        if self.session is None and op not in (1, 2, 6):
            return self.close(4003, "Not authenticated.")
        return handler(self, d, now)

    def on_beat(self, d, now):
        interval = self.opts.heartbeat_ms
        first = self.beat_t is None
        if self.hello_t is None:
            late = None
        else:
            late = (now - (self.hello_t if first else self.beat_t)) * 1000 - interval
        asked = self.asked > 0
        if asked:
            self.asked -= 1
        self.records.add("heartbeats", t=now, conn=self.n, seq=d, first=first, asked=asked, late_ms=late,
                         expected=None if late is None else now - late / 1000,
                         newest=self.session.seq if self.session else None)
        if not asked or first:
            self.beat_t = now
        if self.session is not None:
            self.session.ack(d)
        if self.stalled != "ack":
            self.send_op(11)

    def on_identify(self, d, now):
        if self.session is not None:
            return self.close(4005, "Already authenticated.")
        if not isinstance(d, dict) or not isinstance(d.get("token"), str) \
           or type(d.get("intents")) is not int or not isinstance(d.get("properties"), dict):
            return self.close(4001, "Malformed identify.")
        shard = d.get("shard", [0, 1])
        wrong = None
        gateway = self.gateway
        if not gateway.token_ok(d["token"]):
            wrong = 4004, "Authentication failed."
        elif d["intents"] < 0 or d["intents"] & ~INTENTS_ALL:
            wrong = 4013, "Invalid intent(s)."
        elif d["intents"] & ~self.opts.privileged & (1 << 1 | 1 << 8 | 1 << 15):
            wrong = 4014, "Disallowed intent(s)."
        elif not (isinstance(shard, list) and len(shard) == 2 and all(type(i) is int for i in shard)
                  and 0 <= shard[0] < shard[1]):
            wrong = 4010, "Invalid shard."
        answer = wrong[0] if wrong else gateway.identify_slot(shard[0], now)
        self.records.add("identifies", t=now, conn=self.n, intents=d["intents"], shard=shard, d=d,
                         result=answer or "ok")
        if wrong:
            return self.close(*wrong)
        if answer == 4004:
            return gateway.faults.token_revoked()
        if answer:
            return self.invalidate(False)
        if gateway.faults.take("no_ready"):
            return None
        self.blobs = bool(d.get("compress")) and self.pack is None
        return gateway.begin(self, d["intents"], d.get("shard"))

    def on_resume(self, d, now):
        if self.session is not None:
            return self.close(4005, "Already authenticated.")
        if not isinstance(d, dict) or not isinstance(d.get("token"), str) \
           or not isinstance(d.get("session_id"), str):
            return self.close(4001, "Malformed resume.")
        return self.gateway.resume(self, d, now)

    def on_presence(self, d, now):
        if not isinstance(d, dict) or not PRESENCE_KEYS <= d.keys() or not isinstance(d["activities"], list):
            return self.close(4001, "Malformed presence.")
        self.presences.append(now)
        while now - self.presences[0] >= 20:
            self.presences.popleft()
        self.records.add("presences", t=now, conn=self.n, d=d)
        return self.close(4008, "You are being rate limited.") if len(self.presences) > 5 else None

    def on_voice(self, d, now):
        if not isinstance(d, dict) or "guild_id" not in d or "channel_id" not in d:
            return self.close(4001, "Malformed voice state.")
        return None

    def on_members(self, d, now):
        if not isinstance(d, dict) or not isinstance(d.get("guild_id"), (str, list)) \
           or ("query" in d) == ("user_ids" in d):
            return self.close(4001, "Malformed member request.")
        return self.gateway.members(self.session, d, now)

    def on_sounds(self, d, now):
        if not isinstance(d, dict) or not isinstance(d.get("guild_ids"), list):
            return self.close(4001, "Malformed sound request.")
        for guild_id in d["guild_ids"]:
            self.gateway.emit_to(self.session, "SOUNDBOARD_SOUNDS", {"guild_id": guild_id,
                                                                     "soundboard_sounds": []})
        return None

    def on_channel_info(self, d, now):
        if not isinstance(d, dict) or not isinstance(d.get("guild_id"), str):
            return self.close(4001, "Malformed channel info request.")
        return self.gateway.emit_to(self.session, "CHANNEL_INFO", {"guild_id": d["guild_id"], "channels": []})

    HANDLERS = {1: on_beat, 2: on_identify, 3: on_presence, 4: on_voice, 6: on_resume, 8: on_members,
                31: on_sounds, 43: on_channel_info}
