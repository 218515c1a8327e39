#!/usr/bin/python3
"""What an event costs: floor and Bulkhead side by side against tests/bench/flood.c, as markdown tables.

    bench.py BUILD [--reps N] [--only WORD]

BUILD holds bulkheadd, bulkhead-worker, bulkheadctl and bench/{flood,floor}.  Each cell is a process of its own, the
programs take turns (the repetition is the outer loop), figures are min / median / max.  CPU is the process CPU clock
(user and system, in ns) of each process of the tree, from the first byte of the flood to 0.3 s after its end.
Nothing is asserted but that every event was read and every ping answered: times depend on the machine.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))

from bot import Bot, wait_for  # noqa: E402

WARM, EVENTS = 16384, 81920         # of the flood; WARM + EVENTS is its pool
PING_WARM, PING_EVENTS = 8192, 24576
SETTLE_MS = 300
PACED = 200, 3, 4                   # events/s, seconds, every fourth a ping
IDLE_S = 1.0
ANSWER_S = 40


class Flood:
    """The flood server, driven by lines."""

    def __init__(self, build):
        self.process = subprocess.Popen([build / "bench" / "flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.about = self.read()
        self.port = self.about["port"]
        self.token, self.url = "bench.token", f"http://127.0.0.1:{self.port}/api/v10"
        self.opts = types.SimpleNamespace(limits={"global": None})

    def read(self):
        line = self.process.stdout.readline()
        assert line, "the flood server ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        return self.read()

    def identified(self):
        return self.read()["identify_ns"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Floor:
    """One run of the floor program."""

    def __init__(self, flood, build, mode, answer):
        self.words = [build / "bench" / "floor", str(flood.port), mode] + (["answer"] if answer else [])
        self.flood = flood

    def __enter__(self):
        began = time.monotonic_ns()
        self.process = subprocess.Popen(self.words)
        self.identify_ms = (self.flood.identified() - began) / 1e6
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def pids(self):
        return {"floor": self.process.pid}


class Bulkhead:
    """One run of bulkheadd with a rest pair and a pool of one echo worker."""

    def __init__(self, flood, build, mode, wants):
        pool = {"handler": "echo", "events": ["MESSAGE_CREATE"] if wants else []}
        self.flood = flood
        self.bot = Bot(flood, pools={"echo": pool}, build=build, compress="none" if mode == "plain" else mode,
                       intents=["GUILDS", "GUILD_MESSAGES", "MESSAGE_CONTENT"], journal="64M", log_level="notice")

    def __enter__(self):
        began = time.monotonic_ns()
        self.bot.start()
        self.identify_ms = (self.flood.identified() - began) / 1e6
        self.bot.ready()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.bot.log()[-3000:], file=sys.stderr)
        self.bot.close()

    def pids(self):
        rows = {w["name"]: w["pid"] for w in self.bot.status()["workers"]}
        return {"supervisor": self.bot.pid} | rows


def memory(pid):
    """RSS and PSS of a process in KiB; PSS None where the kernel does not show it (a rest worker, unless root)."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        text = ""
    rows = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    rss = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4
    return rows.get("Rss:", rss), rows.get("Pss:")


class Table:
    """Cells gathered over the repetitions: rows[name][column] is a list of figures."""

    def __init__(self, title, columns):
        self.title, self.columns, self.rows = title, columns, {}

    def add(self, name, **figures):
        for column, figure in figures.items():
            if figure is not None:
                self.rows.setdefault(name, {}).setdefault(column, []).append(figure)

    @staticmethod
    def cell(figures):
        if not figures:
            return "-"
        texts = [f"{x:.2f}" if x < 20 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"
                 for x in (min(figures), statistics.median(figures), max(figures))]
        return texts[0] if len(figures) == 1 else " / ".join(texts)

    def print(self):
        if not self.rows:
            return
        print(f"\n### {self.title}\n\n| | {' | '.join(self.columns)} |\n|---|{'---|' * len(self.columns)}")
        for name, row in self.rows.items():
            print(f"| {name} | {' | '.join(self.cell(row.get(c)) for c in self.columns)} |")


CPU = ["events/s (k)", "CPU us/event", "supervisor", "echo", "rest", "x floor"]
FLOODS = {
    "no pool wants the event, plain": ("plain", False, False),
    "no pool wants the event, zlib-stream": ("zlib", False, False),
    "supervisor + echo worker, plain": ("plain", True, False),
    "supervisor + echo worker, zlib-stream": ("zlib", True, False),
    "supervisor + echo worker, zstd-stream": ("zstd", True, False),
    "supervisor + echo worker, zlib-stream, 1 % pings": ("zlib", True, True),
}


def one_flood(flood, program, by, pings):
    """One program, one flood: figures for a row."""
    with program as p:
        pids = p.pids()
        warm, n = (PING_WARM, PING_EVENTS) if pings else (WARM, EVENTS)
        got = flood.ask("flood", warm, n, int(pings), by, SETTLE_MS, *pids.values())
        cpu = {name: ns / 1e3 / n for name, ns in zip(pids, got["cpu_ns"])}
        rest = sum(us for name, us in cpu.items() if name.startswith("rest."))
        return {"events/s (k)": n / got["wall_ns"] * 1e6, "CPU us/event": sum(cpu.values()),
                "supervisor": cpu.get("supervisor"), "echo": cpu.get("echo.0"),
                "rest": rest if "supervisor" in cpu else None}, p.identify_ms


def floods(flood, build, tables, starts):
    for title, (mode, wants, pings) in FLOODS.items():
        if title not in tables:
            continue
        by = "post" if wants else "beat"
        floor, ms = one_flood(flood, Floor(flood, build, mode, wants), by, pings)
        tables[title].add("floor", **floor, **{"x floor": 1.0})
        starts.add("floor", **{"start -> IDENTIFY ms": ms})
        ours, ms = one_flood(flood, Bulkhead(flood, build, mode, wants), by, pings)
        tables[title].add("bulkhead", **ours, **{"x floor": ours["CPU us/event"] / floor["CPU us/event"]})
        starts.add("bulkhead", **{"start -> IDENTIFY ms": ms})


def paced(flood, table, name, program):
    rate, seconds, every = PACED
    with program as p:
        got = flood.ask("paced", rate, seconds, every, *p.pids().values())
        assert got["answered"] == got["pings"], got
        table.add(name, p50=got["p50_ns"] / 1e3, p99=got["p99_ns"] / 1e3, max=got["max_ns"] / 1e3,
                  **{"CPU us/event": got["cpu_ns"] / 1e3 / got["events"]})


def idle(flood, build, table):
    with Bulkhead(flood, build, "zlib", True) as p:
        time.sleep(IDLE_S)
        total, psum = 0, 0
        for name, pid in p.pids().items():
            rss, pss = memory(pid)
            total, psum = total + rss, psum + (pss or 0)
            table.add(name, **{"RSS MiB": rss / 1024, "PSS MiB": pss / 1024 if pss else None})
        table.add("all", **{"RSS MiB": total / 1024, "PSS MiB": psum / 1024})
    with Floor(flood, build, "zlib", True) as p:
        rss, pss = memory(p.process.pid)
        table.add("floor", **{"RSS MiB": rss / 1024, "PSS MiB": pss / 1024 if pss else None})


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False).stdout.strip()
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+changes" if git("status", "--porcelain", "-uno") else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--only", default="", help="floods whose title contains this; also: paced, idle")
    args = parser.parse_args()
    build = args.build.resolve()
    flood = Flood(build)
    tables = {t: Table(f"Flood, {t}", CPU) for t in FLOODS if args.only in t}
    latency = Table("Paced 200 events/s, a quarter pings, zlib-stream: us from event frame to POST",
                    ["p50", "p99", "max", "CPU us/event"])
    memories = Table("Idle memory", ["RSS MiB", "PSS MiB"])
    starts = Table("Start", ["start -> IDENTIFY ms"])
    try:
        for _ in range(args.reps):
            floods(flood, build, tables, starts)
            if args.only in "paced":
                paced(flood, latency, "floor", Floor(flood, build, "zlib", True))
                paced(flood, latency, "bulkhead", Bulkhead(flood, build, "zlib", True))
            if args.only in "idle":
                idle(flood, build, memories)
    finally:
        flood.close()
    print(f"## bench of {commit()}\n\n{args.reps} repetitions, min / median / max; events of {flood.about['mean_bytes']} bytes of"
          f" JSON, {flood.about['mean_packed_bytes']} on the wire with zlib,"
          f" {flood.about['mean_zstd_bytes']} with zstd; no TLS, loopback, nothing pinned.")
    for table in [*tables.values(), latency, starts, memories]:
        table.print()


if __name__ == "__main__":
    main()
