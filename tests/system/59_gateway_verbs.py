"""What people and handlers ask of the connection to Discord: presence, another session."""

import itertools
import json

import pytest

from bot import ROOT, CtlError, wait_for
from fakediscord import threaded

DICE = ROOT / "worker" / "examples" / "dice.py"
CHESS = {"status": "idle", "activities": [{"name": "chess with you", "type": 0}], "since": None, "afk": False}


def last(fake):
    return fake.presences[-1]["d"] if fake.presences else None


def test_presence(polite, bots, tmp_path):
    """Told within Discord's limits, told again after each RESUME, sent along with IDENTIFY, kept over a SIGKILL."""
    shows = tmp_path / "shows.py"
    shows.write_text(DICE.read_text().replace(
        '    yield "POST"', '    yield "gateway", "PRESENCE", {"status": "dnd", "activities": [{"name": "dice", "type": 3}]}\n    yield "POST"'))
    shows.chmod(0o755)
    bot = bots(polite, keep=True, pools={"dice": {"handler": f"exec:{shows}", "events": ["MESSAGE_CREATE"]}}).start().ready()
    assert bot.ask("presence") == {"presence": None, "told": True} and "never set" in bot.ctl("presence")
    assert bot.ask("presence", "idle", "playing", "chess", "with", "you") == {"presence": CHESS, "told": True}
    assert polite.wait(lambda: last(polite) == CHESS, 10)
    assert bot.ask("presence", "idle", "playing", "chess with you")["told"] and bot.counters()["presence_told"] == 1, "it is so"
    for words in (["away"], ["online", "x" * 129], ["idle", "playing", "y" * 200]):
        assert bot.ctl_run("presence", *words).returncode == 64, words
    # Nobody can say whether it had arrived when the connection broke.
    polite.drop()
    assert polite.wait(lambda: len(polite.resumes) == 1 and len(polite.presences) == 2 and last(polite) == CHESS, 20)
    # A handler asks for it by CALL, and goes on.
    message = polite.say(polite.channels[0], "!roll 1d1")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
    assert polite.wait(lambda: last(polite)["status"] == "dnd", 10)
    assert bot.ctl("presence").startswith("dnd, watching dice")
    # Five in 20 s; of those that wait the newest counts.
    numbers, waited = itertools.count(), []

    def shed():
        number = next(numbers)
        if not bot.ask("presence", "online", f"number {number}")["told"]:
            waited.append("as soon as its limits" in bot.ctl("presence"))
        return bot.counters()["presence_shed"] and number
    number = wait_for(shed, 60, "one is replaced by the next while it waits")
    assert any(waited)
    # An IDENTIFY brings it along; without --force it is explained.
    with pytest.raises(CtlError) as error:
        bot.ctl("identify")
    assert error.value.status == 64 and "--force" in error.value.text
    connection = polite.connections[-1]
    assert "a new session is live" in bot.ctl("identify", "--force")
    wanted = {"status": "online", "activities": [{"name": "Custom Status", "state": f"number {number}", "type": 4}], "since": None,
              "afk": False}
    assert len(polite.identifies) == 2 and polite.identifies[-1]["d"]["presence"] == wanted
    wait_for(lambda: connection["close_got"] == 1000, 10, "the old session has ended at Discord too")
    assert bot.ask("presence") == {"presence": wanted, "told": True}
    message = polite.say(polite.channels[1], "!roll 1d1")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
    bot.ask("presence", "invisible")
    bot.kill("supervisor")
    wait_for(lambda: len(bot.exits) == 1, 20, "it died")
    bot.ready(30)
    assert bot.ask("presence")["presence"]["status"] == "invisible"
    assert polite.wait(lambda: last(polite)["status"] == "invisible", 30)
    assert not [c for c in polite.connections if c["close_sent"]], "Discord never minded"


def test_budget_and_other_sessions(bots):
    with threaded.Fake(limits=False, polite=True, identify_total=1) as fake:
        bot = bots(fake).start().ready()
        assert bot.ask("show", "shards")["identify"]["left"] == 0
        done = bot.ctl_run("-j", "identify", "--force")
        assert done.returncode == 1 and "spent" in json.loads(done.stdout)["why"]
        assert bot.status()["gateway"]["live"] and len(fake.identifies) == 1
    other = bots(None, token="x" * 30, api_url="http://127.0.0.1:9", args=["--no-gateway"]).start()
    wait_for(other.socket.exists, 20, "it listens")
    for words in (["presence"], ["presence", "idle"], ["identify", "--force"]):
        done = other.ctl_run(*words)
        assert done.returncode == 1 and "--no-gateway" in done.stderr
