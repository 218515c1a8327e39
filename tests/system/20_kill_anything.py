"""200 pings over 20 channels while everything that can be killed is killed: one pong each, in order."""

import signal
import threading

import pytest

from bot import alive, wait_for

PINGS, CHANNELS = 200, 20


class Load:
    """Pings at a steady pace from a thread, so that a kill falls between any two of them."""

    def __init__(self, fake):
        self.fake = fake
        self.said = []
        self.pace = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        for i in range(PINGS):
            self.said.append(self.fake.say(self.fake.channels[i % CHANNELS], "!ping"))
            self.pace.wait(0.005)

    def start(self):
        self.thread.start()
        return self

    def at(self, n):
        wait_for(lambda: len(self.said) >= n, 60, f"{n} pings said")

    def join(self):
        self.thread.join(300)


def check(fake, load, lost_session=False):
    """Exactly one pong for each ping that the fake sent or replayed, in order in each channel; after a lost session for
    each that was said."""
    def owed():
        if lost_session:
            return load.said
        delivered = fake.delivered()
        return [m for m in load.said if m["id"] in delivered]

    def all_there():
        return all(fake.replies_to(m["id"]) for m in owed()) and len(owed()) == PINGS

    fake.wait(all_there, 60)
    missing = [m["id"] for m in owed() if not fake.replies_to(m["id"])]
    assert not missing, f"no answer to {len(missing)} of {len(owed())}"
    if not lost_session:
        assert len(owed()) == PINGS, "the fake could deliver every ping"
    answers = fake.answers()
    by_question = [a["message_reference"]["message_id"] for a in answers]
    doubled = {q for q in by_question if by_question.count(q) > 1}
    assert not doubled, f"answered twice: {doubled}"
    for channel in fake.channels[:CHANNELS]:
        asked = [m["id"] for m in owed() if m["channel_id"] == channel]
        got = [a["message_reference"]["message_id"] for a in fake.answers(channel)]
        assert got == asked, f"order in channel {channel}"


def kill_worker(bot, name):
    """kill -9 of a worker; nobody else's pid changes."""
    others = {w["name"]: w["pid"] for w in bot.status()["workers"] if not w["name"].startswith(name.split(".")[0])}
    supervisor = bot.pid
    pid = bot.kill(name)
    wait_for(lambda: not alive(pid), 10, "the killed worker is gone")
    assert bot.pid == supervisor
    return others


def settled(bot, others):
    now = {w["name"]: w["pid"] for w in bot.status()["workers"]}
    for name, pid in others.items():
        assert now[name] == pid, f"{name} was not hit and must not have been restarted"


@pytest.mark.parametrize("victim", ["echo.0", "echo.1", "rest"])
def test_worker(fake, bots, victim):
    bot = bots(fake, pools={"echo": {"workers": 2}})
    bot.start().ready()
    load = Load(fake).start()
    for n in (40, 90, 140):
        load.at(n)
        others = kill_worker(bot, victim)
        settled(bot, others)
        wait_for(lambda: victim == "rest" or bot.worker(victim)["state"] == "ready", 20, f"{victim} ready again")
        if victim == "rest":
            wait_for(bot.active_rest, 20, "an active rest worker")
    load.join()
    check(fake, load)
    assert len(fake.identifies) == 1 and not fake.resumes or fake.faults, "the gateway never noticed"


def test_supervisor(fake, bots):
    bot = bots(fake, pools={"echo": {"workers": 2}}, keep=True)
    bot.start().ready()
    load = Load(fake).start()
    for n in (40, 90, 140):
        load.at(n)
        old = [w["pid"] for w in bot.status()["workers"]]
        pid = bot.kill("supervisor")
        wait_for(lambda: bot.process.pid != pid, 10, "the process manager starts it again")
        bot.ready()
        wait_for(lambda: not [p for p in old if alive(p)], 10, "the children of the dead supervisor are gone")
    load.join()
    check(fake, load)
    assert bot.exits == [-signal.SIGKILL] * 3
    assert len(fake.identifies) == 1, "it resumed from the journal"


@pytest.mark.parametrize("point", ["supervisor.crash_journaled", "supervisor.crash_asked", "supervisor.crash_effect",
                                   "rest.crash_before", "rest.crash_after"])
def test_at_each_point(fake, bots, point):
    """The instants that matter: between journal and worker, asked and sent, sent and answered, answered and noted."""
    rest = point.startswith("rest")
    # Of the rest workers only the one that starts as the active one dies of it: its spare takes over.
    spec = "slot=rest.0,match=/messages,after=20,for=1" if rest else "after=20,for=1"
    bot = bots(fake, pools={"echo": {"workers": 2}}, keep=True, env={"BULKHEAD_FAULTS": f"{point}={spec}"})
    bot.start().ready()
    if rest and bot.active_rest()["name"] != "rest.0":
        bot.ctl("restart", "rest.1")
        assert bot.active_rest()["name"] == "rest.0"
    load = Load(fake).start()
    load.join()
    check(fake, load)
    assert bot.logged(point.replace(".", r"\.")), "the fault struck"


GATEWAY = {
    "reset": lambda fake: fake.drop(),
    "4000": lambda fake: fake.close(4000),
    "op 7": lambda fake: fake.op7(),
    "cut": lambda fake: fake.cut(),
}


@pytest.mark.parametrize("name", GATEWAY)
def test_gateway(fake, bots, name):
    bot = bots(fake, pools={"echo": {"workers": 2}})
    bot.start().ready()
    pids = {w["pid"] for w in bot.status()["workers"]}
    load = Load(fake).start()
    for n in (60, 120):
        load.at(n)
        before = len(fake.connections)
        GATEWAY[name](fake)
        wait_for(lambda: len(fake.connections) > before, 20, "a new connection")
    load.join()
    check(fake, load)
    assert {w["pid"] for w in bot.status()["workers"]} == pids, "no worker noticed"


def test_lost_session(fake, bots):
    bot = bots(fake, pools={"echo": {"workers": 2}})
    bot.start().ready()
    load = Load(fake).start()
    load.at(60)
    fake.op9(resumable=False)
    load.join()
    wait_for(lambda: len(fake.identifies) == 2, 30, "a new session")
    bot.ready(30)
    check(fake, load, lost_session=True)


def test_all_in_one_run(fake, bots):
    """One load, one bot: each of them is killed once while the pings go on."""
    bot = bots(fake, pools={"echo": {"workers": 2}}, keep=True)
    bot.start().ready()
    load = Load(fake).start()
    blows = [lambda: bot.kill("echo.0"), lambda: bot.kill("rest"), fake.drop, lambda: bot.kill("supervisor"),
             lambda: fake.close(4000), lambda: bot.kill("echo.1"), fake.op7]
    for i, blow in enumerate(blows):
        load.at((i + 1) * PINGS // (len(blows) + 1))
        bot.ready()
        blow()
        if blow is blows[3]:
            wait_for(lambda: bot.exits, 10, "the process manager starts it again")
    load.join()
    check(fake, load)
    assert bot.exits == [-signal.SIGKILL]
