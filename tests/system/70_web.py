"""The web worker: figures that agree with bulkheadctl, checks that turn false, and nobody who can hold it up."""

import os
import pathlib
import random
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from bot import ROOT, wait_for


@pytest.fixture
def port():
    """One that was free a moment ago, and that nobody is given who does not ask for it by number."""
    while True:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", random.SystemRandom().randrange(10240, 32768)))
                return s.getsockname()[1]
            except OSError:
                continue


class Web:
    def __init__(self, port):
        self.port = port

    def ask(self, path, method="GET", body=None):
        """(status, text, headers); status 0 when nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=body)
        try:
            with urllib.request.urlopen(request, timeout=100) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode(), e.headers
        except (urllib.error.URLError, OSError):
            return 0, "", {}

    def lines(self, path):
        return self.ask(path)[1].splitlines()

    def says(self, line, status=503, path="/readyz", timeout=20):
        """Wait until one of the lines of /readyz matches."""
        def said():
            got, text, _ = self.ask(path)
            return got == status and re.search(line, text, re.M)
        return wait_for(said, timeout, f"{path}: {line} with {status}")

    def metrics(self):
        """{name and labels: value} of what Prometheus would read."""
        rows = {}
        for line in self.lines("/metrics"):
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                rows[name] = float(value)
        return rows

    def raw(self, *pieces, read=True):
        with socket.create_connection(("127.0.0.1", self.port), timeout=100) as s:
            for piece in pieces:
                s.sendall(piece)
            got = b""
            while read and (piece := s.recv(65536)):
                got += piece
        return got.decode()


def table_rows(name, macro):
    return re.findall(rf"^{macro}\((\w+)", (ROOT / "proto" / name).read_text(), re.M)


def in_bot(web, polite, bot):
    """Something of everything that is measured."""
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
    wait_for(lambda: bot.counters()["rest_requests"] >= 1 and bot.counters()["deliveries_acked"] >= 1, 10, "counted")
    wait_for(lambda: web.metrics().get("bulkhead_rest_time_seconds_count", 0) >= 1, 10, "the rest worker's histograms")


def test_pages_agree_with_bulkheadctl(polite, bots, port):
    statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    statsd.bind(("127.0.0.1", 0))
    statsd.settimeout(100)
    bot = bots(polite, web=f"127.0.0.1:{port}", statsd=f"127.0.0.1:{statsd.getsockname()[1]}")
    bot.start().ready()
    web = Web(port)
    web.says("^ok  gateway: READY", status=200)
    in_bot(web, polite, bot)

    # Every row of counters.def, with the value that bulkheadctl prints (once it stands still).
    def agree():
        mine, theirs = web.metrics(), bot.counters()
        moving = {"gateway_frames", "gateway_bytes", "control_clients", "web_requests"}
        assert set(theirs) == set(table_rows("counters.def", "COUNTER"))
        assert {f"bulkhead_{n}_total" for n in theirs} <= set(mine)
        return all(mine[f"bulkhead_{n}_total"] == v for n, v in theirs.items() if n not in moving)
    wait_for(agree, 10, "the same counters")
    status, text, headers = web.ask("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name in table_rows("counters.def", "COUNTER"):
        assert re.search(rf"^# HELP bulkhead_{name}_total \S.*\n# TYPE bulkhead_{name}_total counter\n", text, re.M)
    for name in table_rows("histograms.def", "HISTOGRAM"):
        assert f"# TYPE bulkhead_{name}_seconds histogram" in text

    # The whole path of one answer was measured, per pool, and buckets only rise.
    rows = web.metrics()
    for name in ("queue_wait", "handler_time", "answer_time"):
        assert rows[f'bulkhead_{name}_seconds_count{{pool="echo"}}'] >= 1
        buckets = [v for k, v in rows.items() if k.startswith(f"bulkhead_{name}_seconds_bucket") and '"echo"' in k]
        assert buckets == sorted(buckets) and buckets[-1] == rows[f'bulkhead_{name}_seconds_count{{pool="echo"}}']
    assert rows["bulkhead_rest_wait_seconds_count"] >= 1
    assert rows['bulkhead_workers{pool="rest",state="ready"}'] == 2
    assert rows['bulkhead_health{state="ok"}'] == 1 and rows["bulkhead_gateway_live"] == 1
    assert rows['bulkhead_worker_rss_bytes{pool="web",worker="web.0"}'] > 1 << 20
    assert not re.search(rf"{polite.channels[0]}|guild|channel_id", text), "no label has an id of Discord's"

    # The alerts ask for what is there, and the manual knows each.
    rules = (ROOT / "scripts" / "prometheus" / "bulkhead.rules.yml").read_text()
    names = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    asked = {n.removesuffix("_bucket") for n in re.findall(r"\bbulkhead_\w+", re.sub(r"#.*|summary:.*", "", rules))}
    assert len(asked) > 10 and asked <= names, asked - names
    manual = (ROOT / "supervisor" / "bulkhead.7").read_text()
    for alert in re.findall(r"alert: (\w+)", rules):
        assert alert in manual, f"{alert} is not in bulkhead(7)"

    # statsd has the same numbers, as what was gained.
    assert re.search(r"^bulkhead\.worker_starts:\d+\|c$", statsd.recv(65536).decode(), re.M)
    statsd.close()

    # Health, headers, methods.
    assert web.ask("/healthz")[:2] == (200, "ok\n")
    status, page, headers = web.ask("/")
    assert status == 200 and headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert len(page) < 50 << 10 and "echo.0#1" in page and "answer_time" in page
    status, nothing, headers = web.ask("/", "HEAD")
    assert (status, nothing) == (200, "") and int(headers["Content-Length"]) > 1000
    status, _, headers = web.ask("/", "POST", b"x" * 100)
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert web.ask("/nothing")[0] == 404
    assert web.raw(b"hello\r\n\r\n").startswith("HTTP/1.1 400 ")
    assert web.raw(b"GET / HTTP/1.1\r\nX: ", b"y" * 9000).startswith("HTTP/1.1 431 ")
    wait_for(lambda: bot.counters()["web_refused"] >= 4, 10, "refusals are counted")

    # It has no secret, is one of the workers, cannot be configured, scaled or rolled.
    assert polite.token not in text + page
    pid = bot.worker("web.0")["pid"]
    assert polite.token.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    assert bot.ctl_run("scale", "web", "2").returncode == 1
    bot.ctl("restart", "web", "--rolling")
    web.says("^ok  gateway: READY", status=200)
    assert bot.worker("web.0")["generation"] == 2


def test_readyz_turns_false(polite, bots, port):
    """Each line once, and back."""
    bot = bots(polite, pools={"echo": {"workers": 1}}, web=f"127.0.0.1:{port}", backoff_max=1, journal="64K")
    bot.start().ready()
    web = Web(port)
    good = ["gateway: READY", "rest: rest.. is active", "pool rest: 2 of 2", "pool echo: 1 of 1", "journal: not damaged",
            "snapshot: .* old$"]

    def all_good():
        for line in good:
            web.says(f"^ok  {line}", status=200)
    all_good()
    bot.ctl("drain", "echo")
    web.says("^NOT pool echo: 0 of 1 ready")
    assert web.ask("/healthz")[:2] == (200, "ok\n"), "degraded is not down"
    bot.ctl("resume", "echo")
    all_good()

    # A supervisor that is stopped says nothing: after 5 s that is known.
    os.kill(bot.pid, signal.SIGSTOP)
    try:
        web.says("^NOT snapshot: .*does not answer")
        assert web.ask("/healthz")[0] == 503
        assert web.ask("/metrics")[0] == 503
        assert "does not answer" in web.ask("/")[1]
    finally:
        os.kill(bot.pid, signal.SIGCONT)
    all_good()

    # Nobody at the other end, and nobody to ask.
    polite.unreachable()
    polite.drop()
    web.says("^NOT gateway: ")
    polite.unreachable(False)
    all_good()


def test_damage_and_no_rest(polite, bots, port):
    bot = bots(polite, web=f"127.0.0.1:{port}", journal="64K")
    bot.start().ready()
    web = Web(port)
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
    bot.stop()
    path = bot.dir / "run" / "journal"
    data = bytearray(path.read_bytes())
    # Behind the header, in the middle of what was written: a record that is torn at the end is no damage.
    used = max(i for i, b in enumerate(data) if b) - 4096
    for at in range(4096 + used // 4, 4096 + used // 2, 64):
        data[at] ^= 0xff
    path.write_bytes(data)
    bot.env["BULKHEAD_FAULTS"] = "worker.no_ready=slot=rest.0;child.exec=slot=rest.1"
    bot.start()
    web.says("^NOT journal: ")
    web.says("^NOT rest: none of 2 workers is active")
    web.says("^NOT pool rest: 0 of 2 ready")
    assert web.says("no rest worker is ready", path="/healthz")


def test_port_is_taken(polite, bots, port):
    """The bot goes on without; the port is free again: the web worker comes up by itself."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        bot = bots(polite, web=f"127.0.0.1:{port}")
        bot.start()
        wait_for(lambda: bot.logged(rf"cannot listen on 127.0.0.1:{port} \(option web\): another program"), 20, "said")
        wait_for(lambda: bot.socket.exists() and bot.status()["gateway"]["live"], 20, "live all the same")
        message = polite.say(polite.channels[0], "!ping")
        assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
        wait_for(lambda: bot.worker("web.0")["last"], 10, "buried")
        lines = bot.ask("show", "worker", "web.0")["obituaries"][0]["lines"]
        assert any("another program listens there" in line for line in lines), lines
        assert any("web.0" in why for why in bot.status()["why"])
    Web(port).says("^ok  gateway: READY", status=200)


def test_slow_ones_are_closed(polite, bots, port):
    """A byte now and then: others are served meanwhile."""
    bot = bots(polite, web=f"127.0.0.1:{port}")
    bot.start().ready()
    web = Web(port)
    web.says("^ok  gateway: READY", status=200)
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    done = threading.Event()

    def drip():
        while not done.wait(0.3):
            for s in slow:
                try:
                    s.send(b"GET / HTTP/1.1\r\nA: b"[:1])
                except OSError:
                    pass
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        for _ in range(5):
            assert web.ask("/readyz")[0] == 200
        assert time.monotonic() - began < 60, "nobody waited for them"
        wait_for(lambda: bot.counters()["web_refused"] >= 60, 15, "all 60 closed")
    finally:
        done.set()
        thread.join()
        for s in slow:
            s.close()
    assert bot.worker("web.0")["generation"] == 1


@pytest.mark.parametrize("options, word", [
    ({"web": "localhost:9464"}, "web"),
    ({"web": "127.0.0.1"}, "web"),
    ({"statsd": "127.0.0.1:0"}, "statsd"),
])
def test_bad_addresses(polite, bots, options, word):
    bot = bots(polite, **options)
    bot.start()
    assert bot.process.wait(120) == 78
    assert bot.logged(rf'"{word}" is not a numeric address and a port')


def test_reserved_names(polite, bots):
    bot = bots(polite, pools={"web": {}})
    bot.start()
    assert bot.process.wait(120) == 78 and "supervisor uses itself" in bot.log()
    bot = bots(polite, pools={"mine": {"handler": "web"}})
    bot.start()
    assert bot.process.wait(120) == 78
