"""The Python worker of proto/README.md, as it is printed there, in the place of bulkhead-worker."""

import os
import re
import shutil

import pytest

from bot import ROOT, build_dir, wait_for

# Stands beside bulkheadd as bulkhead-worker: rest workers are real, handlers are the README's.
DOORMAN = """#!/usr/bin/python3
import os, socket
link = socket.socket(fileno=3)
head = b""
while len(head) < 32:                   # HELLO is longer; it is only looked at
    head = link.recv(32, socket.MSG_PEEK)
    if not head:
        os._exit(0)
link.detach()
if b"rest" in head:
    os.execv("{real}", ["bulkhead-worker"])
os.execv("/usr/bin/python3", ["python3", "{script}"])
"""


@pytest.fixture
def programs(tmp_path):
    text = (ROOT / "proto" / "README.md").read_text()
    script = tmp_path / "worker.py"
    script.write_text(re.search(r"```python\n(.*?)```", text, re.S).group(1))
    for name in ("bulkheadd", "bulkheadctl"):
        shutil.copy(build_dir() / name, tmp_path / name)
    real = tmp_path / "real-worker"
    shutil.copy(build_dir() / "bulkhead-worker", real)
    doorman = tmp_path / "bulkhead-worker"
    doorman.write_text(DOORMAN.format(real=real, script=script))
    doorman.chmod(0o755)
    return tmp_path


def test_readme_worker(polite, bots, programs):
    bot = bots(polite, build=programs, pools={"echo": {"workers": 2}}, hang=2)
    bot.start().ready()
    assert "python3" in os.readlink(f"/proc/{bot.worker('echo.0')['pid']}/exe")

    def all_answered(n):
        messages = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(n)])
        assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 20)
    all_answered(50)
    # Idle for longer than `hang`: BEAT keeps it alive.
    since = bot.status()["uptime_ms"]
    wait_for(lambda: bot.status()["uptime_ms"] > since + 3000, 10, "three idle seconds")
    assert [bot.worker(name)["restarts"] for name in ("echo.0", "echo.1")] == [0, 0]
    bot.kill("echo.0")
    bot.kill("rest")
    all_answered(50)
    bot.ctl("restart", "echo")          # DRAIN, then exit 0
    assert bot.worker("echo.1")["last"]["text"].startswith("exited with status 0")
    all_answered(5)
    assert len(polite.answers()) == 105, "none is doubled"
    assert bot.stop() == 0
