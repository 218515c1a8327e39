"""The file is read again while everything runs: what changed is touched, the rest is not, a mistake changes nothing."""

import json
import os
import signal
import subprocess
import time

import pytest

from bot import CtlError, wait_for
from fakediscord import threaded
from fakemodel.threaded import FakeModel


def pids(bot, pool=""):
    return {w["name"]: w["pid"] for w in bot.status()["workers"] if w["name"].startswith(pool)}


def reload(bot, status=0):
    """The answer of bulkheadctl reload."""
    done = bot.ctl_run("-j", "reload")
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def fates(answer):
    return {(c["title"] + "." if c["title"] else "") + (c["name"] or c["change"]): c["fate"] for c in answer["changes"]}


def done(answer):
    return {(j["pool"], j["what"]) for j in answer["pools"] if j["ok"]}


def pong(fake, channel=0):
    message = fake.say(fake.channels[channel], "!ping")
    assert fake.wait(lambda: fake.replies_to(message["id"]), 20), "an answer"
    return message


def option(bot, name):
    return next(o["value"] for o in bot.ask("show", "config")["options"] if o["name"] == name)


def test_live_options_and_nothing(polite, bots):
    """At once, without a worker noticing: hang is one that decides about life and death."""
    bot = bots(polite, hang=600, env={"BULKHEAD_FAULTS": "worker.spin=slot=echo.0,match=!spin"})
    bot.start().ready()
    before = pids(bot)
    assert reload(bot)["result"] == "unchanged"
    bot.configure({"echo": {}}, hang=1, drain=7.5, hello_timeout=9, poison=1)
    answer = reload(bot)
    assert answer["result"] == "done" and not answer["pools"]
    assert set(fates(answer).values()) == {"in force"} and len(answer["changes"]) == 4
    assert pids(bot) == before and option(bot, "drain") == 7.5
    assert reload(bot)["result"] == "unchanged"
    polite.say(polite.channels[0], "!spin")
    wait_for(lambda: bot.logged("echo.0#1 is hung"), 10, "the new hang counts for a worker that was there")
    wait_for(lambda: bot.status()["deliveries"]["aside"] == 1, 10, "and the new poison: one death is enough")
    assert not polite.resumes and len(polite.identifies) == 1


def test_pools_follow(polite, bots):
    """Scaled, added, told something else, removed; nobody else is touched, nothing is lost."""
    bot = bots(polite, pools={"echo": {}, "calm": {"events": ["MESSAGE_DELETE"]}})
    bot.start().ready()
    rest, calm = pids(bot, "rest"), pids(bot, "calm")
    bot.configure({"echo": {"workers": 3}, "calm": {"events": ["MESSAGE_DELETE"]},
                   "late": {"events": ["MESSAGE_DELETE"], "workers": 2}})
    answer = reload(bot)
    assert done(answer) == {("echo", "scaled"), ("late", "started")}, answer
    assert fates(answer) == {"echo.workers": "in force", "late.added": ""}
    assert set(pids(bot, "echo")) == {"echo.0", "echo.1", "echo.2"} and len(pids(bot, "late")) == 2
    assert pids(bot, "rest") == rest and pids(bot, "calm") == calm
    bot.ready()
    # The new pool gets what it wants, and the old one still does.
    doomed = polite.say(polite.channels[3], "to be deleted")
    polite.delete(polite.channels[3], doomed["id"])
    wait_for(lambda: bot.status()["deliveries"]["finished"] >= 3, 10, "message and both deletes are finished")
    pong(polite)
    # ROLL: the workers of this pool alone are replaced.
    echo = pids(bot, "echo")
    bot.configure({"echo": {"workers": 3, "credit": 9}, "calm": {"events": ["MESSAGE_DELETE"]},
                   "late": {"events": ["MESSAGE_DELETE"], "workers": 2}})
    answer = reload(bot)
    assert done(answer) == {("echo", "workers replaced")} and fates(answer) == {"echo.credit": "with new workers"}
    assert not set(pids(bot, "echo").values()) & set(echo.values())
    assert all(w["credit"] == 9 for w in bot.status()["workers"] if w["pool"] == "echo")
    assert pids(bot, "rest") == rest and pids(bot, "calm") == calm
    # The level acts at once, and on nobody's life; connect_timeout is told to the rest workers.
    bot.configure({"echo": {"workers": 1, "credit": 9}}, log_level="debug", connect_timeout=9)
    answer = reload(bot)
    assert fates(answer).items() >= {"log_level": "in force", "connect_timeout": "with new workers"}.items()
    assert {("calm", "removed"), ("late", "removed"), ("echo", "scaled"), ("rest", "workers replaced")} <= done(answer)
    assert set(pids(bot)) == {"rest.0", "rest.1", "echo.0"}
    assert not set(pids(bot, "rest").values()) & set(rest.values())
    pong(polite)
    assert not polite.resumes and len(polite.identifies) == 1


def test_removed_pool_finishes_and_sets_aside(polite, bots):
    """What a worker of the removed pool is at is finished; what still waits for it is set aside by name."""
    polite.slow(n=1, delay_s=4, method="POST")
    bot = bots(polite, pools={"echo": {"credit": 1}, "other": {"events": ["MESSAGE_DELETE"]}})
    bot.start().ready()
    first = polite.say(polite.channels[0], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it has it")
    polite.say(polite.channels[1], "!ping")
    wait_for(lambda: bot.status()["deliveries"]["waiting"] == 1, 10, "one waits")
    bot.configure({"other": {"events": ["MESSAGE_DELETE"]}})
    assert done(reload(bot)) == {("echo", "removed")}
    assert polite.wait(lambda: polite.replies_to(first["id"]), 5), "finished"
    aside = bot.ask("show", "deliveries")["aside"]
    assert len(aside) == 1 and aside[0]["pool"] == "echo" and "taken out of the configuration" in aside[0]["report"]
    assert set(pids(bot)) == {"rest.0", "rest.1", "other.0"}
    # Events for nobody are nobody's; and the pool may come back.
    polite.say(polite.channels[2], "!ping")
    bot.configure({"echo": {}, "other": {"events": ["MESSAGE_DELETE"]}})
    assert done(reload(bot)) == {("echo", "started")}
    pong(polite, 4)


def test_model_and_secret(polite, bots):
    """A key in the environment is known to a reload, and is in no log; only pools that chat are told of a model."""
    with FakeModel() as model:
        def conf(prompt, stop="stop"):
            bot.configure({"chat": {"handler": "chat"}, "echo": {}})
            bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{model.url}" api_key = "${{KEY}}" '
                           f'name = "{model.model}" }}\nchat {{ system_prompt = "{prompt}" stop_words = {{ "{stop}" }} }}\n')
        bot = bots(polite, env={"KEY": model.key})
        conf("You are one.")
        bot.start().ready()
        assert reload(bot)["result"] == "unchanged", "the variable is gone from the environment, and known"
        echo, rest = pids(bot, "echo"), pids(bot, "rest")
        conf("You are two.", "halt")
        answer = reload(bot)
        assert done(answer) == {("chat", "workers replaced")}
        assert pids(bot, "echo") == echo and pids(bot, "rest") == rest
        model.script(text="Yes.")
        message = polite.say(polite.channels[0], f"<@{polite.bot_id}> are you?")
        assert polite.wait(lambda: polite.replies_to(message["id"]), 20)
        assert model.requests[-1]["body"]["messages"][0]["content"].startswith("You are two.")
        assert model.key not in bot.log() and model.key not in str(answer)


@pytest.mark.parametrize("how", ["ctl", "SIGHUP"])
def test_a_mistake_changes_nothing(polite, bots, how):
    bot = bots(polite)
    bot.start().ready()
    before, config = pids(bot), bot.ask("show", "config")
    good = bot.conf.read_text()
    bot.write_conf(good + "drian = 5\nhang = 3\npool \"x\" { handler = \"echo\" worker = 2 }\n")
    lines = good.count("\n")
    if how == "ctl":
        with pytest.raises(CtlError) as failed:
            bot.ctl("reload")
        assert failed.value.status == 1
        assert f"bulkhead.conf:{lines + 1}: unknown option \"drian\"; did you mean \"drain\"?" in failed.value.text
        assert f"bulkhead.conf:{lines + 3}: unknown option \"worker\"" in failed.value.text
    else:
        os.kill(bot.pid, signal.SIGHUP)
    wait_for(lambda: bot.logged(rf"reload: .*conf:{lines + 1}: unknown option \"drian\""), 10, "the log says it")
    status = bot.status()
    assert bot.ask("show", "config") == config and pids(bot) == before
    assert status["config"]["reload"] == "refused" and status["config"]["differs_since"]
    assert status["health"] == "degraded" and any("drian" in why for why in status["why"])
    assert "file differs" in bot.ctl("status")
    bot.write_conf(good)
    os.kill(bot.pid, signal.SIGHUP)
    wait_for(lambda: bot.status()["config"]["reload"] == "unchanged", 10, "mended")
    status = bot.status()
    assert status["health"] == "ok" and status["config"]["differs_since"] is None
    pong(polite)


def test_what_needs_a_start_is_named(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    before = pids(bot)
    bot.configure({"echo": {}}, compress="none", drain=3)
    answer = reload(bot)
    assert fates(answer) == {"compress": "needs 'bulkheadctl upgrade'", "drain": "in force"}
    assert option(bot, "compress") == "zlib", "show config says what runs"
    status = bot.status()
    assert status["config"]["differs_since"] and status["config"]["hash"] != status["config"]["file_hash"]
    assert pids(bot) == before
    bot.ctl("upgrade")
    bot.ready()
    assert option(bot, "compress") == "none" and bot.status()["config"]["differs_since"] is None


def test_other_intents_are_named(polite, bots):
    """Discord gives intents to a new session only: reload, status and log say so until there is one."""
    bot = bots(polite)
    bot.start().ready()
    pools = {"echo": {}, "typing": {"events": ["TYPING_START"]}}
    bot.configure(pools)
    assert "need other intents" in reload(bot)["why"]
    assert "need other intents" not in reload(bot)["why"], "said once"
    status = bot.status()
    assert status["health"] == "degraded" and any("other intents" in why for why in status["why"])
    bot.ctl("upgrade")
    bot.ready()
    wait_for(lambda: bot.status()["health"] == "ok", 20, "a session with them")


def test_one_at_a_time_and_never_blocked(polite, bots):
    """The file is a pipe that nobody writes to: the reader waits and is ended, the supervisor does neither."""
    bot = bots(polite)
    bot.start().ready()
    text = bot.conf.read_text()
    bot.conf.unlink()
    os.mkfifo(bot.conf, 0o600)
    os.kill(bot.pid, signal.SIGHUP)
    wait_for(lambda: bot.status()["config"]["reloading"], 10, "under way")
    done_ = bot.ctl_run("reload")
    assert done_.returncode == 1 and "under way already" in done_.stderr
    done_ = bot.ctl_run("upgrade")
    assert done_.returncode == 1 and "a reload is under way" in done_.stderr
    pong(polite)
    wait_for(lambda: not bot.status()["config"]["reloading"], 15, "given up")
    assert "no answer within 10 s" in bot.status()["config"]["reload_why"]
    bot.conf.unlink()
    bot.write_conf(text)
    assert reload(bot)["result"] == "unchanged"


@pytest.mark.alone       # heartbeat jitter is asserted
def test_a_frozen_disk(bots, watched):
    """The file's disk does not answer: reader, reload and who asked for it wait; heartbeats and answers do not."""
    with threaded.Fake(polite=True, heartbeat_ms=250, limits=False) as fake:
        bot = bots(fake, args=["--faults"])
        machine = watched(bot.start())
        bot.ready()
        bot.configure({"echo": {"workers": 2}})
        bot.ctl("fault", "config.freeze", "arg=2000,match=bulkhead.conf")
        began, beats = time.monotonic(), bot.status()["gateway"]["beats"]
        asked = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, "reload"], stdout=subprocess.PIPE)
        while asked.poll() is None:
            pong(fake)
        assert asked.returncode == 0 and b"echo" in asked.stdout.read()
        assert time.monotonic() - began >= 2, "the fault struck"
        assert bot.status()["gateway"]["beats"] >= beats + 5 and len(pids(bot, "echo")) == 2
        machine.kept_time(bot)


def test_a_pool_that_does_not_follow_is_named(polite, bots):
    """The new workers never get READY: the old ones stay, and the next reload tries again."""
    bot = bots(polite, start_deadline=4, args=["--faults"])
    bot.start().ready()
    before = pids(bot, "echo")
    bot.ctl("fault", "worker.no_ready", "always")
    bot.configure({"echo": {"credit": 5}}, start_deadline=4)
    answer = reload(bot, status=1)
    assert answer["result"] == "partly" and "echo" in answer["why"]
    assert pids(bot, "echo") == before
    pong(polite)
    bot.ctl("fault", "worker.no_ready", "")
    answer = reload(bot)
    assert done(answer) == {("echo", "workers replaced")}, "it is not forgotten"
    assert bot.worker("echo.0")["pid"] != before["echo.0"]
