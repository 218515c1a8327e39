"""The fake model server, byte by byte, against a client of a few lines that knows HTTP and nothing else."""

import contextlib
import email.utils
import gzip
import json
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from fakemodel import providers, scenarios, words
from fakemodel.threaded import FakeModel

HERE = Path(__file__).resolve().parent
TIMEOUT, QUIET = 30, 5
QUIET_S = 0.15                  # nothing comes for so long: the fake is silent
ASK = {"model": "fake-model", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
TOOL_TURN = [{"role": "user", "content": "weather?"},
             {"role": "assistant", "content": None, "tool_calls": [
                 {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]},
             {"role": "tool", "tool_call_id": "abcdefghi", "content": "rain"}]


class Answer:
    status = 0
    ended = None                # "complete", "eof", "reset", "silent"

    def __init__(self):
        self.headers = {}
        self.chunks = []

    @property
    def body(self):
        return b"".join(self.chunks)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        """Lines of a server-sent stream, whatever ends them."""
        return re.split("\r\n|\n|\r", self.body.decode().removeprefix("\ufeff"))

    @property
    def events(self):
        """[(name, data)]; an unfinished last one too."""
        out, name, data = [], None, []
        for line in [*self.lines, ""]:
            if not line and data:
                out.append((name, "\n".join(data)))
            if not line:
                name, data = None, []
            elif not line.startswith(":"):
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "data":
                    data.append(value)
                elif field == "event":
                    name = value
        return out

    @property
    def parsed(self):
        return [json.loads(data) for name, data in self.events if data.startswith("{")]

    @property
    def choices(self):
        return [c for chunk in self.parsed for c in chunk.get("choices", ())]

    def join(self, field="content"):
        return "".join(c.get("delta", {}).get(field) or "" for c in self.choices)

    @property
    def text(self):
        return self.join()

    @property
    def finishes(self):
        return [c["finish_reason"] for c in self.choices if c.get("finish_reason")]

    @property
    def done(self):
        return any(data.startswith("[DONE]") for _, data in self.events)


class Client:
    """One connection."""

    def __init__(self, fake, context=None):
        self.fake = fake
        self.sock = socket.create_connection((fake.opts.host, fake.port), TIMEOUT)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=fake.opts.host, suppress_ragged_eofs=False)
        self.buf = b""
        self.end = None

    def close(self):
        self.sock.close()

    def send(self, body, path=None, headers=None, method="POST"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        base = self.fake.url.partition("//")[2].partition("/")[2]
        given = {"Host": "fake", "Authorization": f"Bearer {self.fake.key}", "Content-Type": "application/json",
                 "Content-Length": len(raw), **(headers or {})}
        head = f"{method} {path or '/' + base + '/chat/completions'} HTTP/1.1\r\n"
        self.sock.sendall((head + "".join(f"{k}: {v}\r\n" for k, v in given.items()) + "\r\n").encode() + raw)

    def more(self, quiet):
        if self.end:
            return False
        self.sock.settimeout(quiet)
        try:
            got = self.sock.recv(1 << 20)
        except TimeoutError:
            self.end = "silent"
        except ssl.SSLError as e:
            if "EOF" not in str(e.reason):
                raise
            self.end = "no-notify"
        except ConnectionResetError:
            self.end = "reset"
        else:
            self.buf += got
            if not got:
                self.end = "eof"
        return self.end is None

    def until(self, mark, quiet):
        while mark not in self.buf:
            if not self.more(quiet):
                return None
        head, _, self.buf = self.buf.partition(mark)
        return head

    def exactly(self, n, quiet):
        while len(self.buf) < n:
            if not self.more(quiet):
                break
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def read(self, quiet=QUIET):
        answer = Answer()
        head = self.until(b"\r\n\r\n", quiet)
        if head is not None:
            first, *lines = head.decode().split("\r\n")
            answer.status = int(first.split(" ")[1])
            answer.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            self.body(answer, quiet)
        answer.ended = self.end or "complete"
        return answer

    def body(self, answer, quiet):
        if answer.headers.get("transfer-encoding") == "chunked":
            while (size := self.until(b"\r\n", quiet)) is not None:
                data = self.exactly(int(size, 16) + 2, quiet)
                if int(size, 16):
                    answer.chunks.append(data[:-2] if data.endswith(b"\r\n") else data)
                else:
                    return
            if self.buf:
                answer.chunks.append(self.buf)
        elif "content-length" in answer.headers:
            answer.chunks.append(self.exactly(int(answer.headers["content-length"]), quiet))
        else:
            while self.more(quiet):
                pass
            answer.chunks.append(self.buf)


@pytest.fixture(scope="module")
def fake():
    with FakeModel() as model:
        yield model
        assert not model.violations


def row(fake):
    """The newest request, once it is over."""
    assert fake.wait(lambda: fake.requests[-1]["end"], TIMEOUT)
    return fake.requests[-1]


def ask(fake, scenario=None, quiet=QUIET, change=None, **script):
    """One question on a connection of its own."""
    fake.calm()
    if scenario is not None or script:
        fake.script(scenario, **script)
    with contextlib.closing(Client(fake)) as c:
        c.send({**ASK, **(change or {})})
        return c.read(quiet)


def good(fake, a, text=None):
    """A whole answer: every word once, one finish, [DONE], the end of the body."""
    assert (a.status, a.ended) == (200, "complete")
    assert a.text == (row(fake)["answer"] if text is None else text) and a.text
    assert a.finishes == ["stop"] and a.done
    return a


def error_of(a):
    return a.json["error"]


# One function for each number: check(fake, variant)

def c1(fake, variant):
    a = good(fake, ask(fake, 1))
    assert a.headers["content-type"] == "text/event-stream" and a.headers["x-request-id"] == row(fake)["request_id"]
    assert b"\r" not in a.body and a.body.endswith(b"data: [DONE]\n\n")
    assert [c["delta"] for c in a.choices][0] == {"role": "assistant", "content": ""}
    a = good(fake, ask(fake, 1, change={"stream_options": {"include_usage": True}}))
    assert a.parsed[-1]["choices"] == [] and a.parsed[-1]["usage"]["completion_tokens"] == len(a.choices) - 2
    assert all(p["usage"] is None for p in a.parsed[:-1])
    a = ask(fake, 1, change={"stream": False})
    assert a.json["choices"][0]["message"]["content"] == row(fake)["answer"]


def c2(fake, variant):
    a = good(fake, ask(fake, 2))
    assert a.body.count(b"\n") == a.body.count(b"\r\n") == a.body.count(b"\r")


def c3(fake, variant):
    assert b"\n" not in good(fake, ask(fake, 3)).body


def c4(fake, variant):
    a = good(fake, ask(fake, 4, variant=variant))
    assert {len(c) for c in a.chunks} == {1}
    assert (b"\n" in a.body, b"\r" in a.body) == {"lf": (1, 0), "crlf": (1, 1), "cr": (0, 1)}[variant]


def c5(fake, variant):
    a = good(fake, ask(fake, 5))
    broken = []
    for chunk in a.chunks:
        try:
            chunk.decode()
        except UnicodeDecodeError:
            broken.append(chunk)
    assert len(broken) > 4
    # Cut behind each of the three places inside a character.
    assert {next(n for n in (1, 2, 3) if c[-n] >= 0xf0) for c in broken if max(c[-3:]) >= 0xf0} == {1, 2, 3}


def c6(fake, variant):
    assert good(fake, ask(fake, 6)).body.startswith(b"\xef\xbb\xbfdata: {")


def c7(fake, variant):
    a = good(fake, ask(fake, 7, variant=variant))
    assert min(data.count("\n") for _, data in a.events if data != "[DONE]") > 5
    assert (b"\r" in a.body) == (variant == "crlf")


def c8(fake, variant):
    fake.script(8, variant=variant, every_ms=10)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        t, n = time.monotonic(), 0
        while n < 20:
            assert c.more(TIMEOUT)
            n = c.buf.count(b": PROCESSING\n\n")
        assert 0.1 < time.monotonic() - t < TIMEOUT
        assert (b"data:" in c.buf) == (variant == "after-token")
        at = time.monotonic()
    r = row(fake)
    assert r["closed_early"] and r["end"] == "client closed" and 0 <= r["closed_t"] - at < TIMEOUT


def c9(fake, variant):
    a = ask(fake, 9, variant=variant)
    assert not a.done and a.finishes == ["stop"] and a.text == row(fake)["answer"]
    assert a.ended == {"chunked": "complete", "close": "eof"}[variant]


def c10(fake, variant):
    a = ask(fake, 10, variant=variant)
    assert a.ended == "complete" and a.text == row(fake)["answer"] and a.finishes == ["stop"]
    assert a.done == (variant != "finish")
    assert a.body[-2:] == {"done": b"]\n", "finish": b"}\n", "no-newline": b"E]"}[variant]


def c11(fake, variant):
    a = ask(fake, 11, variant=variant)
    assert a.ended == "complete" and a.done and not a.finishes and bool(a.text) == (variant == "text")


def c12(fake, variant):
    a = ask(fake, 12, variant=variant, after=3)
    assert not a.done and not a.finishes
    assert a.text == row(fake)["sent"] == "".join(words.tokens(row(fake)["answer"])[:3])
    assert a.ended == {"chunked": "complete", "close": "eof", "unfinished-chunk": "eof"}[variant]


def c13(fake, variant):
    a = ask(fake, 13, variant=variant)
    assert a.ended == "complete" and not a.done and not a.finishes and bool(a.text) == (variant == "middle")
    assert a.parsed[-1]["choices"][0]["delta"]["content"] == ""


def c14(fake, variant):
    a = ask(fake, 14, variant=variant)
    assert a.parsed[-1]["error"]["code"] == 500 and a.done and not a.finishes
    assert bool(a.text) == (variant == "middle")


def c15(fake, variant):
    name, data = ask(fake, 15, variant=variant).events[-1]
    assert name == "error" and "crashed" in data and data.startswith("{") == (variant != "text")


def c16(fake, variant):
    a = ask(fake, 16)
    assert a.finishes == ["error"] and a.parsed[-1]["error"]["code"] == 502 and a.text and a.done


def c17(fake, variant):
    a = ask(fake, 17, variant=variant)
    assert a.status == 200 and a.headers["content-type"] == "application/json" and "choices" not in a.json
    key = {"object": "error", "text": "error", "vllm": "object", "message": "message"}.get(variant, "detail")
    assert key in a.json and "unexpectedly" in a.body.decode()


def c18(fake, variant):
    a = ask(fake, 18, variant=variant)
    assert a.json["choices"][0]["message"]["content"] == row(fake)["answer"] and a.json["usage"]["total_tokens"]
    assert a.headers.get("content-type") == {"json": "application/json", "no-type": None,
                                             "wrong-type": "text/event-stream"}[variant]


def c19(fake, variant):
    a = ask(fake, 19)
    assert a.status == 502 and a.headers["content-type"] == "text/html" and a.body.startswith(b"<html>")
    assert ask(fake, 19, status=504).status == 504


def c20(fake, variant):
    a = ask(fake, 20, variant=variant)
    assert a.status == 429 and error_of(a)["code"] == "rate_limit_exceeded"
    assert a.headers["x-ratelimit-reset-requests"] == "1h2m3.5s"
    after, ms = a.headers.get("retry-after"), a.headers.get("retry-after-ms")
    if variant == "date":
        assert 0 < email.utils.parsedate_to_datetime(after).timestamp() - time.time() <= 2
    else:
        assert (after, ms) == {"ms": (None, "250"), "float": ("0.25", None), "int": ("1", None), "3600": ("3600", None),
                               "negative": ("-5", None), "garbage": ("soon", "1e999"), "none": (None, None),
                               "both": ("60", "250"), "no-retry": ("0.25", None)}[variant]
    assert (a.headers.get("x-should-retry") == "false") == (variant == "no-retry")
    # The next request finds no script any more.
    assert ask(fake).status == 200


def c21(fake, variant):
    a = ask(fake, 21, variant=variant)
    assert (a.status, error_of(a)["code"]) == {"openai": (429, "insufficient_quota"), "openrouter": (402, 402)}[variant]


def c22(fake, variant):
    a = ask(fake, 22, variant=variant)
    assert a.status == 401 and (fake.key in a.body.decode()) == (variant == "echo")
    assert variant == "html" or error_of(a)["code"] == "invalid_api_key"


def c23(fake, variant):
    a = ask(fake, 23, variant=variant)
    if variant in scenarios.CONTEXT:
        assert a.status == 400 and re.search("context|prompt is too long", a.body.decode())
    elif variant == "lmstudio-event":
        assert a.events[-1][0] == "error" and a.status == 200 and not a.text
    elif variant == "lmstudio-silent":
        assert a.status == 200 and not a.text and a.finishes == ["stop"]
    else:
        a = good(fake, ask(fake, 23, variant=variant, change={"stream_options": {"include_usage": True}}))
        assert a.parsed[-1]["usage"]["prompt_tokens"] == 11
    good(fake, ask(fake, 23, variant=variant, limit=1000))


def c24(fake, variant):
    wrong, right = ("max_tokens", "max_completion_tokens")[::1 if variant == "swap" else -1]
    a = ask(fake, 24, variant=variant, change={wrong: 9})
    assert (a.status, error_of(a)["code"], error_of(a)["param"]) == (400, "unsupported_parameter", wrong)
    good(fake, ask(fake, 24, variant=variant, change={right: 9}))


def c25(fake, variant):
    a = good(fake, ask(fake, 25, variant=variant))
    empty = [i for i, p in enumerate(a.parsed) if p["choices"] == []]
    last = len(a.parsed) - 1
    where = {0: "first", last: "last"}
    assert [where.get(i, "middle") for i in empty] == (["first", "middle", "last"] if variant == "all" else [variant])


def c26(fake, variant):
    a = good(fake, ask(fake, 26, variant=variant))
    have = [i for i, p in enumerate(a.parsed) if p.get("usage")]
    n = len(a.parsed)
    assert have == {"separate": [n - 1], "finish": [n - 1], "every": list(range(1, n))}.get(variant, [])
    assert (a.parsed[-1]["choices"] == []) == (variant == "separate")
    assert ("x_groq" in a.parsed[-1]) == (variant == "x-groq")


def c27(fake, variant):
    change = {"tools": [{"type": "function", "function": {"name": n, "parameters": {}}} for n in ("rain", "snow")]}
    if variant.endswith("or-400"):
        bad = json.loads(json.dumps(TOOL_TURN))
        bad[1]["tool_calls"][0]["id"] = bad[2]["tool_call_id"] = "call_0123456789"
        wrong = ask(fake, 27, variant=variant, change={"messages": bad})
        assert wrong.status == 400 and "must be" in wrong.json["message"]
        right = json.loads(json.dumps(TOOL_TURN))
        right[1]["reasoning_content"] = ""
        good(fake, ask(fake, 27, variant=variant, change={"messages": right}))
    else:
        good(fake, ask(fake, 27, variant=variant, change={"messages": TOOL_TURN}))
    a = ask(fake, 27, variant=variant, change=change)
    assert a.finishes == ["stop" if variant == "finish-stop" else "tool_calls"] and a.done and not a.text
    parts = [t for c in a.choices for t in c["delta"].get("tool_calls", ())]
    ids = [p["id"] for p in parts if p.get("id")]
    names = [p["function"]["name"] for p in parts if "name" in p["function"]]
    args = [p["function"]["arguments"] for p in parts]
    two = variant in ("parallel", "index-missing", "index-zero-twice")
    assert dict.fromkeys(names) == dict.fromkeys(["rain", "snow"] if two else ["rain"])
    assert len(set(ids)) == (0 if variant in ("id-missing", "id-empty") else 2 if two else 1)
    assert [p.get("index") for p in parts if p.get("index") != 0] == (
        [None, None] if variant == "index-missing" else [1] * 3 if variant == "parallel" else [])
    if variant == "object-args":
        assert args == [{"city": "Turku"}]
    elif variant == "broken-json":
        with pytest.raises(ValueError):
            json.loads("".join(args))
    elif variant == "empty-args":
        assert args == [""]
    elif not two:
        assert json.loads("".join(args)) == {"city": "Turku"}
    assert (len(ids) > 2 and len(set(ids)) == 1) == (variant == "id-repeated")
    assert (a.join("reasoning_content") != "") == (variant == "echo-or-400")


def c28(fake, variant):
    a = good(fake, ask(fake, 28, variant=variant, change={"stream_options": {"include_usage": True}}))
    seen = {"role-null": any("role" in c.get("delta", {}) and c["delta"]["role"] is None for c in a.choices),
            "content-null": any(c.get("delta") == {"content": None} for c in a.choices),
            "delta-missing": any("delta" not in c for c in a.choices),
            "low-prompt-tokens": a.parsed[-1]["usage"]["prompt_tokens"] == 3,
            "nested": a.body.count(b'{"deeper":[' * 50) > 0}
    assert {k for k, v in seen.items() if v} == (set(seen) if variant == "all" else {variant})


def c29(fake, variant):
    fake.script(29, variant=variant)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        size, deltas, newest, longest, tail = 0, 0, 0, 0, b""
        c.sock.settimeout(TIMEOUT)
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            got = c.sock.recv(1 << 20)
            assert got
            deltas += (tail[-11:] + got).count(b'"content":"x"') - tail[-11:].count(b'"content":"x"')
            size += len(got)
            newest = newest + len(got) if b"\n\n" not in got else 0
            longest = max(longest, newest)
            tail = (tail + got)[-64:]
    if variant == "deltas":
        assert 0.99e6 < deltas <= 1e6 and len(row(fake)["sent"]) == 10 ** 6
    else:
        assert size > 16 << 20 and longest > 12 << 20
        assert (b"[DONE]" in tail) == (variant == "line")


def c30(fake, variant):
    fake.script(30, variant=variant)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        a = c.read(QUIET_S)
        assert a.ended == "silent" and a.status == (0 if variant == "before-headers" else 200)
        assert bool(a.text) == variant.startswith("after-fi") and bool(a.finishes) == (variant == "after-finish")
        assert fake.requests[-1]["end"] == "stalled"
    assert fake.wait(lambda: fake.requests[-1]["closed_early"], TIMEOUT)


def c31(fake, variant):
    a = ask(fake, 31, variant=variant)
    assert a.ended == ("eof" if variant == "no-notify" else "reset") and not a.done
    assert a.status == (0 if variant == "rst-before-headers" else 200)
    if variant in ("rst", "no-notify"):
        assert not a.body.endswith(b"\n") and a.body.startswith(b"data: ")
    assert (b'"stop"' in a.body) == (variant == "rst-after-finish")


def c32(fake, variant):
    fake.script(32, variant=variant)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        good(fake, c.read())
        n = len(fake.requests)
        with contextlib.suppress(OSError):
            c.send(ASK)
        a = c.read()
        assert a.status == 0 and a.ended in ("reset", "eof") and len(fake.requests) == n
    good(fake, ask(fake))


def c33(fake, variant):
    a = ask(fake, 33, variant=variant)
    assert a.finishes == ["stop"] and a.done
    r = row(fake)
    if variant == "reasoning_details":
        assert "".join(d["text"] for c in a.choices for d in c["delta"].get(variant, ())) == r["thought"]
    elif variant.startswith("reasoning"):
        assert a.join(variant) == r["thought"] and a.text == r["answer"]
    else:
        assert a.text.endswith(r["answer"]) and r["thought"] in a.text
        assert (a.text.count("<think>"), a.text.count("</think>")) == {
            "split": (1, 1), "unclosed": (1, 0), "nested": (2, 2), "only-closing": (0, 1), "later": (1, 1)}[variant]
        assert variant == "later" or not any("think>" in (c["delta"].get("content") or "") for c in a.choices)


def c34(fake, variant):
    a = ask(fake, 34, variant=variant)
    escapes = {"split": (b"\\ud83e\"", b"\"\\udd8a"), "lone": (b"\\ud83e\"", b"\\udd8a\""),
               "nul": (b"\\u0000\"",)}[variant]
    assert all(e in a.body for e in escapes)
    read = a.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert len(read) == len(row(fake)["answer"]) and read.isprintable() == (variant != "nul")


def c35(fake, variant):
    a = ask(fake, 35, variant=variant)
    assert a.finishes == [{"refusal": "stop", "filtered-empty": "content_filter"}.get(variant, variant)] and a.done
    assert (a.join("refusal") if variant == "refusal" else a.text) == row(fake)["answer"]
    if variant in scenarios.FINISHES:
        assert ask(fake, 35, variant=variant, change={"stream": False}).json["choices"][0]["finish_reason"] == variant


def c36(fake, variant):
    a = ask(fake, 36)
    assert a.finishes == ["stop"] * 3 and a.text == row(fake)["answer"] and a.done


def c37(fake, variant):
    a = ask(fake, 37)
    assert a.text == row(fake)["answer"] + " too late" and a.finishes == ["stop"]
    assert a.choices[-1]["finish_reason"] is None


def c38(fake, variant):
    a = ask(fake, 38, variant=variant)
    assert a.status == int(variant) and a.headers["location"] == fake.other_url + "/chat/completions"
    assert fake.other_url.split(":")[1] != fake.url.split(":")[1] and not fake.stolen


def c39(fake, variant):
    a = ask(fake, 39, variant=variant)
    assert a.headers["content-encoding"] == "gzip" and a.body[:2] == b"\x1f\x8b"
    a.chunks = [gzip.decompress(a.body)]
    if variant == "json":
        assert a.json["choices"][0]["message"]["content"] == row(fake)["answer"]
    else:
        good(fake, a)


def c40(fake, variant):
    fake.script(40, byte_s=0.02)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        c.until(b"\r\n\r\n", TIMEOUT)
        t = time.monotonic()
        got = b"".join(c.exactly(6, TIMEOUT)[3:4] for _ in range(20))
        assert got.startswith(b"data: {") and 0.3 < time.monotonic() - t < TIMEOUT
    assert fake.wait(lambda: fake.requests[-1]["closed_early"], TIMEOUT)


@pytest.mark.parametrize("number", range(1, 41))
def test_scenario(fake, number):
    """Every number has a scenario and a check; each of its variants is looked at."""
    s = scenarios.SCENARIOS[number]
    check = globals()[f"c{number}"]
    seen = len(fake.requests)
    for variant in s.variants:
        fake.calm()
        check(fake, variant)
    assert {r["variant"] for r in fake.requests[seen:] if r["scenario"] == number} == set(s.variants)
    for name in (number, f"scenario-{number}", s.name, f"{s.name}:{s.variants[-1]}"):
        assert scenarios.find(name)[0] is s


def test_there_are_forty():
    assert sorted(scenarios.SCENARIOS) == list(range(1, 41))
    assert len({s.name for s in scenarios.SCENARIOS.values()}) == 40
    assert scenarios.find("scenario-41") is None and scenarios.find("14:nothing") is None
    readme = (HERE / "README.md").read_text()
    for n, s in scenarios.SCENARIOS.items():
        line = re.search(rf"^\| {n}\*? \| .*$", readme, re.M).group()
        assert re.findall(r"`([^`]+)`", line.replace(line.split("|")[3], "")) == [s.name, *filter(None, s.variants)]
        assert ("*" in line) == s.always


def test_restart_on_the_same_port():
    fake = FakeModel().start()
    port = fake.port
    fake.script(pace=20)
    c = Client(fake)
    c.send(ASK)
    assert fake.wait(lambda: fake.requests and fake.requests[0]["sent"], TIMEOUT)
    fake.stop()
    assert c.read().ended == "reset" and fake.requests[0]["end"] == "reset"
    c.close()
    fake.start()
    assert fake.port == port
    good(fake, ask(fake))
    fake.stop()


# Beside the scenarios

def test_scenario_by_model_name(fake):
    fake.calm()
    assert ask(fake, change={"model": "scenario-20:date"}).status == 429
    assert fake.requests[-1]["scenario"] == 20 and fake.requests[-1]["variant"] == "date"
    with pytest.raises(ValueError):
        fake.script("no-such")


def test_scripts_choose_their_requests(fake):
    fake.calm()
    fake.script(22, n=None, model="other.*")
    fake.script(text="fixed", match="^hel")
    fake.script(19)
    with contextlib.closing(Client(fake)) as c:
        got = []
        for change in ({"model": "other-1"}, {}, {"model": "other-2"}, {}, {}):
            c.send({**ASK, **change})
            a = c.read()
            got.append((a.status, a.text if a.status == 200 else ""))
    assert [s for s, _ in got] == [401, 200, 401, 502, 200] and got[1][1] == "fixed" != got[4][1]


def test_answers_differ_and_have_the_style_asked_for(fake):
    fake.calm()
    texts = [good(fake, ask(fake)).text for _ in range(5)]
    assert len(set(texts)) == 5
    asked = {"please write code": "```python", "a table": "| what |", "some emoji": "", "a long story": "",
             "as a list": "- **"}
    for question, sign in asked.items():
        a = good(fake, ask(fake, change={"messages": [{"role": "user", "content": question}]}))
        assert sign in a.text
        if "long" in question:
            assert len(a.text) >= words.LONG_CHARS
        if "emoji" in question:
            assert any(e in a.text for e in words.EMOJI)
    with FakeModel(seed=1) as one, FakeModel(seed=2) as two:
        assert good(one, ask(one)).text != good(two, ask(two)).text
    assert len(good(fake, ask(fake, length=20000)).text) >= 20000
    assert "".join(words.tokens(" a\n\n  b\tcccccccccccc  ")) == " a\n\n  b\tcccccccccccc  "


def test_pace_and_early_close(fake):
    fake.calm()
    fake.script(pace=100, length=3000, first_s=0.1)
    t, n = time.monotonic(), len(fake.requests)
    with contextlib.closing(Client(fake)) as c:
        c.send(ASK)
        assert fake.wait(lambda: len(fake.requests) > n and len(words.tokens(fake.requests[-1]["sent"])) >= 20, TIMEOUT)
        assert 0.25 < time.monotonic() - t < TIMEOUT
    assert fake.wait(lambda: fake.requests[-1]["end"], TIMEOUT) == "client closed"
    r = fake.requests[-1]
    assert r["closed_early"] and r["answer"].startswith(r["sent"]) and len(r["sent"]) < len(r["answer"])
    assert r["t"] < r["first_t"] < r["closed_t"] <= r["done_t"]


def test_record_of_a_request(fake):
    body = {**ASK, "temperature": 0.5}
    with contextlib.closing(Client(fake)) as c:
        fake.calm()
        c.send(body, headers={"User-Agent": "raw", "Expect": "100-continue"})
        assert c.until(b"\r\n\r\n", TIMEOUT) == b"HTTP/1.1 100 Continue"
        good(fake, c.read())
        r = row(fake)
        assert r["body"] == body and r["headers"]["user-agent"] == "raw" and r["port"] == c.sock.getsockname()[1]
        assert r["stream"] and r["status"] == 200 and r["end"] == "done" and r["sent"] == r["answer"]
        assert not r["closed_early"]


# Providers: a body that each of them refuses, by the field named in the row of refused, and one that it takes

def body(**change):
    return {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": True, **change}


def image(url):
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


SAID = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
THINKER = {"openai": "gpt-5-mini", "azure": "o3", "xai": "grok-4", "deepseek": "deepseek-reasoner"}
REFUSED = {
    "plain": [({"stream": False, "stream_options": {"include_usage": True}}, "stream_options", 400),
              ({"messages": TOOL_TURN[:2]}, "messages", 400)],
    "openai": [({"reasoning_effort": "low"}, "reasoning_effort", 400), ({"options": {}}, "options", 400)],
    "ollama": [({"tool_choice": "auto"}, "tool_choice", 400), ({"n": 1}, "n", 400),
               ({"max_completion_tokens": 5}, "max_completion_tokens", 400),
               ({"messages": image("https://example.org/a.png")}, None, 400)],
    "llamacpp": [({"max_completion_tokens": 5}, "max_completion_tokens", 400),
                 ({"messages": [SAID[0], SAID[2]]}, "messages", 500), ({"messages": SAID[1:]}, "messages", 500)],
    "vllm": [({"safety_identifier": "x"}, "safety_identifier", 400)],
    "openrouter": [({"prompt_cache_key": "x"}, "prompt_cache_key", 400)],
    "groq": [({"messages": [{"role": "user", "content": "hi", "name": "x"}]}, "messages.0.name", 400),
             ({"n": 2}, "n", 400), ({"logprobs": True}, "logprobs", 400)],
    "mistral": [({"stream_options": {"include_usage": True}}, "stream_options", 422),
                ({"max_completion_tokens": 5}, "max_completion_tokens", 422),
                ({"messages": SAID[:2]}, "messages", 400), ({"messages": [*TOOL_TURN, SAID[0]]}, "messages", 400),
                ({"messages": [SAID[0], SAID[0]]}, "messages", 400)],
    "xai": [({"verbosity": "low"}, "verbosity", 400)],
    "lmstudio": [({"user": "x"}, "user", 400)],
    "azure": [({"random_seed": 1}, "random_seed", 400), ({"safety_identifier": "x"}, "safety_identifier", 400)],
    "gemini": [({"logit_bias": {}}, "logit_bias", 400)],
    "deepseek": [({"messages": SAID}, "messages", 400),
                 ({"messages": image("data:image/png;base64,AAAA")}, "messages", 400)],
}
# For models that reason, all of them; the same request to another model is taken.
THINKERS_REFUSED = {
    "openai": ({"max_tokens": 5}, {"temperature": 0.5}, {"stop": "x"}, {"presence_penalty": 1}),
    "azure": ({"max_tokens": 5}, {"temperature": 0.5}, {"stop": "x"}),
    "xai": ({"stop": ["x"]}, {"frequency_penalty": 1}, {"reasoning_effort": "low"}),
    "deepseek": ({"temperature": 0.5}, {"top_p": 0.5}),
}


@pytest.mark.parametrize("name", providers.PROVIDERS)
def test_provider(fake, name):
    fake.calm()
    path = fake.url_of(name).removeprefix(fake.server.root)
    headers = {"api-key": fake.key, "Authorization": ""} if name == "azure" else {}
    if not providers.PROVIDERS[name].needs_key:
        headers = {"Authorization": ""}
    query = "?api-version=1" if name == "azure" else ""

    def post(what):
        with contextlib.closing(Client(fake)) as c:
            c.send(what, f"{path}/chat/completions{query}", headers)
            return c.read()
    a = good(fake, post(body()))
    assert row(fake)["provider"] == name
    before = {"openrouter": b": OPENROUTER", "deepseek": b"\n"}.get(name, b"data: {")
    assert a.body.startswith(before) and ("obfuscation" in a.parsed[1]) == (name == "openai")
    assert bool(a.parsed[-1].get("usage")) == (name in ("openrouter", "mistral"))
    assert a.join("reasoning_content") == row(fake)["thought"] and bool(row(fake)["thought"]) == (name == "deepseek")

    def refused(change, field, status):
        a = post(body(**change))
        newest = fake.refused[-1]
        assert (a.status, newest["provider"], newest["param"]) == (status, name, field)
        assert newest["what"] in a.body.decode()
    for change, field, status in REFUSED[name]:
        refused(change, field, status)
    for change in THINKERS_REFUSED.get(name, ()):
        refused({**change, "model": THINKER[name]}, next(iter(change)), 400)
        if change != {"reasoning_effort": "low"}:
            good(fake, post(body(**change)))
    with contextlib.closing(Client(fake)) as c:
        c.send(b"", f"{path}/models", headers, method="GET")
        assert {m["id"] for m in c.read().json["data"]} >= {"fake-model", "scenario-40"}


def test_what_no_server_takes():
    with FakeModel() as fake:
        def post(what, status, **kwargs):
            with contextlib.closing(Client(fake)) as c:
                c.send(what, **kwargs)
                assert c.read().status == status
        post(b"{", 400)
        post({"model": "x"}, 400)
        post(body(messages=[{"role": "user"}]), 400)
        post(body(messages=[{"role": "cook", "content": ""}]), 400)
        post(body(), 400, headers={"Content-Type": "text/plain"})
        post(body(), 404, path="/v1/v1/chat/completions")
        post(body(), 404, path="/p/azure/openai/deployments/fake-model/chat/completions", headers={"api-key": fake.key})
        post(b"{", 500, path="/p/llamacpp/v1/chat/completions")
        kinds = [v["kind"] for v in fake.violations]
        assert kinds == ["json", "schema", "schema", "schema", "content-type", "route", "api-version", "json"]
        for wrong in ("", "Bearer", "Bearer no", fake.key):
            post(body(), 401, headers={"Authorization": wrong})
        post(body(), 401, path="/p/vllm/v1/chat/completions", headers={"Authorization": "Bearer "})
        with contextlib.closing(Client(fake)) as c:
            c.sock.sendall(b"nonsense\r\n\r\n")
            assert c.read().status == 400
        assert fake.violations[-1]["kind"] == "http"


def test_listen_and_drop():
    with FakeModel() as fake:
        fake.script(30)
        with contextlib.closing(Client(fake)) as c:
            c.send(ASK)
            assert fake.wait(lambda: fake.requests and fake.requests[0]["end"] == "stalled", TIMEOUT)
            fake.listen(False)
            with pytest.raises(ConnectionRefusedError):
                Client(fake)
            assert fake.drop() == 1 and c.read().ended == "reset"
        fake.listen()
        good(fake, ask(fake))


def test_tls_ends_without_notify(tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=cert)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with FakeModel(cert=str(cert), tls_key=str(key)) as fake:
        assert fake.url.startswith("https://")
        for scenario, ended in ((None, "complete"), ("broken:no-notify", "no-notify"), ("no-done:close", "eof")):
            if scenario:
                fake.script(scenario)
            with contextlib.closing(Client(fake, context)) as c:
                c.send(ASK)
                a = c.read()
                assert a.ended == ended and a.status == 200 and b"content" in a.body


def test_many_at_once(fake):
    """200 streams side by side."""
    fake.calm()
    fake.script(n=200, pace=200, length=400)
    clients = [Client(fake) for _ in range(200)]
    t = time.monotonic()
    for c in clients:
        c.send(ASK)
    answers = [c.read() for c in clients]
    assert time.monotonic() - t < TIMEOUT, "side by side: 2 s each"
    for c in clients:
        c.close()
    assert len({a.text for a in answers}) == 200 and all(a.done for a in answers)


def test_standalone(tmp_path):
    port_file = tmp_path / "port"
    with subprocess.Popen([sys.executable, HERE / "fake-model", "--port-file", port_file, "--seed", "5", "--key", "k"],
                          stdout=subprocess.PIPE, text=True) as child:
        try:
            line = child.stdout.readline()
            url, admin = (re.search(rf"{name}=(\S+)", line).group(1) for name in ("url", "admin"))
            assert f":{port_file.read_text().strip()}/" in url and "seed=5" in line

            def call(where, body=None):
                data = None if body is None else json.dumps(body).encode()
                request = urllib.request.Request(where, data, {"Content-Type": "application/json",
                                                               "Authorization": "Bearer k"})
                with urllib.request.urlopen(request, timeout=TIMEOUT) as r:
                    return json.loads(r.read())
            assert call(f"{admin}/state")["scenarios"]["14"]["name"] == "vllm-error"
            call(f"{admin}/script", {"text": "hi"})
            got = call(f"{url}/chat/completions", body(stream=False))
            assert got["choices"][0]["message"]["content"] == "hi"
            assert call(f"{admin}/requests?since=0")[0]["answer"] == "hi"
            with pytest.raises(urllib.error.HTTPError):
                call(f"{admin}/script", {"scenario": 41})
            child.terminate()
            assert child.wait(TIMEOUT) == 0
        finally:
            child.kill()
    listed = subprocess.run([HERE / "fake-model", "--list"], capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) == 40
