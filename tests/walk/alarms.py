"""The alarms of the runbook: each row of proto/reasons.def is made to happen, everybody says it, and what bulkhead(7) tells
a person to do mends it.

A function of an alarm gets the bot, well, with all fault points to be had; it calls told() when the alarm has to be there,
and leaves a bot that gets well by itself: Unit.agree comes after it."""

import html
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from machine import Flood, Unit, note, sh, wait_for

REASONS = "/root/walk/reasons.def"
CREATES, HISTORY = r"/channels/\d+/messages$", r"/channels/\d+/messages$"
ALARMS = {}


def alarm(name):
    def add(function):
        ALARMS[name] = function
        return function
    return add


def table():
    """{name: what its line looks like, as an expression}"""
    rows = re.findall(r'^REASON\((\w+), "(.*?)",\n', pathlib.Path(REASONS).read_text(encoding="utf-8"), re.M)
    return {name: re.escape(line).replace("%s", ".*").replace("%llu", r"\d+") for name, line in rows}


class Told:
    """Does everybody say what bulkheadctl status says?"""

    def __init__(self, bot, name, line):
        self.bot, self.name, self.line, self.called = bot, name, re.compile(line), 0

    def __call__(self, like="", health="degraded", running=True, ctl=None):
        """like: what this row's line has to say besides; ctl: status, where it is not asked as usual."""
        self.called += 1
        status = ctl or self.bot.status

        def mine(texts):
            return next((t for t in texts if self.line.match(t) and re.search(like, t)), None)

        def said():
            s = status()
            return s["health"] == health and mine(s["why"])
        try:
            why = wait_for(said, 45, f"bulkheadctl status is {health} because of {self.name} {like}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {status()['health']}, {status()['why']}") from None
        if status()["why"][0] == why:
            # The first reason is in the status line of systemd, to its first number that may move on.
            head = re.match(r"[^\d;]*", why).group()
            if running:
                head = f"{health}: {head}"
            wait_for(lambda: self.bot.show("StatusText")["StatusText"].startswith(head), 20, f"systemctl status says {head!r}")
        if self.bot.web and running:
            wait_for(lambda: mine(self.page()), 15, f"the page says {self.name}")
            want = {"ok": "1" if health == "ok" else "0", "degraded": "1" if health == "degraded" else "0",
                    "down": "1" if health == "down" else "0"}
            wait_for(lambda: dict(re.findall(r'^bulkhead_health\{state="(\w+)"\} (\d)', self.bot.get("/metrics")[1], re.M))
                     == want, 15, f"/metrics says {health}")
            wait_for(lambda: self.bot.get("/healthz")[0] == (503 if health == "down" else 200), 15, f"/healthz is {health}")
        return why

    def page(self):
        code, text = self.bot.get("/")
        return [html.unescape(t) for t in re.findall(r">([^<>]+)<", text)] if code == 200 else []


def go_on(bot):
    """Discord answers again; who still waits for an old answer asks anew, through the other rest worker."""
    bot.fake.calm()
    name, pid = next((w["name"], w["pid"]) for w in bot.status()["workers"] if w.get("active"))
    os.kill(pid, signal.SIGKILL)
    bot.ready(name, pid)


@alarm("STOPPING")
def stopping(bot, told):
    bot.fake.slow(n=1, delay_s=25, method="POST", path=CREATES)
    bot.ping()
    wait_for(lambda: bot.status()["deliveries"]["given"] == 1, 10, "it is being answered")
    sh(f"systemctl stop --no-block {bot.unit}")
    told(running=False)
    sh(f"systemctl kill --kill-whom=main -s TERM {bot.unit}")
    wait_for(lambda: bot.show("ActiveState")["ActiveState"] == "inactive", 15, "a second SIGTERM hurries it")
    bot.fake.calm()
    sh(f"systemctl start {bot.unit}")


@alarm("CONFIG_REFUSED")
def config_refused(bot, told):
    good = bot.conf.read_text()
    bot.conf.write_text(good + "drian = 3\n")
    assert sh(f"systemctl reload {bot.unit}", check=False).returncode != 0
    line = good.count("\n") + 1
    assert f"bulkhead.conf:{line}:" in told()
    assert f"bulkhead.conf:{line}:" in sh("bulkheadd -n --no-gateway", check=False).stderr
    bot.conf.write_text(good)
    sh("bulkheadd -n --no-gateway")
    bot.ctl("reload")


@alarm("GAP_DUE")
def gap_due(bot, told):
    bot.fake.slow(n=1000, delay_s=6, method="GET", path=HISTORY)
    bot.fake.op9(resumable=False)
    told()
    assert re.search(r"\d+ of \d+", bot.ctl("show gaps")), bot.ctl("show gaps")
    bot.fake.calm()


@alarm("GAP_LEFT")
def gap_left(bot, told):
    bot.fake.fail(n=1000, status=500, method="GET", path=f"/channels/{bot.fake.channels[0]}/messages$")
    bot.fake.op9(resumable=False)
    told()
    assert bot.fake.channels[0] in bot.ctl("show gaps"), "it names the channel"
    bot.fake.calm()
    # It would go after an hour; a later gap that could be filled takes its place.
    bot.fake.op9(resumable=False)


@alarm("GATEWAY")
def gateway(bot, told):
    bot.fake.unreachable()
    bot.fake.drop()
    told()
    why = told(health="down")
    assert bot.get("/readyz")[0] == 503 and re.search(r"(?m)^NOT .*gateway", bot.get("/readyz")[1]), bot.get("/readyz")
    note(f"after a minute: {why}")
    assert re.search(r"identif", bot.ctl("show sessions")), "it says how many identifies are left"
    bot.fake.unreachable(False)


@alarm("INTENTS")
def intents(bot, told):
    for pool in ('  events = { "MESSAGE_CREATE", "MESSAGE_REACTION_ADD" }\n', ""):
        bot.configure(pool=pool)
        bot.ctl("reload")
        told()
        bot.ctl("upgrade")
        bot.agree()


@alarm("NO_REST")
def no_rest(bot, told):
    bot.ctl("fault child.exec match=rest.")
    for name in ("rest.0", "rest.1"):
        os.kill(bot.worker(name)["pid"], signal.SIGKILL)
    bot.ping()
    told(health="down")
    assert "no rest worker is ready" in bot.get("/healthz")[1]
    assert bot.ask("show worker rest.0")["obituaries"][0]["cause"] == "exec", bot.ctl("show worker rest.0")
    bot.ctl("fault child.exec ''")
    bot.ctl("restart rest")


@alarm("JOURNAL_DAMAGED")
def journal_damaged(bot, told):
    bot.answered()
    sh(f"systemctl stop {bot.unit}")
    journal = bot.run / "journal"
    with open(journal, "r+b") as file:
        image = file.read(1 << 20)
        at = (len(image.rstrip(b"\0")) * 3) // 4
        file.seek(at)
        file.write(bytes([image[at] ^ 0x40]))
    sh(f"systemctl start {bot.unit}")
    told()
    if bot.status()["deliveries"]["aside"]:
        bot.ctl("dead drop all")
    sh(f"systemctl restart {bot.unit}")


@alarm("NOT_TMPFS")
def not_tmpfs(bot, told):
    run = bot.state / "run"
    bot.configure(more=f'runtime_dir = "{run}"\n')
    sh(f"systemctl restart {bot.unit}")
    told(ctl=lambda: json.loads(sh(f"bulkheadctl -j -s {run}/control.sock status")))
    bot.configure()
    sh(f"systemctl restart {bot.unit}; rm -rf {run}")


@alarm("DROPPED")
def dropped(bot, told):
    bot.configure(workers=1, more='journal = "64K"\n', pool='  events = { "MESSAGE_CREATE", "TYPING_START" }\n')
    sh(f"systemctl stop {bot.unit}; rm {bot.run}/journal; systemctl start {bot.unit}")
    bot.ctl("drain echo")
    for n in range(500):
        bot.fake.type(bot.fake.channels[n % 20])
    told()
    assert re.search(r"dropped pool=echo event=TYPING_START", bot.log(bot.marked)), "by name in the log"
    bot.ctl("resume echo")
    bot.configure()
    bot.answered()
    sh(f"systemctl stop {bot.unit}; rm {bot.run}/journal; systemctl start {bot.unit}")


@alarm("ASIDE")
def aside(bot, told):
    text = f"!ping {len(bot.said) + 7000000}"
    bot.ctl(f"fault worker.crash match={text.split()[1]}")
    message = bot.ping(text)
    told("delivery is")
    shown = bot.ctl("show dead")
    assert "poison" in shown, shown
    shown = bot.ctl(f"dead show {message['id']}")
    assert "signal" in shown, shown
    bot.ctl("fault worker.crash ''")
    bot.ctl(f"dead retry {message['id']}")


@alarm("POOL_FULL")
def pool_full(bot, told):
    bot.configure(workers=1, pool="  credit = 1\n  queue = 3\n")
    bot.ctl("reload")
    bot.fake.slow(n=1, delay_s=600, method="POST", path=CREATES)
    for n in range(12):
        bot.ping(channel=n)
    told("pool echo")
    assert bot.worker("echo.0")["state"] == "ready"
    bot.ctl("scale echo 3")
    wait_for(lambda: not any("is full" in why for why in bot.status()["why"]), 20, "more workers mend it")
    go_on(bot)
    bot.ctl("scale echo 1")
    bot.configure()
    bot.ctl("reload")


@alarm("LOG_DROPPED")
def log_dropped(bot, told):
    journald = int(sh("systemctl show systemd-journald -p MainPID --value"))
    bot.ctl("log debug")
    bot.ctl("trace all")
    os.kill(journald, signal.SIGSTOP)
    try:
        with Flood(bot, every_s=0.002):
            told()
        bot.answered()
    finally:
        os.kill(journald, signal.SIGCONT)
    bot.ctl("trace none")
    bot.ctl("log info")
    sh(f"systemctl restart {bot.unit}")


@alarm("WORKER_DRAINED")
def worker_drained(bot, told):
    bot.ctl("drain echo.1")
    assert "'bulkheadctl resume echo.1'" in told(r"^echo\.1 is drained")
    bot.answers()
    bot.ctl("resume echo.1")


@alarm("WORKER")
def worker(bot, told):
    bot.ctl("fault worker.exit slot=echo.0,arg=125")
    pid = bot.worker("echo.0")["pid"]
    os.kill(pid, signal.SIGKILL)
    told(r"^echo\.0 is held for .*125")
    bot.answers()
    assert "125" in bot.ctl("show worker echo.0")
    bot.ctl("fault worker.exit slot=echo.0,arg=3")
    bot.ctl_run("resume echo.0 --timeout 5")
    told(r"^echo\.0 is (backoff|failed) for .*status 3")
    bot.ctl("fault worker.exit ''")
    bot.ctl("restart echo.0")


@alarm("POOL_SCALED")
def pool_scaled(bot, told):
    for mend in ("scale echo 2", "reload"):
        bot.ctl("scale echo 3")
        told("pool echo: configured 2, running 3")
        if mend == "reload":
            bot.configure(workers=3)
        bot.ctl(mend)
        bot.agree(workers=3 if mend == "reload" else 2)
    bot.configure()
    bot.ctl("reload")


@alarm("ROLLED_BACK")
def rolled_back(bot, told):
    bot.configure(more="start_deadline = 2\n")
    bot.ctl("reload")
    bot.ctl("fault worker.no_ready slot=echo.0")
    assert bot.ctl_run("restart echo --rolling").returncode != 0
    told(r"old process of echo")
    bot.answers()
    bot.ctl("fault worker.no_ready ''")
    bot.ctl("restart echo --rolling")
    bot.configure()
    bot.ctl("reload")


@alarm("AS_ROOT")
def as_root(_, told):
    """A note, and the health stays: of another bot, since this one has a user."""
    other = Unit("root", token="root.bot.token", seed=10)
    mine = f'token = "{other.fake.token}"\n'
    users = "".join(f'{who} = "bulkhead"\n' for who in ("user", "rest_user", "handler_user"))
    for more, noted in ((mine, True), (mine + users, False)):
        other.configure(more=more)
        sh(f"rm -rf {other.run}")
        with open("/root/walk/root.log", "ab") as log:
            process = subprocess.Popen(["bulkheadd", "-c", str(other.conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: other.ctl_run("status").returncode == 0 and other.status()["health"] == "ok", 30, "it runs")
            notes = other.status()["notes"]
            assert any(told.line.match(n) for n in notes) == noted, notes
            assert ("runs as root" in other.ctl("status")) == noted
            other.answers()
        finally:
            process.terminate()
            assert process.wait(60) == 0
    told.called += 1
    other.fake.stop()
    sh(f"rm -rf {other.run} {other.conf}")


def anew(bot):
    """After an alarm that did not go as it should: for the next one, without what is left of this one."""
    bot.fake.unreachable(False)
    bot.fake.calm()
    bot.configure()
    sh(f"systemctl kill -s CONT systemd-journald; systemctl stop {bot.unit}; rm -rf {bot.run}/journal; systemctl start {bot.unit}")
    bot.said.clear()


def every(bot):
    """All of them, in the order of the table."""
    rows = table()
    assert set(rows) == set(ALARMS), f"alarms without a walk, or the other way round: {set(rows) ^ set(ALARMS)}"
    failed = []
    for name, line in rows.items():
        told, t0 = Told(bot, name, line), time.monotonic()
        bot.mark()
        try:
            ALARMS[name](bot, told)
            assert told.called
            bot.agree()
            note(f"{name}: raised, said by all, mended, {time.monotonic() - t0:.1f} s")
        except AssertionError as error:
            failed.append(name)
            note(f"{name}: FAILED: {error}\n{bot.log(bot.marked)[-4000:]}")
            anew(bot)
    assert not failed, failed
