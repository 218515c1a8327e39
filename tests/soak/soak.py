#!/usr/bin/python3
"""Many conversations with a bot whose processes are killed at random; nothing may be lost, doubled or leaked.

    soak.py BUILD [-n CONVERSATIONS] [--seed N] [--every N] [--open N] [--workers N]

A question is asked in one of many channels of a fake Discord at its worst (events doubled and swapped, answers lost
after the commit); every fourth goes on with an answer before it.  A fake model answers, differently every time, one in
ten slowly.  After every EVERY answers or so one of chat worker, rest worker (active or spare) and supervisor gets
SIGKILL; a process manager starts the supervisor again.  The supervisor dies in the first fifth only, the others in the
first half: what rises is seen in a process that lives long enough to fill its caches.  --seed replays questions and
kills.

What must hold, or the exit status is 1:
  - each question has exactly one message as its answer;
  - its text is one that the model gave for this question, whole, or what came of it with a mark below;
  - no delivery is left over, none is a dead letter;
  - memory and descriptors of each process role do not rise with the number of conversations: a line through the
    samples of each process that has lived through a quarter of all answers, one slope for all processes of a role, is
    below MEMORY_KIB_PER_1000 and FDS_PER_1000, or below twice its own standard error.  A chat worker remembers 4,000
    messages, the supervisor what is finished: with fewer than 10,000 conversations the slopes are shown only.
"""

import argparse
import os
import random
import re
import signal
import sys
import time

from talking import descriptors, memory_kib, pids, role_of, talking

from bot import CtlError, wait_for  # noqa: E402
from fakediscord import threaded  # noqa: E402
from fakemodel.threaded import FakeModel  # noqa: E402

CHANNELS = 400
POLL_S, SAMPLE_S, SAY_S = 0.02, 0.5, 10
STUCK_S = 90                            # without one answer: it will not come any more
MARK_S = 5
WARM = 0.25                             # of all answers, in the life of a process
UNTIL = {"supervisor": 0.2, "chat": 0.5, "rest": 0.5, "spare": 0.5}     # of all answers: killed no more
FULL_N = 10000                          # answers that fill every cache before the slopes are taken
MEMORY_KIB_PER_1000 = 256               # a peak of work leaves its mark; a leak of one answer's text is more
FDS_PER_1000 = 10                      # idle connections come and go with what is open at once
VICTIMS = {"chat": 4, "rest": 3, "spare": 1, "supervisor": 2}
MARKS = ("\u26a0 interrupted", "\u23f3 restarting \u2026", "\u23f9 stopped")


class Failed(Exception):
    pass


class Slopes:
    """One slope for all processes of a role; each process has its own height."""

    def __init__(self, warm):
        self.warm = warm
        self.rows = {}                  # (role, what) -> {pid: [(x, y)]}
        self.first = {}                 # pid -> x

    def add(self, name, pid, x):
        if x - self.first.setdefault(pid, x) < self.warm:
            return
        for what, value in (("memory", memory_kib(pid)), ("descriptors", descriptors(pid))):
            if value is not None:
                self.rows.setdefault((role_of(name), what), {}).setdefault(pid, []).append((x, value))

    @staticmethod
    def line(samples):
        """(slope per 1000, its standard error, number of samples, lowest, highest)"""
        xx = xy = yy = 0.0
        n, free = 0, 0
        for points in samples.values():
            mx = sum(x for x, _ in points) / len(points)
            my = sum(y for _, y in points) / len(points)
            xx += sum((x - mx) ** 2 for x, _ in points)
            xy += sum((x - mx) * (y - my) for x, y in points)
            yy += sum((y - my) ** 2 for _, y in points)
            n += len(points)
            free += len(points) - 1
        values = [y for points in samples.values() for _, y in points]
        if xx == 0 or free < 3:
            return None, None, n, min(values), max(values)
        slope = xy / xx
        error = (max(0.0, yy - slope * xy) / (free - 1) / xx) ** 0.5
        return slope * 1000, error * 1000, n, min(values), max(values)


class Soak:
    def __init__(self, args):
        self.n, self.open_max, self.workers = args.n, args.open, args.workers
        self.rng = random.Random(args.seed)
        kills = random.Random(args.seed + 1)
        self.kills, at = [], 0          # [(after so many answers, whom)]
        while (at := at + kills.randint(args.every // 2, args.every * 3 // 2)) < self.n * max(UNTIL.values()):
            whom = {name: often for name, often in VICTIMS.items() if at < self.n * UNTIL[name]}
            self.kills.append((at, kills.choices(list(whom), whom.values())[0], kills.random()))
        self.killed = {name: 0 for name in VICTIMS}
        self.fake = threaded.Fake(limits=False, channels=CHANNELS, buffer_events=50000, seed=args.seed,
                                  session_ttl_s=300.0, keep=4000000)
        self.model = FakeModel(seed=args.seed, keep=4000000)
        self.open = {}                  # message id -> (word, channel)
        self.asked = self.done = 0
        self.answers = {}               # word -> {whole texts}
        self.marks = {}                 # message id of a question -> since when its answer has a mark
        self.read_n = 0                 # requests of the model that were looked at
        self.finished = []              # [(message id of the question, word, message of the answer)]
        self.slopes = Slopes(WARM * self.n)
        self.began = self.told = self.sampled = self.moved = time.monotonic()

    # One turn

    def read_model(self):
        rows = self.model.requests
        while self.read_n < len(rows):
            row = rows[self.read_n]
            if row["end"] is None:      # those behind it are looked at later
                break
            self.read_n += 1
            word = re.findall(r"\bq\d+\b", str((row["body"] or {}).get("messages", [{}])[-1].get("content")))
            if word and row["answer"]:
                self.answers.setdefault(word[-1], set()).add(row["answer"])

    def is_answered(self, question, word):
        """Whole; or with a mark that nobody takes away any more."""
        found = self.fake.replies_to(question)
        if not found:
            return False
        text = found[-1]["content"]
        if not text.endswith(MARKS):
            self.marks.pop(question, None)
            return text in self.answers.get(word, ())
        return time.monotonic() - self.marks.setdefault(question, time.monotonic()) > MARK_S

    def collect(self):
        self.read_model()
        for question, (word, channel) in list(self.open.items()):
            if self.is_answered(question, word):
                self.finished.append((question, word, channel))
                del self.open[question]
                self.done += 1
                self.moved = time.monotonic()

    def ask(self):
        busy = {channel for _, channel in self.open.values()}
        while self.asked < self.n and len(self.open) < self.open_max:
            self.asked += 1
            word = f"q{self.asked}"
            pace = " slowly" if self.rng.random() < 0.1 else ""
            before = self.finished[-1 - self.rng.randrange(min(50, len(self.finished)))] \
                if self.finished and self.rng.random() < 0.25 else None
            if before is not None and before[2] not in busy:
                channel, text = before[2], f"{word} and then{pace}?"
                reply = self.fake.replies_to(before[0])[-1]["id"]
            else:
                channel = self.rng.choice([c for c in self.fake.channels if c not in busy])
                text, reply = f"<@{self.fake.bot_id}> {word} what is it{pace}?", None
            busy.add(channel)
            self.open[self.fake.say(channel, text, reply_to=reply)["id"]] = (word, channel)

    def kill(self, whom, which):
        """False: there is none to kill just now."""
        workers = [w for w in self.bot.status()["workers"] if w["state"] == "ready"]
        rest = [w for w in workers if w["pool"] == "rest"]
        found = {"chat": [w for w in workers if w["pool"] == "chat"], "rest": [w for w in rest if w["active"]],
                 "spare": [w for w in rest if not w["active"]], "supervisor": [{"pid": self.bot.pid}]}[whom]
        if not found:
            return False
        os.kill(found[int(which * len(found))]["pid"], signal.SIGKILL)
        self.killed[whom] += 1
        return True

    def sample(self):
        try:
            for name, pid in pids(self.bot).items():
                self.slopes.add(name, pid, self.done)
        except (CtlError, ValueError):
            pass                        # the supervisor is away

    def run(self):
        while self.done < self.n:
            self.collect()
            self.ask()
            now = time.monotonic()
            if self.kills and self.done >= self.kills[0][0]:
                try:
                    if self.kill(*self.kills[0][1:]):
                        self.kills.pop(0)
                except (CtlError, ValueError, ProcessLookupError):
                    pass
            if now - self.sampled >= SAMPLE_S:
                self.sampled = now
                self.sample()
            if now - self.told >= SAY_S:
                self.told = now
                self.tell()
            if now - self.moved > STUCK_S:
                raise Failed(f"no answer for {STUCK_S} s; open:\n" + "\n".join(
                    f"{word} id={question} shown={[m['content'] for m in self.fake.replies_to(question)]} "
                    f"said={self.answers.get(word)} {self.bot.ctl('-j', 'explain', question)}"
                    for question, (word, _) in list(self.open.items())[:5]))
            time.sleep(POLL_S)

    def tell(self):
        took = time.monotonic() - self.began
        print(f"soak: {self.done} of {self.n} in {took:.0f} s, {self.done / took:.0f}/s, open {len(self.open)}, killed "
              + ", ".join(f"{n} {name}" for name, n in self.killed.items()), flush=True)

    # The verdict

    def judge(self):
        wrong = []
        status = self.bot.status()["deliveries"]
        if status["aside"]:
            wrong.append(f"{status['aside']} dead letters")
        by_question = {}
        for channel in self.fake.channels:
            for m in self.fake.call(lambda c=channel: list(self.fake.server.world.messages[c].values())):
                if m["author"]["id"] == self.fake.bot_id:
                    by_question.setdefault(m.get("message_reference", {}).get("message_id"), []).append(m["content"])
        self.marked = 0
        for question, word, _ in self.finished:
            shown = by_question.pop(question, [])
            if len(shown) != 1:
                wrong.append(f"{word}: {len(shown)} answers")
                continue
            mark = next((m for m in MARKS if shown[0].endswith("\n" + m)), None)
            said = shown[0].removesuffix(f"\n{mark}")
            self.marked += mark is not None
            if not any(said == t if mark is None else t.startswith(said) for t in self.answers[word]):
                wrong.append(f"{word}: not what the model said: {shown[0][-80:]!r}")
        # Three dead rest workers under one answer give it up; whatever else ends is continued.
        given_up = sum(int(n) for n in re.findall(r"streams open again=\d+ ended=(\d+)", self.bot.log()))
        if self.marked > given_up:
            wrong.append(f"{self.marked} answers are marked, but only {given_up} were given up")
        if by_question:
            wrong.append(f"messages that answer nobody: {list(by_question.items())[:3]}")
        wrong += [self.bot.sanitizer_report()] if self.bot.sanitizer_report() else []
        wrong += [f"fake discord: {v}" for v in self.fake.violations[:3]]
        wrong += [f"fake model: {v}" for v in self.model.violations[:3]]
        return wrong

    def table(self):
        wrong = []
        print("\n| role | what | samples | lowest | highest | slope per 1,000 | allowed |\n|---|---|---|---|---|---|---|")
        for (role, what), rows in sorted(self.slopes.rows.items()):
            slope, error, n, low, high = self.slopes.line(rows)
            allowed = MEMORY_KIB_PER_1000 if what == "memory" else FDS_PER_1000
            unit = " KiB" if what == "memory" else ""
            text = "too few samples" if slope is None else f"{slope:+.1f} \u00b1 {error:.1f}{unit}"
            print(f"| {role} | {what} | {n} of {len(rows)} processes | {low}{unit} | {high}{unit} | {text} | "
                  f"{allowed}{unit} |")
            if self.n >= FULL_N and slope is not None and slope > max(allowed, 2 * error):
                wrong.append(f"{what} of {role} rises: {text} per 1,000 conversations")
        return wrong

    def __enter__(self):
        self.fake.__enter__()
        self.model.__enter__()
        self.model.script(match="slowly", n=None, pace=60, length=160)
        # A small journal is full of what is finished, and a worker's cache full, before the warm-up ends.
        self.bot = talking(self.fake, self.model, self.workers, keep=True, journal="1M", log_level="notice")
        self.bot.start().ready()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.bot.log()[-4000:], file=sys.stderr)
        self.bot.close(keep_dir=kind is not None)
        self.model.__exit__(None, None, None)
        self.fake.__exit__(None, None, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("-n", type=int, default=10000, help="conversations")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1, help="chat workers; more of them need more answers to fill")
    parser.add_argument("--every", type=int, default=200, help="answers from one kill to the next, about")
    parser.add_argument("--open", type=int, default=100, help="conversations at once")
    args = parser.parse_args()
    args.seed = random.SystemRandom().randrange(1 << 31) if args.seed is None else args.seed
    os.environ["BULKHEAD_BUILD"] = args.build
    print(f"soak: {args.n} conversations, seed {args.seed}", flush=True)
    with Soak(args) as soak:
        try:
            soak.run()
            wait_for(lambda: soak.bot.status()["deliveries"]["given"] == 0, 60, "every delivery is finished")
        except (Failed, AssertionError) as e:
            soak.tell()
            print(f"soak: failed, seed {args.seed}: {e}")
            print(soak.bot.log()[-4000:], file=sys.stderr)
            return 1
        soak.tell()
        wrong = soak.judge() + soak.table()
        print(f"\nsoak: {soak.n} questions, {soak.marked} answers marked, {len(soak.model.requests)} requests to the "
              f"model, {len(soak.fake.requests)} to Discord, {len(soak.bot.exits)} starts of the supervisor after its "
              f"death, {len(soak.fake.identifies)} IDENTIFY, {time.monotonic() - soak.began:.0f} s")
    for line in wrong[:20]:
        print(f"soak: {line}")
    print(f"soak: {'failed' if wrong else 'passed'}, seed {args.seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
