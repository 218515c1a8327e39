"""What each kind of a plan's deeds does.  Each returns a few words: to whom, or why to nobody."""

import os
import signal
import socket
import subprocess
import threading
import time

import msgpack

from bot import CtlError

ASK = 0x70
POOLS = ("echo", "dice", "chat")            # of handlers; two workers each
CREATES = {"method": "POST", "path": r"/channels/\d+/messages$"}
CLOSES = (4000, 4001, 4002, 4008, 1001, 1011)   # those that a session survives
JUNK = (b"\xff" * 64, b"\0\0\0\6\x91\xdf\x98\x98\x98\x98", b"\0\0\0\1\xc1", b"GET / HTTP/1.1\r\n\r\n", b"\0\x0f\xff\xff junk")

deeds = {}


def deed(kind):
    def note(call):
        deeds[kind] = call
        return call
    return note


class Doer:
    """Does things to a bot; what it did is kept for whoever judges."""

    def __init__(self, run):
        self.run, self.bot, self.fake, self.watch, self.say = run, run.bot, run.fake, run.watch, run.say
        self.hits = {}                      # pid -> (moment, name, what was done to it)
        self.faulted = {}                   # slot -> moment until which it may die of an armed fault
        self.verbs = []                     # threads of commands that are under way
        self.exits = {}                     # (verb, exit status) -> how often
        self.conf = threading.RLock()       # the configuration on disk is a good one
        self.variant = 0
        self.sockets = []
        self.timers = []
        self.known = set()

    def do(self, one):
        return deeds[one.kind](self, one)

    # Helpers

    def ask(self):
        """Its status, once it answers."""
        deadline = time.monotonic() + 3
        while True:
            try:
                return self.bot.status()
            except (CtlError, ValueError, subprocess.TimeoutExpired):
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.02)

    def workers(self, pools):
        status = self.ask()
        return [w for w in (status or {"workers": []})["workers"] if w["pool"] in pools and w["pid"]]

    def handler(self, one, pools=POOLS):
        """One worker of a pool of handlers, by index."""
        found = self.workers((pools[one.pick % len(pools)],))
        return found[one.pick // len(pools) % len(found)] if found else None

    def rest(self, active):
        return next((w for w in self.workers(("rest",)) if w["active"] == active), None)

    def hit(self, worker, sig, what):
        if worker is None:
            return "nobody"
        self.hits[worker["pid"]] = (time.monotonic(), worker["name"], what)
        try:
            os.kill(worker["pid"], sig)
        except ProcessLookupError:
            return f"{worker['name']} was gone"
        return f"{worker['tag']} pid {worker['pid']}"

    def later(self, seconds, call, *args):
        timer = threading.Timer(seconds, call, args)
        timer.daemon = True
        timer.start()
        self.timers.append(timer)

    def carry_out(self, *words, ok=()):
        """A command, and what it ends with; bad is what no kill explains."""
        try:
            done = self.bot.ctl_run(*words, timeout=90)
            status, text = done.returncode, (done.stderr or done.stdout).strip()
        except subprocess.TimeoutExpired:
            status, text = "timeout", ""
        self.exits[words[0], status] = self.exits.get((words[0], status), 0) + 1
        # 1 and 75: what it waited for was killed meanwhile; 69: the supervisor was.
        if status not in (*ok, 0, 1, 69, 75):
            self.watch.bad(f"{' '.join(words)}: exit {status}: {text}")
        elif status != 0:
            self.say("    ", " ".join(words), "->", status, text[:200])
        return status

    def command(self, *words):
        """The same, on the side."""
        return self.aside(lambda: self.carry_out(*words), " ".join(words))

    def aside(self, call, text=""):
        """Do it on a thread of its own."""
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        self.verbs.append(thread)
        return text

    def wait_verbs(self, seconds):
        deadline = time.monotonic() + seconds
        for thread in self.verbs:
            thread.join(max(0, deadline - time.monotonic()))
        self.verbs = [t for t in self.verbs if t.is_alive()]
        return not self.verbs

    def calm(self):
        """Nothing is armed, nothing is held up."""
        for timer in self.timers:
            timer.join()
        self.timers.clear()
        for one in self.sockets:
            one.close()
        self.sockets.clear()
        self.run.log.reading.set()
        self.fake.calm()
        self.fake.resume_gone(False)
        for name in self.known:
            self.disarm(name)
        self.known.clear()

    def arm(self, name, worker, seconds, spec=""):
        if worker is None:
            return "nobody"
        self.known.add(name)
        self.faulted[worker["name"]] = time.monotonic() + seconds + 4 * self.run.slack
        if self.bot.ctl_run("fault", name, f"slot={worker['name']}{spec}").returncode:
            return "the supervisor was away"
        self.later(seconds, self.disarm, name)
        return f"{worker['tag']} for {seconds:.1f} s"

    def disarm(self, name):
        # A supervisor that was killed meanwhile has forgotten it; one that starts is asked again.
        for _ in range(100):
            if self.bot.ctl_run("fault", name, "").returncode == 0:
                return
            time.sleep(0.05)


# ---- workers ----

@deed("kill handler")
def kill_handler(d, one):
    return d.hit(d.handler(one), signal.SIGKILL, "killed")


@deed("kill active rest")
def kill_active(d, _):
    return d.hit(d.rest(True), signal.SIGKILL, "killed")


@deed("kill spare rest")
def kill_spare(d, _):
    return d.hit(d.rest(False), signal.SIGKILL, "killed")


@deed("stop handler")
def stop_handler(d, one):
    return d.hit(d.handler(one), signal.SIGSTOP, "stopped")


@deed("stop active rest")
def stop_active(d, _):
    return d.hit(d.rest(True), signal.SIGSTOP, "stopped")


@deed("stop spare rest")
def stop_spare(d, _):
    return d.hit(d.rest(False), signal.SIGSTOP, "stopped")


@deed("spin")
def spin(d, one):
    return d.arm("worker.spin", d.handler(one, ("echo", "chat")), 0.4)


@deed("block")
def block(d, one):
    return d.arm("worker.block", d.handler(one, ("echo", "chat")), 0.4, ",arg=1" if one.amount < 0.5 else "")


@deed("crash")
def crash(d, one):
    return d.arm("worker.crash", d.handler(one, ("echo", "chat")), 0.3)


@deed("exit")
def leave(d, one):
    """Killed, and its next process exits before it is ready."""
    worker = d.handler(one, ("echo", "chat"))
    if worker is None:
        return "nobody"
    said = d.arm("worker.exit", worker, 0.2, ",arg=3")
    d.hit(worker, signal.SIGKILL, "killed")
    return said


@deed("slow handler")
def slow_handler(d, one):
    return d.arm("worker.slow", d.handler(one, ("echo", "chat")), 0.5 + one.amount, f",arg={int(100 + one.amount * 400)}")


@deed("rest dies at a point")
def rest_point(d, one):
    """Before a request goes out, or with its answer in hand."""
    return d.arm(("rest.crash_before", "rest.crash_after")[one.pick % 2], d.rest(True), 0.3, ",match=/messages")


@deed("frames in pieces")
def pieces(d, one):
    d.known.add("chan.short_write")
    if d.bot.ctl_run("fault", "chan.short_write", "pct=20").returncode:
        return "the supervisor was away"
    d.later(0.5 + one.amount, d.disarm, "chan.short_write")
    return f"{0.5 + one.amount:.1f} s"


# ---- the supervisor ----

@deed("kill supervisor")
def kill_supervisor(d, _):
    with d.conf:
        d.watch.away(4)
        pid = d.bot.process.pid
        d.run.supervisor_gone(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return "was gone"
    return f"pid {pid}"


@deed("supervisor dies at a point")
def supervisor_point(d, one):
    """At the instants that matter: journaled and not given, asked and not sent, answered and not noted."""
    point = ("supervisor.crash_journaled", "supervisor.crash_asked", "supervisor.crash_effect")[one.pick % 3]
    with d.conf:
        pid = d.bot.process.pid
        d.watch.away(5)
        if d.bot.ctl_run("fault", point, "for=1").returncode:
            return "the supervisor was away"
        deadline = time.monotonic() + 2
        while d.bot.process.pid == pid:
            if time.monotonic() > deadline:
                d.disarm(point)
                return f"{point}, which nothing came to"
            time.sleep(0.005)
        d.run.supervisor_gone(pid)
    return point


@deed("upgrade")
def upgrade(d, _):
    d.watch.away(10)
    return d.aside(d.run.upgrade)


# ---- Discord ----

@deed("gateway reset")
def gw_reset(d, _):
    return f"{d.fake.drop()} connection(s)"


@deed("gateway cut")
def gw_cut(d, one):
    return f"{d.fake.cut(now=one.amount < 0.3)} connection(s)"


@deed("gateway close")
def gw_close(d, one):
    code = CLOSES[one.pick % len(CLOSES)]
    return f"{code}, {d.fake.close(code)} connection(s)"


@deed("gateway op 7")
def gw_op7(d, _):
    return f"{d.fake.op7()} connection(s)"


@deed("gateway op 9")
def gw_op9(d, _):
    return f"resumable, {d.fake.op9(resumable=True)} connection(s)"


@deed("gateway op 1")
def gw_op1(d, _):
    return f"{d.fake.op1()} connection(s)"


@deed("gateway refuses")
def gw_refuses(d, one):
    d.fake.refuse(1 + one.pick % 2)
    return f"{1 + one.pick % 2} time(s), after a reset of {d.fake.drop()} connection(s)"


@deed("gateway silent")
def gw_silent(d, one):
    what = ("all", "ack", "dispatch")[one.pick % 3]
    n = d.fake.stall(what=what)
    d.later(0.5 + 2 * one.amount, d.fake.unstall)
    return f"{what}, {n} connection(s), {0.5 + 2 * one.amount:.1f} s"


@deed("resume address gone")
def gw_gone(d, one):
    d.fake.resume_gone(True)
    d.later(0.3 + one.amount, d.fake.resume_gone, False)
    return f"{0.3 + one.amount:.1f} s, after a reset of {d.fake.drop()} connection(s)"


@deed("rest 5xx")
def rest_5xx(d, one):
    d.fake.fail(1 + one.pick % 4, (500, 502, 503)[one.pick % 3], **CREATES)
    return f"{1 + one.pick % 4} times {(500, 502, 503)[one.pick % 3]}"


@deed("rest 5xx after")
def rest_5xx_after(d, one):
    d.fake.fail(1 + one.pick % 3, 504, after_commit=True, **CREATES)
    return f"{1 + one.pick % 3} times 504, when it was done"


@deed("rest 429")
def rest_429(d, one):
    scope = ("user", "shared", "global")[one.pick % 3]
    d.fake.rate_limit(1 + one.pick % 2, scope, round(0.2 + 0.8 * one.amount, 3), **CREATES)
    return f"{scope}, {0.2 + 0.8 * one.amount:.1f} s"


@deed("rest reset")
def rest_reset(d, one):
    d.fake.reset(1 + one.pick % 4, **CREATES)
    return f"{1 + one.pick % 4} times"


@deed("rest answers lost")
def rest_lost(d, one):
    d.fake.lose_answer(1 + one.pick % 6)
    return f"{1 + one.pick % 6} times"


@deed("rest slow")
def rest_slow(d, one):
    d.fake.slow(1 + one.pick % 8, round(0.1 + one.amount, 3), **CREATES)
    return f"{1 + one.pick % 8} times {0.1 + one.amount:.1f} s"


@deed("rest slow body")
def rest_slow_body(d, one):
    d.fake.slow_body(1 + one.pick % 3, 0.001, **CREATES)
    return f"{1 + one.pick % 3} times"


# ---- the operator ----

@deed("reload")
def reload(d, one):
    d.variant = 1 - d.variant
    with d.conf:
        d.run.configure(d.variant)
    return d.command("reload")


@deed("reload of a bad file")
def reload_bad(d, _):
    def go():
        with d.conf:
            good = d.bot.conf.read_text()
            d.bot.write_conf(good + "drian = 5\nhang = 3\n")
            if d.carry_out("reload", ok=(78,)) == 0:
                d.watch.bad("a file with a mistake was taken")
            d.bot.write_conf(good)
    return d.aside(go)


@deed("reload from a frozen disk")
def reload_frozen(d, one):
    """The disk is frozen where it is touched: in the child that reads the configuration."""
    ms = int(500 + 2000 * one.amount)
    if d.bot.ctl_run("fault", "config.freeze", f"arg={ms}").returncode:
        return "the supervisor was away"
    d.known.add("config.freeze")

    def go():
        d.carry_out("reload")
        d.disarm("config.freeze")
    return d.aside(go, f"{ms} ms")


@deed("restart")
def restart(d, one):
    return d.command("restart", (*POOLS, "rest")[one.pick % 4])


@deed("restart --rolling")
def restart_rolling(d, one):
    return d.command("restart", (*POOLS, "rest")[one.pick % 4], "--rolling")


@deed("restart --now")
def restart_now(d, one):
    return d.command("restart", (*POOLS, "rest")[one.pick % 4], "--now")


@deed("scale")
def scale(d, one):
    return d.command("scale", POOLS[one.pick % 3], str(1 + one.pick // 3 % 4))


@deed("drain and resume")
def drain(d, one):
    worker = d.handler(one)
    if worker is None:
        return "nobody"
    def go():
        d.carry_out("drain", worker["name"])
        while d.carry_out("resume", worker["pool"]) not in (0, 69):
            time.sleep(0.2)
    return d.aside(go, worker["name"])


# ---- who does not read, and who writes what he should not ----

@deed("log reader stops")
def log_stops(d, one):
    d.run.log.reading.clear()
    d.later(1 + 2 * one.amount, d.run.log.reading.set)
    return f"{1 + 2 * one.amount:.1f} s"


def client(d):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(1)
    try:
        one.connect(str(d.bot.socket))
    except OSError:
        one.close()
        return None
    d.sockets.append(one)
    if len(d.sockets) > 8:
        d.sockets.pop(0).close()
    return one


@deed("junk to the control socket")
def junk(d, one):
    peer = client(d)
    if peer is None:
        return "the supervisor was away"
    try:
        peer.sendall(JUNK[one.pick % len(JUNK)])
    except OSError:
        pass
    return ""


@deed("client that reads nothing")
def deaf(d, _):
    peer = client(d)
    if peer is None:
        return "the supervisor was away"
    ask = msgpack.packb([ASK, 1, 1, msgpack.packb("show") + msgpack.packb("config"), b""], use_bin_type=True)
    try:
        peer.setblocking(False)
        for _ in range(1000):
            peer.sendall(len(ask).to_bytes(4, "big") + ask)
    except OSError:
        pass
    return ""
