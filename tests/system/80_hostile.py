"""A handler that attacks whatever it can reach gets nothing and harms nobody; no secret is in anything that is written."""

import ctypes
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import pytest

from bot import ROOT, alive, build_dir, wait_for
from fakediscord import threaded
from fakemodel.threaded import FakeModel

TOKEN = "hostile.target.token-0123456789"
KEY = "hostile-target-key-0123456789"
NOBODY = 65534
REFUSED = ("EACCES", "EPERM", "ENOENT")     # the last: /proc hides it (hidepid)
LANDLOCK = max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))      # the kernel's version


@pytest.fixture
def secretive():
    with threaded.Fake(limits=False, polite=True, token=TOKEN) as server:
        yield server


@pytest.fixture
def place():
    """A directory that every user may use, with the hostile program in it."""
    at = pathlib.Path(tempfile.mkdtemp(prefix="hostile-", dir="/tmp"))
    at.chmod(0o755)
    for name in ("report", "open"):
        (at / name).mkdir()
        (at / name).chmod(0o777)
    shutil.copy(ROOT / "tests" / "system" / "hostile.py", at / "hostile.py")
    yield at
    shutil.rmtree(at, ignore_errors=True)


def in_files(secret, *paths):
    return [str(p) for p in paths if p.exists() and secret.encode() in p.read_bytes()]


def in_processes(secret, bot):
    """Environment and command line of every process of its tree, as root sees them."""
    found = []
    for pid in [bot.pid, *[w["pid"] for w in bot.status()["workers"] if w["pid"]]]:
        for name in ("environ", "cmdline"):
            try:
                if secret.encode() in pathlib.Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append((pid, name))
            except PermissionError:
                pass
    return found


def in_answers(secret, bot):
    asked = [["status"], ["show", "config"], ["show", "counters"], ["show", "pools"], ["show", "deliveries"]]
    asked += [["show", "worker", w["name"]] for w in bot.status()["workers"]]
    return [words for words in asked for flag in ([], ["-j"]) if secret in bot.ctl_run(*flag, *words).stdout]


@pytest.mark.parametrize("user", ["as it is", "nobody"])
def test_hostile(secretive, bots, place, user):
    root = os.geteuid() == 0
    if root and user == "as it is" and LANDLOCK < 2:
        pytest.skip("root may read all memory on a kernel without Landlock")
    if user == "nobody" and not (root and subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "test", "-x", build_dir() / "bulkheadd"], check=False).returncode == 0):
        pytest.skip("root alone can become nobody, and nobody has to reach the programs")
    report = place / "report" / "r"
    bot = bots(secretive, pools={"echo": {"handler": "echo"}}, args=["--trace", "all"])
    token_file = bot.dir / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    paths = {"conf": bot.conf, "token": token_file, "journal": bot.dir / "run" / "journal", "lock": bot.dir / "run" / "lock",
             "socket": bot.socket, "ctl": bot.build / "bulkheadctl", "open": place / "open"}
    bot.configure({"echo": {"handler": "echo"},
                   "hostile": {"handler": f"exec:{place}/hostile.py {report} " + " ".join(f"{k}={v}" for k, v in paths.items()),
                               "events": ["MESSAGE_CREATE"]}},
                  token=None, token_file=token_file, log_level="debug", hang=60)
    if user == "nobody":
        bot.wrapper = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        for path in (bot.dir, bot.conf, token_file):
            os.chown(path, NOBODY, NOBODY)
    bot.start().ready()
    hostile, channel = bot.worker("hostile.0")["pid"], secretive.channels[1]
    born = []

    def attempt(what, timeout=60):
        secretive.say(channel, f"!hostile {what}")
        out = report.with_name(f"r.{what.split()[0]}")
        # Others are answered while it does its worst.
        ping = secretive.say(secretive.channels[0], "!ping")
        assert secretive.wait(lambda: secretive.replies_to(ping["id"]), 15), f"echo answers during {what}"
        if what == "garbage":
            return None
        wait_for(out.exists, timeout, f"{what} is over")
        got = json.loads(out.read_text())
        assert "failed" not in got, got
        return got

    # What is in force is shown.
    shown = wait_for(lambda: bot.ask("show", "worker", "hostile.0").get("confined"), 10, "it was looked at")
    assert shown["no_new_privs"] and shown["seccomp"] and shown["uid"] == (NOBODY if user == "nobody" else os.geteuid())
    assert shown["landlock"] == (LANDLOCK if LANDLOCK >= 2 else 0)
    assert "confined    no_new_privs, seccomp" in bot.ctl("show", "worker", "hostile.0")

    # It need not even look for its relatives.
    got = attempt("look " + " ".join(f"{w['name']}={w['pid']}" for w in bot.status()["workers"] if w["pool"] != "hostile"))
    assert got["started"]["fds"] == [0, 1, 2, 3, 4]
    assert set(got["started"]["environ"]) <= {"PATH", "LANG", "TZ", "LC_CTYPE", "BULKHEAD_FAULTS", "ASAN_OPTIONS", "LSAN_OPTIONS",
                                              "UBSAN_OPTIONS"}
    assert set(got["processes"]) == {"supervisor", "rest.0", "rest.1", "echo.0"}
    for name, found in got["processes"].items():
        secret_holder = name.startswith(("rest", "supervisor"))
        for what in ("environ", "memory", "descriptors"):
            assert found[what] in REFUSED or (LANDLOCK < 2 and not secret_holder), (name, what, found)
        assert found["ptrace"] == found["vm_read"] == "EPERM", (name, found)
        assert found["signal"] == "EPERM" or LANDLOCK < 6, (name, found)
    if LANDLOCK >= 2:
        assert set(got["files"].values()) <= {"EACCES", "ENXIO"}, got["files"]
        assert all(got["made"][k] == "EACCES" for k in got["made"] if k != "elsewhere"), got["made"]
    assert got["made"]["elsewhere"].startswith("GOT")
    assert got["mount"] == got["typing"] == "EPERM" and got["regained"] in ("EPERM", "root")
    for how in ("itself", "grandchild", "orphan"):
        assert got["control"][how].startswith("77 "), got["control"]
    assert "worker may not" in got["control"]["dead"] or "has ended" in got["control"]["dead"], got["control"]

    assert attempt("exhaust")["descriptors"].startswith("EMFILE")
    attempt("noise 100" if user == "as it is" else "noise 10", 120)
    assert bot.log_path.stat().st_size < 20 << 20, "the log has a bound"
    attempt("flood")
    born = attempt("fork")["born"]
    assert bot.worker("hostile.0")["pid"] == hostile, "it could do all that, and had nothing of it"
    attempt("garbage")
    wait_for(lambda: "broke the protocol" in ((bot.worker("hostile.0")["last"] or {}).get("text") or ""), 20, "it is buried")
    for name in ("echo.0", "rest.0", "rest.1"):
        assert bot.worker(name)["restarts"] == 0, name

    assert in_answers(TOKEN, bot) == [] and in_processes(TOKEN, bot) == []
    assert bot.stop() == 0
    assert not any(alive(pid) for pid in born), "what it left behind ended with the supervisor"
    files = [bot.log_path, *(bot.dir / "run").iterdir(), *report.parent.iterdir()]
    assert in_files(TOKEN, *[f for f in files if stat.S_ISREG(f.stat().st_mode)]) == []


def test_built_in_workers_are_confined(secretive, bots):
    """What each role gave up, as the kernel sees it; a build with a sanitizer keeps everything, and says so."""
    with FakeModel() as model:
        bot = bots(secretive, pools={"echo": {"handler": "echo"}, "chat": {"handler": "chat"}})
        bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{model.url}"  name = "{model.model}" }}\n')
        bot.start().ready()
        sanitized = b"__asan_init" in (bot.build / "bulkhead-worker").read_bytes()
        for name in ("rest.0", "rest.1", "chat.0", "echo.0"):
            got = wait_for(lambda n=name: bot.ask("show", "worker", n).get("confined"), 10, "it was looked at")
            assert got["no_new_privs"] and got["seccomp"] != sanitized
            assert got["landlock"] == (0 if sanitized else LANDLOCK)
            status = pathlib.Path(f"/proc/{bot.worker(name)['pid']}/status").read_text()
            assert "NoNewPrivs:\t1\n" in status and f"Seccomp:\t{0 if sanitized else 2}\n" in status


def test_no_secret_is_written(secretive, bots):
    """Everything that a run with all traces writes: log, journal, answers, obituaries, processes."""
    with FakeModel(key=KEY) as model:
        bot = bots(secretive, pools={"chat": {"handler": "chat"}, "echo": {"handler": "echo"}}, args=["--trace", "all", "--faults"],
                   env={"MODEL_KEY": KEY, "DISCORD_TOKEN": TOKEN}, log_level="debug", token="${DISCORD_TOKEN}")
        bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{model.url}"  api_key = "${{MODEL_KEY}}"\n'
                       f'name = "{model.model}" }}\n')
        bot.start().ready()
        for n, channel in enumerate(secretive.channels[:4]):
            question = secretive.say(channel, f"<@{secretive.bot_id}> what is {n}? My token is {TOKEN if n == 3 else 'mine'}")
            assert secretive.wait(lambda q=question: secretive.replies_to(q["id"]), 20)
        # Deaths, a reload, and a server that says back what it was told.
        for name in ("chat.0", "rest", "echo.0"):
            bot.kill(name)
        bot.ready()
        bot.ctl("reload")
        bot.ctl_run("chat", "try", f"say {KEY}")
        for secret in (TOKEN, KEY):
            assert in_answers(secret, bot) == [] and in_processes(secret, bot) == []
        assert bot.stop() == 0
        assert in_files(TOKEN, bot.log_path) == [] and in_files(KEY, bot.log_path, bot.conf) == []
        assert in_files(KEY, *(bot.dir / "run").iterdir()) == []
