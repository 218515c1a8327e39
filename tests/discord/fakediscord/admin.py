"""The admin side, /_fake/...: the same calls as in the process, as JSON over HTTP."""

import asyncio
import inspect
import json

from aiohttp import web

from .faults import PUBLIC

WORLD = ("say", "say_many", "edit", "delete", "react")
POLL_S = 25.0


def plain(value):
    return json.dumps(value, default=repr)


class Admin:
    def __init__(self, server):
        self.server = server
        self.records = server.records
        self.changed = None
        self.ended = False

    def end(self):
        self.ended = True
        if self.changed is not None:
            self.changed.set()

    def wake(self):
        if self.changed is not None:
            self.changed.set()

    async def handle(self, request):
        name = request.path[len("/_fake/"):]
        if request.method == "GET" and name == "state":
            return web.json_response(self.server.state(), dumps=plain)
        if request.method == "GET" and name == "events":
            return await self.events(request)
        if request.method == "GET" and name in ("sent", "requests", "posts", "heartbeats", "identifies", "resumes",
                                                "presences", "connections", "violations", "unimplemented", "faults"):
            rows = getattr(self.records, name)
            return web.json_response(rows[int(request.query.get("since", 0)):], dumps=plain)
        if request.method != "POST" or name not in (*WORLD, *PUBLIC):
            return web.json_response({"error": f"no such call: {request.method} {name}",
                                      "calls": [*WORLD, *PUBLIC]}, status=404)
        try:
            raw = await request.read()
            args = json.loads(raw) if raw else {}
            target = self.server if name in WORLD else self.server.faults
            result = getattr(target, name)(**args)
            if inspect.isawaitable(result):
                result = await result
        except KeyError as e:
            return web.json_response({"error": f"unknown id: {e}"}, status=404)
        except (TypeError, ValueError) as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response({"result": result}, dumps=plain)

    async def events(self, request):
        """Rows of the feed with n > since: server-sent events, or with ?poll=1 one JSON list."""
        if self.changed is None:
            self.changed = asyncio.Event()
            self.records.listeners.append(self.wake)
        since = int(request.query.get("since", self.records.feed_n if "poll" not in request.query else 0))
        if "poll" in request.query:
            rows = await self.newer(since, float(request.query.get("timeout", POLL_S)))
            return web.json_response(rows, dumps=plain)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b": the feed of the fake\n\n")
        while not self.ended and request.transport is not None and not request.transport.is_closing():
            rows = await self.newer(since, POLL_S)
            for row in rows:
                since = row["n"]
                await response.write(f"id: {since}\ndata: {plain(row)}\n\n".encode())
            if not rows:
                await response.write(b": quiet\n\n")
        return response

    async def newer(self, since, timeout):
        deadline = asyncio.get_running_loop().time() + timeout
        while not self.ended:
            feed = self.records.feed
            behind = self.records.feed_n - since
            if behind > 0:
                return feed[-min(behind, len(feed)):]
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except asyncio.TimeoutError:
                break
        return []
