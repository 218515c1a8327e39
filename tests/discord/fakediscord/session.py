"""A gateway session: its seq, its replay buffer, and the liberties that Discord takes with order."""

import collections
import secrets


class Event:
    __slots__ = ("s", "t", "d", "raw", "channel_id", "dup")

    def __init__(self, s, t, d, raw, channel_id, dup):
        self.s = s
        self.t = t
        self.d = d
        self.raw = raw              # the whole envelope
        self.channel_id = channel_id
        self.dup = dup


class Session:
    def __init__(self, gateway, intents, shard):
        self.gateway = gateway
        self.opts = gateway.opts
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.shard = shard
        self.seq = 0
        self.acked = 0              # the newest seq that a heartbeat or a RESUME named
        self.trimmed = 0            # the newest seq that can no longer be replayed
        self.buffer = collections.deque()
        self.held = None            # (t, d, raw, channel_id, dup) that lets events of other channels pass
        self.held_timer = None
        self.conn = None
        self.expiry = None

    def emit(self, t, d, raw, channel_id=None):
        """An event happens.  With a channel, it may be doubled or change places with another channel's."""
        rng = self.gateway.chaos
        if channel_id is None:
            self.release()
            self.number(t, d, raw, None, False)
            return
        held, self.held = self.held, None
        if held and held[3] == channel_id:
            self.number(*held)
            held = None
        if held is None and rng.random() < self.opts.swap_p:
            self.hold((t, d, raw, channel_id, False))
            return
        self.number(t, d, raw, channel_id, False)
        if held:
            self.number(*held)
        if rng.random() < self.opts.dup_p:
            self.hold((t, d, raw, channel_id, True))

    def hold(self, item):
        self.held = item
        if self.held_timer is None:
            self.held_timer = self.gateway.loop.call_later(self.opts.swap_hold_s, self.release)

    def release(self):
        if self.held_timer is not None:
            self.held_timer.cancel()
            self.held_timer = None
        if self.held:
            held, self.held = self.held, None
            self.number(*held)

    def number(self, t, d, raw, channel_id, dup):
        self.seq += 1
        raw = b'{"t":"%s","s":%d,"op":0,"d":%s}' % (t.encode(), self.seq, raw)
        event = Event(self.seq, t, d, raw, channel_id, dup)
        self.buffer.append(event)
        while len(self.buffer) > self.opts.buffer_events:
            self.trimmed = self.buffer.popleft().s
        if self.conn is not None:
            self.conn.send_event(event)

    def ack(self, seq):
        """A heartbeat named seq."""
        if not isinstance(seq, int) or seq > self.seq:
            return
        self.acked = max(self.acked, seq)
        if self.opts.trim_acked:
            while self.buffer and self.buffer[0].s <= seq:
                self.trimmed = self.buffer.popleft().s

    def can_resume(self, seq):
        return self.trimmed <= seq <= self.seq

    def missed(self, seq):
        return [e for e in self.buffer if e.s > seq]

    def attach(self, conn):
        self.conn = conn
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def detach(self):
        """The connection is gone; the session waits for a RESUME."""
        self.conn = None
        if self.expiry is None:
            self.expiry = self.gateway.loop.call_later(self.opts.session_ttl_s, self.gateway.forget, self)

    def end(self):
        for timer in (self.expiry, self.held_timer):
            if timer is not None:
                timer.cancel()
        self.expiry = self.held_timer = self.held = None
