"""A bot that talks: fake Discord, fake model and a real bulkheadd.  For soak.py and bench/streams.py."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests" / "discord")]

from bot import Bot  # noqa: E402


def talking(fake, model, workers, chat="", **options):
    """The bot, not started."""
    bot = Bot(fake, {"chat": {"handler": "chat", "workers": workers}}, **options)
    bot.write_conf(bot.conf.read_text() + f'model "m" {{\n  base_url = "{model.url}"\n  api_key = "{model.key}"\n'
                   f'  name = "{model.model}"\n}}\nchat {{\n{chat}\n}}\n')
    return bot


def role_of(name):
    """What a process is compared with: chat.0 and chat.1 do the same."""
    return name.partition(".")[0]


def pids(bot):
    """{name: pid} of the supervisor and of each worker that is up."""
    return {"supervisor": bot.pid} | {w["name"]: w["pid"] for w in bot.status()["workers"] if w["state"] == "ready"}


def memory_kib(pid):
    """Memory of its own: without the journal, which is a mapped file, and without the programs' text.  None: gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(rows["RssAnon"].split()[0]) if "RssAnon" in rows else None


def descriptors(pid):
    """How many are open; None where that is hidden (a process with the token, to all but root)."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def cpu_s(pid):
    """User and system time; None: gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
