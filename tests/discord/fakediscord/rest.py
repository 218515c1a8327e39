"""REST v10: the front door (user agent, auth, limits, validation) and what lies behind it (routes.py)."""

import asyncio
import json
import re
import time
from urllib.parse import unquote

from aiohttp import web

from . import openapi, wsframe
from .faults import BAD_GATEWAY, CLOUDFLARE
from .limits import Limiter
from .routes import BUCKETS, INTERACTION, ROUTES, Refused

BASE = "/api/v10"
AGENT = re.compile(r"^DiscordBot \(\S+,? ?[^)]*\)")
INVALID_WINDOW_S = 600
BODIES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")


class Answer:
    def __init__(self, status, body=None, headers=None, html=None):
        self.status = status
        self.headers = {"Via": "1.1 google", **(headers or {})}
        self.body = b""
        if html is not None:
            self.headers["Content-Type"] = "text/html; charset=UTF-8"
            self.body = html.encode()
        elif body is not None:
            self.headers["Content-Type"] = "application/json"
            self.body = json.dumps(body, separators=(",", ":")).encode()


def error(status, code, message, errors=None, headers=None):
    body = {"message": message, "code": code}
    if errors:
        body["errors"] = errors
    return Answer(status, body, headers)


def too_many(wait, scope, headers=None):
    headers = {**(headers or {}), "Retry-After": str(max(1, -int(-wait // 1)))}
    if scope == "cloudflare":
        answer = Answer(429, html=CLOUDFLARE, headers={"Retry-After": headers["Retry-After"]})
        del answer.headers["Via"]
        return answer
    headers["X-RateLimit-Scope"] = scope
    if scope == "global":
        headers["X-RateLimit-Global"] = "true"
    return Answer(429, {"message": "You are being rate limited.", "retry_after": round(wait, 3),
                        "global": scope == "global"}, headers)


class Rest:
    def __init__(self, server):
        self.server = server
        self.opts = server.opts
        self.records = server.records
        self.faults = server.faults
        self.limiter = Limiter(self.opts.limits, self.opts.seed)
        self.invalid = []

    async def handle(self, request):
        raw = await request.read()
        path = request.rel_url.raw_path
        record = self.records.add(
            "requests", method=request.method, path=path, query=request.query_string, raw=raw, body=None,
            status=None, lost=False, headers=dict(request.headers), peer=request.transport and id(request.transport))
        rules = {r.action: r.args for r in self.faults.matching(request.method, path)}
        if "slow" in rules:
            await asyncio.sleep(rules["slow"]["delay_s"])
        if "reset" in rules:
            record.update(status=0, lost=True, done_t=time.monotonic())
            return self.reset(request)
        answer = self.forced(rules, request, path) or await self.answer(request, path, raw, record)
        if "fail_late" in rules:
            answer = Answer(rules["fail_late"]["status"], html=BAD_GATEWAY.format(rules["fail_late"]["status"]))
        record["status"] = answer.status
        record["done_t"] = time.monotonic()
        if answer.status in (401, 403, 429) and answer.headers.get("X-RateLimit-Scope") != "shared":
            self.invalid.append(record["done_t"])
        if "lose_answer" in rules and answer.status < 400:
            record["lost"] = True
            self.records.show("lost", method=request.method, path=path)
            return self.reset(request)
        self.records.touch()
        if "slow_body" in rules:
            return await self.trickle(request, answer, rules["slow_body"]["byte_s"])
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    @staticmethod
    def reset(request):
        if request.transport is not None:
            wsframe.reset(request.transport)
        return web.Response(status=500)

    @staticmethod
    async def trickle(request, answer, byte_s):
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        for i in range(len(answer.body)):
            await response.write(answer.body[i:i + 1])
            await asyncio.sleep(byte_s)
        await response.write_eof()
        return response

    def forced(self, rules, request, path):
        if "rate_limit" in rules:
            args = rules["rate_limit"]
            headers = {}
            if args["scope"] in ("user", "shared"):
                op, params, _ = self.route(request, path)
                bucket, major = self.bucket(op, params) if op else ("default", "")
                n = (self.limiter.limits.get(bucket) or (5, 5))[0]
                left = n - 1 if args["scope"] == "shared" else 0
                headers = self.limiter.headers(bucket, n, left, args["retry_after"], time.time())
            return too_many(args["retry_after"], args["scope"], headers)
        if "forbid" in rules:
            args = rules["forbid"]
            return error(403, args["code"], "Missing Access" if args["code"] == 50001 else "Missing Permissions")
        if "fail" in rules:
            return Answer(rules["fail"]["status"], html=BAD_GATEWAY.format(rules["fail"]["status"]))
        return None

    def wrong(self, kind, request, what):
        self.records.add("violations", kind=kind, method=request.method, path=request.rel_url.raw_path, what=what)

    def route(self, request, path):
        """(Operation or None, its parameters, whether the path exists)"""
        parts = [unquote(p) for p in path[len(BASE):].strip("/").split("/")]
        ops = openapi.load().match(parts)
        op = ops.get(request.method) if ops else None
        return op, openapi.params(op.template, parts) if op else {}, bool(ops)

    @staticmethod
    def bucket(op, params):
        top = op.template.split("/")[1]
        major = params.get({"channels": "channel_id", "guilds": "guild_id", "webhooks": "webhook_id"}.get(top), "")
        if top == "webhooks":
            major += params.get("webhook_token", "")
        name = BUCKETS.get(op.id, "default")
        if name == "default":
            major = f"{op.id}:{major}"
        return name, major

    async def answer(self, request, path, raw, record):
        now = time.monotonic()
        self.invalid = [t for t in self.invalid if now - t < INVALID_WINDOW_S]
        if len(self.invalid) >= self.opts.invalid_limit:
            return too_many(3600, "cloudflare")
        if not AGENT.match(request.headers.get("User-Agent", "")):
            self.wrong("user-agent", request, request.headers.get("User-Agent"))
            return error(403, 40333, "internal network error")
        if request.method in ("POST", "PUT", "PATCH") and "Content-Length" not in request.headers \
           and "Transfer-Encoding" not in request.headers:
            self.wrong("length", request, "no Content-Length")
            return Answer(411, html="<html><title>411 Length Required</title></html>")
        op, params, known = self.route(request, path)
        if op is None:
            self.wrong("route", request, "no such method" if known else "no such path")
            return error(405 if known else 404, 0, "405: Method Not Allowed" if known else "404: Not Found")
        record["op"] = op.id
        authorized = request.headers.get("Authorization") == f"Bot {self.opts.token}" and not self.faults.revoked
        if not authorized and (not op.free or "Authorization" in request.headers):
            return error(401, 0, "401: Unauthorized")
        if not op.template.startswith(INTERACTION):
            wait = self.limiter.take_global(now)
            if wait:
                return too_many(wait, "global")
        name, major = self.bucket(op, params)
        wait, headers = self.limiter.take(name, major, now, time.time())
        if wait:
            return too_many(wait, "user", headers)
        try:
            body = record["body"] = await self.body(request, op, raw)
            if self.opts.validate:
                bad = openapi.load().check(op, params, list(request.query.items()), body)
                if bad:
                    self.wrong("schema", request, bad)
                    raise Refused(400, 50035, "Invalid Form Body", openapi.tree(bad))
            handler = ROUTES.get(op.id)
            if handler is None:
                self.records.add("unimplemented", op=op.id, method=request.method, path=path)
                return error(404, 0, "404: Not Found", headers=headers)
            status, result = handler(self.server, params, request.query, body if body is not None else {})
            return Answer(status, result, headers)
        except Refused as refused:
            return error(refused.status, refused.code, refused.message, refused.errors, headers)

    async def body(self, request, op, raw):
        if not raw:
            return None
        kind = request.content_type
        if "Content-Type" not in request.headers or kind not in BODIES:
            self.wrong("content-type", request, request.headers.get("Content-Type"))
            raise Refused(400, 50035, "Invalid Form Body", {"_errors": [
                {"code": "CONTENT_TYPE_INVALID", "message": 'Expected "Content-Type" header to be one of '
                 + str(set(BODIES))}]})
        try:
            if kind == "application/json":
                return json.loads(raw)
            form = await request.post()
            if "payload_json" in form:
                text = form["payload_json"]
                return json.loads(text if isinstance(text, str) else text.file.read())
            return {k: v for k, v in form.items() if isinstance(v, str)}
        except (ValueError, RecursionError):
            self.wrong("json", request, "body is not JSON")
            raise Refused(400, 50109, "The request body contains invalid JSON.") from None
