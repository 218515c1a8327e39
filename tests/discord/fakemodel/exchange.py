"""One request and its answer: what scenarios are made of."""

import json
import random
import time

from . import providers, words

THOUGHT = "They want to know something."
CUT_S = 0.02                            # what was written reaches the client before the reset


def question_of(messages):
    """The text of the last user message."""
    for m in reversed(messages if isinstance(messages, list) else []):
        if isinstance(m, dict) and m.get("role") == "user":
            content = m.get("content")
            if isinstance(content, list):
                return "\n".join(p.get("text", "") for p in content if isinstance(p, dict) and p.get("type") == "text")
            return content if isinstance(content, str) else ""
    return ""


class Exchange:
    def __init__(self, server, conn, row, provider, script):
        opts = server.opts
        self.server = server
        self.conn = conn
        self.row = row
        self.body = row["body"]
        self.provider = provider
        self.script = script
        self.rng = random.Random(f"{opts.seed}:{row['n']}")
        self.id = "chatcmpl-" + words.unlike(self.rng, row["n"])
        self.created = int(time.time())
        self.model = self.body.get("model")
        self.stream = bool(self.body.get("stream"))
        self.pace = opts.pace if script.pace is None else script.pace
        self.first_s = opts.first_s if script.first_s is None else script.first_s
        self.finish_reason = script.finish or "stop"
        self.framing = script.framing or "chunked"
        self.eol = "\n"
        self.completion_n = 0
        self.due_t = None
        text = script.text
        if text is None:
            text = words.answer(self.rng, row["n"], question_of(self.body["messages"]), script.style,
                                script.length or opts.length)
        self.text = text
        row["answer"] = text

    @property
    def thinks(self):
        return self.provider.thinks and providers.thinking(self.body)

    # Shapes

    def chunk(self, delta=None, finish=None, **more):
        choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish, "logprobs": None}
        out = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
               "system_fingerprint": "fp_fake", "choices": [choice], **more}
        if self.wants_usage and self.provider.usage == "asked":
            out.setdefault("usage", None)
        if self.provider.pad:
            out["obfuscation"] = words.unlike(self.rng, 0)[:self.rng.randint(2, 12)]
        if self.provider.filters:
            choice["content_filter_results"] = {"hate": {"filtered": False, "severity": "safe"}}
        return out

    def usage(self):
        prompt = max(1, len(json.dumps(self.body["messages"], ensure_ascii=False)) // 4)
        done = self.completion_n
        return {"prompt_tokens": prompt, "completion_tokens": done, "total_tokens": prompt + done,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0}, **(self.script.usage or {})}

    @property
    def wants_usage(self):
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    # The answer in parts

    async def head(self, status=200, headers=None, type="text/event-stream"):
        self.row["status"] = status
        given = {"Content-Type": type, "Cache-Control": "no-cache", "x-request-id": self.row["request_id"],
                 **(headers or {}), **(self.script.headers or {})}
        await self.conn.head(status, given, self.framing)

    async def raw(self, data):
        await self.conn.body(data.encode() if isinstance(data, str) else data)

    def frame(self, data, name=None):
        if not isinstance(data, str):
            data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        head = f"event: {name}{self.eol}" if name else ""
        return f"{head}data: {data}{self.eol}{self.eol}"

    async def event(self, data, name=None):
        await self.raw(self.frame(data, name))

    async def comment(self, text):
        await self.raw(text + self.eol + self.eol)

    async def begin(self, **delta):
        """Headers, what the provider sends first, and the chunk with the role."""
        await self.head()
        for comment in self.provider.comments:
            await self.comment(comment)
        if self.provider.filters:
            await self.event({**self.chunk(), "choices": [], "prompt_filter_results": [
                {"prompt_index": 0, "content_filter_results": {}}]})
        await self.event(self.chunk({"role": "assistant", "content": "", **delta}))
        if self.first_s:
            await self.conn.sleep(self.first_s)
        if self.thinks:
            self.row["thought"] = THOUGHT
            for piece in words.tokens(THOUGHT):
                await self.event(self.chunk({self.provider.reasoning: piece, "content": None}))

    def said(self, text):
        """In the record: this much of the answer has been written."""
        if self.row["first_t"] is None:
            self.row["first_t"] = time.monotonic()
        self.row["sent"] += text
        self.completion_n += 1
        self.server.records.touch()

    async def paced(self):
        if self.pace:
            now = time.monotonic()
            self.due_t = max(self.due_t or now, now - 1.0) + 1.0 / self.pace
            await self.conn.sleep(self.due_t - now)

    async def token(self, text, **more):
        await self.paced()
        await self.event(self.chunk({"content": text}, **more))
        self.said(text)

    async def say(self, text=None):
        for piece in words.tokens(self.text if text is None else text):
            await self.token(piece)

    async def some(self, default=5):
        """The first few tokens, for scenarios that break off."""
        n = default if self.script.after is None else self.script.after
        for piece in words.tokens(self.text)[:n]:
            await self.token(piece)

    async def finish(self, reason=None):
        more = {"usage": self.usage()} if self.provider.usage == "always" else {}
        if self.provider.timings:
            more["timings"] = {"predicted_n": self.completion_n, "predicted_per_second": 1.0}
        if self.provider.filters:
            tail = self.chunk()
            tail["choices"] = [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 0}}]
            await self.event(tail)
        await self.event(self.chunk({}, reason or self.finish_reason, **more))

    async def tail(self):
        """Usage when it is asked for, [DONE], the end of the body."""
        if self.wants_usage and self.provider.usage == "asked":
            await self.event({**self.chunk(), "choices": [], "usage": self.usage()})
        await self.done()
        await self.end()

    async def done(self):
        await self.event("[DONE]")

    async def end(self):
        await self.conn.end()

    async def reset(self):
        await self.conn.sleep(CUT_S)
        self.row["end"] = "reset"
        self.conn.reset()

    # Whole answers

    async def happy(self):
        if not self.stream:
            return await self.completion()
        await self.begin()
        await self.say()
        await self.finish()
        return await self.tail()

    def completed(self):
        self.completion_n = len(words.tokens(self.text))
        message = {"role": "assistant", "content": self.text, "refusal": None}
        if self.thinks:
            message[self.provider.reasoning] = self.row["thought"] = THOUGHT
        return {"id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}],
                "usage": self.usage(), "system_fingerprint": "fp_fake"}

    async def completion(self):
        """Not streamed."""
        for _ in words.tokens(self.text):
            await self.paced()
        await self.json(200, self.completed())
        self.said(self.text)

    async def json(self, status, body, headers=None, type="application/json"):
        self.row["status"] = status
        await self.conn.plain(status, body, {"x-request-id": self.row["request_id"], **(headers or {}),
                                             **(self.script.headers or {})}, type=type)

    async def error(self, status, message, code=None, param=None, headers=None, **more):
        body = self.provider.shape(status, message, param, code)
        if isinstance(body.get("error"), dict):
            body["error"].update(more)
        await self.json(status, body, headers)

    def tool_name(self, i=0):
        tools = [t["function"]["name"] for t in self.body.get("tools") or () if t.get("type") == "function"]
        return tools[i % len(tools)] if tools else ("get_weather", "get_time")[i % 2]

    def tool_id(self):
        return words.unlike(self.rng, self.row["n"])[-9:]
