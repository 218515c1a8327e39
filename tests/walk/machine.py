"""What the walk does on the machine that it walks on: commands, the bot's unit, the fake Discord, and whether all who say
how the bot is say the same, and the truth."""

import json
import os
import pathlib
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request

import bot
from fakediscord import threaded

WEB = "127.0.0.1:9464"


# A machine whose processor is emulated (scripts/walk --vm without KVM) is ten times slower; others may be busy.
VIRT = subprocess.run(["systemd-detect-virt"], text=True, capture_output=True, check=False).stdout.strip()
PATIENCE = 5 if VIRT == "qemu" else 2


def wait_for(condition, timeout, what):
    return bot.wait_for(condition, timeout * PATIENCE, what)


def sh(command, check=True, timeout=180):
    """A command line as an operator types it; its output, or the process when it may fail."""
    done = subprocess.run(command, shell=True, text=True, capture_output=True, timeout=timeout, check=False)
    if not check:
        return done
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def note(text):
    print(f"    {text}", flush=True)


class Unit:
    """One bot of this machine: bulkhead.service, or bulkhead@NAME.service."""

    def __init__(self, name="", **fake_options):
        self.name = name
        self.unit = f"bulkhead@{name}.service" if name else "bulkhead.service"
        self.run = pathlib.Path(f"/run/bulkhead-{name}" if name else "/run/bulkhead")
        self.state = pathlib.Path(f"/var/lib/bulkhead-{name}" if name else "/var/lib/bulkhead")
        self.conf = pathlib.Path(f"/etc/bulkhead/{name or 'bulkhead'}.conf")
        self.token = pathlib.Path(f"/etc/bulkhead/{name + '.' if name else ''}token")
        # Discord on a bad day: doubled and swapped events, lost answers.  Heartbeats often, so that a cut is noticed soon.
        # Nothing is trimmed: what is said during an outage is replayed, so that every ping is owed an answer.
        self.fake = threaded.Fake(**{"limits": False, "buffer_events": 5000, "heartbeat_ms": 3000, "seed": 7,
                                     "session_ttl_s": 300.0} | fake_options).start()
        self.web = None
        self.said = []
        self.secrets = [self.fake.token]
        self.marked = None

    # Configuration

    def write_token(self, text=None):
        self.token.write_text((text or self.fake.token) + "\n")

    def configure(self, workers=2, more="", pool=""):
        """more: lines before the pool; pool: lines of it."""
        self.conf.write_text(f'api_url = "{self.fake.url}"\nrest_per_second = 1000\n'
                             + (f'runtime_dir = "{self.run}"\n' if self.name else "")
                             + (f'web = "{self.web}"\n' if self.web else "") + more
                             + f'pool "echo" {{\n  handler = "echo"\n  workers = {workers}\n  memory = "96M"\n{pool}}}\n')

    # Talk: each ping is owed one answer

    def ping(self, text="!ping", channel=0):
        message = self.fake.say(self.fake.channels[channel], text)
        self.said.append(message["id"])
        return message

    def answered(self, timeout=30):
        """Everything that was ever said has its one answer."""
        self.fake.wait(lambda: all(self.fake.replies_to(m) for m in self.said), timeout * PATIENCE)
        missing = [m for m in self.said if not self.fake.replies_to(m)]
        assert not missing, f"no answer to {len(missing)} of {len(self.said)} messages"
        twice = [m for m in self.said if len(self.fake.replies_to(m)) > 1]
        assert not twice, f"{len(twice)} of {len(self.said)} messages were answered twice"

    def answers(self, timeout=10):
        """Seconds until a ping that is said now has its answer."""
        t0 = time.monotonic()
        message = self.ping()
        assert self.fake.wait(lambda: self.fake.replies_to(message["id"]), timeout * PATIENCE), f"no answer within {timeout} s"
        return time.monotonic() - t0

    # What systemd and bulkheadctl say

    def show(self, *names):
        out = sh(f"systemctl show {self.unit} -p {','.join(names)}")
        return dict(line.split("=", 1) for line in out.splitlines())

    def ctl_run(self, words, timeout=90):
        return sh(f"bulkheadctl {'-i ' + self.name if self.name else ''} {words}", check=False, timeout=timeout)

    def ctl(self, words, timeout=90):
        done = self.ctl_run(words, timeout)
        assert done.returncode == 0, f"bulkheadctl {words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, words):
        return json.loads(self.ctl("-j " + words))

    def status(self):
        return self.ask("status")

    def worker(self, name):
        return next(w for w in self.status()["workers"] if w["name"] == name)

    def ready(self, name, other_than=0):
        """The worker, once it is ready and another process than that one."""
        return wait_for(lambda: (w := self.worker(name))["state"] == "ready" and w["pid"] != other_than and w, 30,
                        f"{name} is ready again")

    def died(self, name, pid):
        """The obituary of that process."""
        return wait_for(lambda: next((o for o in self.ask(f"show worker {name}")["obituaries"] if o["pid"] == pid), None),
                        30, f"the obituary of {name}, pid {pid}")

    def main_pid(self):
        return int(self.show("MainPID")["MainPID"])

    # The log

    def log(self, since=None):
        """Lines of the unit's log, of supervisor and systemd, since a time."""
        return sh(f"journalctl --sync; journalctl -q --no-pager -o short-precise -u {self.unit}"
                  + (f" --since=@{since:.6f}" if since else ""))

    def mark(self):
        """From here on `logged` looks."""
        self.marked = time.time()

    def logged(self, pattern):
        wait_for(lambda: re.search(pattern, self.log(self.marked)), 10, f"the log says {pattern!r}")

    # The truth

    def cgroup(self, pid):
        return pathlib.Path(f"/proc/{pid}/cgroup").read_text()

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.web}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def page_says(self, *words):
        code, text = self.get("/")
        assert code == 200, text
        return all(word in text for word in words)

    def agree(self, workers=2):
        """All is well, and systemd, bulkheadctl, the kernel, the log and the page say so, of the same processes."""
        self.answered()

        def well():
            s = self.status()
            return (s["health"] == "ok" and s["gateway"]["live"] and all(w["state"] == "ready" for w in s["workers"])
                    and s["deliveries"]["waiting"] == s["deliveries"]["given"] == 0 and s)
        try:
            s = wait_for(well, 40, "bulkheadctl status says that all is well")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ctl('status')}") from None
        assert s["deliveries"]["aside"] == 0 and s["journal"]["dropped"] == 0, s["deliveries"]
        text = self.ctl("status")
        assert re.search(r"^health +ok ", text) and f"pid {s['pid']}" in text, text
        names = {w["name"] for w in s["workers"]}
        assert {f"echo.{i}" for i in range(workers)} == {n for n in names if n.startswith("echo.")}, names

        unit = self.show("ActiveState", "SubState", "MainPID", "ControlGroup", "Result")
        assert (unit["ActiveState"], unit["SubState"], unit["Result"]) == ("active", "running", "success"), unit
        assert int(unit["MainPID"]) == s["pid"], "systemctl and bulkheadctl name the same process"
        want = f"ok; {len(names)} of {len(names)} workers ready, 0 waiting, 0 open, 0 set aside"
        wait_for(lambda: self.show("StatusText")["StatusText"] == want, 15, f"systemctl status says {want!r}")
        shown = sh(f"systemctl status --no-pager -l {self.unit}")
        for pid in [s["pid"]] + [w["pid"] for w in s["workers"]]:
            assert unit["ControlGroup"] in self.cgroup(pid), f"{pid} runs, in the unit's control group"
            assert re.search(rf"─ *{pid} ", shown), f"systemctl status shows {pid}:\n{shown}"
        children = {int(p) for p in sh(f"ps --ppid {s['pid']} -o pid=").split()}
        assert children == {w["pid"] for w in s["workers"]}, "its children are its workers: no zombie, no other"
        self.page(s)
        log = self.log()
        for word in self.secrets:
            assert word not in log, "a secret is in the log"
        bad = re.search(r"^.*(Assertion|runtime error|AddressSanitizer|core dumped.*bulkheadd).*$", log, re.M)
        assert not bad, bad.group()
        assert not self.fake.violations, self.fake.violations

    def page(self, status):
        """The web worker, when this release has one."""
        if not self.web:
            return
        wait_for(lambda: self.get("/readyz")[0] == 200, 15, "/readyz says ready")
        code, text = self.get("/healthz")
        assert code == 200 and text.strip() == "ok", text
        # Of what does not move while nothing happens.
        names = ("events_journaled", "deliveries_acked", "gateway_connects", "gateway_resumes", "worker_starts")

        def same():
            code, text = self.get("/metrics")
            assert code == 200
            found = dict(re.findall(r"^bulkhead_(\w+)_total (\d+)$", text, re.M))
            counters = {row["name"]: row["value"] for row in self.ask("show counters")["counters"]}
            return all(int(found[name]) == counters[name] for name in names)
        wait_for(same, 15, "/metrics counts what bulkheadctl show counters does")
        # It is as old as its snapshot, a second.
        wait_for(lambda: self.page_says(*(w["name"] for w in status["workers"])), 10, "the page names each worker")


class Flood:
    """Pings in 20 channels until it ends."""

    def __init__(self, unit, every_s=0.01):
        self.unit, self.every_s, self.ended = unit, every_s, threading.Event()
        self.thread = threading.Thread(target=self.talk)

    def talk(self):
        n = 0
        while not self.ended.wait(self.every_s):
            self.unit.ping(channel=n % 20)
            n += 1

    def __enter__(self):
        self.n = len(self.unit.said)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.count = len(self.unit.said) - self.n


def memory_is_delegated():
    """Does this machine's systemd hand control groups of version 2 that account for memory to its units?"""
    try:
        return "memory" in pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    except OSError:
        return False


def gone(path):
    return not os.path.lexists(path)
