#!/usr/bin/python3
"""chaos - a real bot, the fake Discord at its worst, 200 channels that count, and everything goes wrong at once.

    tests/chaos/chaos.py [--seed N] [--secs T] [--rate R] [--plan]      or: make chaos T=600 SEED=n

What is done, to which one by index and at which moment, follows from the seed (plan.py; --plan prints it).  Each
message must be answered once, in order; status must be what /proc says; each death has an obituary; nothing grows.
Exit status 0, or 1 with the command that does the same again; then the directory stays.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"), str(HERE.parent / "discord")]

import deeds  # noqa: E402
import plan  # noqa: E402
import talk  # noqa: E402
import watch  # noqa: E402
from bot import ROOT, Bot, CtlError, alive, build_dir, wait_for  # noqa: E402
from fakediscord import threaded  # noqa: E402
from fakemodel.threaded import FakeModel  # noqa: E402
from lateness import Lateness  # noqa: E402

ASAN = "asan" in os.environ.get("BULKHEAD_BUILD", "")
TARGETS_MS = {"death of a handler": 50, "death of rest": 50, "rolling restart": 50, "upgrade": 1000}
MEDIAN_MAX = 5                      # times the target, on a machine where an answer takes no longer than
USUAL_MS = 10
BURST = 12                          # pings that are on their way when something is measured
FAIL_BACKS = 10                     # at least, in a minute: with fewer a run says little
# Lines of the level err that a kind of deed explains.
EXPECTED_ERR = (
    r"stays in place: its successor", r"failed: too many deaths", r"drian|not taken|nothing was changed|reload",
    r"upgrade",
)
# Of one process, from the first quarter of its life to the last one, without the journal's pages.  rest keeps connections
# for its next requests; the supervisor has descriptors for each worker, and is compared at the end with its beginning.
GROWTH_RSS_KIB = 4096
GROWTH_FDS = {"rest": 96, "supervisor": 64}       # rest: 64 connections at most, and what asks for names
GROWTH_FDS_OTHERS = 4
# A supervisor that is killed within it may take an obituary along: the reader of the log stops for up to 3 s.
LAST_WORDS_S = 5


class Run:
    def __init__(self, args):
        self.args = args
        self.slack = 3 if ASAN else 1
        self.began = time.monotonic()
        self.fake = threaded.Fake(limits=False, channels=talk.CHANNELS, seed=args.seed, buffer_events=1 << 20,
                                  heartbeat_ms=1000, session_ttl_s=600.0).start()
        self.model = FakeModel(seed=args.seed).start()
        env = {"ASAN_OPTIONS": "quarantine_size_mb=4:" + os.environ.get("ASAN_OPTIONS", "")} if ASAN else {}
        self.bot = Bot(self.fake, args=["--faults"], keep=True, env=env)
        self.configure(0)
        self.log = watch.Log(self.bot)
        self.machine = Lateness(lambda: self.bot.pid)
        self.watch = watch.Watch(self.bot, self.log, self.machine, self.say, self.slack)
        self.talk = talk.Talk(self.fake, self.model, args.seed, args.rate)
        self.doer = deeds.Doer(self)
        self.done = collections.Counter()
        self.gone = {}                  # pid of a supervisor that was killed -> moment
        self.upgrades = []              # what each told
        self.measured = {kind: [] for kind in TARGETS_MS}   # in ms
        self.skipped = 0
        self.calm_ms = []               # answers while nothing happened
        self.progress_at = 0.0

    def say(self, *words):
        print(f"[{time.monotonic() - self.began:7.2f}]", *words, flush=True)

    def configure(self, variant):
        """Two good configurations: limits that are in force at once, and what a pool's next workers are told."""
        pools = {"echo": {"workers": 2, "credit": 64 - 16 * variant},
                 "dice": {"workers": 2, "handler": f"exec:{ROOT}/worker/examples/dice.py", "events": ["MESSAGE_CREATE"]},
                 "chat": {"workers": 2, "handler": "chat"}}
        self.bot.configure(pools, hang=2 + variant, stopped=2, backoff_max=1, call_timeout=10, drain=2, last_word=1,
                           drain_rolling=10, start_deadline=30)
        self.bot.write_conf(self.bot.conf.read_text() + f'model "m" {{ base_url = "{self.model.url}"  '
                            f'api_key = "{self.model.key}"  name = "{self.model.model}" }}\n')

    # The run

    def go(self):
        self.bot.start().ready(30 * self.slack)
        self.fds = self.bot.fds()
        self.watch.thread.start()
        self.talk.thread.start()
        start = time.monotonic()
        self.began = start
        for one in plan.make(self.args.seed, self.args.secs):
            self.until(start + one.at)
            if one.measured:
                self.measure(one)
            else:
                self.unquiet()
                self.say(f"{one.kind}:", self.attempt(one))
                self.done[one.kind] += 1
            if self.talk.failure:
                break
        self.until(start + self.args.secs)
        return self.judge()

    def attempt(self, one):
        try:
            return self.doer.do(one)
        except (CtlError, OSError, ValueError, subprocess.TimeoutExpired) as why:
            return f"the supervisor was away: {why}"

    def until(self, moment):
        while True:
            self.talk.listen()
            self.explain()
            self.progress()
            left = moment - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def explain(self):
        """While the journal still knows it: what happened to the messages that something is wrong with."""
        while self.talk.dubious and len(self.talk.wrong) <= 3:
            said = self.talk.dubious.pop(0)
            self.say(f"WRONG {said.text!r} in channel {said.channel}:\n{self.bot.ctl_run('explain', said.id).stdout}")

    def progress(self):
        if time.monotonic() - self.progress_at < 5:
            return
        self.progress_at = time.monotonic()
        status = self.watch.status or {"health": "?", "deliveries": {"waiting": 0}}
        self.say(f"... said {len(self.talk.said)} open {len(self.talk.said) - len(self.talk.answered)} worst "
                 f"{self.talk.worst[0]:.2f} s deaths {len(self.log.deaths)} supervisors {len(self.watch.epochs)} "
                 f"fail-backs {self.fail_backs()} health {status['health']} wrong "
                 f"{len(self.watch.wrong) + len(self.talk.wrong)}")

    def supervisor_gone(self, pid):
        self.gone[pid] = time.monotonic()

    def upgrade(self):
        """In place; what it told, or None."""
        done = self.bot.ctl_run("-j", "upgrade", timeout=90)
        key = ("upgrade", done.returncode)
        self.doer.exits[key] = self.doer.exits.get(key, 0) + 1
        if done.returncode != 0:
            self.say("     upgrade ->", done.returncode, (done.stderr or done.stdout).strip()[:200])
            return None
        self.upgrades.append(json.loads(done.stdout))
        return self.upgrades[-1]

    def fail_backs(self):
        """How often a handler's place was filled again after a death, so that its channels went back to it."""
        pools = set(deeds.POOLS)
        return sum(1 for _, slot, generation in list(self.log.ready.values())
                   if slot.rpartition(".")[0] in pools and generation > 1)

    # Measuring

    def quiet(self):
        """No fault is armed and the bot is whole; False: not in time."""
        if self.fake.opts.swap_p:
            self.doer.calm()
            self.fake.opts.swap_p = self.fake.opts.dup_p = 0.0
            # With a sibling that can take over: a second death of an only worker costs the second to its next start.
            for pool in deeds.POOLS:
                self.bot.ctl_run("scale", pool, "2")
        deadline = time.monotonic() + 5 * self.slack
        while time.monotonic() < deadline:
            self.talk.listen()
            status = self.doer.ask()
            if (status and status["gateway"]["live"] and all(w["state"] == "ready" for w in status["workers"])
                    and not status["beside"] and self.doer.wait_verbs(0) and not self.talk.late(0.3)):
                return True
            time.sleep(0.05)
        self.say("not whole:", json.dumps({"why": status["why"], "beside": [w["tag"] for w in status["beside"]],
                                           "deliveries": status["deliveries"]} if status else None),
                 "commands under way:", len(self.doer.verbs), "late answers:", self.talk.late(0.3))
        return False

    def unquiet(self):
        if not self.fake.opts.swap_p:
            self.fake.opts.swap_p = self.fake.opts.dup_p = 0.01
            self.fake.lose_answer(n=1, p=0.01)

    def measure(self, one):
        """A blow on a quiet machine."""
        if not self.quiet():
            self.skipped += 1
            return
        time.sleep(0.2)
        rng = random.Random(one.pick)
        calm = self.talk.burst(rng.sample(range(talk.CHANNELS - talk.CHATTING), 5))
        self.answered(calm, 2)
        self.calm_ms += [1000 * d for d in map(self.talk.delay, calm) if d is not None]
        if one.kind.startswith("death"):
            self.measure_death(one, rng)
        else:
            self.measure_verb(one)
        self.done[one.kind] += 1

    def answered(self, said, seconds):
        wait_until = time.monotonic() + seconds * self.slack
        while time.monotonic() < wait_until:
            self.talk.listen()
            if all(s.id in self.talk.answered for s in said):
                return True
            time.sleep(0.01)
        return False

    def measure_death(self, one, rng):
        """It is stopped, so that what is on its way stays in its hands; then it is killed.  From there the channels
        count that were waiting."""
        victim = self.doer.rest(True) if one.kind == "death of rest" else self.doer.handler(one, ("echo",))
        if victim is None:
            self.skipped += 1
            return
        os.kill(victim["pid"], signal.SIGSTOP)
        burst = self.talk.burst(rng.sample(range(talk.CHANNELS - talk.CHATTING), BURST))
        time.sleep(0.03)
        self.doer.hits[victim["pid"]] = (time.monotonic(), victim["name"], "killed")
        died = time.monotonic()
        os.kill(victim["pid"], signal.SIGKILL)
        self.answered(burst, 3)
        # Each channel once: its first answer after the death, to a question from before it.
        first = {}
        for said in burst:
            t, _ = self.talk.answered.get(said.id, (time.monotonic(), None))
            if t > died:
                first[said.channel] = min(first.get(said.channel, t), t)
        waits = [1000 * (t - died) for t in first.values()]
        told = self.bot.ask("show", "worker", victim["name"])["obituaries"]
        if victim["pid"] not in [o["pid"] for o in told]:
            self.watch.bad(f"show worker {victim['name']} does not tell of the death of pid {victim['pid']}")
        slow = [said for said in burst if said.channel in first and first[said.channel] - died > 0.1]
        if slow:
            self.say("slow:", self.bot.ctl_run("explain", slow[0].id).stdout)
        self.measured[one.kind] += waits
        buried = self.log.deaths.get(victim["pid"])
        self.say(f"measured {one.kind}: {victim['tag']}, {len(waits)} channels waited,",
                 f"longest {max(waits):.1f} ms," if waits else "",
                 f"buried after {1000 * (buried[0] - died):.1f} ms" if buried else "not buried yet",
                 f"load {os.getloadavg()[0]:.1f}")

    def measure_verb(self, one):
        began = time.monotonic()
        if one.kind == "upgrade":
            self.watch.away(10)
            told = self.upgrade()
            text = f"gap {told['gap_ms']} ms as it says" if told else "failed"
        else:
            text = f"exit {self.bot.ctl_run('restart', 'echo', '--rolling').returncode}"
        ended = time.monotonic() + 0.1
        self.until(ended)
        said = [s for s in self.talk.said[-4000:] if began <= s.t <= ended and s.pool == "echo"]
        self.answered(said, 5)
        usual = statistics.median(self.calm_ms)
        waits = [1000 * (self.talk.delay(s) or 99) - usual for s in said]
        if waits and not text.startswith(("failed", "exit 1")):
            self.measured[one.kind].append(max(waits))
        self.say(f"measured {one.kind}: {text}, {1000 * (ended - began - 0.1):.0f} ms in all, longest delay beyond the "
                 f"usual {usual:.1f} ms: {max(waits, default=0):.1f} ms of {len(waits)} answers")

    # The verdict

    def judge(self):
        wrong = []
        self.talk.over.set()
        self.talk.thread.join(20)
        self.doer.calm()
        self.doer.wait_verbs(30)
        if self.talk.failure:
            wrong.append(f"the load ended by itself: {self.talk.failure!r}")
        deadline = time.monotonic() + 40 * self.slack
        while self.talk.listen() and time.monotonic() < deadline:
            time.sleep(0.05)
        for pool in deeds.POOLS:
            self.bot.ctl_run("scale", pool, "2")
        self.bot.ctl_run("resume", "rest")
        try:
            self.bot.ready(30 * self.slack)
            wait_for(lambda: self.idle(), 20 * self.slack, "nothing is open any more")
        except (AssertionError, CtlError) as why:
            wrong.append(f"not whole again: {str(why)[:3000]}")
        self.watch.over.set()
        self.watch.thread.join(10)
        status = self.bot.status()
        self.settled(status, wrong)
        self.explain()
        wrong += self.missing()
        wrong += self.talk.wrong + list(self.talk.wrong_words())
        if len(self.fake.identifies) != 1:
            wrong.append(f"the session was lost: {len(self.fake.identifies)} IDENTIFYs")
        wrong += [f"a request that Discord's description does not allow: {v}" for v in self.fake.violations[:3]]
        wrong += [f"a request that no model's server takes: {v}" for v in self.model.violations[:3]]
        wrong += self.burials(status)
        wrong += self.log_lines()
        fail_backs = self.fail_backs()
        if fail_backs < FAIL_BACKS * self.args.secs / 60:
            wrong.append(f"only {fail_backs} fail-backs")
        growth = self.watch.growth()
        for role, (_, _, rss, fds) in growth.items():
            if not ASAN and rss > GROWTH_RSS_KIB:
                wrong.append(f"{role} grew by {rss} KiB")
            if fds > GROWTH_FDS.get(role, GROWTH_FDS_OTHERS):
                wrong.append(f"{role} has {fds} descriptors more")
        # No figure of a busy machine is a verdict; what waits for a timer is.
        busy = max(1, statistics.median(self.calm_ms) / USUAL_MS) if self.calm_ms else 1
        for kind, values in self.measured.items():
            if values and statistics.median(values) > MEDIAN_MAX * TARGETS_MS[kind] * self.slack * busy:
                wrong.append(f"{kind}: half of the answers took longer than {statistics.median(values):.0f} ms, "
                             f"an answer while nothing happens {statistics.median(self.calm_ms):.0f} ms")
        wrong += self.end()
        wrong += self.watch.wrong
        self.table(growth, fail_backs)
        return wrong

    def idle(self):
        status = self.bot.status()
        return not (status["deliveries"]["waiting"] or status["deliveries"]["given"] or status["calls_open"]
                    or status["streams_open"] or status["beside"] or any(w["open"] or w["scopes"] for w in status["workers"]))

    def settled(self, status, wrong):
        if status["deliveries"]["aside"]:
            aside = self.bot.ask("show", "deliveries")["aside"]
            wrong.append(f"{len(aside)} dead letters: {json.dumps(aside[:3])}")
        if status["journal"]["dropped"] or status["journal"]["damaged"]:
            wrong.append(f"the journal: {status['journal']}")
        try:
            wait_for(lambda: self.bot.fds() <= self.fds, 5, "as few descriptors as in the beginning")
        except AssertionError:
            wrong.append(f"the supervisor began with {self.fds} descriptors and has {self.bot.fds()}")

    def missing(self):
        delivered = self.fake.delivered()
        for said in self.talk.missing()[:5]:
            about = self.bot.ctl_run("explain", said.id)
            yield f"no answer to {said.text!r} {said.id} said at {said.t - self.began:.2f}, " \
                f"{'sent' if said.id in delivered else 'never sent'} by Discord\n{about.stdout}{about.stderr}"
        if self.talk.missing():
            yield f"{len(self.talk.missing())} of {len(self.talk.said)} without an answer"

    def burials(self, status):
        """Each process that was ever ready lives, or has an obituary, or died with its supervisor."""
        living = {w["pid"] for w in status["workers"] + status["beside"]}
        starts = [e[1] for e in self.watch.epochs]
        for pid, (ready_at, slot, generation) in self.log.ready.items():
            if pid in living or pid in self.log.deaths or f"{slot}#{generation}" in self.watch.buried:
                continue
            # A supervisor that came later buried no one of its predecessor's.
            later = [s for s in starts if s > ready_at - 1]
            hit = self.doer.hits.get(pid)
            if not later or (hit and hit[2] == "killed" and hit[0] + LAST_WORDS_S < min(later)):
                yield f"{slot}#{generation} pid {pid} is gone without an obituary"
        for pid, (at, slot, cause, text) in self.log.deaths.items():
            faulted = at < self.doer.faulted.get(slot, 0)
            if cause == "asked" or pid in self.doer.hits or faulted:
                continue
            yield f"{slot} pid {pid} died by itself at {at - self.began:.2f}: {text}"

    def log_lines(self):
        for at, level, _, text in self.log.lines:
            if level == "err" and not any(re.search(e, text) for e in EXPECTED_ERR):
                yield f"at {at - self.began:.2f} the log says: {text}"
            elif re.search(r"unexpected ev=|[Aa]ssertion|broke the protocol", text) and \
                    "RX_RESUMED state=READY" not in text:       # the fake says some things twice
                yield f"at {at - self.began:.2f} the log says: {text}"

    def end(self):
        pids = self.bot.children_ever()
        try:
            code = self.bot.stop()
            if code != 0:
                yield f"bulkheadd ended with {code}"
        except AssertionError as why:
            yield str(why)[:2000]
        time.sleep(0.2)
        left = [p for p in pids if alive(p) and "bulkhead" in self.bot.cmdline(p)]
        if left:
            yield f"processes that are left: {left}"
        for code in set(self.bot.exits) - {-signal.SIGKILL}:
            yield f"a supervisor ended by itself with {code}"
        # The crashes that were asked for are reports too.
        wild = [text for _, _, _, text in self.log.lines if re.search(r"ERROR: \w+Sanitizer|runtime error:", text)
                and not (text.partition("#")[0] in self.doer.faulted and "AddressSanitizer: SEGV" in text)]
        if wild:
            yield f"{len(wild)} reports of a sanitizer: {wild[:3]}"

    def table(self, growth, fail_backs):
        print(f"\nseed {self.args.seed}, {self.args.secs:.0f} s, {sum(self.done.values())} deeds:")
        for kind, n in sorted(self.done.items(), key=lambda row: -row[1]):
            print(f"  {n:4} {kind}")
        print("commands:", ", ".join(f"{verb} {'ok' if status == 0 else f'exit {status}'} x{n}"
                                     for (verb, status), n in sorted(self.doer.exits.items(), key=str)))
        by_pool = collections.Counter(s.pool for s in self.talk.said)
        causes = collections.Counter(cause for _, _, cause, _ in self.log.deaths.values())
        print(f"messages {dict(by_pool)}, answered {len(self.talk.answered)}, repeated and the same by nonce "
              f"{sum(1 for r in self.fake.posts if r['again'])}; longest wait {self.talk.worst[0]:.2f} s "
              f"({self.talk.worst[1]})")
        print(f"deaths {dict(causes)}, fail-backs {fail_backs}; supervisors killed {len(self.gone)}, upgrades "
              f"{len(self.upgrades)}, gateway connections {len(self.fake.connections)}, resumes {len(self.fake.resumes)}")
        t = self.watch.totals
        print(f"deliveries given {t.get('deliveries_given', 0)}, taken back {t.get('deliveries_returned', 0)}; calls "
              f"given to the spare {t.get('calls_repeated', 0)}, answered from the journal {t.get('calls_answered', 0)}; "
              f"log lines dropped {t.get('log_dropped', 0)}; most that waited {self.watch.worst_queue}")
        print(f"processors {os.cpu_count()}, load at the end {os.getloadavg()[0]:.1f} of all that runs here")
        print(f"heartbeats at most {max(self.watch.jitter.values(), default=0) / 1000:.1f} ms late ({self.machine.told()}); status "
              f"within {self.watch.silent_s * 1000:.0f} ms, {self.watch.polls} times")
        print("growth (KiB, descriptors; worst process): " + "; ".join(
            f"{role} {rss:+.0f}, {fds:+.0f}" for role, (_, _, rss, fds) in sorted(growth.items())))
        usual = sorted(self.calm_ms)
        if usual:
            print(f"an answer on a quiet machine: median {statistics.median(usual):.1f} ms, longest {usual[-1]:.1f} ms")
        for kind, values in self.measured.items():
            v = sorted(values)
            if not v:
                print(f"  {kind}: not measured")
            elif kind.startswith("death"):
                print(f"  {kind} to the next answer in a channel that waited: p50 {v[len(v) // 2]:.1f} ms, p99 "
                      f"{v[int(len(v) * 0.99)]:.1f} ms, max {v[-1]:.1f} ms of {len(v)} (target: p99 {TARGETS_MS[kind]} ms)")
            else:
                print(f"  {kind}: longest delay beyond the usual {v[-1]:.1f} ms of {len(v)} (target: {TARGETS_MS[kind]} ms)")
        if self.skipped:
            print(f"  {self.skipped} measurements left out: the bot was not whole in time")

    def close(self, keep):
        self.machine.stop()
        self.bot.close(keep_dir=keep)
        self.model.stop()
        self.fake.stop()


def main():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--secs", type=float, default=60.0, help="length, in rounds of 15 s (default 60)")
    parser.add_argument("--rate", type=float, default=None, help="messages per second")
    parser.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    args = parser.parse_args()
    args.seed = random.SystemRandom().randrange(1 << 31) if args.seed is None else args.seed
    args.rate = args.rate or (talk.RATE / 3 if ASAN else talk.RATE)
    if args.plan:
        for one in plan.make(args.seed, args.secs):
            print(f"{one.at:8.3f}  {'measure ' if one.measured else ''}{one.kind}  pick={one.pick} amount={one.amount:.3f}")
        return 0
    print(f"chaos: seed {args.seed}, {args.secs:.0f} s", flush=True)
    run, keep = Run(args), True
    try:
        wrong = run.go()
        keep = bool(wrong)
    finally:
        run.close(keep)
        if keep:
            print(f"kept: {run.bot.dir}")
    if wrong:
        print(f"\nWRONG, {len(wrong)}:")
        for text in wrong[:40]:
            print(" -", text)
        print(f"\nthe same again: make BUILD={os.path.relpath(build_dir(), ROOT)} chaos T={args.secs:.0f} SEED={args.seed}")
        return 1
    said = len(run.talk.said)
    print(f"\nchaos: 1 passed: {said} messages, each answered once and in order; seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
