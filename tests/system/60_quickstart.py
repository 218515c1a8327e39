"""scripts/quickstart as a person uses it: through a terminal, and once without one."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pexpect
import pytest

from bot import ROOT, alive, build_dir, wait_for
from fakemodel.threaded import FakeModel

QUICKSTART = [str(ROOT / "scripts" / "quickstart"), "--no-install"]


def environment():
    return dict(os.environ, BULKHEAD_BUILD=str(build_dir()), TERM="dumb")


def test_once():
    done = subprocess.run([*QUICKSTART, "--once", "!ping"], capture_output=True, text=True, timeout=300, check=False,
                          stdin=subprocess.DEVNULL, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bot> pong" in done.stdout and "echo.0" in done.stdout and "drained" in done.stdout


def test_once_without_an_answer(monkeypatch):
    env = environment() | {"BULKHEAD_ANSWER_S": "1"}
    done = subprocess.run([*QUICKSTART, "--once", "!good morning"], capture_output=True, text=True, timeout=300,
                          check=False, stdin=subprocess.DEVNULL, env=env)
    assert done.returncode == 1 and "no whole answer" in done.stderr


def test_once_with_a_model():
    done = subprocess.run([*QUICKSTART, "--once", "who are you?"], capture_output=True, text=True, timeout=300,
                          check=False, stdin=subprocess.DEVNULL, env=environment() | {"BULKHEAD_ANSWER_S": "180"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"bot> \w+", done.stdout) and "chat.0" in done.stdout


def test_a_model_of_ones_own():
    """--model, --name and --key-env: what the README says of a real server, said to one that is not ours."""
    with FakeModel() as model:
        env = environment() | {"BULKHEAD_ANSWER_S": "180", "MY_KEY": model.key}
        done = subprocess.run([*QUICKSTART, "--model", model.url, "--name", model.model, "--key-env", "MY_KEY",
                               "--once", "who are you?"], capture_output=True, text=True, timeout=300, check=False,
                              stdin=subprocess.DEVNULL, env=env)
        assert done.returncode == 0 and re.search(r"bot> \w+", done.stdout), done.stdout + done.stderr
        assert len(model.requests) == 1 and model.key not in done.stdout + done.stderr
    done = subprocess.run([*QUICKSTART, "--model", "http://127.0.0.1:9/v1"], capture_output=True, text=True, timeout=180,
                          check=False, stdin=subprocess.DEVNULL, env=environment())
    assert done.returncode == 2 and "--model and --name go together" in done.stderr


def test_conversation():
    child = pexpect.spawn(QUICKSTART[0], QUICKSTART[1:], env=environment(), encoding="utf-8", timeout=180,
                          dimensions=(40, 120))
    try:
        child.expect("up in ([0-9.]+) s")
        child.expect("you> ")
        child.sendline("!ping")
        child.expect("bot> pong")
        child.sendline("/help")
        child.expect("/kill NAME")
        child.sendline("/status")
        child.expect(r"echo\.0")
        child.sendline("/kill echo.0")
        child.expect(r"killed echo\.0 \(pid (\d+)\)")
        killed = int(child.match.group(1))
        child.sendline("!ping")
        child.expect("bot> pong")
        child.sendline("/restart echo")
        child.expect("echo")
        child.sendline("/kill supervisor")
        child.expect(r"killed supervisor \(pid (\d+)\)")
        child.sendline("!ping")
        child.expect("bot> pong")
        child.sendline("hello model")
        child.expect("bot> [A-Za-z]")
        child.sendline("/kill nobody")
        child.expect("no such worker")
        child.sendline("/nonsense")
        child.expect("no such command")
        child.sendintr()
        child.expect("stopped, drained")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert not alive(killed)
    finally:
        child.close(force=True)


def test_help():
    done = subprocess.run([QUICKSTART[0], "--help"], capture_output=True, text=True, check=True)
    assert re.search(r"--once", done.stdout)


@pytest.fixture
def place(monkeypatch):
    """Where a playground keeps its bot: what runs there is its own, whatever else runs on the machine."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-", dir="/dev/shm", ignore_cleanup_errors=True) as path:
        monkeypatch.setenv("BULKHEAD_DIR", path)
        yield path


def supervisors(place):
    """Pids of the bots that run there."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if entry.name.isdigit() and words[0].endswith(b"/bulkheadd") and any(place.encode() in w for w in words):
            found.add(int(entry.name))
    return found


def test_reader_that_goes_away(place):
    """quickstart | head: what it started ends all the same."""
    child = subprocess.Popen([*QUICKSTART, "--once", "!ping"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=environment())
    child.stdout.close()
    said = child.stderr.read().decode()
    assert child.wait(180) != 0 and "Traceback" not in said, said
    child.stderr.close()
    wait_for(lambda: not supervisors(place), 20, "the bot is stopped")


@pytest.mark.parametrize("end", ["closed terminal", "kill -9"])
def test_nothing_goes_on_unseen(end, place):
    child = pexpect.spawn(QUICKSTART[0], QUICKSTART[1:], env=environment(), encoding="utf-8", timeout=180)
    child.expect("you> ")
    assert supervisors(place)
    if end == "kill -9":
        os.kill(child.pid, signal.SIGKILL)
    else:
        with contextlib.suppress(pexpect.ExceptionPexpect):     # which waits a tenth of a second for the end
            child.close(force=False)    # the terminal is gone: SIGHUP
    wait_for(lambda: not supervisors(place), 20, "the bot is stopped")
    child.close(force=True)
