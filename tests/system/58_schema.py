"""Every document of bulkheadctl -j is what its schema in proto/schema says, on good days and on bad ones."""

import json
import os
import re
import signal

import jsonschema
import pytest

from bot import ROOT, wait_for

SCHEMAS = {p.stem: json.loads(p.read_text()) for p in (ROOT / "proto/schema").glob("*.json")}
TOPICS = ("shards", "pools", "workers", "deliveries", "dead", "sessions", "buckets", "gaps", "counters", "config")


def check(name, document):
    errors = list(jsonschema.Draft202012Validator(SCHEMAS[name]).iter_errors(document))
    assert not errors, (name, [f"{e.json_path}: {e.message}" for e in errors[:4]])
    return document


def all_reads(bot):
    check("status", bot.status())
    for topic in TOPICS:
        check(f"show-{topic}", bot.ask("show", topic))
    for worker in bot.status()["workers"]:
        check("show-worker", bot.ask("show", "worker", worker["name"]))


def failed(bot, *words):
    """What a command that fails prints."""
    done = bot.ctl_run("-j", *words)
    assert done.returncode != 0, words
    return check("done", json.loads(done.stdout))


def test_schemas_are_schemas():
    commands = re.findall(r"^CMD\((\w+),", (ROOT / "proto/ctlcmds.def").read_text(), re.M)
    plain = {"restart", "drain", "resume", "scale", "identify", "log", "trace", "fault"}        # status and why: done.json
    for command in set(commands) - plain - {"show", "dead"}:
        assert command in SCHEMAS, command
    for name, schema in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["title"] and schema["$schema"].endswith("2020-12/schema") and schema.get("required"), name
    with pytest.raises(AssertionError):
        check("status", {"health": "ok"})


def test_good_day(bots, polite):
    bot = bots(polite, pools={"echo": {"workers": 2}, "other": {"events": []}}).start().ready()
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]))
    all_reads(bot)
    check("explain", bot.ask("explain", message["id"]))
    check("call", bot.ask("call", "GET", "/users/@me"))
    check("done", bot.ask("--no-wait", "--wait", "restart", "other"))
    check("done", bot.ask("log", "info"))
    check("presence", bot.ask("presence"))
    check("presence", bot.ask("presence", "dnd", "competing", "x"))
    check("reload", bot.ask("reload"))
    lines = bot.ctl("-j", "--timeout", "3", "monitor").splitlines()
    assert lines and check("monitor", json.loads(lines[0]))
    check("upgrade", bot.ask("upgrade"))
    all_reads(bot.ready())
    check("stop", bot.ask("stop"))


def test_bad_day(bots, polite):
    bot = bots(polite, pools={"echo": {"workers": 2}}, args=["--faults"]).start().ready()
    bot.ctl("fault", "worker.crash", "match=boom,always")
    polite.say(polite.channels[0], "boom")
    letter = wait_for(lambda: bot.ask("show", "dead")["dead"], 30, "a dead letter")[0]["delivery"]
    check("dead-show", bot.ask("dead", "show", letter))
    bot.ctl("drain", "echo.0")
    wait_for(lambda: bot.worker("echo.1")["state"] == "ready", 30, "a process to stop")
    os.kill(bot.worker("echo.1")["pid"], signal.SIGSTOP)
    polite.refuse(-1)
    polite.drop()
    wait_for(lambda: bot.status()["gateway"]["state"].lower() != "ready", 10, "down")
    all_reads(bot)
    for words in (["restart", "nobody"], ["identify"], ["show", "nothing"], ["explain", "1"], ["dead", "show", "1"], ["scale", "echo", "x"]):
        failed(bot, *words)
    bot.write_conf(bot.conf.read_text() + "poisn = 1\n")
    done = bot.ctl_run("-j", "reload")
    assert done.returncode == 1 and check("reload", json.loads(done.stdout))
    all_reads(bot)


def test_without_gateway(bots, polite):
    bot = bots(polite, args=["--no-gateway"]).start().ready()
    all_reads(bot)
    bot.ctl("drain", "echo")
    all_reads(bot)
