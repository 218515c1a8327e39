"""A handler that attacks whatever it can reach gets nothing and harms nobody; no secret is in anything that is written."""

import ctypes
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest

from bot import ROOT, alive, build_dir, wait_for
from fakediscord import threaded
from fakemodel.threaded import FakeModel

ASAN = "asan" in os.environ.get("BULKHEAD_BUILD", "")
TOKEN = "hostile.target.token-0123456789"
KEY = "hostile-target-key-0123456789"
NOBODY = 65534
REFUSED = ("EACCES", "EPERM", "ENOENT")     # the last: /proc hides it (hidepid)
LANDLOCK = max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))      # the kernel's version


# Three that every Debian has.
USERS = {"user": "nobody", "rest_user": "games", "handler_user": "daemon"}


def give(bot, *paths):
    """As who installs it would: the supervisor's user may read what it has to."""
    for path in (bot.dir, bot.conf, *paths):
        os.chown(path, NOBODY, NOBODY)


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


def in_processes(secret, bot, but=None):
    """Environment and command line of every process of its tree but one, as root sees them."""
    found = []
    for pid in [bot.pid, *[w["pid"] for w in bot.status()["workers"] if w["pid"] and w["name"] != but]]:
        for name in ("environ", "cmdline"):
            try:
                if secret.encode() in pathlib.Path(f"/proc/{pid}/{name}").read_bytes():
                    found.append((pid, name))
            except (PermissionError, FileNotFoundError, ProcessLookupError):    # the last two: it has just ended
                pass
    return found


def in_answers(secret, bot):
    asked = [["status"], *(["show", what] for what in ("config", "counters", "pools", "workers", "deliveries", "dead", "sessions",
                                                       "gaps"))]
    asked += [["show", "worker", w["name"]] for w in bot.status()["workers"]]
    return [words for words in asked for flag in ([], ["-j"]) if secret in bot.ctl_run(*flag, *words).stdout]


def in_pages(secret, port):
    found = []
    for path in ("/", "/metrics", "/healthz", "/readyz"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as e:     # 503: a pool is down
            with e:
                text = e.read()
        assert text, path
        found += [path] if secret.encode() in text else []
    return found


def needs_other_users():
    """Root alone can become others, and they have to reach the programs, which a tree in a home of root's does not let them."""
    if os.geteuid() != 0 or subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", "test", "-x",
                                            build_dir() / "bulkheadd"], check=False).returncode != 0:
        pytest.skip("root alone can become nobody, and nobody has to reach the programs")


# What kernels before 5.19 lack: Debian 11, and containers whose profile does not know Landlock.
OLD_KERNEL = [ROOT / "tests" / "system" / "oldkernel.py",
              "close_range,landlock_create_ruleset,landlock_add_rule,landlock_restrict_self,SO_PEERPIDFD"]


@pytest.mark.parametrize(("user", "old"), [("as it is", False), ("nobody", False), ("own users", False), ("nobody", True)])
def test_hostile(secretive, bots, place, user, old):
    root = os.geteuid() == 0
    landlock = 0 if old else LANDLOCK
    if root and user == "as it is" and landlock < 2:
        pytest.skip("root may read all memory on a kernel without Landlock")
    if user != "as it is":
        needs_other_users()
    report = place / "report" / "r"
    bot = bots(secretive, pools={"echo": {"handler": "echo"}}, args=["--trace", "all"])
    token_file = bot.dir / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    paths = {"conf": bot.conf, "token": token_file, "journal": bot.dir / "run" / "journal", "lock": bot.dir / "run" / "lock",
             "socket": bot.socket, "ctl": bot.build / "bulkheadctl", "open": place / "open"}
    bot.configure({"echo": {"handler": "echo"},
                   "hostile": {"handler": f"exec:{place}/hostile.py {report} " + " ".join(f"{k}={v}" for k, v in paths.items()),
                               "events": ["MESSAGE_CREATE"], "processes": 200}},
                  token=None, token_file=token_file, log_level="debug", hang=60, **(USERS if user == "own users" else {}))
    if user != "as it is":
        give(bot, token_file)
    if user == "nobody":
        bot.wrapper = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *(OLD_KERNEL if old else [])]
    bot.start().ready()
    assert bool(bot.status()["notes"]) == (root and user == "as it is"), "status says who runs as root"
    uids = {"as it is": os.geteuid(), "nobody": NOBODY, "own users": pwd.getpwnam(USERS["handler_user"]).pw_uid if root else 0}
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
    assert shown["no_new_privs"] and (shown["seccomp"] or shown["hidden"]) and shown["uid"] == uids[user]
    assert shown["landlock"] == (landlock if landlock >= 2 else 0)
    text = bot.ctl("show", "worker", "hostile.0")
    assert "confined    no_new_privs, seccomp" in text
    # And what is not, here as in the log: each lack with what would help.
    limits = bot.ask("show", "worker", "hostile.0")["limits"]
    counted = limits["processes_by"] is not None
    assert counted or user != "own users", limits
    lacks = [words for words, there in (("it is root", uids[user] == 0), ("no Landlock", landlock < 2 and user != "own users"),
                                        ("before Linux 6.12", landlock < 6), ("it may start any number", not counted)) if there]
    assert [any(words in lack for lack in shown["lacks"]) for words in lacks] == [True] * len(shown["lacks"]), (lacks, shown)
    for words in lacks:
        assert f"not kept    {words}" in text and bot.logged(f"pool hostile: {words}"), (words, text)

    # It need not even look for its relatives.
    got = attempt("look " + " ".join(f"{w['name']}={w['pid']}" for w in bot.status()["workers"] if w["pool"] != "hostile"))
    assert got["started"]["fds"] == [0, 1, 2, 3, 4]
    assert set(got["started"]["environ"]) <= {"PATH", "LANG", "TZ", "LC_CTYPE", "BULKHEAD_FAULTS", "ASAN_OPTIONS", "LSAN_OPTIONS",
                                              "UBSAN_OPTIONS"}
    assert set(got["processes"]) == {"supervisor", "rest.0", "rest.1", "echo.0"}
    for name, found in got["processes"].items():
        secret_holder = name.startswith(("rest", "supervisor"))
        for what in ("environ", "memory", "descriptors"):
            assert found[what] in REFUSED or (landlock < 2 and not secret_holder), (name, what, found)
        assert found["ptrace"] == found["vm_read"] == "EPERM", (name, found)
        assert found["signal"] == "EPERM" or (landlock < 6 and user != "own users"), (name, found)
        assert found["signal proc"] in REFUSED or (landlock < 6 and user != "own users"), (name, found)
        assert found["limits"] == found["niceness all"] == found["io priority all"] == found["signal all"] == "EPERM", (name, found)
        assert found["signal io"] == "EPERM" or landlock >= 6, (name, found)
    assert got["processes"]["supervisor"]["signal proc"] in REFUSED
    for what in ("signal", "join", "niceness", "io priority", "cpus"):
        assert got["processes"]["supervisor"][what] == "EPERM", (what, "the supervisor is out of reach, whatever the kernel")
    if landlock >= 2 or user == "own users":
        assert set(got["files"].values()) <= {"EACCES", "ENXIO"}, got["files"]
        assert all(got["made"][k] == "EACCES" for k in got["made"] if k != "elsewhere"), got["made"]
        groups = glob.glob("/sys/fs/cgroup/cgroup.procs") + glob.glob("/sys/fs/cgroup/*/cgroup.procs")
        assert got["groups"] in ("EACCES", "EROFS") or not groups, got["groups"]
    assert got["made"]["elsewhere"].startswith("GOT")
    assert got["mount"] == got["typing"] == "EPERM" and got["regained"] in ("EPERM", "root")
    for how in ("itself", "grandchild", "orphan", "deep"):
        words = got["control"][how]
        assert words.startswith("77 ") or (user == "own users" and "Permission denied" in words), got["control"]
    dead = set(re.split(r" \| ", got["control"]["dead"]))
    assert all("worker may not" in a or "has ended" in a or (user == "own users" and a == "never connected") for a in dead), dead

    if old:
        assert bot.stop() == 0
        return

    assert attempt("exhaust")["descriptors"].startswith("EMFILE")
    attempt("noise 100" if user == "as it is" else "noise 10", 120)
    assert bot.log_path.stat().st_size < 20 << 20, "the log has a bound"
    attempt("flood")
    if not ASAN:
        status = pathlib.Path(f"/proc/{bot.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) < 24 << 10, "answers that nobody reads do not pile up"
    forked = attempt("fork", 120)
    born = forked["born"]
    assert forked["end"] == ("EAGAIN" if counted else "all") and len(born) < 300 + (not counted), forked["end"]
    assert bot.worker("hostile.0")["pid"] == hostile, "it could do all that, and had nothing of it"
    attempt("garbage")
    wait_for(lambda: "broke the protocol" in ((bot.worker("hostile.0")["last"] or {}).get("text") or ""), 20, "it is buried")
    for name in ("echo.0", "rest.0", "rest.1"):
        assert bot.worker(name)["restarts"] == 0, name

    assert in_answers(TOKEN, bot) == [] and in_processes(TOKEN, bot) == []
    assert bot.stop() == 0
    wait_for(lambda: not any(alive(pid) for pid in born), 10, "what it left behind ended with the supervisor")
    files = [bot.log_path, *(bot.dir / "run").iterdir(), *report.parent.iterdir()]
    assert in_files(TOKEN, *[f for f in files if stat.S_ISREG(f.stat().st_mode)]) == []


def test_own_users(secretive, bots, place):
    """Started as root: each part its own user, through kill, reload and upgrade; what cannot be is refused with a sentence."""
    needs_other_users()
    bot = bots(secretive, pools={"echo": {"handler": "echo"}}, token=None, token_file=place / "token", **USERS)
    (place / "token").write_text(TOKEN + "\n")
    (place / "token").chmod(0o600)
    bot.dir.chmod(0o755)
    bot.conf.chmod(0o644)
    assert bot.start().process.wait(60) == 1
    assert f'user "nobody" may not read {place}/token' in bot.log()
    os.chown(place / "token", NOBODY, NOBODY)
    bot.start().ready()

    def uid(pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        caps = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
        return int(status.split("Uid:")[1].split()[0]), caps["CapPrm:"]

    def check():
        assert uid(bot.pid) == (NOBODY, 0b11100000), "CAP_KILL, CAP_SETGID, CAP_SETUID"
        for name in ("rest.0", "rest.1", "echo.0"):
            user = USERS["rest_user" if name.startswith("rest") else "handler_user"]
            assert uid(bot.worker(name)["pid"]) == (pwd.getpwnam(user).pw_uid, 0), name
        ping = secretive.say(secretive.channels[0], "!ping")
        assert secretive.wait(lambda: secretive.replies_to(ping["id"]), 15)

    check()
    assert bot.socket.stat().st_uid == (bot.dir / "run" / "journal").stat().st_uid == NOBODY
    pids = {bot.worker(name)["pid"] for name in ("rest.0", "echo.0")}
    bot.ctl("restart", "echo")
    bot.ctl("restart", "rest.0")
    assert not any(alive(pid) for pid in pids), "it may still end them"
    bot.ctl("reload")
    bot.ctl("upgrade")
    bot.ready()
    check()
    assert bot.stop() == 0
    # As the systemd units start it: as its user, with the capabilities; those that nothing asks for are given up.
    caps = "+setuid,+setgid,+kill"
    bot.wrapper = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}",
                   f"--bounding-set=-all,{caps}", "--"]
    others = {k: v for k, v in USERS.items() if k != "user"}
    bot.configure({"echo": {}}, token=None, token_file=place / "token", **others)
    os.chown(bot.conf, NOBODY, NOBODY)
    bot.start().ready()
    check()
    bot.ctl("upgrade")
    bot.ready()
    check()
    assert bot.stop() == 0
    bot.configure({"echo": {}}, token=None, token_file=place / "token")
    os.chown(bot.conf, NOBODY, NOBODY)
    bot.start().ready()
    assert {uid(pid) for pid in (bot.pid, bot.worker("echo.0")["pid"], bot.worker("rest.0")["pid"])} == {(NOBODY, 0)}
    assert bot.stop() == 0
    bot.wrapper = []
    for wrong, words, status in (({"user": "no-such-user"}, "no such user", 78), ({"handler_user": "root"}, "that is root", 78)):
        bot.configure({"echo": {}}, token=None, token_file=place / "token", **(USERS | wrong))
        assert bot.start().process.wait(60) == status and words in bot.log()
    bot.configure({"echo": {}}, token=None, token_file=place / "token", **USERS)
    bot.conf.chmod(0o644)
    bot.wrapper = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--"]
    assert bot.start().process.wait(60) == 1 and "CAP_SETUID" in bot.log()


def test_built_in_workers_are_confined(secretive, bots):
    """What each role gave up, as the kernel sees it; a build with a sanitizer keeps everything, and says so."""
    with FakeModel() as model:
        bot = bots(secretive, pools={"echo": {"handler": "echo"}, "chat": {"handler": "chat"}})
        bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{model.url}"  name = "{model.model}" }}\n')
        bot.start().ready()
        sanitized = b"__asan_init" in (bot.build / "bulkhead-worker").read_bytes()
        # A container may have put a filter on all that runs in it.
        filtered = "Seccomp:\t2\n" in pathlib.Path("/proc/self/status").read_text()
        for name in ("rest.0", "rest.1", "chat.0", "echo.0"):
            got = wait_for(lambda n=name: bot.ask("show", "worker", n).get("confined"), 10, "it was looked at")
            assert got["no_new_privs"] and got["seccomp"] == (filtered or not sanitized)
            assert got["landlock"] == (0 if sanitized else LANDLOCK)
            status = pathlib.Path(f"/proc/{bot.worker(name)['pid']}/status").read_text()
            assert "NoNewPrivs:\t1\n" in status and f"Seccomp:\t{2 if filtered or not sanitized else 0}\n" in status


def test_no_secret_is_written(secretive, bots):
    """Everything that a run with all traces writes: log, journal, answers, obituaries, pages, events, processes."""
    with FakeModel(key=KEY) as model, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        bot = bots(secretive, pools={"chat": {"handler": "chat"}, "echo": {"handler": "echo"}}, args=["--trace", "all", "--faults"],
                   env={"MODEL_KEY": KEY, "DISCORD_TOKEN": TOKEN}, log_level="debug", token="${DISCORD_TOKEN}",
                   web=f"127.0.0.1:{port}")
        bot.write_conf(bot.conf.read_text() + f'model "m" {{ base_url = "{model.url}"  api_key = "${{MODEL_KEY}}"\n'
                       f'name = "{model.model}" }}\n')
        bot.start().ready()
        for n, channel in enumerate(secretive.channels[:4]):
            question = secretive.say(channel, f"<@{secretive.bot_id}> what is {n}? My token is {TOKEN if n == 3 else 'mine'}")
            assert secretive.wait(lambda q=question: secretive.replies_to(q["id"]), 20)
        followed = [bot.dir / "monitor", bot.dir / "monitor.json"]
        followers = []
        for path, flag in zip(followed, ([], ["-j"]), strict=True):
            with open(path, "wb") as out:
                followers.append(subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, *flag, "monitor"], stdout=out,
                                                  stderr=subprocess.STDOUT))
        # Deaths, a reload, a server that says back what it was told, and a program that prints the key it was given.
        for name in ("chat.0", "rest", "echo.0"):
            bot.kill(name)
        bot.ready()
        bot.write_conf(bot.conf.read_text() + 'pool "leaky" { handler = "exec:/usr/bin/printenv LEAK"  events = { "MESSAGE_CREATE" }\n'
                       'env = { "LEAK=${MODEL_KEY}" } }\n')
        bot.ctl_run("--no-wait", "reload")
        wait_for(lambda: bot.logged(rf"leaky\.0#\d+ \*{{{len(KEY)}}}"), 20, "it said so, and nobody can read it")
        wait_for(lambda: all("leaky.0" in path.read_text() for path in followed), 20, "its death was told to followers")
        bot.ctl_run("chat", "try", f"say {KEY}")
        for secret in (TOKEN, KEY):
            assert in_answers(secret, bot) == [] and in_pages(secret, port) == []
            assert in_processes(secret, bot, but="leaky.0") == []
        assert bot.stop() == 0
        for follower in followers:
            follower.wait(20)
        assert in_files(TOKEN, bot.log_path, *followed) == [] and in_files(KEY, bot.log_path, bot.conf, *followed) == []
        assert in_files(KEY, *(bot.dir / "run").iterdir()) == []
