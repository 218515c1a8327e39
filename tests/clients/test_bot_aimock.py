"""Our own bot against a model server that we did not write."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

from bot import Bot, wait_for  # noqa: E402
from nodejs import Aimock  # noqa: E402

TEXT = "It **rains** in 🌧 Turku.\n```\nfor ever\n```"


@pytest.fixture
def mock():
    with Aimock() as server:
        yield server


@pytest.fixture
def bot(mock):
    with_model = Bot(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"])
    with_model.write_conf(with_model.conf.read_text() + f'''model "m" {{
  base_url = "{mock.url}"  api_key = "{mock.key}"  name = "gpt-4o"  provider = "openai"  max_tokens = 900
}}
''')
    with with_model as running:
        yield running.ready()


def test_it_talks(bot, mock):
    mock.on("weather", TEXT)
    assert bot.ctl("chat", "try", "what weather?") == TEXT + "\n"
    sent = mock.requests[-1]
    assert sent["path"] == "/v1/chat/completions" and sent["body"]["stream"] is True
    assert sent["body"]["messages"][-1] == {"role": "user", "content": "what weather?"}
    assert sent["body"]["stream_options"] == {"include_usage": True} and sent["body"]["model"] == "gpt-4o"
    # Answers that are never the same: none is kept from before.
    first, second = (bot.ctl("chat", "try", "anything") for _ in range(2))
    assert first.startswith("Mock answer 1 ") and second.startswith("Mock answer 2 ")
    # As a stream: the log has the figures that only its last chunk brings.
    wait_for(lambda: bot.logged(r"ask#\d+ OK: .*attempts=1 prompt=[1-9]\d* completion=[1-9]"), 10, "the usage")
    # A failure that passes is asked again; one that does not becomes a sentence.
    n = len(mock.requests)
    mock.fail(503, "overloaded")
    assert bot.ctl("chat", "try", "anything").startswith("Mock answer ") and len(mock.requests) == n + 2
    mock.fail(401, f"bad key {mock.key}-0123456789")
    refused = bot.ctl_run("-j", "chat", "try", "anything")
    assert refused.returncode == 1 and "API key" in json.loads(refused.stdout)["why"]
    # Slow, and longer than any buffer between.
    mock.on("slow", "word " * 3000, tps=20000, chunk=5)
    assert bot.ctl("chat", "try", "slow") == "word " * 3000 + "\n"
