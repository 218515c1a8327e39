"""restart, drain, resume, scale, recycle: nobody's message is lost, doubled or held up by any of them."""

import json
import os
import signal
import threading
import time

import pytest

from bot import CtlError, alive, wait_for
from fakediscord import threaded

CHANNELS = 19            # of the load; one more is left to other things


class Load:
    """Pings at a steady pace from a thread, each answered exactly once, in order in each channel."""

    def __init__(self, fake, gap_s=0.005):
        self.fake, self.gap_s = fake, gap_s
        self.said, self.over = [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(self.gap_s):
            self.said.append(self.fake.say(self.fake.channels[len(self.said) % CHANNELS], "!ping"))

    def __enter__(self):
        self.thread.start()
        self.more(20)
        return self

    def more(self, n):
        goal = len(self.said) + n
        wait_for(lambda: len(self.said) >= goal, 60, f"{goal} pings said")

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(10)
        if kind is None:
            self.check()

    def check(self):
        answered = self.fake.wait(lambda: all(self.fake.replies_to(m["id"]) for m in self.said), 60)
        missing = [m["id"] for m in self.said if not self.fake.replies_to(m["id"])]
        assert answered, f"no answer to {len(missing)} of {len(self.said)}"
        for channel in self.fake.channels[:CHANNELS]:
            asked = [m["id"] for m in self.said if m["channel_id"] == channel]
            got = [a["message_reference"]["message_id"] for a in self.fake.answers(channel)]
            assert got == asked, f"one answer each, in order, in channel {channel}"


def given(bot, n):
    wait_for(lambda: bot.status()["deliveries"]["given"] == n, 20, f"{n} deliveries are given")


def old(bot):
    return [w["tag"] for w in bot.status()["beside"] if w["what"] == "old"]


def text(fake, channel):
    messages = fake.call(lambda: list(fake.server.world.messages[channel].values()))
    return [m["content"] for m in messages if m["author"]["id"] == fake.bot_id]


def full(words):
    return " ".join(f"word{i}" for i in range(1, words + 1))


def answered_at_once(fake, channels, timeout=3):
    """Seconds until each of these channels has its pong."""
    began = time.monotonic()
    said = [fake.say(channel, "!ping") for channel in channels]
    assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in said), timeout), "others wait for nobody"
    return time.monotonic() - began


def test_restart_now(polite, bots):
    """T1 is skipped, or short: what is open is cut, comes back and is answered once by the next process."""
    bot = bots(polite, drain=60, last_word=1, drain_rolling=1)
    bot.start().ready()
    said = polite.say(polite.channels[0], "!stream 60 10")
    given(bot, 1)
    bot.ctl("restart", "echo", "--now")
    assert bot.counters()["deliveries_returned"] + bot.counters()["deliveries_nacked"] == 1, "nobody waited for the text's end"
    assert bot.worker("echo.0")["generation"] == 2
    given(bot, 0)
    assert len(polite.replies_to(said["id"])) == 1
    assert bot.ctl_run("restart", "echo", "now").returncode == 64
    polite.say(polite.channels[1], "!stream 60 10")
    given(bot, 1)
    bot.ctl("restart", "echo", "--rolling")
    wait_for(lambda: not old(bot), 5, "drain_rolling is over")
    assert bot.counters()["deliveries_returned"] + bot.counters()["deliveries_nacked"] == 2, "nobody waited for the text's end"
    given(bot, 0)
    assert text(polite, polite.channels[1]) == [full(60)]


def test_rolling(polite, bots):
    """Old ones finish what they hold beside the new one; the third restart cuts the first one short."""
    bot = bots(polite, last_word=3)
    bot.start().ready()
    pids = []
    for i in range(3):
        polite.say(polite.channels[i], "!stream 100 5")         # 20 s
        given(bot, i + 1)
        pids.append(bot.worker("echo.0")["pid"])
        bot.ctl("restart", "echo", "--rolling")
        one = bot.worker("echo.0")
        assert one["state"] == "ready" and one["generation"] == i + 2
        assert len(old(bot)) <= 2, "at most two old ones"
        answered_at_once(polite, polite.channels[5:15])
        if i == 1:
            assert old(bot) == ["echo.0#1", "echo.0#2"] and alive(pids[0]) and alive(pids[1])
            row = bot.status()["beside"][0]
            assert row["state"] == "draining" and row["open"] == 1 and row["pid"] == pids[0]
            assert 0 < row["ends_in_ms"] <= 604000
            shown = bot.ctl("show", "workers")
            assert "echo.0#1" in shown and "ends in" in shown
            assert "old         echo.0#2 draining" in bot.ctl("show", "worker", "echo.0")
            assert "echo" in bot.ctl("show", "pools") and bot.ask("show", "pools")["pools"][1]["beside"] == 2
    assert not alive(pids[0]) and old(bot) == ["echo.0#2", "echo.0#3"], "the oldest one's time is over"
    # Its reply is gone on with by the newest, in the same message.
    waiting = polite.say(polite.channels[2], "!ping")           # its channel is still busy
    for i in range(3):
        assert polite.wait(lambda c=polite.channels[i]: full(100) in text(polite, c), 60), text(polite, polite.channels[i])
        assert text(polite, polite.channels[i])[0] == full(100)
    assert polite.wait(lambda: polite.replies_to(waiting["id"]), 20), "it went to the new one when the old had ended"
    wait_for(lambda: not old(bot), 10, "the old ones have ended by themselves")
    assert bot.status()["health"] == "ok"
    assert not bot.ask("show", "deliveries")["aside"]


def test_an_old_one_is_watched(polite, bots):
    """One that was taken over from crashes: its obituary is written, what it held is answered by the new one."""
    bot = bots(polite)
    bot.start().ready()
    polite.say(polite.channels[0], "!stream 60 20")
    given(bot, 1)
    pid = bot.worker("echo.0")["pid"]
    bot.ctl("restart", "echo.0", "--rolling")
    assert [w["pid"] for w in bot.status()["beside"]] == [pid]
    os.kill(pid, signal.SIGKILL)
    assert polite.wait(lambda: text(polite, polite.channels[0]) == [full(60)], 30)
    last = bot.worker("echo.0")["last"]
    assert last["tag"] == "echo.0#1" and last["cause"] == "signal"
    one = bot.worker("echo.0")
    assert one["generation"] == 2 and one["state"] == "ready"


@pytest.mark.parametrize("fault, spec, said", [
    ("worker.exit", "arg=125", "held"),
    ("worker.no_ready", "always", "no READY"),
    ("child.exec", "match=echo.0#2", "could not be started"),
])
def test_a_successor_that_never_gets_ready(polite, bots, fault, spec, said):
    """A broken new program: the old one serves on, the restart fails with the reason, nobody tries again."""
    bot = bots(polite, args=["--faults"], start_deadline=4)
    bot.start().ready()
    pid = bot.worker("echo.0")["pid"]
    bot.ctl("fault", fault, spec)
    with pytest.raises(CtlError) as refused:
        bot.ctl("restart", "echo", "--rolling")
    assert refused.value.status == 1
    assert "stays in place" in refused.value.text and said in refused.value.text
    starts = bot.counters()["worker_starts"]
    answered_at_once(polite, polite.channels[:5])
    one = bot.worker("echo.0")
    assert one["pid"] == pid and one["generation"] == 1 and one["state"] == "ready"
    assert bot.logged(r"err bulkheadd: echo\.0#1 stays in place: its successor #2")
    status = bot.status()
    assert status["health"] == "degraded" and "stays in place" in " ".join(status["why"])
    assert "was rolled back" in bot.ctl("show", "pools")
    assert bot.counters()["worker_rollbacks"] == 1 and bot.counters()["worker_starts"] == starts
    bot.ctl("fault", fault, "")
    bot.ctl("restart", "echo", "--rolling")
    assert bot.worker("echo.0")["pid"] != pid
    assert bot.status()["health"] == "ok" and bot.ask("show", "pools")["pools"][1]["rolled_back"] is None


def test_scale_under_load(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}})
    bot.start().ready()
    with Load(polite) as load:
        for n in (4, 1, 3):
            assert bot.ctl("scale", "echo", str(n)) == f"echo has {n} worker{'s' if n > 1 else ''}\n"
            load.more(40)
            pool = bot.ask("show", "pools")["pools"][1]
            assert (pool["configured"], pool["workers"], pool["ready"]) == (2, n, n)
            names = [w["name"] for w in bot.status()["workers"] if w["pool"] == "echo"]
            assert names == [f"echo.{i}" for i in range(n)]
    assert "pool echo: configured 2, running 3" in bot.status()["why"]
    wait_for(lambda: not old(bot), 10, "those that were given up have ended")
    assert bot.worker("echo.2")["generation"] == 2, "no generation is used twice"
    bot.ctl("scale", "echo", "2")
    assert bot.status()["health"] == "ok"
    for words, status in ((["rest", "3"], 1), (["echo", "0"], 1), (["echo", "257"], 1), (["echo", "x"], 64),
                          (["nobody", "2"], 66)):
        assert bot.ctl_run("scale", *words).returncode == status, words


def test_rolling_under_load(polite, bots):
    """Both pools, twice: the one that answers messages and the one that talks to Discord."""
    bot = bots(polite, pools={"echo": {"workers": 2}})
    bot.start().ready()
    with Load(polite) as load:
        for name in ("echo", "rest", "echo", "rest"):
            before = {w["name"]: w["pid"] for w in bot.status()["workers"]}
            bot.ctl("restart", name, "--rolling")
            load.more(40)
            after = {w["name"]: w["pid"] for w in bot.status()["workers"]}
            assert all((before[w] != after[w]) == w.startswith(name) for w in before)
    counters = bot.counters()
    assert counters["calls_refused"] == 0 and counters["calls_repeated"] == 0 and counters["deliveries_returned"] == 0
    assert len(polite.connections) == 1, "the gateway never noticed"


def test_recycle(polite, bots):
    """Above its limit a worker is replaced, rolling, one at a time; the log says why."""
    deaf = {"events": ["MESSAGE_DELETE"]}
    bot = bots(polite, pools={"echo": {"workers": 2, "max_deliveries": 30}, "old": {"max_age": 2} | deaf,
                              "fat": {"max_rss": "1M"} | deaf})
    bot.start().ready()
    with Load(polite):
        wait_for(lambda: bot.ask("show", "pools")["pools"][1]["recycled"] >= 2, 30, "both have been replaced")
    pools = {p["name"]: p for p in bot.ask("show", "pools")["pools"]}
    assert bot.logged(r"echo\.\d#1 is recycled: it has finished \d+ deliveries, max_deliveries is 30")
    wait_for(lambda: bot.logged(r"old\.0#1 is recycled: it is 2s"), 10, "by age")
    wait_for(lambda: bot.logged(r"fat\.0#1 is recycled: it uses \d+ KiB of memory, max_rss or nine tenths of its limit is 1024"), 10, "by memory")
    assert pools["rest"]["recycled"] == 0
    assert bot.counters()["worker_recycled"] >= 4


def test_drain_and_resume(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}})
    bot.start().ready()
    assert "until" in bot.ctl("help", "drain")
    polite.say(polite.channels[CHANNELS], "!stream 20 20")
    with Load(polite) as load:
        assert "resume" in bot.ctl("drain", "echo.0")
        one = bot.worker("echo.0")
        assert one["state"] == "drained" and one["pid"] == 0
        load.more(40)
        assert bot.ctl_run("restart", "echo.0").returncode == 1, "a restart does not start what is drained"
        bot.ctl("restart", "echo", "--rolling")
        assert bot.worker("echo.0")["state"] == "drained" and bot.worker("echo.1")["generation"] == 2
        assert "echo.0 is drained" in " ".join(bot.status()["why"])
        bot.ctl("resume", "echo.0")
        assert bot.worker("echo.0")["state"] == "ready"
        # All of it: what comes waits, and is answered by whoever is back.
        bot.ctl("drain", "echo")
        load.more(40)
        wait_for(lambda: bot.ask("show", "pools")["pools"][1]["waiting"] > 0, 10, "it waits")
        bot.ctl("resume", "echo")
        load.more(10)
    assert bot.status()["health"] == "ok"
    refused = bot.ctl_run("drain", "rest")
    assert refused.returncode == 1 and "nothing can be answered" in refused.stderr
    active = bot.active_rest()["name"]
    bot.ctl("drain", active)
    assert bot.ctl_run("drain", bot.active_rest()["name"]).returncode == 1
    answered_at_once(polite, polite.channels[:5])
    bot.ctl("resume", "rest")
    bot.ready()
    assert json.loads(bot.ctl("-j", "show", "pools"))["pools"][0]["ready"] == 2


def test_held_and_failed(polite, bots):
    """Exit 125 and ten deaths within a minute: seen and said, siblings go on, an operator's word starts them."""
    bot = bots(polite, pools={"echo": {"workers": 2}, "bad": {"events": ["MESSAGE_DELETE"]}}, args=["--faults"],
               env={"BULKHEAD_FAULTS": "worker.exit=slot=bad.0,arg=125"})
    bot.start()
    wait_for(lambda: bot.socket.exists() and bot.worker("bad.0")["state"] == "held", 20, "held")
    bot.ctl("fault", "worker.exit", "")
    bot.ctl("resume", "bad")
    bot.ready()
    sibling = bot.worker("echo.1")["pid"]
    with Load(polite, gap_s=0.05):
        pid = 0
        for _ in range(10):
            pid = wait_for(lambda p=pid: (w := bot.worker("echo.0"))["state"] == "ready" and w["pid"] != p and w["pid"],
                           10, "another one is ready")
            os.kill(pid, signal.SIGKILL)
        one = wait_for(lambda: (w := bot.worker("echo.0"))["state"] == "failed" and w, 10, "failed")
        assert 40000 < one["retry_in_ms"] <= 60000, "tried at the cap"
        assert "echo.0 is failed" in " ".join(bot.status()["why"]) and bot.logged("err bulkheadd: echo.0 failed: too many deaths")
        assert bot.worker("echo.1")["pid"] == sibling
        bot.ctl("resume", "echo.0")
        assert bot.worker("echo.0")["state"] == "ready"
    assert bot.status()["health"] == "ok"


def test_limits_are_inherited(bots):
    """At the limit of each channel: whoever takes over knows what was used, and asks nothing that Discord refuses."""
    with threaded.Fake(polite=True) as strict:
        bot = bots(strict)
        bot.start().ready()
        story = strict.channels[CHANNELS]
        with Load(strict, gap_s=0.04) as load:                  # 1.3 a second in each channel, of 1
            load.more(60)
            strict.say(story, "!stream 100 10")
            for _ in range(3):
                bot.ctl("restart", "rest", "--rolling")
                load.more(15)
            for _ in range(2):
                tag = bot.active_rest()["tag"]
                bot.kill("rest")
                wait_for(lambda t=tag: (bot.active_rest() or {}).get("tag", t) != t, 10, "another one is active")
                load.more(25)
        assert strict.wait(lambda: text(strict, story) == [full(100)], 30), text(strict, story)
        refused = [(r["method"], r["path"]) for r in strict.requests if r["status"] == 429]
        assert not refused, f"{len(refused)} of {len(strict.requests)} requests were too many"
