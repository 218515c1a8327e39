"""Every verb, as a person and as a script uses it."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from bot import CtlError, wait_for


@pytest.fixture
def bot(polite, bots):
    one = bots(polite, pools={"echo": {"workers": 2}}, args=["--faults"])
    return one.start().ready()


def test_status_is_one_screen(bot):
    text = bot.ctl("status")
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100, text
    for word in ("ok", "echo.0", "echo.1", "rest.0", "ready"):
        assert word in text
    status = bot.status()
    assert status["health"] == "ok" and status["pid"] == bot.pid
    assert {w["name"] for w in status["workers"]} == {"echo.0", "echo.1", "rest.0", "rest.1"}
    assert sum(bool(w["active"]) for w in status["workers"]) == 1
    assert status["gateway"]["latency_us"] is not None


def test_root_is_noted(bots, polite):
    """Who runs as root reads so below each status; nothing is wrong with the bot for that."""
    root = os.geteuid() == 0
    bot = bots(polite).start().ready()
    assert bot.status()["health"] == "ok" and len(bot.status()["notes"]) == int(root)
    assert ("\n\n  runs as root: " in bot.ctl("status")) == root


def test_shows(bot, polite):
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]))
    wait_for(lambda: bot.counters()["deliveries_acked"] >= 1, 10, "acked")
    wait_for(lambda: bot.worker("echo.0")["timers"]["fired"] and bot.status()["timers"]["fired"], 10, "timers are timed")
    assert re.search(r"^late +[0-9.]+ ms p50, [0-9.]+ ms p99, [0-9.]+ ms at most, of \d+ timers$",
                     bot.ctl("show", "worker", "echo.0"), re.M)
    for words in (["workers"], ["worker", "echo.0"], ["deliveries"], ["sessions"], ["counters"], ["gaps"], ["config"]):
        assert bot.ctl("show", *words).strip(), words
        assert bot.ask("show", *words) is not None
    used = next(b for b in bot.ask("show", "buckets")["buckets"] if b["route"] == f"POST /channels/{polite.channels[0]}/messages")
    assert used["in_flight"] == 0 and (used["unlimited"] or used["limit"] >= used["remaining"])
    text = bot.ctl("show", "buckets")
    assert used["route"] in text and re.search(r"^requests \d+ of \d+ in the last second   waiting 0", text)
    (shard,) = bot.ask("show", "shards")["shards"]
    assert shard["live"] and shard["identifies"] == 1 and shard["seq"] > 0
    text = bot.ctl("show", "shards")
    assert re.search(r"^0 of 1 +READY", text, re.M) and re.search(r"^IDENTIFYs left today: \d+", text, re.M)
    assert max(map(len, (text + bot.ctl("show", "buckets")).splitlines())) <= 100
    assert "echo" in bot.ctl("show", "config") and "(set)" in bot.ctl("show", "config")
    assert re.fullmatch(r"no gaps\nchannels whose last message is known, .*: \d+\n", bot.ctl("show", "gaps"))
    row = bot.ask("explain", message["id"])["deliveries"][0]
    assert row["state"] == "finished" and row["attempts"] == 1
    assert row["effects"][0]["status"] == 200
    assert row["effects"][0]["id"] == polite.replies_to(message["id"])[0]["id"]
    assert "pong" not in bot.ctl("explain", message["id"])


def test_restart_waits_and_changes_only_that(bot):
    before = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    bot.ctl("restart", "echo.1")
    after = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    assert {n for n in before if before[n] != after[n]} == {"echo.1"}
    assert bot.worker("echo.1")["state"] == "ready", "it waited"
    bot.ctl("restart", "rest")
    final = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    assert {n for n in after if after[n] != final[n]} == {"rest.0", "rest.1"}
    assert sum(bool(w["active"]) for w in bot.status()["workers"]) == 1


def test_call(bot, polite):
    me = bot.ask("call", "GET", "/users/@me")
    assert me["status"] == 200 and me["body"]["id"] == polite.bot_id
    made = bot.ask("call", "POST", f"/channels/{polite.channels[3]}/messages", json.dumps({"content": "by hand"}))
    assert made["status"] == 200 and polite.answers(polite.channels[3])[0]["content"] == "by hand"
    with pytest.raises(CtlError) as error:
        bot.ctl("call", "GET", "/channels/1")
    assert error.value.status == 1 and "10003" in error.value.text
    for words in (["GET", "users/@me"], ["FETCH", "/users/@me"], ["GET", "/a\nb"]):
        with pytest.raises(CtlError):
            bot.ctl("call", *words)


def test_call_while_the_gateway_is_down(bot, polite):
    polite.refuse(-1)
    polite.drop()
    wait_for(lambda: bot.status()["gateway"]["state"].lower() != "ready", 10, "down")
    assert bot.ask("call", "GET", "/users/@me")["status"] == 200
    assert bot.status()["health"] != "ok"


def test_no_gateway(polite, bots):
    bot = bots(polite, args=["--no-gateway"])
    bot.start().ready()
    assert bot.status()["gateway"] is None
    assert bot.ask("call", "GET", "/gateway/bot")["body"]["shards"] == 1
    assert not polite.connections


def test_log_level(bot):
    bot.ctl("log", "debug")
    assert "from debug on" in bot.ctl("log")
    bot.ctl("log", "warning")
    with pytest.raises(CtlError) as error:
        bot.ctl("log", "loud")
    assert error.value.status in (1, 64)


def test_faults_only_when_allowed(bot, polite, bots):
    bot.ctl("fault", "worker.crash", "match=boom,for=1")
    pid = {w["pid"] for w in bot.status()["workers"]}
    polite.say(polite.channels[0], "boom")
    wait_for(lambda: {w["pid"] for w in bot.status()["workers"]} != pid, 10, "it crashed")
    with pytest.raises(CtlError):
        bot.ctl("fault", "no.such", "always")
    other = bots(polite, args=["--no-gateway"])
    other.start().ready()
    with pytest.raises(CtlError) as error:
        other.ctl("fault", "worker.crash", "always")
    assert "--faults" in error.value.text


@pytest.mark.parametrize("words, status", [
    (["statsu"], 64), (["show"], 64), (["show", "nothing"], 64), (["restart"], 64), (["restart", "nobody"], 66),
    (["show", "worker", "echo.9"], 66), (["explain", "12345"], 66), (["explain", "words"], 64), (["call", "GET"], 64),
])
def test_wrong_words(bot, words, status):
    done = bot.ctl_run(*words)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    if words == ["statsu"]:
        assert "status" in done.stderr


def test_nobody_there(bots):
    bot = bots(None)
    done = bot.ctl_run("status")
    assert done.returncode == 69 and str(bot.socket) in done.stderr


def test_strangers_are_refused(bot):
    """Another user may not even connect; one of our group may read and not change."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    bot.dir.chmod(0o755)
    bot.socket.parent.chmod(0o755)
    bot.socket.chmod(0o666)
    # A copy that they can reach: the build tree may be private.
    command = [shutil.copy(bot.build / "bulkheadctl", bot.dir), "-s", str(bot.socket)]
    as_reader = dict(user=65534, group=os.getegid(), extra_groups=[])
    as_stranger = dict(user=65534, group=65534, extra_groups=[])
    run = dict(capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert subprocess.run([*command, "status"], **as_reader, **run).returncode == 0
    assert subprocess.run([*command, "stop"], **as_reader, **run).returncode == 77
    assert subprocess.run([*command, "status"], **as_stranger, **run).returncode == 77


def test_names_that_do_not_exist(bot):
    """Who mistypes a name reads the names that the verb takes."""
    for words, names in ((["restart", "ecko"], r"pool or worker .*: rest echo rest\.0 rest\.1 echo\.0"),
                         (["drain", "echo.7"], r"pool or worker .*: rest echo rest\.0"),
                         (["scale", "echo.0", "2"], r"no pool is named 'echo\.0'; there are: rest echo$"),
                         (["show", "worker", "echo"], r"no worker is named 'echo'; there are: rest\.0 rest\.1 echo\.0")):
        done = bot.ctl_run(*words)
        assert done.returncode == 66 and re.search(names, done.stderr), done.stderr


def test_a_stopped_supervisor_is_named(bot):
    os.kill(bot.pid, signal.SIGSTOP)
    try:
        done = bot.ctl_run("--timeout", "1", "status")
    finally:
        os.kill(bot.pid, signal.SIGCONT)
    assert done.returncode == 75 and "no answer within 1 s: the supervisor is stopped or very busy" in done.stderr
    bot.ready()


def test_a_shown_configuration_is_one(polite, bots):
    """What `show config` prints for people can be written into a file: only the secret has to be put in."""
    bot = bots(polite, pools={"echo": {}, "chat": {"handler": "chat"}})
    bot.write_conf(bot.conf.read_text() + 'model "m" { base_url = "http://127.0.0.1:9/v1" name = "n" sees = true }\n'
                   'chat { max_messages = 7 }\n')
    bot.start().ready()
    text = bot.ctl("show", "config")
    assert re.search(r'^model "m" \{\n(  .*\n)*  sees += true  .*\n(  .*\n)*\}\n', text, re.M), text
    assert re.search(r'^chat \{\n(  .*\n)*  max_messages += 7  .*\n(  .*\n)*\}\n', text, re.M), text
    lines = bot.conf.read_text().splitlines()
    for name, value in (("token", "\\(set\\)"), ("sees", "true"), ("max_messages", "7"), ("handler", '"chat"')):
        said = re.search(rf"^ *{name} += {value}  # (\S+):(\d+)$", text, re.M)
        assert said and said[1] == str(bot.conf) and name in lines[int(said[2]) - 1], (name, text)
    assert re.search(r"^drain += 20  # default$", text, re.M), text
    was = 'journal = "4M"'
    bot.write_conf(bot.conf.read_text().replace(was, 'drain = 20\njournal = "8M"'))
    bot.ctl("reload")
    drain, journal = (next(o for o in bot.ask("show", "config")["options"] if o["name"] == n) for n in ("drain", "journal"))
    assert drain["origin"] == f"{bot.conf}:{lines.index(was) + 1}" and drain["default"] and not drain["former"]
    assert journal["former"] and journal["value"] == 4 << 20
    after = bot.ctl("show", "config")
    assert re.search(r"^drain .*:\d+, as by default$", after, re.M) and re.search(r"^journal .*; another by now", after, re.M)
    again = bot.dir / "again.conf"
    again.touch(mode=0o600)
    again.write_text(text.replace("(set)", '"secret"', 1).replace("= (not set)", '= "x"'))
    done = subprocess.run([bot.build / "bulkheadd", "-n", "-c", again], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
