"""The watcher: twice a second it asks the bot how it is and compares that with what /proc and the log say."""

import fcntl
import os
import pathlib
import re
import statistics
import subprocess
import threading
import time

from bot import CtlError

LINE = re.compile(r"^\S+Z (\w+) ([\w.#]+): (.*)$")
READY = re.compile(r"^([\w-]+\.\d+)#(\d+) ready .*\bpid=(\d+)")
DEATH = re.compile(r"^([\w-]+\.\d+)#(\d+) (.*) cause=(\w+) .*\bpid=(\d+)")
STARTED = re.compile(r"^bulkheadd \S+ protocol=")


def proc(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def state_of(pid):
    """The letter of its state and its parent; ("", 0): there is no such process."""
    stat = proc(pid, "stat").rpartition(")")[2].split()
    return (stat[0], int(stat[1])) if len(stat) > 2 else ("", 0)


def children_of(pid):
    return {int(p) for p in proc(pid, f"task/{pid}/children").split()}


def pool_of(worker):
    return worker["tag"].rpartition(".")[0]


def status_role(status, worker):
    return next((p["role"] for p in status["pools"] if p["name"] == pool_of(worker)), pool_of(worker))


class Log:
    """Reads the supervisor's log as a log daemon does, and may stop doing so."""

    def __init__(self, bot):
        self.bot = bot
        self.reading = threading.Event()
        self.reading.set()
        self.lines = []                 # (moment, level, who, text)
        self.ready, self.deaths = {}, {}    # pid -> (moment, slot, generation), (moment, slot, cause, text)
        read, write = os.pipe()
        bot.log_file.close()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)    # full as soon as nobody reads
        bot.log_file = os.fdopen(write, "wb", buffering=0)
        self.thread = threading.Thread(target=self.pump, args=(read,), daemon=True)
        self.thread.start()

    def pump(self, read):
        rest = b""
        with open(self.bot.log_path, "ab", buffering=0) as out:
            while data := os.read(read, 65536):
                out.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.take(line.decode(errors="replace"))
                self.reading.wait()
        os.close(read)

    def take(self, line):
        match = LINE.match(line)
        if not match:
            self.lines.append((time.monotonic(), "", "", line))
            return
        level, who, text = match.groups()
        now = time.monotonic()
        self.lines.append((now, level, who, text))
        if found := READY.match(text):
            self.ready[int(found[3])] = (now, found[1], int(found[2]))
        elif found := DEATH.match(text):
            self.deaths[int(found[5])] = (now, found[1], found[4], found[3])


class Watch:
    """
        slack       bounds of time and memory are so many times as large (sanitizers)
        wrong       what must not be, each with its moment
    """

    def __init__(self, bot, log, machine, say, slack):
        self.bot, self.log, self.machine, self.say, self.slack = bot, log, machine, say, slack
        self.wrong = []
        self.since = {}                 # a disagreement -> moment when it was first seen
        self.told = set()
        self.epoch = None               # (pid, moment of its start) of the supervisor that answers
        self.epochs = []
        self.counters = {}
        self.totals = {}                # counter -> sum over all supervisors
        self.jitter = {}                # epoch -> worst in us
        self.samples = {}               # (role, pid, epoch) -> [(moment, rss in KiB, descriptors)]
        self.status = None
        self.busy_until = 0.0           # the supervisor is known to be away
        self.silent_s = 0.0
        self.polls = 0
        self.buried = set()             # tags of the last deaths that status tells
        self.worst_queue = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def bad(self, text):
        self.wrong.append(text)
        self.say("WRONG", text)

    def away(self, seconds):
        """The supervisor is killed or replaced: it may be silent for so long."""
        self.busy_until = max(self.busy_until, time.monotonic() + seconds * self.slack)

    def run(self):
        while not self.over.wait(0.5):
            try:
                self.look()
            except (CtlError, ValueError, subprocess.TimeoutExpired, OSError):
                self.nobody()
            except Exception as why:
                self.bad(f"the watcher fell: {why!r}")
                raise

    def nobody(self):
        """No status: right only while the supervisor is away."""
        self.since.setdefault("silent", time.monotonic())
        silent = time.monotonic() - max(self.since["silent"], self.busy_until)
        if silent > 5 * self.slack and "silent" not in self.told:
            self.told.add("silent")
            self.bad(f"the control socket is silent for {silent:.1f} s")

    def look(self):
        began = time.monotonic()
        status = self.bot.status()
        took = time.monotonic() - began
        self.since.pop("silent", None)
        self.told.discard("silent")
        self.silent_s = max(self.silent_s, took)
        self.polls += 1
        started = began - status["uptime_ms"] / 1000
        if self.epoch is None or self.epoch[0] != status["pid"] or started - self.epoch[1] > 0.5:
            self.epoch = (status["pid"], started)
            self.epochs.append(self.epoch)
            self.counters = {}
        self.status = status
        self.buried |= {w["last"]["tag"] for w in status["workers"] if w["last"]}
        seen = {}
        self.truth(status, seen)
        self.sums(status, seen)
        now = time.monotonic()
        for what, (patience, text) in seen.items():
            first = self.since.setdefault(what, now)
            if now - first >= patience * self.slack and what not in self.told:
                self.told.add(what)
                self.bad(f"for {now - first:.1f} s: {text}")
        for what in [w for w in self.since if w != "silent" and w not in seen]:
            del self.since[what]
        if status["gateway"]:
            worst = status["gateway"]["beat_jitter_max_us"]
            self.jitter[self.epoch] = max(self.jitter.get(self.epoch, 0), worst)
            bound = 0.1 * self.slack + self.machine.worst(self.epoch[1])
            if worst / 1e6 > bound and ("jitter", self.epoch) not in self.told:
                self.told.add(("jitter", self.epoch))
                self.bad(f"a heartbeat was {worst / 1000:.1f} ms late; {self.machine.told(self.epoch[1])}")
        self.count()

    def truth(self, status, seen):
        """Does status say what /proc says?"""
        if state_of(status["pid"])[0] in ("", "Z"):
            return
        said = {w["pid"]: w["tag"] for w in status["workers"] + status["beside"] if w["pid"]}
        alive = children_of(status["pid"])
        for pid, tag in said.items():
            if pid not in alive:
                seen["gone", pid] = (3, f"status names {tag} pid {pid}, which is no child of the supervisor")
        for pid in alive - set(said):
            line = proc(pid, "cmdline").replace("\0", " ")
            letter = state_of(pid)[0]
            if letter == "Z" or not (" -x config " in line or "bulkheadd" in line.split(" ")[0]):
                seen["extra", pid] = (3, f"the supervisor has a child that status does not name: pid {pid} state "
                                         f"{letter} {line}")
        for pid, tag in said.items():
            letter = state_of(pid)[0]
            if letter == "T":
                seen["stopped", pid] = (8, f"{tag} pid {pid} is stopped, and lives on")
        for w in status["workers"] + status["beside"]:
            if w["pid"]:
                rss = re.search(r"RssAnon:\s+(\d+)", proc(w["pid"], "status"))
                self.sample(status_role(status, w), w["pid"], rss)
        self.sample("supervisor", status["pid"], re.search(r"RssAnon:\s+(\d+)", proc(status["pid"], "status")))

    def sample(self, role, pid, rss):
        try:
            fds = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return
        if rss:
            self.samples.setdefault((role, pid, self.epoch), []).append((time.monotonic(), int(rss[1]), fds))

    def sums(self, status, seen):
        """Deliveries that are out = sum over the workers, in the supervisor's books; and what the workers show."""
        for pool in status["pools"]:
            if pool["role"] == "rest":
                continue
            mine = [w for w in status["workers"] + status["beside"] if pool_of(w) == pool["name"]]
            total = sum(w["open"] for w in mine)
            if total != pool["given"]:
                seen["given", pool["name"]] = (0, f"pool {pool['name']}: {pool['given']} deliveries are given, its "
                                                  f"workers hold {total}")
            for w in mine:
                if w["state"] == "ready" and w.get("scopes", 0) != w["open"]:
                    seen["scopes", w["tag"]] = (8, f"{w['tag']} holds {w['open']} deliveries and shows {w['scopes']} "
                                                   "scopes")
        given = sum(p["given"] for p in status["pools"])
        if given != status["deliveries"]["given"]:
            seen["journal"] = (0, f"the journal has {status['deliveries']['given']} deliveries given, the pools {given}")
        self.worst_queue = max(self.worst_queue, status["deliveries"]["waiting"])

    def count(self):
        now = self.bot.counters()
        for name, value in now.items():
            before = self.counters.get(name, 0)
            if value < before:
                if self.bot.status()["uptime_ms"] / 1000 < time.monotonic() - self.epoch[1] - 0.5:
                    return              # another supervisor since the status
                self.bad(f"the counter {name} went back from {before} to {value}")
            self.totals[name] = self.totals.get(name, 0) + max(0, value - before)
        self.counters = now

    # At the end

    def growth(self):
        """Rows (role, processes, samples, growth of RSS in KiB, of descriptors): the worst of each role, by processes
        that lived long enough to tell."""
        rows = {}
        for (role, _, _), points in self.samples.items():
            points = [p for p in points if p[0] > points[0][0] + 2.0]
            if len(points) < 12:
                continue
            quarter = len(points) // 4
            first, last = points[:quarter], points[-quarter:]
            rss = statistics.median(p[1] for p in last) - statistics.median(p[1] for p in first)
            fds = statistics.median(p[2] for p in last) - statistics.median(p[2] for p in first)
            old = rows.get(role, (0, 0, -1 << 30, -1 << 30))
            rows[role] = (old[0] + 1, old[1] + len(points), max(old[2], rss), max(old[3], fds))
        return rows
