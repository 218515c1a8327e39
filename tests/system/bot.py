"""A real bot on a private directory: bulkheadd, its workers, bulkheadctl.

Used by the system tests and by scripts/playground.  Everything it starts it also stops, by pid.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLL_S = 0.01
# What is waited for comes within the bound on a machine that has nothing else to do; on a busy one it comes later, and is
# as right.  A bound of a wait only ends a run that is broken.
PATIENCE = 5


def build_dir():
    """Where the programs are: $BULKHEAD_BUILD, below the project's root when it is relative."""
    return ROOT / os.environ.get("BULKHEAD_BUILD", "build")


def wait_for(condition, timeout, what):
    """The first true value of condition(); AssertionError naming `what` when PATIENCE times the time is up."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout * PATIENCE} s: {what}"
        threading.Event().wait(POLL_S)


def alive(pid):
    """Does the process run?  A zombie does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class CtlError(Exception):
    """bulkheadctl exited with another status than 0."""

    def __init__(self, status, text):
        super().__init__(f"bulkheadctl: exit {status}: {text}")
        self.status, self.text = status, text


class Bot:
    """One configuration in one directory; its supervisor may be started many times.

        options     lines of the configuration: {"hang": 1}; pools: {"echo": {"workers": 2}}
        keep        as a process manager would: start the supervisor again when it dies
        tied        ends, drained, with the thread that starts it, however that ends
    """

    def __init__(self, fake, pools=None, build=None, args=(), env=None, keep=False, tied=False, **options):
        self.build = pathlib.Path(build or build_dir())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bulkhead-", dir=os.environ.get("BULKHEAD_DIR", "/dev/shm")))
        self.conf = self.dir / "bulkhead.conf"
        self.log_path = self.dir / "log"
        self.socket = self.dir / "run" / "control.sock"
        self.fake, self.args, self.keep = fake, list(args), keep
        self.wrapper = ["setpriv", "--pdeathsig", "TERM", "--"] if tied else []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("BULKHEAD_")} | (env or {})
        self.process = None
        self.exits = []                 # statuses of supervisors that ended by themselves
        self.wanted = False
        self.keeper = None
        self.log_file = open(self.log_path, "ab", buffering=0)
        self.configure(pools or {"echo": {"handler": "echo"}}, **options)

    # Configuration

    def configure(self, pools, **options):
        lines = {"token": self.fake.token, "api_url": self.fake.url} if self.fake else {}
        lines |= {"runtime_dir": str(self.dir / "run"), "journal": "4M"}
        if self.fake and self.fake.opts.limits["global"] is None:
            lines["rest_per_second"] = 10000
        lines |= options
        text = "".join(f"{k} = {self.literal(v)}\n" for k, v in lines.items() if v is not None)
        for name, pool in pools.items():
            body = "".join(f"  {k} = {self.literal(v)}\n" for k, v in ({"handler": "echo"} | pool).items())
            text += f'pool "{name}" {{\n{body}}}\n'
        self.write_conf(text)

    def write_conf(self, text):
        # At once: a supervisor that starts meanwhile finds the old one or the new one.
        fresh = self.conf.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.rename(self.conf)

    @staticmethod
    def literal(value):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (list, tuple)):
            return "{" + ", ".join(f'"{v}"' for v in value) + "}"
        return str(value) if isinstance(value, (int, float)) else f'"{value}"'

    # Life

    def start(self, stderr=None):
        """Start the supervisor; does not wait for anything."""
        self.wanted = True
        # A session of its own: a terminal's Ctrl-C is ours to hand on.
        self.process = subprocess.Popen([*self.wrapper, self.build / "bulkheadd", "-c", self.conf, *self.args],
                                        stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=stderr or self.log_file, env=self.env, start_new_session=True)
        if self.keep and self.keeper is None:
            self.keeper = threading.Thread(target=self.watch, daemon=True)
            self.keeper.start()
        return self

    def watch(self):
        """The process manager: what dies unasked is started again at once."""
        while self.wanted:
            process = self.process
            status = process.wait()
            if self.wanted and process is self.process:
                self.exits.append(status)
                self.process = subprocess.Popen(process.args, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                                stderr=self.log_file, env=self.env, start_new_session=True)

    def ready(self, timeout=20.0):
        """Wait until every worker is READY and the gateway (when there is one) is live."""
        def good():
            if not self.keep and self.process.poll() is not None:
                raise AssertionError(f"bulkheadd exited with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                status = self.status()
            except (CtlError, json.JSONDecodeError):
                return False
            gateway = status["gateway"]
            return (all(w["state"] == "ready" for w in status["workers"]) and status["workers"]
                    and (gateway is None or gateway["state"].lower() == "ready"))
        wait_for(good, timeout, "every worker ready and the gateway live; log:\n" + self.log()[-2000:])
        return self

    def stop(self, sig=signal.SIGTERM, timeout=90.0):
        """End the supervisor as a process manager would; its exit status."""
        self.wanted = False
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"bulkheadd did not stop within {timeout} s:\n{self.log()[-4000:]}") from None

    def close(self, keep_dir=False):
        """Stop and remove the directory; kills what a broken run left behind."""
        try:
            self.stop()
        finally:
            for pid in self.children_ever():
                if alive(pid) and "bulkhead" in self.cmdline(pid):
                    os.kill(pid, signal.SIGKILL)
            self.log_file.close()
            if not keep_dir:
                self.remove()

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.close(keep_dir=kind is not None)

    # What it says

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def logged(self, pattern):
        return re.search(pattern, self.log())

    def sanitizer_report(self):
        """What a sanitizer said of any of its processes; "" nothing."""
        found = re.search(r"^.*(ERROR: (Address|Leak|Undefined)\w*Sanitizer|runtime error:)(.*\n){0,40}", self.log(), re.M)
        return found.group() if found else ""

    def children_ever(self):
        """Pids of every worker that the log names."""
        return {int(n) for n in re.findall(r"\bpid=(\d+)", self.log())}

    @staticmethod
    def cmdline(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return ""

    # bulkheadctl

    def ctl_run(self, *words, timeout=60, stdin=""):
        return subprocess.run([self.build / "bulkheadctl", "-s", self.socket, *words], input=stdin, text=True,
                              capture_output=True, timeout=timeout, check=False)

    def ctl(self, *words, timeout=60):
        """Text that the command prints; CtlError when it fails."""
        done = self.ctl_run(*words, timeout=timeout)
        if done.returncode != 0:
            raise CtlError(done.returncode, done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def ask(self, *words, timeout=60):
        """The JSON document of a command."""
        return json.loads(self.ctl("-j", *words, timeout=timeout))

    def status(self):
        return self.ask("status")

    def worker(self, name):
        return next(w for w in self.status()["workers"] if w["name"] == name)

    def active_rest(self):
        return next((w for w in self.status()["workers"] if w.get("active")), None)

    def counters(self):
        rows = self.ask("show", "counters")
        return {row["name"]: row["value"] for row in rows["counters"]}

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def kill(self, name, sig=signal.SIGKILL):
        """kill -9 of a worker by its name, "rest" for the active one, or of "supervisor"; the pid.  A worker's death has been
        noticed then: what status says is about the next one."""
        if name == "supervisor":
            pid = self.process.pid
        elif name == "rest":
            pid = self.active_rest()["pid"]
        else:
            pid = self.worker(name)["pid"]
        os.kill(pid, sig)
        if name != "supervisor" and sig != signal.SIGSTOP:
            wait_for(lambda: pid not in [w["pid"] for w in self.status()["workers"]], 20, f"the death of {name} is noticed")
        return pid
