"""Completions know every command, and ask the running bot for its names."""

import re
import shutil
import subprocess

import pytest

from bot import ROOT

FILES = ROOT / "scripts/completions"
DICE = ROOT / "worker" / "examples" / "dice.py"
COMMANDS = re.findall(r"^CMD\((\w+),", (ROOT / "proto/ctlcmds.def").read_text(), re.M)


def complete(bot, *words):
    """What bash offers for the last of the words."""
    script = ('source "$1"; shift; PATH=$1:$PATH; shift; COMP_WORDS=(bulkheadctl "$@"); COMP_CWORD=$#; _bulkheadctl; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", FILES / "bulkheadctl", bot.build, *words], capture_output=True,
                          text=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_bash(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}, "dice": {"handler": f"exec:{DICE}", "events": ["MESSAGE_CREATE"]}},
               args=["--no-gateway"]).start().ready()
    assert set(COMMANDS) <= set(complete(bot, "")) and complete(bot, "stat") == ["status"]
    assert {"pools", "workers", "dead", "config"} <= set(complete(bot, "show", ""))
    assert complete(bot, "-j", "show", "cou") == ["counters"] and "--watch" in complete(bot, "status", "--")
    known = re.search(r"gateway(, \w+)+", bot.ctl_run("trace", "drian").stderr).group().split(", ")
    assert set(complete(bot, "trace", "")) == {*known, "none"}
    at = ["-s", str(bot.socket)]
    assert {"echo", "echo.0", "echo.1", "rest.0", "--rolling"} <= set(complete(bot, *at, "restart", ""))
    assert complete(bot, *at, "drain", "echo.1") == ["echo.1"]
    assert set(complete(bot, *at, "show", "worker", "")) == {"echo.0", "echo.1", "dice.0", "rest.0", "rest.1"}
    assert set(complete(bot, *at, "scale", "")) == {"echo", "dice", "rest"}
    # Pools that answer, and what they are asked.
    assert complete(bot, *at, "di") == ["dice"] and complete(bot, *at, "dice", "") == ["roll"]
    assert "echo" not in complete(bot, *at, "") and complete(bot, *at, "echo", "") == []
    assert complete(bot, "-s", "/nowhere", "drain", "e") == [], "nobody answers, nothing is offered"
    assert set(complete(bot, "log", "")) == {"debug", "info", "notice", "warning", "err"}


def test_hostile_verbs(polite, bots, tmp_path):
    """A verb is a handler's text: it is neither run by who presses TAB nor too long for status."""
    dice, mark = tmp_path / "dice.py", tmp_path / "mark"
    verbs = f"""{{v: ("x", roll) for v in ("roll", "$(>{mark})", "`>{mark}`", "a" * 2000000)}}"""
    dice.write_text(re.sub(r"^verbs = .*", lambda _: f"verbs = {verbs}", DICE.read_text(), flags=re.M))
    dice.chmod(0o755)
    bot = bots(polite, pools={"dice": {"handler": f"exec:{dice}", "events": ["MESSAGE_CREATE"]}},
               args=["--no-gateway"]).start().ready()
    at = ["-s", str(bot.socket)]
    assert complete(bot, *at, "dice", "") == ["roll"] and complete(bot, *at, "di") == ["dice"]
    assert not mark.exists(), "TAB has run what a handler wrote"


@pytest.mark.parametrize("shell, name", [("bash", "bulkheadctl"), ("zsh", "_bulkheadctl"), ("fish", "bulkheadctl.fish")])
def test_form(shell, name):
    text = (FILES / name).read_text()
    assert all(re.search(rf"\b{command}\b", text) for command in COMMANDS)
    if shutil.which(shell):
        subprocess.run([shell, "-n", FILES / name], check=True, timeout=60)
