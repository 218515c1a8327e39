"""What each kind of model server is sent: the rows of proto/providers.def, by `provider = "NAME"` alone, end to end; and TLS."""

import json
import re
import socket

import pytest

from bot import ROOT
from fakemodel.providers import PROVIDERS
from fakemodel.threaded import FakeModel

COLUMNS = ("name hosts port local auth token_param images named usage echo ids9 ordered forbidden thinkers "
           "thinkers_forbid").split()


def read_rows():
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "proto" / "providers.def").read_text(), flags=re.S)
    for body in re.findall(r"^PROVIDER\((.*?)\)$", text, re.M | re.S):
        words = [w.strip() for w in re.findall(r'\s*("[^"]*"|[^,]+)\s*(?:,|$)', body)]
        assert len(words) == len(COLUMNS), body
        yield {k: w.strip('"').split() if w.startswith('"') else w for k, w in zip(COLUMNS, words)}


ROWS = {row["name"]: row for row in read_rows()}
KINDS = [(name, thinker) for name, row in ROWS.items() for thinker in [None, *row["thinkers"][:1]]]


@pytest.fixture(scope="module")
def model():
    with FakeModel() as server:
        yield server
        assert not server.violations
        assert not server.refused, "every row is one that its provider takes"


@pytest.fixture
def ask(bots, model, tmp_path):
    """The recorded request of one `chat try` by a bot with that provider."""
    def make(provider, name, key=True, more=""):
        bot = bots(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"])
        secret = tmp_path / "key"
        secret.write_text(model.key + "\n")
        url = model.url_of("plain" if provider == "generic" else provider)
        bot.write_conf(bot.conf.read_text() + f'''model "m" {{
  base_url = "{url}"  name = "{name}"  provider = "{provider}"  max_tokens = 50  temperature = 0.5
  {f'api_key_file = "{secret}"' if key else ""}  {'query = "api-version=2024-10-21"' if provider == "azure" else ""}
  {more}
}}
''')
        bot.start().ready()
        n = len(model.requests)
        answer = bot.ctl("chat", "try", "hello")
        assert len(model.requests) == n + 1, "at the first attempt"
        row = model.requests[-1]
        assert answer.strip() == row["answer"].strip() and model.key not in bot.log()
        assert model.key not in bot.ctl("show", "config")
        return row
    return make


def test_the_fake_knows_every_row():
    assert len(ROWS) >= 13 and list(ROWS)[-1] == "generic"
    assert set(ROWS) - {"generic"} == set(PROVIDERS) - {"plain"}


@pytest.mark.parametrize("name,thinker", KINDS)
def test_body(ask, model, name, thinker):
    row = ROWS[name]
    got = ask(name, thinker or model.model)
    body, headers = got["body"], got["headers"]
    never = {*row["forbidden"], *(row["thinkers_forbid"] if thinker else ())}
    limit = row["token_param"].lower()
    want = {"model": thinker or model.model, "stream": True, limit: 50, "temperature": 0.5}
    if row["usage"] == "true":
        want["stream_options"] = {"include_usage": True}
    messages = body.pop("messages")
    assert body == {k: v for k, v in want.items() if k not in never}, "nothing is missing, nothing else is sent"
    assert limit in body and (not thinker or "temperature" not in body or "temperature" not in never)
    assert [m["role"] for m in messages] == ["system", "user"]
    # Plain strings; the speaker's name is never a field.
    assert all(set(m) == {"role", "content"} and isinstance(m["content"], str) for m in messages)
    bearer = {"authorization": f"Bearer {model.key}"}
    keys = {k: v for k, v in headers.items() if k in ("authorization", "api-key")}
    assert keys == ({"api-key": model.key} if row["auth"] == "APIKEY" else bearer)
    assert headers["content-type"] == "application/json" and headers["user-agent"].startswith("Bulkhead/")
    assert not {"expect", "accept-encoding"} & set(headers), "no compression, which would hold words back"
    assert got["query"] == ("api-version=2024-10-21" if name == "azure" else "")


def test_without_a_key_none_is_sent(ask, model):
    got = ask("ollama", model.model, key=False, more='headers = { "HTTP-Referer: https://example.com/", "X-Title: A b" }')
    assert not {"authorization", "api-key"} & set(got["headers"])
    assert (got["headers"]["http-referer"], got["headers"]["x-title"]) == ("https://example.com/", "A b")


# TLS

def tries(bot, text):
    done = bot.ctl_run("-j", "chat", "try", text)
    return json.loads(done.stdout) | {"status": done.returncode}


def with_model(bot, url, key="k"):
    bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{url}" api_key = "{key}" name = "fake-model" }}\n')
    return bot.start().ready()


def test_tls(bots, certificate):
    cert, key = certificate
    with FakeModel(cert=cert, tls_key=key) as server:
        bot = with_model(bots(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"], ca_file=cert), server.url,
                         server.key)
        said = tries(bot, "one")
        assert (said["status"], said["answer"]) == (0, server.requests[-1]["answer"])
        # The end of TCP without TLS's own is no end.
        server.script("broken:no-notify")
        said = tries(bot, "two")
        assert said["status"] == 1 and said["answer"] == server.requests[-1]["sent"]
        assert "broke off" in said["why"] and len(server.requests) == 2
        server.script("broken:rst-after-finish")
        said = tries(bot, "three")
        assert (said["status"], said["answer"]) == (0, server.requests[-1]["answer"])
        assert len({r["conn"] for r in server.requests}) == 2, "what was whole keeps its connection"

        stranger = with_model(bots(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"]), server.url, server.key)
        n = len(server.requests)
        said = tries(stranger, "four")
        assert said["status"] == 1 and "cannot be reached" in said["why"]
        assert stranger.logged("(?i)certificate") and len(server.requests) == n, "the key was not sent"


def test_a_server_that_never_finishes_tls(bots):
    """Its handshake has connect_timeout; three attempts, each on a connection of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bot = with_model(bots(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"], connect_timeout=0.3),
                         f"https://127.0.0.1:{server.getsockname()[1]}/v1")
        said = tries(bot, "hello")
        assert said["status"] == 1 and "cannot be reached" in said["why"]
        server.settimeout(1)
        for _ in range(3):
            conn, _ = server.accept()
            conn.close()
