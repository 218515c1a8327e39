"""What a process manager hears: ready when it is, a status line, a fed watchdog, the stop; a newline for s6."""

import json
import os
import socket
import subprocess

from bot import wait_for


class Manager:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def hears(self, text):
        return any(text in line for line in self.listen())


def test_systemd(polite, bots, tmp_path):
    manager = Manager(tmp_path / "notify")
    bot = bots(polite, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000"})
    bot.start()
    wait_for(lambda: manager.hears("READY=1"), 20, "READY=1")
    status = bot.status()
    assert all(any(w["state"] == "ready" for w in status["workers"] if w["pool"] == p) for p in ("rest", "echo"))
    assert status["phase"] == "running" and status["gateway"]["state"].lower() == "ready", "ready was true when it was said"
    assert manager.hears("EXTEND_TIMEOUT_USEC="), "a start asks for time"
    fed = sum("WATCHDOG=1" in line for line in manager.listen())
    wait_for(lambda: sum("WATCHDOG=1" in line for line in manager.listen()) >= fed + 5, 10, "the watchdog is fed")
    wait_for(lambda: manager.hears("STATUS=ok; 3 of 3 workers ready"), 10, "a status line")
    environ = open(f"/proc/{bot.worker('echo.0')['pid']}/environ", "rb").read()
    assert b"NOTIFY_SOCKET" not in environ
    bot.stop()
    assert manager.hears("STOPPING=1")
    assert manager.heard.index("READY=1") < next(i for i, line in enumerate(manager.heard) if "STOPPING=1" in line)
    manager.socket.close()


def test_s6(polite, bots):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    bot = bots(polite)
    process = subprocess.Popen([bot.build / "bulkheadd", "-c", bot.conf, "--ready-fd", str(write)], pass_fds=[write],
                               stdin=subprocess.DEVNULL, stdout=bot.log_file, stderr=bot.log_file, env=bot.env,
                               start_new_session=True)
    bot.process, bot.wanted = process, True
    os.close(write)
    assert os.read(read, 10) == b"\n"
    assert bot.status()["phase"] == "running"
    assert os.read(read, 10) == b"", "and it is closed, in the workers too"
    os.close(read)


def test_ready_fd_that_is_none(polite, bots):
    bot = bots(polite)
    for words in ("1", "99", "x"):
        done = subprocess.run([bot.build / "bulkheadd", "-c", bot.conf, "--ready-fd", words], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 64 and "--ready-fd" in done.stderr


def test_log_as_json(polite, bots):
    bot = bots(polite, log_format="json")
    bot.start().ready()
    bot.stop()
    lines = bot.log().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) > 10 and all(row["time"].endswith("Z") and row["level"] for row in rows)
    ready = next(row for row in rows if row["message"].endswith("ready") and row["message"].startswith("echo.0#1"))
    assert int(ready["fields"]["pid"]) > 1
