"""bulkheadd becomes another bulkheadd in place: same pid, nothing lost, nothing twice, the gap measured."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

from bot import CtlError, alive, build_dir, wait_for

CHANNELS = 20


@pytest.fixture
def release(tmp_path):
    """A directory with the three programs, as an installation: what lies there may be replaced."""
    for name in ("bulkheadd", "bulkhead-worker", "bulkheadctl"):
        shutil.copy2(build_dir() / name, tmp_path / name)
    return tmp_path


def replace(release, name, text=None):
    """As a package manager does: another file takes the name; the one that runs is gone from the disk."""
    fresh = release / (name + ".new")
    if text is None:
        shutil.copy2(build_dir() / name, fresh)
    else:
        fresh.write_text(text)
        fresh.chmod(0o755)
    fresh.rename(release / name)


def upgrade(bot, *words):
    return bot.ask("upgrade", *words)


def children(pid):
    out = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid=,stat="], capture_output=True, text=True, check=False)
    return {int(line.split()[0]): line.split()[1] for line in out.stdout.splitlines()}


def check(fake, said):
    """Exactly one pong each, in order in each channel."""
    fake.wait(lambda: all(fake.replies_to(m["id"]) for m in said), 60)
    missing = [m["id"] for m in said if not fake.replies_to(m["id"])]
    assert not missing, f"no answer to {len(missing)} of {len(said)}"
    asked = [a["message_reference"]["message_id"] for a in fake.answers()]
    assert len(asked) == len(set(asked)), "answered twice"
    for channel in fake.channels[:CHANNELS]:
        want = [m["id"] for m in said if m["channel_id"] == channel]
        assert [a["message_reference"]["message_id"] for a in fake.answers(channel)] == want, f"order in {channel}"


def test_under_load(fake, bots, release):
    """Three upgrades, each to a fresh file, while 20 channels talk: pid, session and channel order stay."""
    bot = bots(fake, pools={"echo": {"workers": 2}}, build=release)
    bot.start().ready()
    pid, said, ended = bot.pid, [], threading.Event()

    def talk():
        while not ended.wait(0.005):
            said.append(fake.say(fake.channels[len(said) % CHANNELS], "!ping"))
    talker = threading.Thread(target=talk)
    talker.start()
    try:
        fds = bot.fds()
        for number in (1, 2, 3):
            n = len(said)
            wait_for(lambda: len(said) > n + 40, 20, "talk")
            old = [w["pid"] for w in bot.status()["workers"]]
            replace(release, "bulkheadd")
            told = upgrade(bot)
            assert told["number"] == number and told["from"] == told["to"] == bot.status()["version"]
            assert told["resumed"] and told["gap_ms"] < 30000
            assert bot.process.poll() is None and bot.status()["pid"] == pid, "the process manager noticed nothing"
            bot.ready()
            assert not [p for p in old if alive(p)], "no child of the old one is left"
    finally:
        ended.set()
        talker.join()
    check(fake, said)
    assert len(fake.identifies) == 1 and len(fake.resumes) >= 3
    now = {w["pid"] for w in bot.status()["workers"]}
    assert set(children(pid)) == now, "its children are its workers, and no zombie"
    wait_for(lambda: bot.fds() <= fds, 5, f"descriptors as before: {fds}, now {bot.fds()}")
    text = bot.ctl("status")
    assert "upgraded 0.1.0 -> 0.1.0, gateway gap" in text and "replayed" in text
    assert bot.status()["deliveries"]["aside"] == 0


def test_a_growing_answer_goes_on(fake, bots):
    bot = bots(fake)
    bot.start().ready()
    channel = fake.channels[0]
    said = fake.say(channel, "!stream 120")
    assert fake.wait(lambda: fake.replies_to(said["id"]), 20)
    upgrade(bot)
    want = " ".join(f"word{i}" for i in range(1, 121))

    def shown():
        messages = fake.call(lambda: list(fake.server.world.messages[channel].values()))
        return " ".join(m["content"] for m in messages if m["author"]["id"] == fake.bot_id)
    wait_for(lambda: shown() == want, 60, "the whole text")
    assert len(fake.answers(channel)) == 1, "in the same message"
    marks = [p for p in fake.posts if "\u23f3" in (p.get("content") or "") or "\u26a0" in (p.get("content") or "")]
    assert not marks, "nobody saw that anything happened"


BAD = {
    "no bulkheadd": ("#!/bin/sh\necho hello\n", "is no bulkheadd that can take over"),
    "refuses": ("#!/bin/sh\necho 'bulkhead.conf:1: I do not like it' >&2\nexit 78\n", "I do not like it"),
    "dies": ("#!/bin/sh\nkill -SEGV $$\n", "died of signal 11"),
    "not a program": ("nothing of that sort\n", "refuses: "),
}


def test_what_fails_its_check_changes_nothing(polite, bots, release):
    bot = bots(polite, build=release)
    bot.start().ready()
    workers = [w["pid"] for w in bot.status()["workers"]]
    for what, (text, why) in BAD.items():
        replace(release, "bulkheadd", text)
        with pytest.raises(CtlError) as failed:
            bot.ctl("upgrade")
        assert failed.value.status == 1 and why in failed.value.text, what
    (release / "bulkheadd").unlink()
    with pytest.raises(CtlError) as failed:
        bot.ctl("upgrade")
    assert "No such file" in failed.value.text
    with pytest.raises(CtlError) as failed:
        bot.ctl("upgrade", "bulkheadd")
    assert "must be absolute" in failed.value.text
    # The configuration on disk is part of the check, and the worker beside the program.
    replace(release, "bulkheadd")
    good = bot.conf.read_text()
    bot.write_conf(good + "drian = 3\n")
    with pytest.raises(CtlError) as failed:
        bot.ctl("upgrade")
    assert 'did you mean "drain"?' in failed.value.text
    bot.write_conf(good.replace(str(bot.dir / "run"), str(bot.dir / "other")))
    with pytest.raises(CtlError) as failed:
        bot.ctl("upgrade")
    assert "needs a stop and a start" in failed.value.text
    bot.write_conf(good)
    (release / "bulkhead-worker").rename(release / "away")
    with pytest.raises(CtlError) as failed:
        bot.ctl("upgrade")
    assert "bulkhead-worker: No such file" in failed.value.text
    (release / "away").rename(release / "bulkhead-worker")
    status = bot.status()
    assert [w["pid"] for w in status["workers"]] == workers and status["phase"] == "running"
    assert status["upgrade"] is None and not polite.resumes
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 10)
    assert upgrade(bot)["number"] == 1, "and now it may"


def test_exec_that_fails_goes_on_as_it_was(polite, bots, release):
    """It was good when it was asked and cannot be executed a moment later: the old program, gone from the disk, goes on."""
    bot = bots(polite, build=release)
    bot.start().ready()
    pid = bot.pid
    real = build_dir() / "bulkheadd"
    fake_program = release / "odd"
    fake_program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\nexec 3>&1\n{real} -V\nchmod 000 {fake_program}\nmv {fake_program} {fake_program}.gone\n")
    fake_program.chmod(0o755)
    (release / "bulkheadd").unlink()
    done = bot.ctl_run("upgrade", str(fake_program))
    assert done.returncode == 1 and "could not be executed" in done.stderr, done.stdout + done.stderr
    bot.ready()
    status = bot.status()
    assert status["pid"] == pid and "could not be executed" in status["upgrade"]["failed"]
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 10)


def test_secrets_arguments_and_state_survive(polite, bots):
    """A token from the environment, which forgot it; --faults in argv; the count of identifies; a dead letter."""
    bot = bots(polite, args=["--faults"], token="${TOKEN}", env={"TOKEN": polite.token}, poison=1)
    bot.start().ready()
    bot.ctl("fault", "worker.crash", "match=!die")
    polite.say(polite.channels[0], "!die")
    wait_for(lambda: bot.status()["deliveries"]["aside"] == 1, 10, "set aside")
    argv = pathlib.Path(f"/proc/{bot.pid}/cmdline").read_bytes()
    upgrade(bot)
    upgrade(bot)
    assert pathlib.Path(f"/proc/{bot.pid}/cmdline").read_bytes() == argv
    environ = pathlib.Path(f"/proc/{bot.pid}/environ").read_bytes()
    assert polite.token.encode() not in environ and b"HANDOVER" not in environ.replace(b"BULKHEAD_HANDOVER=", b"")
    assert polite.token not in bot.log()
    bot.ctl("fault", "worker.crash", "")
    assert bot.status()["deliveries"]["aside"] == 1
    assert len(polite.identifies) == 1 and len(polite.resumes) == 2
    # The lock was never given away.
    second = subprocess.run([bot.build / "bulkheadd", "-c", bot.conf], capture_output=True, text=True, timeout=60,
                            check=False, env=bot.env)
    assert second.returncode == 73, second.stderr


def test_without_gateway_and_with_signals(polite, bots):
    """SIGUSR2 asks for it too; a SIGTERM that comes meanwhile ends it, as ever with status 0."""
    bot = bots(polite, args=["--no-gateway"], rest_grace=2)
    bot.start().ready()
    os.kill(bot.pid, signal.SIGUSR2)
    wait_for(lambda: bot.logged("upgraded from="), 10, "upgraded")
    bot.ready()
    assert json.loads(bot.ctl("-j", "upgrade", timeout=60))["number"] == 2
    os.kill(bot.pid, signal.SIGUSR2)
    os.kill(bot.pid, signal.SIGTERM)
    bot.wanted = False
    assert bot.process.wait(60) == 0, bot.log()


def test_killed_in_the_middle(polite, bots):
    """Who waits for an upgrade whose process is killed is told, at once; the next start makes everything good."""
    bot = bots(polite, keep=True, backoff_max=0.5)
    bot.start().ready()
    polite.refuse()                     # no connection: the upgrade goes on until there is one
    asked = subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, "upgrade"], stderr=subprocess.PIPE, text=True)
    try:
        def under_way():
            try:
                state = bot.status()["upgrade"]
            except CtlError:
                return False
            return state and not state["done"]
        wait_for(under_way, 20, "the new one runs")
        bot.kill("supervisor")
        assert "ended in the middle of the upgrade" in asked.communicate(timeout=60)[1] and asked.returncode == 1
    finally:
        asked.kill()
        asked.wait()
    polite.calm()
    bot.ready()
    said = [polite.say(polite.channels[0], "!ping")]
    check(polite, said)


def test_nobody_is_turned_away(polite, bots, tmp_path):
    """Who asks while one supervisor becomes the next waits a moment; who follows, follows the next one too."""
    bot = bots(polite).start().ready()
    ended, answers, followers = threading.Event(), [], []

    def asks(*words):
        while not ended.is_set():
            done = bot.ctl_run(*words)
            answers.append((words, done.returncode, done.stderr))

    def follow(*words):
        with open(tmp_path / f"{len(followers)}.out", "wb") as out, open(tmp_path / f"{len(followers)}.err", "wb") as err:
            followers.append(subprocess.Popen([bot.build / "bulkheadctl", "-s", bot.socket, "-j", *words], stdout=out, stderr=err))

    def lines(n):
        text = (tmp_path / f"{n}.out").read_text()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def seen(event):
        return [e for e in lines(0) if e["event"] == event]
    follow("monitor")
    follow("status", "--watch")
    wait_for(lambda: seen("follows") and lines(1), 20, "both follow")
    threads = [threading.Thread(target=asks, args=words) for words in (("status",), ("show", "pools"), ("log", "info"))]
    for thread in threads:
        thread.start()
    try:
        for number in (1, 2):
            n = len(answers)
            wait_for(lambda: len(answers) > n + 6, 60, "they ask")
            assert upgrade(bot)["number"] == number
            wait_for(lambda: len(seen("follows")) == 1 + number, 60, "the monitor is back")
        n = len(answers)
        wait_for(lambda: len(answers) > n + 6, 60, "they ask")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not [a for a in answers if a[1] != 0], "each was answered"
    bot.ready()
    bot.ctl("restart", "echo.0")
    tag = f"echo.0#{bot.worker('echo.0')['generation']}"
    wait_for(lambda: any(e["who"] == tag for e in seen("ready")), 20, "it tells what happens")
    watched = len(lines(1))
    wait_for(lambda: len(lines(1)) > watched, 20, "the status goes on")
    assert not (tmp_path / "0.err").read_text()
    # One that was killed is waited for.
    bot.kill("supervisor")
    bot.process.wait(20)
    wait_for(lambda: "waiting for it" in (tmp_path / "0.err").read_text(), 20, "it says so")
    bot.start().ready()
    wait_for(lambda: len(seen("follows")) == 4, 20, "it is back")
    for one in followers:
        one.send_signal(signal.SIGINT)
        assert one.wait(20) == 0, "Ctrl-C is no failure"
