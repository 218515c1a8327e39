"""HTTP/1.1 of a server, down to the single write.  By hand: faults need half a chunk, no answer, or a reset."""

import asyncio
import json
import time
from email.utils import formatdate

from fakediscord.wsframe import reset

HEAD_MAX = 65536
BODY_MAX = 64 << 20
REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect",
           400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 422: "Unprocessable Entity",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
           504: "Gateway Timeout", 529: "Overloaded"}


class Gone(Exception):
    """The client has closed, or the fake is stopping."""


class Bad(Exception):
    """Not HTTP."""


class Request:
    def __init__(self, method, target, headers, raw):
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers          # names in lower case
        self.raw = raw


class Connection(asyncio.Protocol):
    """One client.  on_request(connection, request) is a coroutine that answers, to the end or by ending it."""

    def __init__(self, on_request, on_bad, on_end, n):
        self.on_request = on_request
        self.on_bad = on_bad
        self.on_end = on_end
        self.n = n
        self.transport = None
        self.peer_port = None
        self.buf = bytearray()
        self.wake = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone_t = None              # when the client's end was seen
        self.ended = False              # we have ended it
        self.stale = None               # scenario 32: what happens instead of a second request
        self.chunked = False
        self.keep = True
        self.requests = 0
        self.task = None

    # From the loop

    def connection_made(self, transport):
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer_port = peer and peer[1]
        self.task = asyncio.get_running_loop().create_task(self.run())

    def data_received(self, data):
        if self.stale == "rst":
            self.reset()
            return
        self.buf += data
        self.wake.set()

    def eof_received(self):
        self.lost()
        return False

    def connection_lost(self, exc):
        self.lost()

    def lost(self):
        if self.gone_t is None and not self.ended:
            self.gone_t = time.monotonic()
        self.wake.set()
        self.writable.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    @property
    def over(self):
        return self.gone_t is not None or self.ended

    # Reading

    async def run(self):
        try:
            while self.keep and not self.ended:
                request = await self.read()
                self.requests += 1
                await self.on_request(self, request)
        except Gone:
            pass
        except Bad as e:
            self.on_bad(self, str(e))
            await self.plain(400, {"error": {"message": str(e), "type": "invalid_request_error"}}, close=True)
        finally:
            if not self.ended:
                self.transport.close()
            self.on_end(self)

    async def more(self):
        if self.over:
            raise Gone
        self.wake.clear()
        await self.wake.wait()
        if self.over:
            raise Gone

    async def upto(self, mark, limit):
        while True:
            at = self.buf.find(mark)
            if at >= 0:
                out = bytes(self.buf[:at])
                del self.buf[:at + len(mark)]
                return out
            if len(self.buf) > limit:
                raise Bad("head too long")
            await self.more()

    async def exactly(self, n):
        if n > BODY_MAX:
            raise Bad("body too long")
        while len(self.buf) < n:
            await self.more()
        out = bytes(self.buf[:n])
        del self.buf[:n]
        return out

    async def read(self):
        lines = (await self.upto(b"\r\n\r\n", HEAD_MAX)).decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ")
            headers = {}
            for line in lines[1:]:
                name, value = line.split(":", 1)
                if not name or name != name.strip():
                    raise ValueError(line)
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", 0))
        except ValueError as e:
            raise Bad(f"malformed head: {e}") from None
        if version != "HTTP/1.1" or not target.startswith("/") or length < 0:
            raise Bad(f"malformed request line: {lines[0]}")
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            raw = b""
            while True:
                size = int((await self.upto(b"\r\n", HEAD_MAX)).split(b";")[0], 16)
                raw += await self.exactly(size)
                await self.upto(b"\r\n", HEAD_MAX)
                if not size:
                    break
        else:
            raw = await self.exactly(length)
        if headers.get("connection", "").lower() == "close":
            self.keep = False
        return Request(method, target, headers, raw)

    # Waiting

    async def sleep(self, seconds):
        """Raises Gone when the client closes meanwhile."""
        if seconds <= 0:
            await asyncio.sleep(0)
            if self.over:
                raise Gone
            return
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self.more(), left)
            except asyncio.TimeoutError:
                return

    async def stall(self):
        """Until the client closes."""
        while True:
            await self.more()

    # Writing

    async def write(self, data):
        if self.over:
            raise Gone
        self.transport.write(data)
        await asyncio.sleep(0)
        if not self.writable.is_set():
            await self.writable.wait()
        if self.over:
            raise Gone

    async def flushed(self):
        while self.transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
            if self.over:
                raise Gone

    def head_bytes(self, status, headers):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", f"Date: {formatdate(usegmt=True)}",
                 "Server: fake-model"]
        lines += [f"{k}: {v}" for k, v in headers.items() if v is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def head(self, status, headers, framing="chunked"):
        self.chunked = framing == "chunked"
        if self.chunked:
            headers = {**headers, "Transfer-Encoding": "chunked"}
        else:
            self.keep = False
        if not self.keep:
            headers = {**headers, "Connection": "close"}
        await self.write(self.head_bytes(status, headers))

    async def body(self, data):
        """One chunk."""
        if data:
            await self.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    async def end(self):
        """The body is complete."""
        if self.chunked:
            await self.write(b"0\r\n\r\n")
        if not self.keep:
            self.quit()

    async def plain(self, status, body, headers=None, close=False, type="application/json"):
        """A whole answer with its length."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        if close:
            self.keep = False
        given = {"Content-Type": type, "Content-Length": len(raw), **(headers or {})}
        if not self.keep:
            given["Connection"] = "close"
        await self.write(self.head_bytes(status, given) + raw)
        if not self.keep:
            self.quit()

    def quit(self):
        self.ended = True
        self.transport.close()

    async def cut(self):
        """FIN, and on TLS no close_notify before it: whatever was begun stays unfinished."""
        await self.flushed()
        self.ended = True
        self.transport.abort()

    def reset(self):
        self.ended = True
        self.wake.set()
        reset(self.transport)
