"""The runbook, a step each, in the order of an installation's life.  Each ends with everybody agreeing that all is well
and every message answered once (Unit.agree), or says what is true instead."""

import os
import pathlib
import pwd
import re
import signal
import subprocess
import time

import alarms
from bot import alive
from machine import WEB, Flood, Unit, gone, memory_is_delegated, note, sh, wait_for

STEPS = []
DEB, NEWER = "/root/walk/bulkhead.deb", "/root/walk/newer.deb"


def step(title, always=False):
    """always: run even when only some steps are asked for, because they need it."""
    def add(function):
        function.always = always
        STEPS.append((title, function))
        return function
    return add


def mode(path):
    info = os.stat(path)
    return oct(info.st_mode & 0o7777)[2:], pwd.getpwuid(info.st_uid).pw_name


def drop_in(unit, name, text):
    """As systemctl edit writes it."""
    at = pathlib.Path(f"/etc/systemd/system/{unit}.d")
    at.mkdir(parents=True, exist_ok=True)
    (at / f"{name}.conf").write_text(text)
    sh("systemctl daemon-reload")


def no_drop_in(unit, name):
    pathlib.Path(f"/etc/systemd/system/{unit}.d/{name}.conf").unlink()
    sh("systemctl daemon-reload")


def listing():
    """Every file that is this machine's to keep: (path, mode, owner)."""
    shut = " -o ".join(f"-path {p}" for p in ("/proc", "/sys", "/dev", "/root", "/tmp", "/var/tmp", "/var/log", "/run/systemd",
                                              "/run/log", "/run/udev", "/run/runit", "/var/lib/systemd", "/var/lib/dpkg"))
    rows = sh(f"find / \\( {shut} \\) -prune -o -printf '%p %m %u:%g\\n'", check=False).stdout.splitlines()
    assert len(rows) > 1000, rows
    return set(rows)


def left_behind(before, *expected):
    """What is there now and was not, but for what matches one of these expressions."""
    return sorted(row for row in listing() - before if not any(re.match(e, row) for e in expected))


# adduser's and systemd-sysusers' copies of what they change.
USER = r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-? |/etc/\.pwd\.lock "


@step("install the package", always=True)
def install(bot):
    bot.before = listing()
    sh(f"dpkg -i {DEB}")
    assert mode("/etc/bulkhead")[0] == "750" and mode("/etc/bulkhead/token") == ("600", "root")
    assert pwd.getpwnam("bulkhead").pw_shell.endswith("nologin")
    unit = bot.show("ActiveState", "UnitFileState", "LoadState")
    assert unit == {"ActiveState": "inactive", "UnitFileState": "disabled", "LoadState": "loaded"}, unit
    done = bot.ctl_run("status")
    assert done.returncode == 69, done.stderr
    for page in ("bulkheadd.8", "bulkheadctl.1"):
        assert pathlib.Path(f"/usr/share/man/man{page[-1]}/{page}.gz").exists()
    assert sh("systemd-analyze verify --man=no bulkhead.service bulkhead@x.service 2>&1") == ""


@step("configure, and a start that cannot be: no token, a mistake in the file", always=True)
def configure(bot):
    bot.configure()
    done = sh("systemctl start bulkhead", check=False)
    assert done.returncode != 0, "an empty token file"
    unit = bot.show("ActiveState", "NRestarts", "ExecMainStatus", "Result")
    assert unit == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "78", "Result": "exit-code"}, unit
    bot.write_token()
    assert mode(bot.token) == ("600", "root")
    good = bot.conf.read_text()
    bot.conf.write_text(good + "drian = 3\n")
    bot.mark()
    assert sh("systemctl start bulkhead", check=False).returncode != 0
    unit = bot.show("ActiveState", "NRestarts", "ExecMainStatus")
    assert unit == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "78"}, unit
    bot.logged(r'bulkhead\.conf:\d+: .*did you mean "drain"')
    bot.conf.write_text(good)
    if re.search(r"^\| `web` ", sh("bulkheadd -x options"), re.M):
        bot.web = WEB
        bot.configure()
    sh("bulkheadd -n --no-gateway")
    assert "--no-gateway" in sh("bulkheadd -n", check=False).stderr, "it cannot see what systemd hands over, and says so"


@step("start: returns when it answers", always=True)
def start(bot):
    bot.ping()
    sh("systemctl start bulkhead")
    status = bot.status()
    assert status["phase"] == "running" and status["gateway"]["live"], "Type=notify: up means up"
    bot.answers(5)
    # It was said before the bot was ever connected; nobody owes it an answer.
    bot.said.pop(0)
    pid = bot.main_pid()
    assert mode(bot.run) == ("750", "bulkhead") and mode(bot.run / "journal") == ("600", "bulkhead")
    assert sh(f"ps -o user= -p {pid}").strip() == "bulkhead"
    for at in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert bot.fake.token.encode() not in at.read_bytes(), f"the token is in {at}"
            if bot.unit in (at.parent / "cgroup").read_text():
                assert bot.fake.token.encode() not in (at.parent / "environ").read_bytes(), f"the token is in {at.parent}/environ"
        except OSError:
            pass
    exposure = re.search(r"Overall exposure level.*: ([\d.]+)", sh("systemd-analyze security bulkhead.service --no-pager"))
    note(f"systemd-analyze security: {exposure.group(1)}")
    assert float(exposure.group(1)) < 2.5
    bot.agree()


@step("a worker crashes; another is stopped")
def crash(bot):
    for name, sig, cause in (("echo.0", signal.SIGSEGV, "signal"), ("rest.0", signal.SIGKILL, "signal"),
                             ("rest.1", signal.SIGKILL, "signal"), ("echo.1", signal.SIGSTOP, "stopped")):
        bot.mark()
        pid = bot.worker(name)["pid"]
        with Flood(bot):
            os.kill(pid, sig)
            assert bot.died(name, pid)["cause"] == cause
            bot.ready(name, pid)
        bot.logged(rf"{re.escape(name)}#\d+ .*cause={cause} .*")
    assert bot.show("NRestarts")["NRestarts"] == "0", "that is no business of systemd"
    bot.agree()


def with_faults(bot):
    """The bot started anew with fault points to be had."""
    drop_in(bot.unit, "faults", "[Service]\nExecStart=\nExecStart=/usr/bin/bulkheadd --faults -c /etc/bulkhead/bulkhead.conf\n")
    sh("systemctl restart bulkhead")


def without_faults(bot):
    no_drop_in(bot.unit, "faults")
    sh("systemctl restart bulkhead")
    bot.agree()


def strike(bot, fault, *spec):
    """A delivery that strikes echo.0 alone; its obituary.  Whoever it is placed on then answers."""
    for channel in range(20):
        pid = bot.ready("echo.0")["pid"]
        text = f"!ping {len(bot.said) + 1000}"
        bot.ctl(f"fault {fault} {','.join(('slot=echo.0', 'match=' + text.split()[1], *spec))}")
        message = bot.ping(text, channel)
        wait_for(lambda: bot.fake.replies_to(message["id"]) or not alive(pid), 60, "answered or dead")
        if not alive(pid):
            died = bot.died("echo.0", pid)
            bot.ctl(f"fault {fault} ''")
            return died
    raise AssertionError("none of 20 channels is echo.0's")


@step("a worker is wedged; a worker eats memory")
def wedge(bot):
    bot.configure(more="hang = 2\n")
    with_faults(bot)
    died = strike(bot, "worker.spin")
    assert died["cause"] == "hung" and any("strike_delivery" in f for f in died["backtrace"]), died
    bot.configure()
    sh("systemctl reload bulkhead")
    bot.agree()

    limits = bot.ask("show worker echo.0")["limits"]
    kernel = memory_is_delegated()
    if kernel:
        assert limits["memory_by"] == "cgroup v2", limits
        pid = bot.worker("echo.0")["pid"]
        own = re.search(r"^0::(.*)$", bot.cgroup(pid), re.M).group(1)
        assert pathlib.Path(f"/sys/fs/cgroup{own}/memory.max").read_text().strip() == str(96 << 20), own
        note(f"memory of echo.0: cgroup v2, {own}")
    else:
        assert limits["memory_by"] == "watched", limits
        note(f"memory of echo.0: watched ({limits['memory_why']}): this machine hands down no control groups of "
             "version 2; scripts/walk --vm does")
    died = strike(bot, "worker.eat", "arg=900")
    assert died["cause"] == "memory", died
    note(f"its obituary: {died['text']}")
    assert not kernel or "killed by the kernel: out of memory at its limit of 96 MiB" in died["text"], died
    bot.ready("echo.0", died["pid"])
    bot.agree()
    assert bot.show("NRestarts")["NRestarts"] == "0", "the kernel took one worker, not the bot"
    if kernel:
        old = f"bulkhead-{bot.main_pid()}-echo.0#{died['generation']}"
        group = bot.show("ControlGroup")["ControlGroup"]
        assert old not in os.listdir(f"/sys/fs/cgroup{group}"), "and its control group is gone"
        pid = bot.worker("echo.0")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert bot.died("echo.0", pid)["cause"] == "signal", "a kill -9 by somebody is told from it"
        bot.ready("echo.0", pid)

    without_faults(bot)


@step("limits that the kernel keeps")
def limits(bot):
    """The system test of memory limits, in a control group of version 2 that is delegated to it."""
    if not memory_is_delegated():
        note("left out: no control groups of version 2 here; scripts/walk --vm has them")
        return
    group = pathlib.Path("/sys/fs/cgroup/walk")
    pathlib.Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    (group / "cgroup.subtree_control").write_text("+memory")
    said = sh(f"cd /root/tests && BULKHEAD_TEST_CGROUP={group} BULKHEAD_BUILD=/usr/bin python3 -B -m pytest -q "
              "-p no:cacheprovider system/29_life.py -k limit_of_the_kernel", timeout=600)
    assert "1 passed" in said, said
    group.rmdir()


@step("the network is cut")
def cut(bot):
    bot.answered()
    bot.mark()
    sh("ip link set lo down")
    try:
        for channel in range(10):
            bot.ping(channel=channel)
        wait_for(lambda: bot.status()["health"] != "ok", 40, "bulkheadctl status says that something is wrong")
        why = bot.status()["why"][0]
        assert "gateway" in why, why
        note(f"status says: {why}")
        # The text counts seconds; what it is about does not change.
        wait_for(lambda: " gateway is " in bot.show("StatusText")["StatusText"], 15, "systemctl status says so too")
        assert bot.show("ActiveState")["ActiveState"] == "active", "a cut cable is no reason to end"
    finally:
        sh("ip link set lo up")
    t0 = time.monotonic()
    bot.answered(90)
    note(f"all 10 answered {time.monotonic() - t0:.1f} s after the cable was back")
    bot.logged(r"sess#\d+\.\d+ .*-> READY ev=RX_RESUMED")
    bot.agree()


@step("the disks are full")
def full(bot):
    bot.answered()
    bot.mark()
    filled = []

    def fill(directory):
        """To the last byte, as its owner cannot prevent."""
        path = pathlib.Path(directory) / "filler"
        filled.append(path)
        with open(path, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass
    for directory in (bot.state, "/var/log", "/etc/bulkhead"):
        pathlib.Path("/root/copy").mkdir(exist_ok=True)
        sh(f"cp -a {directory}/. /root/copy/ && mount -t tmpfs -o size=1M,mode=0755 walk {directory} && "
           f"chown --reference=/root/copy {directory} && cp -a /root/copy/bulkhead.conf /root/copy/token {directory}/ "
           "2>/dev/null; rm -rf /root/copy")
    run = os.statvfs("/run")
    size = run.f_blocks * run.f_frsize
    # As full as it gets, without taking as much memory as it might hold.
    sh(f"mount -o remount,size={size - run.f_bfree * run.f_frsize + (1 << 20)} /run")
    try:
        for directory in ("/run", bot.state, "/var/log", "/etc/bulkhead"):
            fill(directory)
        assert [os.statvfs(d).f_bfree for d in ("/run", bot.state, "/var/log", "/etc/bulkhead")] == [0] * 4
        # The newest of all is a worker that has to start while nothing can be written.
        for name in ("echo.0", "rest.0"):
            pid = bot.worker(name)["pid"]
            with Flood(bot):
                os.kill(pid, signal.SIGKILL)
                bot.ready(name, pid)
            bot.answered()
        assert bot.status()["health"] == "ok", bot.status()["why"]
        pid = bot.main_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: bot.main_pid() not in (0, pid), 30, "systemd starts it again")
        wait_for(lambda: bot.show("SubState")["SubState"] == "running", 30, "and it runs")
        bot.answers(30)
        note("workers and the supervisor were killed, and started, with /run, /var/log, /etc and the state directory full")
    finally:
        for path in filled:
            path.unlink(missing_ok=True)
        sh(f"mount -o remount,size={size} /run")
        for directory in ("/etc/bulkhead", "/var/log", bot.state):
            sh(f"umount -l {directory}")
    bot.agree()


@step("reload: a change, a mistake, the mistake mended")
def reload(bot):
    bot.mark()
    pids = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    bot.configure(workers=3)
    with Flood(bot):
        sh("systemctl reload bulkhead")
        assert bot.worker("echo.2")["state"] == "ready", "reload returns when it is in force"
    bot.agree(workers=3)
    now = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    assert all(now[name] == pid for name, pid in pids.items()), "nobody else was touched"

    good = bot.conf.read_text()
    bot.conf.write_text(good + 'pool "x" {\n  wrokers = 1\n}\n')
    assert sh("systemctl reload bulkhead", check=False).returncode != 0
    bot.logged(r'bulkhead\.conf:\d+: .*did you mean "workers"')
    assert bot.status()["health"] == "degraded"
    wait_for(lambda: bot.show("StatusText")["StatusText"].startswith("degraded: the configuration file was refused"), 15,
             "systemctl status says so")
    if bot.web:
        wait_for(lambda: bot.page_says("degraded", "the configuration file was refused"), 10, "so does the page")
    assert "refused" in bot.ctl("status") and bot.show("ActiveState")["ActiveState"] == "active"
    bot.answers()

    bot.configure()
    sh("systemctl reload bulkhead")
    bot.agree()


@step("each alarm of the runbook, and what mends it")
def runbook(bot):
    with_faults(bot)
    alarms.every(bot)
    without_faults(bot)


@step("when bulkheadctl does not get what it asks for")
def refused(bot):
    sh("useradd -M -G bulkhead looker && useradd -M stranger")

    def ask(user, words):
        return sh(f"runuser -u {user} -- bulkheadctl {words}", check=False)
    try:
        for words in ("status", "log info"):
            done = ask("stranger", words)
            assert done.returncode == 77, done
        assert ask("looker", "status").stdout.startswith("health   ok"), "members of the group may look"
        done = ask("looker", "log info")
        assert done.returncode == 77 and bot.status()["health"] == "ok", done
        assert ask("bulkhead", "log info").returncode == 0, "its own user may all"
    finally:
        sh("userdel looker; userdel stranger")

    bot.fake.slow(n=1, delay_s=30, method="POST", path=r"/channels/\d+/messages$")
    bot.ping()
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it is being answered")
    done = bot.ctl_run("--timeout 1 restart echo")
    assert done.returncode == 75, done
    assert "draining" in bot.ctl("show workers"), "what was started goes on, and is shown"
    bot.fake.calm()
    done = bot.ctl_run("sattus")
    assert done.returncode == 64 and "status" in done.stderr, done
    done = bot.ctl_run("restart ecoh")
    assert done.returncode == 66 and "echo" in done.stderr, done
    bot.ctl_run("restart echo --now")
    bot.agree()


@step("rotate the token")
def rotate(bot):
    def new_token():
        bot.fake.opts.token = "new." + bot.fake.token
        bot.secrets.append(bot.fake.token)

    # In a quiet moment: the session goes on.  (An answer that is refused with the old one, 401, is not given again.)
    bot.answered()
    new_token()
    bot.write_token()
    sh("systemctl restart bulkhead")
    bot.agree()
    assert bot.status()["gateway"]["identifies"] == 0

    # Or Discord throws the connection out with the old one.
    bot.mark()
    new_token()
    bot.fake.close(4004)
    wait_for(lambda: bot.show("ActiveState")["ActiveState"] == "failed", 60, "a refused token ends it, for good")
    unit = bot.show("ExecMainStatus", "NRestarts")
    assert unit["ExecMainStatus"] == "77", unit
    bot.logged(r"token")
    for channel in range(5):
        bot.ping(channel=channel)
    bot.write_token()
    sh("systemctl start bulkhead")
    bot.agree()


@step("upgrade the package while 20 channels talk")
def upgrade(bot):
    bot.answered()
    pid, workers = bot.main_pid(), {w["pid"] for w in bot.status()["workers"]}
    with Flood(bot) as flood:
        told = sh(f"dpkg -i {NEWER}")
        bot.ready("echo.0")
        for _ in range(20):
            bot.answers(30)
    status = bot.status()
    assert status["upgrade"] and status["upgrade"]["number"] == 1 and status["upgrade"]["resumed"], (status["upgrade"], told)
    assert bot.main_pid() == status["pid"] == pid, "systemd noticed nothing"
    assert not workers & {w["pid"] for w in status["workers"]}, "new workers"
    assert "+walk1" in sh("dpkg-query -W bulkhead")
    assert os.readlink(f"/proc/{pid}/exe") == "/usr/bin/bulkheadd", "what runs is what is installed"
    assert bot.show("NeedDaemonReload")["NeedDaemonReload"] == "no"
    note(f"upgrade: same process, gateway gap {status['upgrade']['gap_ms']} ms, {status['upgrade']['replayed']} events "
         f"replayed; {flood.count} messages said meanwhile")
    bot.agree()


@step("the supervisor is killed")
def kill(bot):
    bot.answered()
    for _ in range(3):
        pid, restarts = bot.main_pid(), int(bot.show("NRestarts")["NRestarts"])
        with Flood(bot):
            os.kill(pid, signal.SIGKILL)
            took = bot.answers(30)
        note(f"from SIGKILL of the supervisor to the next answer: {took * 1000:.0f} ms")
        assert int(bot.show("NRestarts")["NRestarts"]) == restarts + 1 and bot.main_pid() != pid
        bot.agree()


@step("the supervisor is stopped: the watchdog")
def watchdog(bot):
    drop_in(bot.unit, "watchdog", "[Service]\nWatchdogSec=4\n")
    sh("systemctl restart bulkhead")
    bot.answers()
    bot.mark()
    pid = bot.main_pid()
    t0 = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    for channel in range(5):
        bot.ping(channel=channel)
    wait_for(lambda: bot.main_pid() not in (0, pid), 60, "systemd replaces it")
    bot.logged(r"Watchdog timeout")
    bot.answered()
    note(f"WatchdogSec=4: all answered {time.monotonic() - t0:.1f} s after it was stopped")
    no_drop_in(bot.unit, "watchdog")
    sh("systemctl restart bulkhead")
    bot.agree()


@step("stop, and start")
def stop(bot):
    with Flood(bot):
        bot.answers()
        bot.mark()
        sh("systemctl stop bulkhead")
        unit = bot.show("ActiveState", "Result", "ExecMainStatus")
        assert unit == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, unit
        bot.logged(r"\]: stop: held=\d+ .* left=0 .* killed=0 .*\n(?:.*\n){0,4}.*stopped status=0")
        assert bot.ctl_run("status").returncode == 69
        assert sh("ps -u bulkhead -o pid=", check=False).stdout == "", "nobody is left"
        journal = os.stat(bot.run / "journal")
        assert journal.st_size == 64 << 20, "RuntimeDirectoryPreserve: the journal stays"
        time.sleep(1)           # a second in which things are said and nobody listens
        sh("systemctl start bulkhead")
        assert os.stat(bot.run / "journal").st_ino == journal.st_ino
    bot.logged(r"journal: unfinished=\d+ finished=[1-9]\d*")
    bot.agree()
    assert bot.status()["gateway"]["resumes"] >= 1 and bot.status()["gateway"]["identifies"] == 0, "the session went on"


@step("a second bot beside it")
def second(bot):
    other = Unit("second", token="second.bot.token", seed=8)
    other.write_token()
    other.configure()
    sh("systemctl start bulkhead@second")
    for unit in (bot, other):
        unit.answers()
    pid = other.main_pid()
    os.kill(bot.main_pid(), signal.SIGKILL)
    for unit in (bot, other):
        unit.answers(30)
    assert other.main_pid() == pid, "one bot's end is none of the other's business"
    bot.secrets.append(other.fake.token)
    for unit in (bot, other):
        unit.agree()
    assert bot.status()["pid"] != other.status()["pid"]
    sh("systemctl stop bulkhead@second")
    other.fake.stop()
    bot.agree()


@step("as process 1 of a container")
def process_one(bot):
    sh("systemctl stop bulkhead")
    other = Unit("one", seed=9)
    other.configure(more=f'token = "{other.fake.token}"\n')
    # A process namespace of its own is what a container is in this respect.
    with open("/root/walk/one.log", "wb") as log:
        runner = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "bulkheadd", "-c", str(other.conf)],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(lambda: other.run.joinpath("control.sock").exists(), 20, "its socket")
    one = int(wait_for(lambda: sh(f"ps --ppid {runner.pid} -o pid=", check=False).stdout, 20, "its process"))
    wait_for(lambda: other.ctl_run("status").returncode == 0 and other.status()["phase"] == "running", 20, "it runs")
    assert "NSpid:\t%d\t1\n" % one in pathlib.Path(f"/proc/{one}/status").read_text(), "it is process 1"
    other.answers()
    # Orphans of others: reaped, however many.
    sh(f"nsenter -t {one} -p -m sh -c 'for i in 1 2 3 4 5 6 7 8; do (sleep 0.2 &) ; done'")

    def children():
        return sh(f"ps --ppid {one} -o stat=,comm=").splitlines()
    wait_for(lambda: len(children()) == 4, 10, "its children are its workers again: the orphans are reaped")
    with Flood(other):
        os.kill(one, signal.SIGTERM)
        assert runner.wait(60) == 0, pathlib.Path("/root/walk/one.log").read_text()
    log = pathlib.Path("/root/walk/one.log").read_text()
    assert re.search(r"stopped status=0", log), log[-2000:]
    # What it exits with is what the container does.
    other.conf.write_text("drian = 3\n")
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "bulkheadd", "-c", str(other.conf)],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 78, done
    other.fake.stop()
    sh("systemctl start bulkhead")
    bot.agree()


@step("a user of its own for each part, also where /proc hides the others")
def own_users(bot):
    def users():
        return {name: sh(f"ps -o user:32= -p {bot.worker(name)['pid']}").strip() for name in ("rest.0", "rest.1", "echo.0")}

    def caps():
        return pathlib.Path(f"/proc/{bot.main_pid()}/status").read_text().split("CapPrm:")[1].split()[0]
    assert set(users().values()) == {"bulkhead"} and int(caps(), 16) == 0, "what nothing asks for is given up"
    own = 'rest_user = "bulkhead-rest"\nhandler_user = "bulkhead-handler"\n'
    drop = pathlib.Path("/etc/systemd/system/bulkhead.service.d/hidden.conf")
    for hidden in (False, True):
        if hidden:
            drop.parent.mkdir(exist_ok=True)
            drop.write_text("[Service]\nProtectProc=invisible\n")
            sh("systemctl daemon-reload")
        bot.configure(more=own)
        sh("systemctl restart bulkhead")
        assert users() == {"rest.0": "bulkhead-rest", "rest.1": "bulkhead-rest", "echo.0": "bulkhead-handler"}
        assert int(caps(), 16) == 0b11100000
        bot.answers()
        for name in ("rest.0", "echo.0"):
            was = bot.worker(name)["pid"]
            bot.ctl(f"restart {name}")
            assert bot.worker(name)["pid"] != was, "it may still end them"
        sh("systemctl reload bulkhead")
        bot.ctl("upgrade")
        bot.answers()
        seen = wait_for(lambda: bot.ask("show worker echo.0")["confined"], 10, "it was looked at")
        assert seen["hidden"] == hidden, seen
        note(f"{'hidden' if hidden else 'seen'}: {users()}")
    drop.unlink()
    sh("systemctl daemon-reload")
    bot.configure()
    sh("systemctl restart bulkhead")
    bot.agree()


@step("under s6 and under runit")
def others(bot):
    sh("systemctl stop bulkhead")
    # Where no systemd hands over the token, the user of the service reads it.
    bot.configure(more='token_file = "/etc/bulkhead/readable"\n')
    pathlib.Path("/etc/bulkhead/readable").write_text(bot.fake.token + "\n")
    sh("chown root:bulkhead /etc/bulkhead/readable && chmod 0640 /etc/bulkhead/readable")
    for kind in ("s6", "runit"):
        at = pathlib.Path(f"/run/walk-{kind}/bulkhead")
        sh(f"rm -rf /run/bulkhead; mkdir -p {at} && cp -a /usr/share/bulkhead/{kind}/bulkhead/. {at}/")
        with open(f"/root/walk/{kind}.log", "wb") as log:
            manager = subprocess.Popen(["s6-supervise" if kind == "s6" else "runsv", str(at)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        try:
            if kind == "s6":
                wait_for(lambda: sh(f"s6-svok {at}", check=False).returncode == 0, 10, "s6 supervises it")
                sh(f"s6-svwait -U -t 30000 {at}")
                pid = lambda: int(sh(f"s6-svstat -o pid {at}"))         # noqa: E731
            else:
                wait_for(lambda: sh(f"sv -w 20 start {at}", check=False).returncode == 0, 30, "runit says that it is ready")
                pid = lambda: int(re.search(r"pid (\d+)", sh(f"sv status {at}")).group(1))      # noqa: E731
            assert bot.status()["phase"] == "running", f"{kind}: ready means ready"
            first = pid()
            assert bot.status()["pid"] == first and sh(f"ps -o user= -p {first}").strip() == "bulkhead"
            bot.answers()
            os.kill(first, signal.SIGKILL)
            bot.answers(30)
            assert pid() != first
            sh(f"s6-svc -wD -d {at}" if kind == "s6" else f"sv -w 60 down {at}")
            assert not alive(first) and bot.ctl_run("status").returncode == 69
            # What no restart mends is not started again.
            good = bot.conf.read_text()
            bot.conf.write_text("drian = 3\n")
            sh(f"s6-svc -u {at}" if kind == "s6" else f"sv up {at}")
            down = f"s6-svstat -o up,wantedup {at}" if kind == "s6" else f"sv status {at}"
            wait_for(lambda: re.search(r"^false|^down", sh(down)), 20, "down")
            time.sleep(2)
            assert re.search(r"^false|^down", sh(down)), f"{kind} does not loop: {sh(down)}"
            bot.conf.write_text(good)
        except AssertionError as error:
            raise AssertionError(f"{kind}: {error}\n{pathlib.Path(f'/root/walk/{kind}.log').read_text()[-3000:]}") from None
        finally:
            sh(f"s6-svc -xd {at}" if kind == "s6" else f"sv exit {at}", check=False)
            manager.wait(60)
        note(f"{kind}: ready, killed, started again, stopped")
    os.unlink("/etc/bulkhead/readable")
    sh("rm -rf /run/bulkhead /run/walk-*")
    bot.configure()
    sh("systemctl start bulkhead")
    bot.agree()


@step("remove and purge the package")
def remove(bot):
    other = Unit("second", token="second.bot.token", seed=8)
    other.write_token()
    other.configure()
    sh("systemctl enable --now bulkhead bulkhead@second 2>/dev/null")
    for unit in (bot, other):
        unit.answers()
    sh("dpkg -r bulkhead")
    assert gone("/usr/bin/bulkheadd") and gone("/lib/systemd/system/bulkhead.service")
    assert sh("ps -u bulkhead -o pid=", check=False).stdout == "", "nothing runs on"
    assert bot.conf.exists() and bot.token.exists() and (bot.run / "journal").exists(), "what is the operator's stays"
    sh("dpkg -P bulkhead")
    sh("rm -rf /etc/systemd/system/bulkhead*.d; systemctl daemon-reload")
    left = left_behind(bot.before, USER)
    assert not left, f"left behind: {left}"
    pwd.getpwnam("bulkhead")        # the user stays, as Debian wants it: its number is not given to somebody else
    other.fake.stop()


@step("make install, and make uninstall")
def from_source(bot):
    if not os.path.exists("/root/src"):
        note("left out: a package was given (DEB=), and beside it no tree that it was built from")
        return
    # The tree is built; what only building needs is not on this machine.
    stub = pathlib.Path("/root/stub/pkg-config")
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\n")
    stub.chmod(0o755)
    make = "PATH=/root/stub:$PATH make -C /root/src BUILD=build PREFIX=/usr/local"
    before = listing()
    sh(f"{make} install")
    assert mode("/etc/bulkhead")[0] == "750" and mode("/etc/bulkhead/token") == ("600", "root")
    assert "/usr/local/bin/bulkheadd" in sh("systemctl cat bulkhead bulkhead@x")
    bot.write_token()
    bot.configure()
    sh("systemctl start bulkhead")
    bot.agree()
    conf = bot.conf.read_text()
    # Over what runs, and is configured.
    sh(f"{make} install")
    assert bot.conf.read_text() == conf and bot.token.read_text().strip() == bot.fake.token, "what is the operator's stays"
    bot.ctl("upgrade")
    bot.agree()
    sh("systemctl stop bulkhead")
    sh(f"{make} uninstall; systemctl daemon-reload")
    left = left_behind(before, USER, "/etc/bulkhead(/bulkhead.conf|/token)? ", "/var/lib/bulkhead ", "/run/bulkhead")
    # Directories that others use too may have been made; files not.
    left = [row for row in left if not (os.path.isdir(row.split(" ")[0]) and "bulkhead" not in row)]
    assert not left, f"left behind: {left}"
