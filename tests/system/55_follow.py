"""What one follows: monitor, status --watch, traces; and that who does not read costs nothing."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import msgpack
import pytest

from bot import ROOT, CtlError, wait_for

STATE = re.compile("\033\\[(3[123]|0|1)m")


@pytest.fixture
def bot(polite, bots):
    return bots(polite, pools={"echo": {"workers": 2}}, args=["--faults"]).start().ready()


class Follower:
    """bulkheadctl into a file, which can be looked at while it runs."""

    def __init__(self, bot, *words):
        self.path = bot.dir / f"follow{time.monotonic_ns()}"
        self.at = 0
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, *words], stdout=out)

    def lines(self):
        return self.path.read_text().splitlines()

    def until(self, event, who):
        """The events from where the last call ended to this one."""
        def found():
            seen = [json.loads(line) for line in self.lines()[self.at:]]
            for i, e in enumerate(seen):
                if e["event"] == event and re.fullmatch(who, e["who"]):
                    self.at += i + 1
                    return seen[:i + 1]
            return None
        return wait_for(found, 10, f"{event} of {who}")


class Screen:
    """bulkheadctl on a terminal of its own."""

    def __init__(self, bot, rows, columns, *words, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, *words], stdin=slave, stdout=slave,
                                        stderr=slave, env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(env or {})},
                                        start_new_session=True)
        os.close(slave)
        self.text = ""

    def until(self, pattern, secs=75):
        end = time.monotonic() + secs
        while not re.search(pattern, self.text, re.S):
            assert time.monotonic() < end, (pattern, self.text[-2000:])
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode()
                except OSError:
                    break
        return self.text

    def frames(self):
        """The whole redraws so far, as lines without what moves the cursor."""
        whole = [f for f in self.text.split("\033[H")[1:] if "\033[J" in f]
        return [re.sub("\033\\[[KJ]", "", f).replace("\r", "").split("\n") for f in whole]

    def end(self, key=None):
        if key:
            os.write(self.master, key.encode())
        else:
            self.process.send_signal(signal.SIGINT)
        self.until("\033\\[\\?1049l")
        status = self.process.wait(60)
        os.close(self.master)
        return status


def test_monitor(bot, polite):
    people, programs = Follower(bot, "monitor"), Follower(bot, "-j", "monitor")
    wait_for(lambda: people.lines(), 10, "the first line")
    assert programs.until("follows", "")[0]["text"].startswith("ok") and "follows" in people.lines()[0]
    os.kill(bot.worker("echo.1")["pid"], signal.SIGKILL)
    seen = programs.until("ready", r"echo\.1#2")
    assert [e["event"] for e in seen if e["who"].startswith("echo.1")][0] == "death"
    assert "signal 9" in seen[0]["text"] and any(e["event"] == "start" for e in seen)
    bot.ctl("restart", "echo.0", "--rolling")
    assert {"drain", "takeover", "start", "ready"} <= {e["event"] for e in programs.until("death", r"echo\.0#1")}
    bot.ctl("reload")
    assert "nothing changed" in programs.until("reload", "")[-1]["text"]
    polite.drop()
    assert "READY" in programs.until("gateway", r"sess#\d+")[-1]["text"]
    assert bot.ctl_run("monitor", "more").returncode == 64
    bot.ctl("stop")
    assert programs.until("stop", "")[-1]["text"].startswith("bulkheadctl stop")
    assert programs.process.wait(60) == 0 and people.process.wait(60) == 0, "its end is told"
    rest = [json.loads(line) for line in programs.lines()[programs.at:]]
    assert {e["who"].split("#")[0] for e in rest if e["event"] == "death"} == {"echo.0", "echo.1", "rest.0", "rest.1"}
    assert any(re.match(r"\S+Z  death +echo\.1#1 killed", line) for line in people.lines())


def test_who_does_not_read_is_dropped(bot):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(bot.socket))
    ask = msgpack.packb([0x70, 1, 1, msgpack.packb("monitor"), b""])
    sock.sendall(struct.pack(">I", len(ask)) + ask)
    was = bot.counters()["control_slow"]
    for n in (24, 1) * 6:
        bot.ctl("scale", "echo", str(n))
        if bot.counters()["control_slow"] > was:
            break
    assert bot.counters()["control_slow"] == was + 1 and bot.logged("does not read what it follows")
    sock.close()
    with_more = [Follower(bot, "monitor") for _ in range(8)]
    wait_for(lambda: all(one.lines() for one in with_more), 10, "eight follow")
    with pytest.raises(CtlError) as error:
        bot.ctl("monitor")
    assert error.value.status == 1 and "follow already" in error.value.text and bot.status()["health"] != "down"
    for one in with_more:
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(60) == 0, "Ctrl-C is no failure"


def test_watch_on_a_small_terminal(bot):
    screen = Screen(bot, 24, 80, "status", "--watch")
    screen.until("q ends.*q ends")
    for frame in screen.frames():
        plain = [STATE.sub("", line) for line in frame]
        assert len(plain) <= 24 and max(map(len, plain)) <= 80, plain
        assert any(line.startswith("echo.1") and "ready" in line for line in plain)
    assert "\033[32m" in screen.text, "in color"
    assert screen.end("q") == 0
    narrow = Screen(bot, 10, 50, "--color=never", "status", "--watch")
    narrow.until("more lines.*q ends")
    assert all(len(f) <= 10 and max(len(STATE.sub("", line)) for line in f) <= 50 for f in narrow.frames()), narrow.frames()
    assert "\033[32m" not in narrow.text and "\033[1m" not in narrow.text
    bot.stop()
    narrow.until("no supervisor answers")
    assert narrow.end() == 0


def test_watch_without_a_terminal(bot):
    done = bot.ctl_run("-j", "--timeout", "4", "status", "--watch")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(documents) >= 2 and documents[1]["uptime_ms"] > documents[0]["uptime_ms"]
    assert "\033" not in bot.ctl("--timeout", "1", "status", "--watch")
    assert bot.ctl_run("--watch", "stop").returncode == 64


def test_color(bot):
    assert STATE.search(bot.ctl("--color=always", "status")) and not STATE.search(bot.ctl("status"))
    assert bot.ctl_run("--color=often", "status").returncode == 64
    bot.ctl("drain", "echo.0")
    assert "\033[33mdrained" in bot.ctl("--color=always", "show", "workers")


def test_trace(bot, polite):
    def told():
        message = polite.say(polite.channels[0], "!ping")
        assert polite.wait(lambda: polite.replies_to(message["id"]))
        return bool(bot.logged(rf"dlv#\w+ key={polite.channels[0]} MESSAGE_CREATE -> "))
    assert not told()
    assert "none" in bot.ctl("trace") and "route" in bot.ctl("trace", "route,gateway")
    assert told() and "route,gateway" in bot.ctl("trace")
    bot.ctl("trace", "none")
    assert "none" in bot.ctl("trace") and bot.ctl_run("trace", "rout").returncode == 64


def test_trace_and_level_of_workers(bots, polite):
    """Both act at once on built-in workers, and on those that start later; a program of one's own does not notice."""
    dice = f"exec:{ROOT}/worker/examples/dice.py"
    bot = bots(polite, pools={"chat": {"handler": "chat"}, "dice": {"handler": dice, "events": ["MESSAGE_CREATE"]}},
               log_level="warning")
    bot.write_conf(bot.conf.read_text() + 'model "m" { base_url = "http://127.0.0.1:9/v1" name = "n" }\n')
    bot.start().ready()

    def roll():
        """A message that dice answers through rest, and that is nothing to chat; its id."""
        message = polite.say(polite.channels[0], "!roll 2d6")["id"]
        assert polite.wait(lambda: polite.replies_to(message))
        wait_for(lambda: [d["state"] for d in bot.ask("explain", message)["deliveries"]] == ["finished"] * 2, 10, "both are done")
        return message

    def heard(pattern):
        return wait_for(lambda: bot.logged(pattern), 10, pattern)
    silent = roll()
    before = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    assert "traced: rest,chat" in bot.ctl("trace", "rest,chat")
    message = roll()
    heard(rf"chat\.0#1 \w+ is silent channel=\d+ message={message}: nobody called the bot")
    heard(r"rest\.\d#1 rest#\d+ POST .*: status=200 retries=0")
    bot.ctl("restart", "chat")
    message = roll()
    heard(rf"chat\.0#2 \w+ is silent .*message={message}")
    bot.ctl("trace", "none")
    last = roll()
    bot.ctl("trace", "chat")                # what comes now was written after what did not
    message = roll()
    heard(rf"message={message}: nobody")
    assert not bot.logged(f"message={last}: nobody") and not bot.logged(f"message={silent}: nobody")
    # What the worker itself did not log at its level.
    asked = f"<@{polite.bot_id}> hello"
    message = polite.say(polite.channels[1], asked)["id"]
    assert polite.wait(lambda: polite.replies_to(message)) and not bot.logged("answers channel=")
    bot.ctl("log", "info")
    assert bot.ask("reload")["result"] == "unchanged" and "info" in bot.ctl("log"), "a reload leaves it alone"
    message = polite.say(polite.channels[1], asked)["id"]
    heard(rf"chat\.0#2 \w+ answers channel=\d+ message={message}")
    assert {w["name"]: w["pid"] for w in bot.status()["workers"] if w["pool"] != "chat"}.items() <= before.items()
    assert bot.status()["health"] == "ok" and bot.worker("dice.0")["generation"] == 1


def test_other_releases(bot):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(bot.socket))
    ask = msgpack.packb([0x70, 99, 1, msgpack.packb("status"), b""])
    sock.sendall(struct.pack(">I", len(ask)) + ask)
    (n,) = struct.unpack(">I", sock.recv(4))
    number, status, why = msgpack.unpackb(sock.recv(n))
    assert number == 0x72 and status == 1 and "version 99" in why and "different releases" in why
    sock.close()
    wait_for(lambda: bot.status()["health"] == "ok", 10, "nobody minds")
