"""What can be made to go wrong, at run time.  All calls belong to the loop's thread."""

import inspect
import random
import re

CLOUDFLARE = "<!DOCTYPE html><html><head><title>Error 1015</title></head><body>You are being rate limited</body></html>"
BAD_GATEWAY = "<html><head><title>{0} Server Error</title></head><body><h1>{0}</h1></body></html>"
CREATES = r"/channels/\d+/messages$"
SCOPES = ("user", "shared", "global", "cloudflare")


class Rule:
    """One fault of REST: for the next n matching requests, or for p of them."""

    def __init__(self, action, n, p, method, path, rng, args):
        self.action = action
        self.n = n
        self.p = p
        self.method = method
        self.path = re.compile(path) if path else None
        self.rng = rng
        self.args = args

    def take(self, method, path):
        if self.n == 0 or (self.method and self.method != method) or (self.path and not self.path.search(path)):
            return False
        if self.p is not None and self.rng.random() >= self.p:
            return False
        if self.n is not None:
            self.n -= 1
        return True


class Faults:
    def __init__(self, server):
        self.server = server
        self.records = server.records
        self.armed = {}                 # one-shot faults of new connections: name -> how many
        self.refusing = 0               # gateway connections to refuse; -1: all
        self.revoked = False
        self.gone = False               # the gateway's addresses lead nowhere
        self.rules = []
        self.rng = random.Random(f"{server.opts.seed}:rest")
        if server.opts.lose_p:
            self.rules.append(Rule("lose_answer", None, server.opts.lose_p, "POST", CREATES, self.rng, {}))

    # Asked by the gateway and by REST

    def take(self, name):
        left = self.armed.get(name, 0)
        if left > 0:
            self.armed[name] = left - 1
        return left > 0

    def refuses(self):
        if self.refusing > 0:
            self.refusing -= 1
            return True
        return self.refusing < 0

    def matching(self, method, path):
        hits = [r for r in self.rules if r.take(method, path)]
        if hits:
            self.rules = [r for r in self.rules if r.n != 0]
        return hits

    # The gateway.  conn is a connection's number; without it, all that are open.

    def note(self, name, **args):
        self.records.add("faults", name=name, **args)
        self.records.show("fault", name=name, **{k: v for k, v in args.items() if v is not None})

    def conns(self, conn):
        return [c for c in list(self.server.gateway.connections.values())
                if not c.dead and c.closing is None and conn in (None, c.n)]

    def each(self, name, conn, call, **args):
        conns = self.conns(conn)
        self.note(name, count=len(conns), conn=conn, **args)
        for c in conns:
            call(c)
        return len(conns)

    def drop(self, conn=None):
        """TCP reset."""
        return self.each("drop", conn, lambda c: c.drop())

    def cut(self, conn=None, now=False):
        """Half of the next dispatch (now: half of an ACK at once), then a TCP reset."""
        def cut_next(c):
            c.cut = True
        return self.each("cut", conn, (lambda c: c.cut_now()) if now else cut_next, now=now)

    def stall(self, conn=None, what="all"):
        """The TCP connection stays; "all": nothing is read or written, "ack": no op 11, "dispatch": no op 0."""
        if what not in ("all", "ack", "dispatch"):
            raise ValueError(f"stall what? {what!r}")
        return self.each("stall", conn, lambda c: c.stall(what), what=what)

    def unstall(self, conn=None):
        return self.each("unstall", conn, lambda c: c.unstall())

    def close(self, code=4000, reason="", conn=None):
        return self.each("close", conn, lambda c: c.close(code, reason), code=code)

    def op7(self, conn=None):
        return self.each("op7", conn, lambda c: c.reconnect())

    def op9(self, resumable=False, conn=None):
        return self.each("op9", conn, lambda c: c.invalidate(resumable), resumable=resumable)

    def op1(self, conn=None):
        """Asks for a heartbeat."""
        return self.each("op1", conn, lambda c: c.ask_beat())

    def op10(self, conn=None):
        """HELLO, again."""
        return self.each("op10", conn, lambda c: c.send_op(10, {"heartbeat_interval": 41250}))

    def junk(self, conn=None, text="[]"):
        """A message that is no payload."""
        return self.each("junk", conn, lambda c: c.push(text.encode()), text=text)

    def forget_sessions(self):
        """Every session is gone; connections stay as they are until they resume."""
        gateway = self.server.gateway
        sessions = list(gateway.sessions.values())
        for session in sessions:
            gateway.forget(session)
        self.note("forget_sessions", count=len(sessions))
        return len(sessions)

    def no_hello(self, n=1):
        """The next n connections get no HELLO."""
        self.armed["no_hello"] = n
        self.note("no_hello", n=n)

    def no_ready(self, n=1):
        """The next n IDENTIFYs are not answered."""
        self.armed["no_ready"] = n
        self.note("no_ready", n=n)

    def op7_first(self, n=1):
        """The next n connections get op 7 instead of HELLO."""
        self.armed["op7_first"] = n
        self.note("op7_first", n=n)

    def refuse(self, n=-1):
        """The next n gateway connections are reset at the upgrade; -1: all, 0: none."""
        self.refusing = n
        self.note("refuse", n=n)

    def unreachable(self, on=True):
        """GET /gateway names an address that refuses, the resume port is closed, other upgrades are reset."""
        self.gone = on
        self.refusing = -1 if on else 0
        self.note("unreachable", on=on)
        return self.server.listen_resume(not on)

    def resume_gone(self, on=True):
        """Only resume_gateway_url refuses."""
        self.note("resume_gone", on=on)
        return self.server.listen_resume(not on)

    def listen(self, on=True):
        """False: the whole fake refuses TCP connections; those that exist stay."""
        self.note("listen", on=on)
        return self.server.listen(on)

    # REST

    def token_revoked(self):
        """401 everywhere, 4004 to every connection."""
        self.revoked = True
        self.note("token_revoked")
        for c in self.conns(None):
            c.close(4004, "Authentication failed.")

    def token_restored(self):
        self.revoked = False
        self.note("token_restored")

    def rest(self, action, n=1, p=None, method=None, path=None, **args):
        self.rules.append(Rule(action, None if p is not None and n == 1 else n, p, method, path, self.rng, args))
        self.note(action, n=n, p=p, method=method, path=path, **args)

    def rate_limit(self, n=1, scope="user", retry_after=1.0, **match):
        """429 of scope user, shared, global or cloudflare (HTML)."""
        if scope not in SCOPES:
            raise ValueError(f"no such scope: {scope!r}")
        self.rest("rate_limit", n, scope=scope, retry_after=retry_after, **match)

    def fail(self, n=1, status=502, after_commit=False, **match):
        """A 5xx, before anything happened or after it was done."""
        self.rest("fail_late" if after_commit else "fail", n, status=status, **match)

    def forbid(self, n=1, code=50001, **match):
        """403: no access to the channel (50001), or not the right (50013)."""
        self.rest("forbid", n, code=code, **match)

    def slow(self, n=1, delay_s=1.0, **match):
        """Nothing is said for delay_s; then the request goes on."""
        self.rest("slow", n, delay_s=delay_s, **match)

    def slow_body(self, n=1, byte_s=0.01, **match):
        """The status comes at once, the body byte by byte."""
        self.rest("slow_body", n, byte_s=byte_s, **match)

    def lose_answer(self, n=1, p=None, method="POST", path=CREATES):
        """The request is carried out, then the connection is reset without an answer."""
        self.rest("lose_answer", n, p, method, path)

    def reset(self, n=1, **match):
        """The connection is reset before anything happened."""
        self.rest("reset", n, **match)

    def calm(self):
        """No fault is armed any more."""
        self.rules.clear()
        self.armed.clear()
        self.refusing = 0
        self.revoked = False
        self.note("calm")
        self.unstall()


PUBLIC = sorted(name for name, f in vars(Faults).items()
                if inspect.isfunction(f) and not name.startswith("_")
                and name not in ("take", "refuses", "matching", "note", "conns", "each", "rest"))
