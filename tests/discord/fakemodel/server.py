"""The fake as a whole: two listening sockets, routes, and who answers how."""

import asyncio
import dataclasses
import json
import ssl
import time
import urllib.parse

from fakediscord.records import Log

from . import options, scenarios
from .exchange import Exchange, question_of
from .http11 import Connection, Gone
from .providers import PROVIDERS

BACKLOG = 512
ROLES = ("developer", "system", "user", "assistant", "tool", "function")
CHAT, MODELS = "/chat/completions", "/models"


class Records:
    """Lists that only grow (up to the option keep)."""

    def __init__(self, keep):
        self.requests = Log(keep)
        self.violations = Log(keep)     # what no server would take
        self.refused = Log(keep)        # what the provider of that address does not take
        self.stolen = Log(keep)         # requests to the other host
        self.connections = Log(keep)
        self.listeners = []

    def touch(self):
        for call in self.listeners:
            call()

    def add(self, log, /, **fields):
        fields.setdefault("t", time.monotonic())
        getattr(self, log).append(fields)
        self.touch()
        return fields


LISTS = ("requests", "violations", "refused", "stolen", "connections")


class FakeModel:
    def __init__(self, opts=None, **given):
        self.opts = opts or options.make(**given)
        self.records = Records(self.opts.keep)
        self.scripts = []
        self.open = {}
        self.main = self.other = None
        self.port = self.opts.port
        self.other_port = self.opts.other_port
        self.n = self.conn_n = 0
        if self.opts.provider not in PROVIDERS:
            raise ValueError(f"no such provider: {self.opts.provider}")

    # Addresses

    @property
    def root(self):
        return f"http{'s' if self.opts.cert else ''}://{self.opts.host}:{self.port}"

    @property
    def url(self):
        """The base URL, as a client is given it."""
        return self.root + "/v1"

    def url_of(self, provider):
        if provider == "azure":
            return f"{self.root}/p/azure/openai/deployments/{self.opts.model}"
        return f"{self.root}/p/{provider}" + ("/v1beta/openai" if provider == "gemini" else "/v1")

    @property
    def other_url(self):
        return f"http://{self.opts.other_host}:{self.other_port}/v1"

    # Start and stop

    async def start(self):
        loop = asyncio.get_running_loop()
        context = None
        if self.opts.cert:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.opts.cert, self.opts.tls_key or None)
        self.main = await loop.create_server(lambda: self.connect(self.handle), self.opts.host, self.port, ssl=context,
                                             backlog=BACKLOG, reuse_address=True)
        self.port = self.main.sockets[0].getsockname()[1]
        self.other = await loop.create_server(lambda: self.connect(self.steal), self.opts.other_host, self.other_port,
                                              reuse_address=True)
        self.other_port = self.other.sockets[0].getsockname()[1]

    async def stop(self):
        """Every connection is reset."""
        self.main.close()
        self.other.close()
        tasks = [c.task for c in self.open.values() if c.task is not None]
        for conn in list(self.open.values()):
            if conn.transport is not None:
                conn.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.open.clear()

    async def listen(self, on=True):
        """False: new connections are refused; those that exist stay."""
        if not on and self.main.is_serving():
            self.main.close()
        elif on and not self.main.is_serving():
            self.other.close()
            await self.start()

    def drop(self):
        """Every open connection is reset; how many."""
        conns = [c for c in self.open.values() if c.transport is not None]
        for conn in conns:
            conn.reset()
        return len(conns)

    def connect(self, on_request):
        self.conn_n += 1
        conn = Connection(on_request, self.bad, lambda c: self.open.pop(c.n, None), self.conn_n)
        self.open[conn.n] = conn
        self.records.add("connections", n=conn.n)
        return conn

    def bad(self, conn, what):
        self.records.add("violations", kind="http", conn=conn.n, what=what)

    # Scripts

    def script(self, scenario=None, variant=None, **args):
        """The next n (default 1) requests that it is for are answered so; the oldest script that takes one has it."""
        made = options.Script(scenario=scenario, variant=variant, **args)
        if scenario is not None and scenarios.find(scenario, variant) is None:
            raise ValueError(f"no such scenario: {scenario}" + (f":{variant}" if variant else ""))
        self.scripts.append(made)

    def calm(self):
        """No script is armed any more."""
        self.scripts.clear()

    def take(self, model, text):
        for script in self.scripts:
            if script.takes(model, text):
                if script.n is not None:
                    script.n -= 1
                self.scripts = [s for s in self.scripts if s.n != 0]
                return dataclasses.replace(script)
        return options.Script()

    # Requests

    async def steal(self, conn, request):
        self.records.add("stolen", path=request.path, headers=request.headers, body=request.raw)
        await conn.plain(200, {"choices": [{"index": 0, "finish_reason": "stop",
                                            "message": {"role": "assistant", "content": "from the other host"}}]})

    async def handle(self, conn, request):
        if request.path.startswith("/_fake/"):
            return await self.admin(conn, request)
        self.n += 1
        row = self.records.add(
            "requests", n=self.n, conn=conn.n, port=conn.peer_port, method=request.method, path=request.path,
            query=request.query, headers=request.headers, raw=request.raw, body=None, model=None, stream=None,
            provider=None, scenario=None, variant=None, request_id=f"req-{self.n}", status=None, answer=None, sent="",
            thought="", first_t=None, done_t=None, closed_t=None, closed_early=False, end=None)
        try:
            await self.route(conn, request, row)
            row["end"] = row["end"] or "done"
        except Gone:
            # Ours, when a fault or the stop of the fake has ended the connection.
            if conn.gone_t is not None:
                row["closed_early"] = True
                row["closed_t"] = conn.gone_t
                row["end"] = "client closed"
            else:
                row["end"] = row["end"] or "reset"
            raise
        except Exception as e:
            row["end"] = "crash"
            self.records.add("violations", kind="crash of the fake", n=row["n"], what=repr(e))
            raise
        finally:
            row["done_t"] = time.monotonic()
            self.records.touch()

    async def route(self, conn, request, row):
        name, path = self.opts.provider, request.path
        if path.startswith("/p/"):
            name, _, path = path[3:].partition("/")
            path = "/" + path
        provider = PROVIDERS.get(name)
        row["provider"] = name
        base = path.removesuffix(CHAT).removesuffix(MODELS)
        if provider is None or base == path or base not in ("/v1", "/v1beta/openai",
                                                            f"/openai/deployments/{self.opts.model}"):
            return await self.refuse(conn, row, 404, "route", f"{request.method} {request.path}")
        if not self.key_ok(provider, request.headers):
            row["status"] = 401
            return await conn.plain(401, provider.shape(401, "Incorrect API key provided.", None, "invalid_api_key"),
                                    {"x-request-id": row["request_id"]})
        if path.endswith(MODELS):
            if request.method != "GET":
                return await self.refuse(conn, row, 405, "method", request.method)
            row["status"] = 200
            data = [self.model_row(m, provider) for m in self.models()]
            return await conn.plain(200, {"object": "list", "data": data})
        if request.method != "POST":
            return await self.refuse(conn, row, 405, "method", request.method)
        if name == "azure" and "api-version=" not in request.query:
            return await self.refuse(conn, row, 404, "api-version", request.query)
        return await self.chat(conn, request, row, provider)

    async def chat(self, conn, request, row, provider):
        if not request.headers.get("content-type", "").startswith("application/json"):
            return await self.refuse(conn, row, 400, "content-type", request.headers.get("content-type"))
        try:
            body = row["body"] = json.loads(request.raw.decode())
            wrong = self.wrong(body)
        except (ValueError, RecursionError) as e:
            return await self.refuse(conn, row, provider.bad_json, "json", str(e))
        if wrong:
            return await self.refuse(conn, row, 400, "schema", wrong)
        row.update(model=body.get("model"), stream=bool(body.get("stream")))
        script = self.take(row["model"], question_of(body["messages"]))
        found = scenarios.find(script.scenario, script.variant) if script.scenario is not None else None
        if found is None and row["model"].startswith("scenario-"):
            found = scenarios.find(row["model"])
        ex = Exchange(self, conn, row, provider, script)
        if found is not None:
            row.update(scenario=found[0].number, variant=found[1])
        self.records.touch()
        verdict = provider.verdict(body)
        if verdict:
            status, message, param, code = verdict
            self.records.add("refused", n=row["n"], provider=row["provider"], param=param, what=message)
            return await ex.error(status, message, code, param)
        if found is None or not ex.stream and not found[0].always:
            return await ex.happy()
        return await found[0].run(ex, found[1])

    async def refuse(self, conn, row, status, kind, what):
        """What no provider takes: a mistake of the client, or of the test."""
        self.records.add("violations", kind=kind, n=row["n"], what=what)
        row["status"] = status
        error = {"message": f"{kind}: {what}", "type": "invalid_request_error", "param": None, "code": None}
        await conn.plain(status, {"error": error}, {"x-request-id": row["request_id"]})

    def key_ok(self, provider, headers):
        if not self.opts.key or not provider.needs_key:
            return headers.get("authorization", "x").strip().lower() != "bearer"
        want = self.opts.key if provider.key_header == "api-key" else f"Bearer {self.opts.key}"
        return headers.get(provider.key_header) == want

    def wrong(self, body):
        """What is wrong with a body for every server, or None."""
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            return "no model"
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return "no messages"
        for i, m in enumerate(messages):
            if not isinstance(m, dict) or m.get("role") not in ROLES:
                return f"messages[{i}]: role"
            content = m.get("content")
            if content is None and not m.get("tool_calls") or not isinstance(content, (str, list, type(None))):
                return f"messages[{i}]: content"
            for part in content if isinstance(content, list) else ():
                if not isinstance(part, dict) or part.get("type") not in part:
                    return f"messages[{i}]: part"
        return None

    def models(self):
        return [self.opts.model] + [f"scenario-{n}" for n in sorted(scenarios.SCENARIOS)]

    def model_row(self, name, provider):
        return {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake", **(provider.model or {})}

    # The admin side, as that of the fake Discord

    async def admin(self, conn, request):
        name = request.path[len("/_fake/"):]
        query = dict(urllib.parse.parse_qsl(request.query))
        try:
            if request.method == "GET" and name == "state":
                out = self.state()
            elif request.method == "GET" and name in LISTS:
                out = getattr(self.records, name)[int(query.get("since", 0)):]
            elif request.method == "POST" and name in ("script", "calm", "drop"):
                out = {"result": getattr(self, name)(**json.loads(request.raw or b"{}"))}
            else:
                return await conn.plain(404, {"error": f"no such call: {request.method} {name}"})
        except (TypeError, ValueError) as e:
            return await conn.plain(400, {"error": str(e)})
        return await conn.plain(200, json.dumps(out, default=repr, ensure_ascii=False).encode())

    def state(self):
        return {"url": self.url, "key": self.opts.key, "seed": self.opts.seed, "model": self.opts.model,
                "providers": {name: self.url_of(name) for name in PROVIDERS},
                "scenarios": {f"{s.number}": {"name": s.name, "variants": s.variants}
                              for s in scenarios.SCENARIOS.values()},
                "scripts": [dataclasses.asdict(s) for s in self.scripts],
                "counts": {name: len(getattr(self.records, name)) for name in LISTS},
                "violations": self.records.violations[-20:]}
