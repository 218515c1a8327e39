"""The forty ways in which a model server answers, by number and name.

Each is a coroutine (exchange, variant).  The first variant is what a scenario does when none is named.  Those of the
stream only (most) answer a request that wants no stream as if nothing were wrong.
"""

import email.utils
import gzip
import json
import time

from . import providers, words

SCENARIOS = {}
HTML_502 = ("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>"
            "</center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n")
FOX, CHEF = "🦊", "👩‍🚒"


class Scenario:
    def __init__(self, number, name, run, variants, always):
        self.number = number
        self.name = name
        self.run = run
        self.variants = variants
        self.always = always            # also without "stream": true


def scenario(number, name, *variants, always=False):
    def add(run):
        assert number not in SCENARIOS, number
        SCENARIOS[number] = Scenario(number, name, run, variants or ("",), always)
        return run
    return add


def find(what, variant=None):
    """(Scenario, variant) for 14, "14", "scenario-14", "vllm-error", each with ":variant"; None if there is none."""
    what, _, tail = str(what).partition(":")
    variant = variant or tail
    what = what.removeprefix("scenario-")
    found = next((s for s in SCENARIOS.values() if what in (str(s.number), s.name)), None)
    if found is None or variant and variant not in found.variants:
        return None
    return found, variant or found.variants[0]


# Framing: the same answer, other bytes

async def in_pieces(ex, data, size):
    for at in range(0, len(data), size):
        await ex.raw(data[at:at + size])


def whole(ex, reason=None, done=True):
    """The body of a good answer at once."""
    out = [ex.chunk({"role": "assistant", "content": ""})]
    for piece in words.tokens(ex.text):
        out.append(ex.chunk({"content": piece}))
        ex.said(piece)
    out.append(ex.chunk({}, reason or ex.finish_reason))
    if ex.wants_usage:
        out.append({**ex.chunk(), "choices": [], "usage": ex.usage()})
    return "".join(map(ex.frame, out)) + (ex.frame("[DONE]") if done else "")


@scenario(1, "happy", always=True)
async def happy(ex, _):
    await ex.happy()


@scenario(2, "crlf")
async def crlf(ex, _):
    ex.eol = "\r\n"
    await ex.happy()


@scenario(3, "cr")
async def cr(ex, _):
    ex.eol = "\r"
    await ex.happy()


@scenario(4, "every-byte", "lf", "crlf", "cr")
async def every_byte(ex, variant):
    ex.eol = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}[variant]
    await ex.head()
    await in_pieces(ex, whole(ex).encode(), 1)
    await ex.end()


@scenario(5, "inside-utf8")
async def inside_utf8(ex, _):
    """Each four-byte character is cut after its first, second and third byte in turn."""
    if ex.script.text is None:
        ex.text = ex.row["answer"] = f"{FOX}{ex.text} {FOX}{CHEF}{FOX} naïve ✅ {FOX}"
    await ex.head()
    data, begun, cut = whole(ex).encode(), 0, 0
    for at, byte in enumerate(data):
        if byte >= 0xf0:
            cut = cut % 3 + 1
            await ex.raw(data[begun:at + cut])
            begun = at + cut
    await ex.raw(data[begun:])
    await ex.end()


@scenario(6, "bom")
async def bom(ex, _):
    await ex.head()
    await ex.raw("\ufeff" + whole(ex))
    await ex.end()


@scenario(7, "multi-data", "lf", "crlf")
async def multi_data(ex, variant):
    """Each event on several data: lines; they join with LF to the same JSON."""
    ex.eol = "\r\n" if variant == "crlf" else "\n"
    await ex.head()
    for line in whole(ex).split(ex.eol * 2):
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            data = json.dumps(json.loads(data), ensure_ascii=False, indent=1).replace("\n", ex.eol + "data: ")
        if data:
            await ex.raw("data: " + data + ex.eol * 2)
    await ex.end()


@scenario(8, "comments-only", "from-start", "after-token")
async def comments_only(ex, variant):
    """Alive as a connection, not as an answer."""
    await ex.head()
    if variant == "after-token":
        await ex.event(ex.chunk({"role": "assistant", "content": ""}))
        await ex.some()
    while True:
        await ex.comment(": PROCESSING")
        await ex.conn.sleep((ex.script.every_ms or 10) / 1000)


# How a stream ends

@scenario(9, "no-done", "chunked", "close")
async def no_done(ex, variant):
    ex.framing = variant
    await ex.begin()
    await ex.say()
    await ex.finish()
    await ex.end()


@scenario(10, "no-last-blank-line", "done", "finish", "no-newline")
async def no_last_blank(ex, variant):
    await ex.head()
    if variant == "finish":
        await ex.raw(whole(ex, done=False).removesuffix("\n"))
    else:
        await ex.raw(whole(ex).removesuffix("\n" if variant == "done" else "\n\n"))
    await ex.end()


@scenario(11, "done-without-finish", "text", "empty")
async def done_without_finish(ex, variant):
    await ex.begin()
    if variant == "text":
        await ex.say()
    await ex.done()
    await ex.end()


@scenario(12, "eof-without-finish", "chunked", "close", "unfinished-chunk")
async def eof_without_finish(ex, variant):
    ex.framing = "close" if variant == "close" else "chunked"
    await ex.begin()
    await ex.some()
    ex.row["end"] = "cut"
    if variant == "unfinished-chunk":
        await ex.conn.cut()
    else:
        await ex.end()


@scenario(13, "ollama-eof", "start", "middle")
async def ollama_eof(ex, variant):
    """A failure in the middle, as Ollama shows it: an empty chunk, then a clean end."""
    await ex.head()
    if variant == "middle":
        await ex.event(ex.chunk({"role": "assistant", "content": ""}))
        await ex.some()
    await ex.event(ex.chunk({"role": "assistant", "content": ""}))
    ex.row["end"] = "cut"
    await ex.end()


# Errors inside a stream

@scenario(14, "vllm-error", "middle", "start")
async def vllm_error(ex, variant):
    await ex.begin()
    if variant == "middle":
        await ex.some()
    await ex.event({"error": providers.shape_object(500, "EngineCore encountered an issue.", None, 500)})
    await ex.done()
    await ex.end()


@scenario(15, "event-error", "object", "message", "text")
async def event_error(ex, variant):
    await ex.begin()
    await ex.some()
    what = "The model has crashed without additional information."
    await ex.event({"object": {"error": {"message": what}}, "message": {"message": what}, "text": what}[variant],
                   name="error")
    await ex.end()


@scenario(16, "openrouter-error")
async def openrouter_error(ex, _):
    await ex.begin()
    await ex.some()
    await ex.event({**ex.chunk({"content": ""}, "error"), "error": {
        "code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "Fake"}}})
    await ex.done()
    await ex.end()


@scenario(17, "json-error", "object", "text", "vllm", "message", "detail", "detail-list", always=True)
async def json_error(ex, variant):
    """Status 200, application/json, and yet an error."""
    what = "model runner has unexpectedly stopped"
    await ex.json(200, {
        "object": {"error": {"message": what, "type": "api_error", "param": None, "code": None}},
        "text": {"error": what},
        "vllm": providers.shape_object(500, what, None, 500),
        "message": {"message": what},
        "detail": {"detail": what},
        "detail-list": {"detail": [{"type": "server_error", "loc": ["body"], "msg": what}]}}[variant])


@scenario(18, "not-streamed", "json", "no-type", "wrong-type", always=True)
async def not_streamed(ex, variant):
    """A whole answer although a stream was asked for."""
    if variant == "json":
        return await ex.completion()
    ex.row["status"] = 200
    type = None if variant == "no-type" else "text/event-stream"
    await ex.conn.plain(200, b"\n " + json.dumps(ex.completed()).encode(), {"Content-Type": type})
    ex.said(ex.text)


# Errors before a stream

@scenario(19, "html-502", always=True)
async def html_502(ex, _):
    await ex.json(ex.script.status or 502, HTML_502.encode(), type="text/html")


RETRY = {"ms": lambda: {"retry-after-ms": "250"}, "float": lambda: {"retry-after": "0.25"},
         "int": lambda: {"retry-after": "1"},
         "date": lambda: {"retry-after": email.utils.formatdate(time.time() + 2, usegmt=True)},
         "3600": lambda: {"retry-after": "3600"}, "negative": lambda: {"retry-after": "-5"},
         "garbage": lambda: {"retry-after": "soon", "retry-after-ms": "1e999"}, "none": dict,
         "both": lambda: {"retry-after-ms": "250", "retry-after": "60"},
         "no-retry": lambda: {"retry-after": "0.25", "x-should-retry": "false"}}


@scenario(20, "rate-limited", *RETRY, always=True)
async def rate_limited(ex, variant):
    headers = RETRY[variant]()
    if ex.script.retry_after is not None:
        headers = {"retry-after": str(ex.script.retry_after)}
    await ex.error(429, "Rate limit reached for requests", "rate_limit_exceeded", headers={
        **headers, "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1h2m3.5s", "x-ratelimit-reset-tokens": "120ms"})


@scenario(21, "insufficient-quota", "openai", "openrouter", always=True)
async def insufficient_quota(ex, variant):
    if variant == "openrouter":
        return await ex.json(402, providers.shape_int_code(402, "Insufficient credits", None, None))
    await ex.error(429, "You exceeded your current quota, please check your plan and billing details.",
                   "insufficient_quota")


@scenario(22, "unauthorized", "openai", "echo", "html", always=True)
async def unauthorized(ex, variant):
    """echo: the message repeats the key that came."""
    if variant == "html":
        return await ex.json(401, b"<html><h1>401 Authorization Required</h1></html>", type="text/html")
    came = ex.row["headers"].get("authorization", "").removeprefix("Bearer ")
    shown = came if variant == "echo" else came[:3] + "*" * 8
    await ex.error(401, f"Incorrect API key provided: {shown}.", "invalid_api_key")


CONTEXT = {
    "openai": lambda n: (400, {"error": {
        "message": f"This model's maximum context length is 8192 tokens. However, your messages resulted in {n} "
        "tokens.",
        "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}),
    "llamacpp": lambda n: (400, {"error": {
        "code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error",
        "n_prompt_tokens": n, "n_ctx": 4096}}),
    "vllm": lambda n: (400, {
        "object": "error", "message": f"This model's maximum context length is 4096 tokens. However, you requested {n} "
        "tokens in the messages.", "type": "BadRequestError", "param": None, "code": 400}),
    "anthropic": lambda n: (400, {"type": "error", "error": {
        "type": "invalid_request_error", "message": f"prompt is too long: {n} tokens > 200000 maximum"}}),
    "ollama-400": lambda n: (400, {"error": {
        "message": "input length exceeds the context length", "type": "invalid_request_error", "param": None,
        "code": None}}),
}


@scenario(23, "context", *CONTEXT, "lmstudio-event", "lmstudio-silent", "ollama-silent", always=True)
async def context(ex, variant):
    """The conversation is too long for the model; each vendor says so in another way, or does not say it."""
    size = len(json.dumps(ex.body["messages"], ensure_ascii=False))
    if size <= (ex.script.limit or 0):
        return await ex.happy()
    if variant in CONTEXT:
        return await ex.json(*CONTEXT[variant](size // 4))
    if variant == "ollama-silent":
        # Part of the input is dropped; only the count of what was read tells.
        ex.script.usage = {"prompt_tokens": 11, **(ex.script.usage or {})}
        return await ex.happy()
    await ex.begin()
    if variant == "lmstudio-event":
        await ex.event({"error": {"message": "The number of tokens to keep from the initial prompt is greater than the "
                                             "context length."}}, name="error")
    else:
        await ex.finish()
        await ex.done()
    await ex.end()


@scenario(24, "max-tokens", "swap", "other-way", always=True)
async def max_tokens(ex, variant):
    """400 as long as the length is named in the way that this model does not know."""
    wrong, right = ("max_tokens", "max_completion_tokens")[::1 if variant == "swap" else -1]
    if ex.body.get(wrong) is not None:
        return await ex.error(400, f"Unsupported parameter: '{wrong}' is not supported with this model. Use '{right}' "
                                   "instead.", "unsupported_parameter", wrong)
    await ex.happy()


# Chunks that are odd and allowed

@scenario(25, "no-choices", "all", "first", "middle", "last")
async def no_choices(ex, variant):
    async def empty():
        await ex.event({**ex.chunk(), "choices": [], "prompt_filter_results": []})

    pieces = words.tokens(ex.text)
    await ex.head()
    if variant in ("all", "first"):
        await empty()
    for i, piece in enumerate(pieces):
        if i == len(pieces) // 2 and variant in ("all", "middle"):
            await empty()
        await ex.token(piece)
    await ex.finish()
    if variant in ("all", "last"):
        await empty()
    await ex.tail()


@scenario(26, "usage", "separate", "finish", "every", "absent", "x-groq")
async def usage(ex, variant):
    await ex.begin()
    for piece in words.tokens(ex.text):
        await ex.token(piece, **({"usage": ex.usage()} if variant == "every" else {}))
    more = {"finish": {"usage": ex.usage()}, "every": {"usage": ex.usage()},
            "x-groq": {"x_groq": {"id": "req_fake", "usage": ex.usage()}}}.get(variant, {})
    await ex.event(ex.chunk({}, ex.finish_reason, **more))
    if variant == "separate":
        await ex.event({**ex.chunk(), "choices": [], "usage": ex.usage()})
    await ex.done()
    await ex.end()


# Tools

def call(index, id=None, name=None, arguments=""):
    out = {}
    if index is not None:
        out["index"] = index
    if id is not None:
        out.update(id=id, type="function")
    function = {} if name is None else {"name": name}
    return {**out, "function": {**function, "arguments": arguments}}


def fragments(ex, variant):
    """[[fragment of a delta's tool_calls]] in order."""
    (id1, id2), (name1, name2) = (ex.tool_id(), ex.tool_id()), (ex.tool_name(0), ex.tool_name(1))
    one, two = ('{"city":', ' "Turku"', "}"), ('{"city": ', '"Oulu"}')
    rest = [[call(0, arguments=a)] for a in one]
    if variant == "parallel":
        return ([[call(0, id1, name1)], *rest[:2], [call(1, id2, name2)], [call(1, arguments=two[0])], *rest[2:],
                 [call(1, arguments=two[1])]])
    if variant == "index-missing":
        return [[call(None, id1, name1, "".join(one))], [call(None, id2, name2, "".join(two))]]
    if variant == "index-zero-twice":
        return [[call(0, id1, name1)], *rest, [call(0, id2, name2)], *[[call(0, arguments=a)] for a in two]]
    if variant in ("id-missing", "id-empty"):
        return [[call(0, None if variant == "id-missing" else "", name1)], *rest]
    if variant == "id-repeated":
        return [[call(0, id1, name1, a)] for a in ("", *one)]
    if variant == "whole-args":
        return [[call(0, id1, name1, "".join(one))]]
    if variant == "object-args":
        return [[call(0, id1, name1, {"city": "Turku"})]]
    if variant == "empty-args":
        return [[call(0, id1, name1, "")]]
    if variant == "broken-json":
        return [[call(0, id1, name1)], *rest[:2]]
    return [[call(0, id1, name1)], *rest]


@scenario(27, "tools", "normal", "parallel", "index-missing", "index-zero-twice", "id-missing", "id-empty",
          "id-repeated", "whole-args", "object-args", "empty-args", "broken-json", "finish-stop", "nine-or-400",
          "echo-or-400")
async def tools(ex, variant):
    """Calls a tool, and when the last message is a tool's result answers with text."""
    check = {"nine-or-400": providers.nine, "echo-or-400": providers.echo_reasoning}.get(variant)
    wrong = check and check(ex.body)
    if wrong:
        status, message, param, code = wrong
        return await ex.json(status, providers.shape_mistral(status, message, param, code))
    if ex.body["messages"][-1].get("role") == "tool":
        return await ex.happy()
    ex.row["answer"] = ex.text = ""
    await ex.begin(content=None)
    if variant == "echo-or-400":
        await ex.event(ex.chunk({"reasoning_content": "A tool will know."}))
    for part in fragments(ex, variant):
        await ex.event(ex.chunk({"tool_calls": part}))
    await ex.finish("stop" if variant == "finish-stop" else "tool_calls")
    await ex.tail()


@scenario(28, "odd-chunks", "all", "role-null", "content-null", "delta-missing", "low-prompt-tokens", "nested")
async def odd_chunks(ex, variant):
    async def odd(what, **change):
        if variant in ("all", what):
            chunk = ex.chunk()
            choice = {**chunk["choices"][0], **change}
            await ex.event({**chunk, "choices": [{k: v for k, v in choice.items() if v is not ...}]})

    if variant in ("all", "low-prompt-tokens"):
        ex.script.usage = {"prompt_tokens": 3, "total_tokens": 3, **(ex.script.usage or {})}
    deep = "leaf"
    for _ in range(50):
        deep = {"deeper": [deep]}
    await ex.begin()
    for piece in words.tokens(ex.text):
        await odd("role-null", delta={"role": None, "content": ""})
        await odd("content-null", delta={"content": None})
        await odd("delta-missing", delta=..., content_filter_offsets={"check_offset": 0})
        await odd("nested", delta={"content": "", "unknown": deep}, future=deep)
        await ex.token(piece)
    await ex.finish()
    await ex.tail()


@scenario(29, "huge", "deltas", "line", "line-no-newline")
async def huge(ex, variant):
    """10^6 deltas of one byte, or one line of 16 MiB."""
    await ex.begin()
    if variant == "deltas":
        n, batch = ex.script.count or 10 ** 6, 2000
        one = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        for at in range(0, n, batch):
            some = min(batch, n - at)
            await ex.raw(one * some)
            ex.row["sent"] += "x" * some
        ex.row["answer"] = ex.row["sent"]
    else:
        n, part = ex.script.count or 16 << 20, b"y" * 65536
        await ex.raw(b'data: {"choices":[{"index":0,"delta":{"content":"')
        for at in range(0, n, len(part)):
            await ex.raw(part[:n - at])
        ex.row["answer"] = ""
        if variant == "line-no-newline":
            return await ex.end()
        await ex.raw(b'"}}]}\n\n')
    await ex.finish()
    await ex.tail()


# Time and connections

@scenario(30, "stall", "before-headers", "after-headers", "after-first", "after-finish", always=True)
async def stall(ex, variant):
    """Silence until the client closes."""
    if variant != "before-headers":
        await ex.head()
    if variant in ("after-first", "after-finish"):
        await ex.event(ex.chunk({"role": "assistant", "content": ""}))
        if variant == "after-first":
            await ex.some(1)
        else:
            await ex.say()
            await ex.finish()
    ex.row["end"] = "stalled"
    ex.server.records.touch()
    await ex.conn.stall()


@scenario(31, "broken", "rst", "rst-after-finish", "rst-before-headers", "no-notify", always=True)
async def broken(ex, variant):
    """A reset in the middle of an event; no-notify: TCP ends without the last chunk, on TLS without close_notify."""
    if variant == "rst-before-headers":
        return await ex.reset()
    await ex.head()
    await ex.event(ex.chunk({"role": "assistant", "content": ""}))
    if variant == "rst-after-finish":
        await ex.say()
        await ex.finish()
    else:
        await ex.some()
        half = ex.frame(ex.chunk({"content": " never read"}))
        await ex.raw(half[:len(half) // 2])
    if variant == "no-notify":
        ex.row["end"] = "cut"
        return await ex.conn.cut()
    await ex.reset()


@scenario(32, "stale-keep-alive", "rst", "fin", always=True)
async def stale_keep_alive(ex, variant):
    """A good answer; the next request on the same connection finds it closed, another connection is served."""
    # Armed first: the client may write again before this task is back.
    ex.conn.stale = variant
    await ex.happy()
    if variant == "fin":
        ex.conn.quit()


# What is in the text

THINK = "The user wants <b>words</b>; 1 < 2."


@scenario(33, "think", "split", "unclosed", "nested", "only-closing", "later", "reasoning_content", "reasoning",
          "reasoning_details")
async def think(ex, variant):
    """row["thought"] is what must not be shown, row["answer"] what must be."""
    ex.row["thought"] = THINK
    await ex.begin()
    if variant.startswith("reasoning"):
        for piece in words.tokens(THINK):
            value = [{"type": "reasoning.text", "text": piece}] if variant == "reasoning_details" else piece
            await ex.event(ex.chunk({variant: value, "content": "" if variant != "reasoning_content" else None}))
        await ex.say()
    elif variant == "later":
        # Not at the beginning, so it belongs to the answer.
        ex.row["thought"] = ""
        ex.row["answer"] = ex.text = f"{ex.text} Write <think>so</think>."
        await ex.say()
    else:
        text = {"split": f"<think>{THINK}</think>\n\n", "unclosed": f"<think>{THINK}",
                "nested": f"<think>{THINK} <think>again</think> and on</think>\n\n",
                "only-closing": f"{THINK}</think>\n\n"}[variant]
        if variant == "unclosed":
            ex.row["answer"] = ex.text = ""
        for at in range(0, len(text), 3):
            await ex.event(ex.chunk({"content": text[at:at + 3]}))
        await ex.say()
    await ex.finish()
    await ex.tail()


@scenario(34, "surrogates", "split", "lone", "nul")
async def surrogates(ex, variant):
    """row["answer"] is how the text is to be read; a lone half has no reading of its own."""
    async def escaped(text):
        data = json.dumps(ex.chunk({"content": "@"}), separators=(",", ":")).replace("@", text)
        await ex.event(data)
        ex.completion_n += 1

    parts = {"split": ("fox \\ud83e", "\\udd8a end"), "lone": ("half \\ud83e", " end \\udd8a"),
             "nul": ("before\\u0000", "after")}[variant]
    ex.row["answer"] = {"split": f"fox {FOX} end", "lone": "half \ufffd end \ufffd", "nul": "before\0after"}[variant]
    await ex.begin()
    for part in parts:
        await escaped(part)
    ex.row["sent"] = ex.row["answer"]
    await ex.finish()
    await ex.tail()


FINISHES = ("length", "content_filter", "function_call", "end_turn", "eos", "STOP", "max_tokens", "SAFETY",
            "unheard-of")


@scenario(35, "finish", *FINISHES, "refusal", "filtered-empty", always=True)
async def finish(ex, variant):
    if not ex.stream:
        ex.finish_reason = variant if variant in FINISHES else "content_filter"
        return await ex.completion()
    await ex.begin()
    if variant == "refusal":
        ex.row["answer"] = "I cannot help with that."
        for piece in words.tokens(ex.row["answer"]):
            await ex.event(ex.chunk({"refusal": piece}))
            ex.said(piece)
        await ex.finish("stop")
    elif variant == "filtered-empty":
        ex.row["answer"] = ""
        await ex.finish("content_filter")
    else:
        await ex.say()
        await ex.finish(variant)
    await ex.tail()


@scenario(36, "finish-twice")
async def finish_twice(ex, _):
    await ex.begin()
    await ex.say()
    for _ in range(3):
        await ex.finish()
    await ex.tail()


@scenario(37, "after-finish")
async def after_finish(ex, _):
    """row["answer"] is without what comes late."""
    await ex.begin()
    await ex.say()
    await ex.finish()
    await ex.event(ex.chunk({"content": " too late"}))
    await ex.tail()


@scenario(38, "redirect", "307", "308", "301", "302", always=True)
async def redirect(ex, variant):
    """To another host, which records in stolen what comes with it."""
    await ex.json(ex.script.status or int(variant), {"error": {"message": "moved"}}, {
        "Location": f"{ex.server.other_url}/chat/completions"})


@scenario(39, "gzip", "stream", "json", always=True)
async def gzipped(ex, variant):
    """Compressed although nobody asked for it."""
    if variant == "json" or not ex.stream:
        body = {"id": ex.id, "object": "chat.completion", "created": ex.created, "model": ex.model, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": ex.text}, "finish_reason": "stop"}]}
        return await ex.json(200, gzip.compress(json.dumps(body).encode()), {"Content-Encoding": "gzip"})
    await ex.head(headers={"Content-Encoding": "gzip"})
    await in_pieces(ex, gzip.compress(whole(ex).encode()), 100)
    await ex.end()


@scenario(40, "slow-drip", always=True)
async def slow_drip(ex, _):
    """One byte each second: never idle as a connection, and never done."""
    await ex.head()
    for byte in whole(ex).encode():
        await ex.raw(bytes([byte]))
        await ex.conn.sleep(1.0 if ex.script.byte_s is None else ex.script.byte_s)
    await ex.end()
