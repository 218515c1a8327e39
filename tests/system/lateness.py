"""How late this machine lets a process be: what a heartbeat cannot be better than, whatever the program does."""

import os
import pathlib
import subprocess
import threading
import time

ASAN = "asan" in os.environ.get("BULKHEAD_BUILD", "")
JITTER_S = 0.1 * (3 if ASAN else 1)     # of a heartbeat, while something is in our way that is not the processor
SAMPLE_S, WINDOW_S = 0.02, 0.5


class Metronome:
    """How late it wakes a process that does nothing, on each processor."""
    CODE = ("import os,sys,time\nos.sched_setaffinity(0,[int(sys.argv[1])])\nt=time.monotonic()\nwhile True:\n t+=.005\n"
            " time.sleep(max(0,t-time.monotonic()))\n n=time.monotonic()\n if n-t>.02: print(n,n-t,flush=True)\n t=n\n")

    def __init__(self):
        self.late = []                  # (moment, seconds)
        self.processes = [subprocess.Popen(["/usr/bin/python3", "-c", self.CODE, str(cpu)], stdout=subprocess.PIPE,
                                           text=True) for cpu in sorted(os.sched_getaffinity(0))]
        for one in self.processes:
            threading.Thread(target=self.read, args=(one,), daemon=True).start()

    def read(self, process):
        for line in process.stdout:
            self.late.append(tuple(map(float, line.split())))

    def worst(self, since=0.0):
        return max((late for at, late in list(self.late) if at >= since), default=0.0)

    def stop(self):
        for one in self.processes:
            one.kill()
            one.wait()
            one.stdout.close()


class Queued:
    """How long a process, given by a function that returns its pid, wanted a processor and had none: the most in any
    WINDOW_S.  A kernel that does not tell (CONFIG_SCHED_INFO) is taken for one where it never waits."""

    def __init__(self, pid):
        self.pid = pid
        self.late = []                  # (moment, seconds)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        before, window = None, []
        while not self.over.wait(SAMPLE_S):
            try:
                pid = self.pid()
                now = (pid, int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9)
            except (OSError, IndexError, AttributeError):
                before = None
                continue
            if before and before[0] == pid:
                at = time.monotonic()
                window = [(t, d) for t, d in window if t > at - WINDOW_S] + [(at, now[1] - before[1])]
                total = sum(d for _, d in window)
                if total > 0.005:
                    self.late.append((at, total))
            before = now

    def worst(self, since=0.0):
        return max((late for at, late in list(self.late) if at >= since), default=0.0)

    def stop(self):
        self.over.set()
        self.thread.join()


class Lateness:
    """Both of them.

        with Lateness(lambda: bot.pid) as machine:
            machine.kept_time(bot)
    """

    def __init__(self, pid):
        self.metronome, self.queued = Metronome(), Queued(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.metronome.stop()
        self.queued.stop()

    def worst(self, since=0.0):
        """In seconds."""
        return self.metronome.worst(since) + self.queued.worst(since)

    def told(self, since=0.0):
        return (f"the machine woke others up to {1000 * self.metronome.worst(since):.0f} ms late, and kept this one waiting "
                f"for up to {1000 * self.queued.worst(since):.0f} ms of {1000 * WINDOW_S:.0f}")

    def kept_time(self, bot):
        """No heartbeat of the supervisor was late for a reason of its own."""
        worst = bot.status()["gateway"]["beat_jitter_max_us"] / 1e6
        assert worst < JITTER_S + self.worst(), f"a heartbeat was {1000 * worst:.0f} ms late; {self.told()}"
