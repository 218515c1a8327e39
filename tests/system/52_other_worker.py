"""The Python worker of proto/README.md, as it is printed there."""

import os
import re

import pytest

from bot import ROOT, wait_for

@pytest.fixture
def program(tmp_path):
    text = (ROOT / "proto" / "README.md").read_text()
    script = tmp_path / "worker.py"
    script.write_text(re.search(r"```python\n(.*?)```", text, re.S).group(1))
    script.chmod(0o755)
    return script


def test_readme_worker(polite, bots, program):
    bot = bots(polite, pools={"echo": {"handler": f"exec:/usr/bin/python3 '{program}'", "workers": 2,
                                       "events": ["MESSAGE_CREATE"]}}, hang=2)
    bot.start().ready()
    assert "python3" in os.readlink(f"/proc/{bot.worker('echo.0')['pid']}/exe")
    assert bot.worker("echo.0")["role"] == "python3"

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
