"""The fake against a raw client that knows nothing of any library."""

import asyncio
import contextlib
import functools
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from pathlib import Path

import aiohttp
import pytest

from fakediscord import openapi, wsframe
from fakediscord.threaded import Fake

HERE = Path(__file__).resolve().parent
AGENT = "DiscordBot (https://example.org/fake-test, 1.0)"
INTENTS = 1 << 0 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 15
TIMEOUT = 30


class Client:
    """A gateway client that reads everything it gets into lists."""

    def __init__(self, fake, http):
        self.fake = fake
        self.http = http
        self.ws = None
        self.used = []
        self.inflate = None
        self.session = self.resume_url = None
        self.seq = None
        self.events = []

    async def connect(self, url=None, compress=False, v="10"):
        query = f"/?v={v}&encoding=json" + ("&compress=zlib-stream" if compress else "")
        self.inflate = zlib.decompressobj() if compress else None
        self.ws = await self.http.ws_connect((url or self.fake.gateway_url) + query, max_msg_size=0, autoclose=False,
                                             timeout=0.2)
        self.used.append(self.ws)

    async def close(self):
        for ws in self.used:
            await ws.close()

    async def recv(self):
        """The next message, or the close code, or "reset" for a drop without a close."""
        try:
            msg = await self.ws.receive(TIMEOUT)
        except (OSError, aiohttp.ClientError):
            return "reset"
        if msg.type == aiohttp.WSMsgType.CLOSE:
            await self.ws.close()
            return msg.data
        if msg.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return "reset"
        data = msg.data
        if self.inflate:
            assert msg.type == aiohttp.WSMsgType.BINARY and data.endswith(b"\x00\x00\xff\xff")
            data = self.inflate.decompress(data)
        got = json.loads(data)
        if got["s"] is not None:
            assert self.seq is None or got["s"] > self.seq
            self.seq = got["s"]
            self.events.append(got)
        return got

    async def send(self, op, d=None):
        await self.ws.send_str(json.dumps({"op": op, "d": d}))

    async def identify(self, intents=INTENTS, **changes):
        await self.send(2, {"token": self.fake.token, "intents": intents,
                            "properties": {"os": "linux", "browser": "raw", "device": "raw"}, **changes})

    async def until(self, name):
        while True:
            got = await self.recv()
            assert isinstance(got, dict), got
            if got["t"] == name:
                return got["d"]

    async def login(self, compress=False, **changes):
        await self.connect(compress=compress)
        assert (await self.recv())["op"] == 10
        await self.identify(**changes)
        ready = await self.until("READY")
        self.session, self.resume_url = ready["session_id"], ready["resume_gateway_url"]
        await self.until("GUILD_CREATE")
        return ready

    async def resume(self, compress=False, seq=None):
        await self.connect(self.resume_url, compress)
        assert (await self.recv())["op"] == 10
        await self.send(6, {"token": self.fake.token, "session_id": self.session,
                            "seq": self.seq if seq is None else seq})

    async def request(self, method, path, body=None, **kwargs):
        headers = {"Authorization": f"Bot {self.fake.token}", "User-Agent": AGENT, **kwargs.pop("headers", {})}
        async with self.http.request(method, self.fake.url + path, json=body, headers=headers, **kwargs) as r:
            text = await r.text()
            return r.status, json.loads(text) if r.content_type == "application/json" else text, r.headers


def run(test, **opts):
    """Runs test(fake, client) against a fresh fake."""
    opts.setdefault("polite", True)
    opts.setdefault("identify_window_s", 0.0)

    async def inside(fake):
        async with aiohttp.ClientSession() as http:
            client = Client(fake, http)
            await asyncio.wait_for(test(fake, client), 20)
            await client.close()

    with Fake(**opts) as fake:
        asyncio.run(inside(fake))
        return fake


async def acall(function, *args, **kwargs):
    """A call of the fake that must not block this loop."""
    return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*args, **kwargs))


# Gateway

@pytest.mark.parametrize("compress", [False, True])
def test_login_message_and_answer(compress):
    async def test(fake, c):
        ready = await c.login(compress)
        assert ready["user"]["id"] == fake.bot_id and ready["guilds"] == [{"id": fake.guild_id, "unavailable": True}]
        message = await acall(fake.say, fake.channels[3], "!ping")
        got = await c.until("MESSAGE_CREATE")
        assert (got["id"], got["content"], got["guild_id"]) == (message["id"], "!ping", fake.guild_id)
        status, sent, _ = await c.request("POST", f"/channels/{fake.channels[3]}/messages", {
            "content": "pong", "message_reference": {"message_id": message["id"]}})
        assert status == 200 and fake.replies_to(message["id"])[0]["id"] == sent["id"]
        assert [m["content"] for m in fake.answers(fake.channels[3])] == ["pong"]
        own = await c.until("MESSAGE_CREATE")
        assert own["author"]["id"] == fake.bot_id
        await c.send(1, c.seq)
        assert (await c.recv())["op"] == 11

    fake = run(test)
    assert fake.heartbeats[-1]["seq"] == fake.sent[-1]["s"] and not fake.violations


@pytest.mark.parametrize("changes, code", [
    ({"token": "wrong"}, 4004), ({"intents": 1 << 30}, 4013), ({"intents": 1 << 17}, 4013),
    ({"intents": 1 | 1 << 15}, 4014), ({"shard": [2, 2]}, 4010), ({"properties": None}, 4001),
    ({"presence": {"status": "x" * 4096}}, 4002)])
def test_bad_identify(changes, code):
    async def test(fake, c):
        await c.connect()
        await c.recv()
        await c.identify(**changes)
        assert await c.recv() == code
    run(test, privileged=0 if code == 4014 else 33026)


def test_protocol_errors_close():
    async def test(fake, c):
        async def fresh():
            await c.connect()
            await c.recv()
        await c.connect(v="9")
        assert await c.recv() == 4012
        await fresh()
        await c.send(3, {})
        assert await c.recv() == 4003
        await fresh()
        await c.send(77)
        assert await c.recv() == 4001
        await fresh()
        await c.ws.send_str("{")
        assert await c.recv() == 4002
        await c.login()
        await c.identify()
        assert await c.recv() == 4005
        await fresh()
        for _ in range(121):
            await c.send(1)
        for _ in range(120):
            assert (await c.recv())["op"] == 11
        assert await c.recv() == 4008
    run(test)


def test_identify_window_and_budget():
    async def test(fake, c):
        await c.login()
        await c.connect()
        await c.recv()
        await c.identify()
        got = await c.recv()
        assert (got["op"], got["d"]) == (9, False)
        _, limits, _ = await c.request("GET", "/gateway/bot")
        assert limits["session_start_limit"]["remaining"] == 0
        await c.identify()
        assert await c.recv() == 4004
        assert (await c.request("GET", "/users/@me"))[0] == 401
    run(test, identify_window_s=5.0, identify_total=2)


@pytest.mark.parametrize("compress", [False, True])
def test_resume_replays_in_order_with_the_same_seq(compress):
    async def test(fake, c):
        await c.login(compress)
        await acall(fake.drop)
        assert await c.recv() == "reset"
        seq = c.seq
        said = await acall(fake.say_many, [(fake.channels[i % 5], f"m{i}") for i in range(20)])
        await c.resume(compress)
        await c.until("RESUMED")
        messages = [e for e in c.events if e["t"] == "MESSAGE_CREATE"]
        assert [e["d"]["id"] for e in messages] == [m["id"] for m in said]
        assert [e["s"] for e in messages] == list(range(seq + 1, seq + 21))
        assert fake.resumes[-1]["result"] == "ok" and fake.resumes[-1]["replayed"] == 20
        assert fake.connections[-1]["port"] != fake.port
        await acall(fake.say, fake.channels[0], "live")
        assert (await c.until("MESSAGE_CREATE"))["content"] == "live"
    fake = run(test)
    assert sum(row["replay"] for row in fake.sent) == 20


@pytest.mark.parametrize("how, answer", [("op9", "op9"), ("4007", 4007)])
def test_resume_below_the_buffer_fails(how, answer):
    async def test(fake, c):
        await c.login()
        await acall(fake.say_many, [(fake.channels[0], str(i)) for i in range(5)])
        for _ in range(5):
            await c.until("MESSAGE_CREATE")
        await c.send(1, c.seq)
        assert (await c.recv())["op"] == 11
        await c.ws.close(code=4000)
        await c.resume(seq=c.seq - 1)
        got = await c.recv()
        assert got == answer or (got["op"], got["d"]) == (9, False)
        await c.resume()
        assert (await c.recv())["op"] == 9
    run(test, trim_acked=True, resume_failure=how)


@pytest.mark.parametrize("how", ["op9", "4007"])
def test_a_resume_that_lay_unread_ends_nobody_elses_session(how):
    """The client gave it up and resumed elsewhere; read late, it is below a buffer that was trimmed since."""
    async def test(fake, c):
        await c.login()
        await acall(fake.drop)
        assert await c.recv() == "reset"
        old = c.seq
        await c.connect(c.resume_url)
        assert (await c.recv())["op"] == 10
        await acall(fake.stall)
        await c.send(6, {"token": fake.token, "session_id": c.session, "seq": old})
        await c.ws.close()
        await c.resume()
        await c.until("RESUMED")
        await c.send(1, c.seq)
        while (await c.recv())["op"] != 11:
            pass
        await acall(fake.unstall)
        assert await acall(fake.wait, lambda: len(fake.resumes) == 2 and fake.resumes[-1]["result"] == how, 5)
        await acall(fake.say, fake.channels[0], "still here")
        assert (await c.until("MESSAGE_CREATE"))["content"] == "still here"
    run(test, trim_acked=True, resume_failure=how)


def test_buffer_is_bounded_and_sessions_expire():
    async def test(fake, c):
        await c.login()
        await acall(fake.drop)
        await acall(fake.say_many, [(fake.channels[0], str(i)) for i in range(101)])
        assert (await acall(fake.state))["sessions"][0]["buffered"] == 100
        assert await acall(fake.wait, lambda: not fake.state()["sessions"], 5)
    run(test, buffer_events=100, session_ttl_s=2.0)


def test_clean_close_ends_the_session():
    async def test(fake, c):
        await c.login()
        await c.ws.close(code=1000)
        assert await acall(fake.wait, lambda: not fake.state()["sessions"])
        await c.resume()
        assert (await c.recv())["op"] == 9
    run(test)


def test_intents_decide_what_is_seen():
    async def test(fake, c):
        await c.login(intents=1 << 0 | 1 << 9)
        await acall(fake.say, fake.dm, "dm")
        await acall(fake.say, fake.channels[0], "secret")
        assert (await c.until("MESSAGE_CREATE"))["content"] == ""
        await acall(fake.say, fake.channels[0], f"<@{fake.bot_id}> hello")
        got = await c.until("MESSAGE_CREATE")
        assert got["content"].endswith("hello") and got["mentions"][0]["id"] == fake.bot_id
        await acall(fake.react, fake.channels[0], got["id"], "x")
        await acall(fake.edit, fake.channels[0], got["id"], "changed")
        assert (await c.until("MESSAGE_UPDATE"))["id"] == got["id"]
        await acall(fake.delete, fake.channels[0], got["id"])
        assert (await c.until("MESSAGE_DELETE"))["id"] == got["id"]
        assert not any(e["t"] == "MESSAGE_REACTION_ADD" for e in c.events)
    run(test)


def test_member_request_is_answered():
    async def test(fake, c):
        await c.login()
        await c.send(8, {"guild_id": fake.guild_id, "user_ids": [fake.bot_id, "1"], "nonce": "probe"})
        got = await c.until("GUILD_MEMBERS_CHUNK")
        assert [m["user"]["id"] for m in got["members"]] == [fake.bot_id]
        assert (got["not_found"], got["nonce"], got["chunk_count"]) == (["1"], "probe", 1)
    run(test)


def test_zombie_is_closed_and_beats_are_timed():
    async def test(fake, c):
        await c.login()
        await asyncio.sleep(0.1)
        await c.send(1, c.seq)
        assert (await c.recv())["op"] == 11
        await acall(fake.op1)
        assert (await c.recv())["op"] == 1
        await c.send(1, c.seq)
        assert (await c.recv())["op"] == 11
        assert await c.recv() == 4000
        first, asked = fake.heartbeats[-2:]
        assert first["first"] and first["late_ms"] < 0 and asked["asked"]
    run(test, heartbeat_ms=1000)


def test_doubles_and_swaps_keep_channel_order():
    pairs = [(n % 4, f"{n}") for n in range(400)]

    async def test(fake, c):
        await c.login()
        said = await acall(fake.say_many, [(fake.channels[i], t) for i, t in pairs])
        seen = []
        while len(set(seen)) < 400:
            seen.append((await c.until("MESSAGE_CREATE"))["id"])
        await asyncio.sleep(0.1)
        ids = [m["id"] for m in said]
        assert len(seen) > 400 and seen != sorted(seen)
        for channel in fake.channels[:4]:
            mine = [e["d"]["id"] for e in c.events if e["d"].get("channel_id") == channel]
            assert mine == sorted(mine) and set(mine) <= set(ids)
    fake = run(test, polite=False, seed=7, buffer_events=1000, fragment_bytes=0)
    assert any(row["dup"] for row in fake.sent)


def test_large_messages_come_in_fragments():
    async def test(fake, c):
        await c.login()
        channel, text = fake.channels[0], "é" * 1900
        await acall(fake.say, channel, text)
        assert (await c.until("MESSAGE_CREATE"))["content"] == text
    run(test, fragment_bytes=1024)
    data = wsframe.message(wsframe.TEXT, b"x" * 5000, 4096)
    assert data[0] == 0x01 and data[1028] == 0x89


# Faults of the gateway

def test_close_op7_op9_and_drop():
    async def test(fake, c):
        await c.login()
        await acall(fake.close, 4000)
        assert await c.recv() == 4000
        await c.resume()
        await c.until("RESUMED")
        await acall(fake.op7)
        assert (await c.recv())["op"] == 7
        assert await c.recv() == 4000
        await c.resume()
        await c.until("RESUMED")
        await acall(fake.op9, True)
        assert (await c.recv())["d"] is True
        await c.ws.close(code=4900)
        await c.resume()
        await c.until("RESUMED")
        await acall(fake.op9, False)
        assert (await c.recv())["d"] is False
        await c.ws.close(code=4900)
        await c.resume()
        assert (await c.recv())["op"] == 9
    run(test, reconnect_grace_s=0.05)


@pytest.mark.parametrize("compress", [False, True])
def test_cut_in_the_middle_of_a_frame(compress):
    async def test(fake, c):
        await c.login(compress)
        await acall(fake.cut)
        await acall(fake.say, fake.channels[0], "torn")
        assert await c.recv() == "reset"
        await c.resume(compress)
        assert (await c.until("MESSAGE_CREATE"))["content"] == "torn"
        await acall(fake.cut, now=True)
        while (got := await c.recv()) != "reset":
            assert got["t"] == "RESUMED"
    run(test)


def test_stalls():
    async def test(fake, c):
        async def quiet():
            with pytest.raises(asyncio.TimeoutError):
                await c.ws.receive(0.15)
        await c.login()
        await acall(fake.stall, what="ack")
        await c.send(1, c.seq)
        await acall(fake.say, fake.channels[0], "1")
        assert (await c.recv())["d"]["content"] == "1"
        await quiet()
        await acall(fake.unstall)
        await acall(fake.stall, what="dispatch")
        await acall(fake.say, fake.channels[0], "2")
        await c.send(1, c.seq)
        assert (await c.recv())["op"] == 11
        await quiet()
        await acall(fake.unstall)
        assert (await c.recv())["d"]["content"] == "2"
        await acall(fake.stall)
        beats = len(fake.heartbeats)
        await c.send(1, c.seq)
        await acall(fake.say, fake.channels[0], "3")
        await quiet()
        assert len(fake.heartbeats) == beats
        await acall(fake.unstall)
        assert {(await c.recv())["op"], (await c.recv())["op"]} == {0, 11}
    run(test)


def test_no_hello_op7_first_and_refusals():
    async def test(fake, c):
        await acall(fake.no_hello)
        await c.connect()
        with pytest.raises(asyncio.TimeoutError):
            await c.ws.receive(0.15)
        await acall(fake.op7_first)
        await c.connect()
        assert (await c.recv())["op"] == 7
        await acall(fake.refuse, 1)
        with pytest.raises((OSError, aiohttp.ClientError)):
            await c.connect()
        await acall(fake.unreachable)
        _, told, _ = await c.request("GET", "/gateway")
        for url in (told["url"], fake.resume_url):
            with pytest.raises(aiohttp.ClientConnectorError):
                await c.connect(url)
        with pytest.raises((OSError, aiohttp.ClientError)):
            await c.connect()
        await acall(fake.unreachable, False)
        assert (await c.request("GET", "/gateway"))[1]["url"] == fake.gateway_url
        await acall(fake.resume_gone)
        with pytest.raises(aiohttp.ClientConnectorError):
            await c.connect(fake.resume_url)
        await acall(fake.resume_gone, False)
        await acall(fake.listen, False)
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(fake.url + "/gateway")
        await acall(fake.listen, True)
        await c.login()
    run(test)


# REST

def test_nonce_is_enforced_and_deleted_is_10008():
    async def test(fake, c):
        path = f"/channels/{fake.channels[0]}/messages"
        body = {"content": "once", "nonce": "n1", "enforce_nonce": True}
        first = (await c.request("POST", path, body))[1]
        again = (await c.request("POST", path, body))[1]
        assert first["id"] == again["id"] and first["nonce"] == "n1" and len(fake.answers()) == 1
        assert (await c.request("POST", path, {"content": "x", "nonce": "n1"}))[1]["id"] != first["id"]
        assert (await c.request("PATCH", f"{path}/{first['id']}", {"content": "e"}))[1]["content"] == "e"
        assert (await c.request("DELETE", f"{path}/{first['id']}"))[0] == 204
        for method, where, what in (("PATCH", f"{path}/{first['id']}", {"content": "e"}), ("POST", path, body)):
            status, error, _ = await c.request(method, where, what)
            assert (status, error["code"]) == (404, 10008)
    fake = run(test, limits=False)
    assert [p["again"] for p in fake.posts if p["method"] == "POST"] == [False, True, False, True]


def test_nonce_is_forgotten():
    async def test(fake, c):
        path, body = f"/channels/{fake.channels[0]}/messages", {"content": "x", "nonce": "n", "enforce_nonce": True}
        first = (await c.request("POST", path, body))[1]["id"]
        await asyncio.sleep(0.15)
        assert (await c.request("POST", path, body))[1]["id"] != first
    run(test, nonce_ttl_s=0.1)


def test_buckets_and_global_limit():
    async def test(fake, c):
        path = f"/channels/{fake.channels[0]}/messages"
        for left in (1, 0):
            status, _, headers = await c.request("POST", path, {"content": "x"})
            assert status == 200 and headers["X-RateLimit-Remaining"] == str(left)
        status, body, headers = await c.request("POST", path, {"content": "x"})
        assert status == 429 and headers["X-RateLimit-Scope"] == "user" and 0 < body["retry_after"] <= 0.5
        assert headers["Retry-After"] == "1" and headers["Via"]
        other = f"/channels/{fake.channels[1]}/messages"
        assert (await c.request("POST", other, {"content": "x"}))[0] == 200
        await asyncio.sleep(body["retry_after"])
        assert (await c.request("POST", path, {"content": "x"}))[0] == 200
        answers = [await c.request("GET", "/users/@me") for _ in range(20)]
        status, body, headers = answers[-1]
        assert status == 429 and body["global"] and headers["X-RateLimit-Global"] == "true"
        callback = f"/interactions/{fake.bot_id}/token/callback"
        assert (await c.request("POST", callback, {"type": 5}))[1]["code"] == 10062
    run(test, limits={"messages": (2, 0.5), "global": (12, 1.0), "default": (1000, 1)})


def test_errors():
    async def test(fake, c):
        channel = fake.channels[0]
        path = f"/channels/{channel}/messages"
        too_long = {"content": "x" * 2001}
        for method, where, body, status, code in (
                ("POST", path, {"content": ""}, 400, 50006), ("POST", path, too_long, 400, 50035),
                ("POST", path, {"content": 5}, 400, 50035),
                ("POST", "/channels/1/messages", {"content": "x"}, 404, 10003),
                ("GET", f"{path}/1", None, 404, 10008), ("GET", "/nonsense", None, 404, 0),
                ("PUT", path, {}, 405, 0), ("GET", path + "?limit=101", None, 400, 50035),
                ("GET", "/channels/x", None, 400, 50035)):
            got, error, _ = await c.request(method, where, body)
            assert (got, error["code"]) == (status, code), (method, where, error)
        assert (await c.request("POST", path, too_long))[1]["errors"]["content"]["_errors"][0]["code"]
        wrong = {"Authorization": "Bot wrong"}
        assert (await c.request("GET", "/users/@me", headers=wrong))[0] == 401
        assert (await c.request("GET", "/users/@me", headers={"User-Agent": "curl/8"}))[1]["code"] == 40333
        said = await acall(fake.say, channel, "not yours")
        assert (await c.request("PATCH", f"{path}/{said['id']}", {"content": "x"}))[1]["code"] == 50005
        reply = {"content": "x", "message_reference": {"message_id": "1"}}
        assert "message_reference" in (await c.request("POST", path, reply))[1]["errors"]
    fake = run(test, limits=False)
    kinds = [v["kind"] for v in fake.violations]
    assert kinds == ["schema", "route", "route", "schema", "schema", "user-agent"]


@pytest.mark.parametrize("tail, headers, body, answer", [
    ("typing", "", "", " 411 "),
    ("typing", "Content-Length: 0\n", "", " 204 "),
    ("messages", "Content-Length: 13\n", '{"content":1}', "50035"),
    ("messages", "Content-Type: application/json\nContent-Length: 2\n", "{!", "50109")])
def test_raw_rules_of_the_front_door(tail, headers, body, answer):
    with Fake(polite=True) as fake, socket.create_connection(("127.0.0.1", fake.port), TIMEOUT) as s:
        head = (f"POST /api/v10/channels/{fake.channels[0]}/{tail} HTTP/1.1\nHost: x\nConnection: close\n"
                f"Authorization: Bot {fake.token}\nUser-Agent: {AGENT}\n{headers}\n")
        s.sendall(head.replace("\n", "\r\n").encode() + body.encode())
        assert answer in b"".join(iter(functools.partial(s.recv, 65536), b"")).decode()


def test_history_and_lookups():
    async def test(fake, c):
        said = await acall(fake.say_many, [(fake.channels[0], str(i)) for i in range(10)])
        ids = [m["id"] for m in said]
        path = f"/channels/{fake.channels[0]}/messages"
        async def listed(query):
            return [m["id"] for m in (await c.request("GET", path + query))[1]]
        assert await listed("") == ids[::-1]
        assert await listed(f"?after={ids[2]}&limit=3") == ids[3:6][::-1]
        assert await listed(f"?before={ids[2]}") == ids[:2][::-1]
        assert await listed(f"?around={ids[5]}&limit=3") == ids[4:7][::-1]
        assert (await c.request("PUT", f"{path}/{ids[0]}/reactions/%F0%9F%91%8D/@me", None,
                                headers={"Content-Length": "0"}))[0] == 204
        dm = (await c.request("POST", "/users/@me/channels", {"recipient_id": fake.users[0]}))[1]
        assert dm["id"] == fake.dm
        for where in ("/users/@me", "/applications/@me", "/oauth2/applications/@me", f"/channels/{dm['id']}",
                      f"/guilds/{fake.guild_id}", f"/guilds/{fake.guild_id}/channels", "/gateway/bot"):
            assert (await c.request("GET", where))[0] == 200, where
    fake = run(test, limits=False)
    assert not fake.violations and not fake.unimplemented


# Faults of REST

def test_scripted_answers():
    async def test(fake, c):
        path = f"/channels/{fake.channels[0]}/messages"
        async def post():
            return await c.request("POST", path, {"content": "x"})
        for scope in ("user", "shared", "global"):
            await acall(fake.rate_limit, scope=scope, retry_after=0.5)
            status, body, headers = await post()
            assert (status, body["retry_after"], headers["X-RateLimit-Scope"]) == (429, 0.5, scope)
        await acall(fake.rate_limit, scope="cloudflare", retry_after=7)
        status, body, headers = await post()
        assert status == 429 and "1015" in body and headers["Retry-After"] == "7" and "Via" not in headers
        await acall(fake.fail, 2, 503, path="/messages$")
        assert (await c.request("GET", "/users/@me"))[0] == 200
        assert [(await post())[0] for _ in range(3)] == [503, 503, 200]
        await acall(fake.fail, status=504, after_commit=True)
        before = len(fake.answers())
        assert (await post())[0] == 504 and len(fake.answers()) == before + 1
        await acall(fake.slow, delay_s=0.2)
        t = time.monotonic()
        assert (await post())[0] == 200 and time.monotonic() - t >= 0.2
        await acall(fake.slow_body, byte_s=0.0005)
        assert (await post())[0] == 200
        await acall(fake.token_revoked)
        assert (await post())[0] == 401
        await acall(fake.token_restored)
        assert (await post())[0] == 200
    run(test, limits=False)


def test_lost_answers_and_resets():
    async def test(fake, c):
        path, body = f"/channels/{fake.channels[0]}/messages", {"content": "x", "nonce": "9", "enforce_nonce": True}
        await acall(fake.reset)
        with pytest.raises((OSError, aiohttp.ClientError)):
            await c.request("POST", path, body)
        assert not fake.answers()
        await acall(fake.lose_answer)
        with pytest.raises((OSError, aiohttp.ClientError)):
            await c.request("POST", path, body)
        assert len(fake.answers()) == 1 and fake.requests[-1]["lost"]
        assert (await c.request("POST", path, body))[1]["id"] == fake.answers()[0]["id"]
        assert len(fake.answers()) == 1
        await acall(fake.lose_answer, p=1.0)
        for _ in range(2):
            with pytest.raises((OSError, aiohttp.ClientError)):
                await c.request("POST", path, {"content": "y"})
        await acall(fake.calm)
        assert (await c.request("POST", path, {"content": "z"}))[0] == 200
    run(test, limits=False)


def test_tls(tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)

    async def test(fake, c):
        import ssl
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=cert))
        async with aiohttp.ClientSession(connector=connector) as c.http:
            assert fake.url.startswith("https://") and fake.gateway_url.startswith("wss://")
            await c.login(True)
            await acall(fake.cut)
            await acall(fake.say, fake.channels[0], "x")
            assert await c.recv() == "reset"
            await c.resume(True)
            await c.until("RESUMED")
            await acall(fake.drop)
            assert await c.recv() == "reset"
    run(test, cert=str(cert), key=str(key))


# The whole

def test_restart_on_the_same_port():
    fake = Fake(polite=True).start()
    port = fake.port
    fake.stop()
    fake.stop()
    fake.start()
    assert fake.port == port
    fake.stop()


def test_speed():
    """2,000 events in one go, and 1,000 validated messages: far above what a test asks of the fake."""
    async def test(fake, c):
        await c.login(True)
        t = time.monotonic()
        await acall(fake.say_many, [(fake.channels[i % 20], f"m{i}") for i in range(2000)])
        for _ in range(2000):
            await c.until("MESSAGE_CREATE")
        assert time.monotonic() - t < TIMEOUT
        t = time.monotonic()
        for i in range(0, 1000, 20):
            await asyncio.gather(*(c.request("POST", f"/channels/{ch}/messages", {"content": f"a{i}"})
                                   for ch in fake.channels[:20]))
        assert len(fake.answers()) == 1000 and time.monotonic() - t < TIMEOUT
    run(test, limits=False)


def test_standalone(tmp_path):
    port_file = tmp_path / "port"
    with subprocess.Popen([sys.executable, HERE / "fake-discord", "--port-file", port_file, "--seed", "5", "--polite"],
                          stdout=subprocess.PIPE, text=True) as child:
        try:
            line = child.stdout.readline()
            admin = re.search(r"admin=(\S+)", line).group(1)
            assert f":{port_file.read_text().strip()}/" in admin and "seed=5" in line

            def call(name, body=None):
                data = None if body is None else json.dumps(body).encode()
                with urllib.request.urlopen(f"{admin}/{name}", data, TIMEOUT) as r:
                    return json.loads(r.read())
            state = call("state")
            said = call("say", {"channel_id": state["channels"][0], "text": "hi"})["result"]
            rows = call("events?poll=1&since=0")
            assert rows[-1]["kind"] == "say" and rows[-1]["id"] == said["id"]
            assert call("close", {"code": 4000})["result"] == 0
            with urllib.request.urlopen(f"{admin}/events?since=0", timeout=TIMEOUT) as stream:
                assert any(b'"say"' in stream.readline() for _ in range(12))
            with pytest.raises(urllib.error.HTTPError):
                call("say", {"channel_id": "1", "text": "hi"})
            with contextlib.closing(urllib.request.urlopen(f"{admin}/events", timeout=TIMEOUT)):
                child.terminate()
                assert child.wait(TIMEOUT) == 0
        finally:
            child.kill()


def test_description_knows_its_routes():
    api = openapi.load()
    ops = api.match(["channels", "1", "messages", "2", "reactions", "a:1", "@me"])
    assert ops["PUT"].id == "add_my_message_reaction"
    assert api.match(["channels", "1", "messages", "pins"])["GET"].id == "list_pins"
    assert api.match(["channels"]) is None
