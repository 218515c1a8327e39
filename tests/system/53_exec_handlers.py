"""Programs of one's own: the worked example, the conformance test, and what becomes of those that misbehave."""

import concurrent.futures
import json
import os
import subprocess

import pytest

from bot import ROOT, build_dir, wait_for

DICE = ROOT / "worker" / "examples" / "dice.py"
EVENTS = ["MESSAGE_CREATE"]


def test_dice(polite, bots):
    # It names MESSAGE_CREATE in READY: the other event is not for it.
    bot = bots(polite, pools={"dice": {"handler": f"exec:{DICE} 'two words'", "workers": 2, "events": [*EVENTS, "MESSAGE_UPDATE"],
                                       "env": ["DICE_KEY=${DICE_SECRET}"]}}, env={"DICE_SECRET": "hush-hush"})
    bot.start().ready()
    assert bot.worker("dice.0")["role"] == "dice.py"
    with open(f"/proc/{bot.worker('dice.0')['pid']}/environ", "rb") as file:
        environ = file.read().split(b"\0")
    assert b"DICE_KEY=hush-hush" in environ and not any(b"DICE_SECRET" in e or b"HOME=" in e for e in environ)
    with open(f"/proc/{bot.worker('dice.0')['pid']}/cmdline", "rb") as file:
        assert file.read().endswith(b"dice.py\0two words\0")
    assert "hush" not in bot.ctl("show", "config") + bot.log()

    def all_answered(messages):
        assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 20)
    # Killed in the middle of it, and its sibling too: one answer each.
    for name in ("dice.0", "dice.1"):
        messages = polite.say_many([(polite.channels[i % 20], "!roll 2d6") for i in range(60)])
        wait_for(lambda m=messages: sum(bool(polite.replies_to(x["id"])) for x in m) > 5, 10, "it has begun")
        bot.kill(name)
        all_answered(messages)
    assert len(polite.answers()) == 120, "none is doubled"
    assert " + " in polite.answers()[0]["content"]
    bot.ready()
    assert bot.logged(r"dice\.\d#1 decides what pool dice gets: MESSAGE_CREATE\n")
    unwanted = bot.counters()["events_unwanted"]
    polite.edit(messages[0]["channel_id"], messages[0]["id"], "!roll 1d1")
    wait_for(lambda: bot.counters()["events_unwanted"] > unwanted, 10, "the edit came, and was for nobody")
    # What a pool's verbs are for.
    assert bot.ctl("dice", "roll", "1d1").strip() == "**1**"
    wrong = bot.ctl_run("dice", "roll", "a lot")
    assert wrong.returncode == 1 and "2d6" in wrong.stderr
    assert bot.ctl_run("dice", "juggle").returncode == 64
    bot.ctl("restart", "dice")
    assert bot.worker("dice.0")["last"]["text"].startswith("exited with status 0")
    assert bot.stop() == 0


def test_pool_asks_pool(polite, bots, tmp_path):
    """A pool with verbs is a service: a handler asks it by CALL, is told when it dies, and asks again."""
    croupier = tmp_path / "croupier.py"
    text = DICE.read_text().replace('"!roll "', '"!deal "').replace(
        '    yield "POST"', '    _, _, thrown = yield "dice", "roll", "3d1"\n    yield "POST"').replace(
        "roll(text[6:])", "thrown.decode()")
    croupier.write_text(text)
    croupier.chmod(0o755)
    bot = bots(polite, pools={"dice": {"handler": f"exec:{DICE}", "workers": 2, "events": []},
                              "croupier": {"handler": f"exec:{croupier}", "events": EVENTS}})
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i % 20], "!deal now") for i in range(100)])
    wait_for(lambda: sum(bool(polite.replies_to(m["id"])) for m in messages) > 5, 10, "it has begun")
    bot.kill("dice.0")
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 20)
    assert len(polite.answers()) == 100
    assert {m["content"] for m in polite.answers()} == {"1 + 1 + 1 = **3**"}
    assert bot.worker("croupier.0")["restarts"] == 0
    assert bot.stop() == 0


# Where a program can go wrong, and what the supervisor says of it: text of the handler -> words of the obituary.
BAD = {
    "garbage": ("os.write(3, hello); link.sendall(b'\\0\\0\\0\\4\\xc1\\xc1\\xc1\\xc1')", "broke the protocol"),
    "endless": ("link.sendall(b'\\xff\\xff\\xff\\xff')", "broke the protocol"),
    "strange": ("send(0x10, 1)", "broke the protocol"),
    "silent": ("send(0x02, 1, b'', b''); time.sleep(600)", "no progress"),
    "lost": ("os.execv('/usr/bin/env', ['env', 'no-such-program'])", "status 127: a program was not found by"),
}
BAD_PROGRAM = """#!/usr/bin/python3
import os, socket, struct, time
import msgpack
link = socket.socket(fileno=3)
hello = b"\\0\\0\\0\\2\\x91\\x01"
def send(*fields):
    frame = msgpack.packb(fields)
    link.sendall(struct.pack(">I", len(frame)) + frame)
link.recv(65536)
"""


def test_bad_programs(polite, bots, tmp_path):
    pools = {"dice": {"handler": f"exec:{DICE}", "events": EVENTS}}
    for name, (code, _) in BAD.items():
        path = tmp_path / f"{name}.py"
        path.write_text(BAD_PROGRAM + code + "\n")
        path.chmod(0o755)
        pools[name] = {"handler": f"exec:{path}", "events": []}
    for name, first in (("orphan", "#!/no/such/interpreter\n"), ("formless", "\x7fELF, not really\n")):
        path = tmp_path / name
        path.write_text(first)
        path.chmod(0o755)
        pools[name] = {"handler": f"exec:{path}", "events": []}
    bot = bots(polite, pools=pools, hang=2)
    bot.start()
    wait_for(bot.socket.exists, 10, "the control socket")

    def last(name):
        return (bot.worker(f"{name}.0")["last"] or {}).get("text", "")
    for name, (_, words) in BAD.items():
        wait_for(lambda n=name, w=words: w in last(n), 15, f"{name} is buried: {words}")
    wait_for(lambda: "could not be started" in last("orphan") and "#!" in last("orphan"), 10, "orphan")
    wait_for(lambda: "could not be started" in last("formless"), 10, "formless")
    assert str(tmp_path / "orphan") in last("orphan") and str(tmp_path / "lost.py") in last("lost")
    message = polite.say(polite.channels[0], "!roll 1d6")
    assert polite.wait(lambda: polite.replies_to(message["id"]), 10), "the good one answers meanwhile"
    assert bot.worker("dice.0")["restarts"] == 0
    assert bot.stop() == 0


def conform(*words, timeout=300):
    done = subprocess.run([build_dir() / "bulkheadctl", "-j", "test-worker", *map(str, words)], capture_output=True,
                          text=True, timeout=timeout, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["failed"] else 0)
    return {c["name"]: c for c in report["checks"]}, report


@pytest.mark.parametrize("words, skipped", [
    (["--content", "!roll 2d6", "--", DICE], set()),
    (["--role", "echo", "--", build_dir() / "bulkhead-worker"], {"verbs"}),
])
def test_conformance(words, skipped):
    checks, report = conform(*words)
    assert report["failed"] == 0, [c for c in checks.values() if c["result"] == "failed"]
    assert {c["name"] for c in checks.values() if c["result"] == "skipped"} == skipped
    assert len(checks) >= 17


# Each breaks the example in one place: check that finds it, what stands there, what stands there instead, the words.
BROKEN = {
    "acks twice": ("delivery", "        send(message[0], self.delivery, *message[1:])\n",
                   "        send(message[0], self.delivery, *message[1:])\n" * 2, "already"),
    "acks early": ("delivery", "            reads = ", "            send(ACK, self.delivery)\n            reads = ", "already"),
    "never acks": ("delivery", "            self.end(ACK)", "            pass", "no ACK or NACK"),
    "ignores DRAIN": ("drain", "                draining = True", "                pass", "exit after DRAIN"),
    "drops at DRAIN": ("drain", "                draining = True", "                sys.exit(0)", "with a delivery open"),
    "bad status": ("drain", "                draining = True", "                sys.exit(3)", "status 3"),
    "garbage": ("start", "    while not (draining", "    link.sendall(b'\\0\\0\\0\\1\\xc1')\n    while not (draining", "no message"),
    "does not wait": ("start", "def main():\n", "def main():\n    send(READY, VERSION, b'', b'')\n", "before HELLO"),
    "wrong version": ("start", "VERSION, FRAME_MAX = 1", "VERSION, FRAME_MAX = 2", "version 2"),
    "dies": ("start", "def main():\n", "def main():\n    raise SystemExit('I have no key')\n", "did not wait for HELLO"),
    "dumb": ("ping", "send(PONG, f[0])", "pass", "no PONG"),
    "one at a time": ("parallel", "        show(0)\n\n    def end", "        show(0)\n        on_result(*next_message()[1:])\n\n    def end",
                      "another key"),
    "other calls": ("repeat", "messages\"\n", "messages?try={random.random()}\"\n", "ordinal 1 was"),
    "more calls": ("repeat", "                self.changes += 1", "                self.changes += random.randint(1, 64)", "a second time"),
    "reads with an ordinal": ("delivery", "0 if reads else self.changes", "0", "has ordinal 0"),
    "deaf to CANCEL": ("cancel", "if kind == 0 and", "if kind == 2 and", "after CANCEL"),
    "deaf to the end": ("eof", "        sys.exit(0)                             # the supervisor", "        select.select([], [], [], 600)  # ",
                        "end of the link"),
    "mute verbs": ("verbs", "send(RESULT, number, EINVALID", "(lambda *a: None)(RESULT, number, EINVALID", "verb roll"),
    "falls over": ("errors", "        task.end(NACK, DRAINING if draining else FAILED, why[:200])", "        os.abort()", "NameError|status"),
}


def test_broken_programs(tmp_path):
    """The conformance test finds each of them, at the place where it is."""
    text = DICE.read_text()
    programs = []
    for i, (name, (check, old, new, words)) in enumerate(BROKEN.items()):
        assert text.count(old) == 1, (name, text.count(old))
        program = tmp_path / f"dice{i}.py"
        program.write_text(text.replace(old, new))
        program.chmod(0o755)
        programs.append((name, check, words, program))

    def missed(name, check, words, program):
        done = subprocess.run([build_dir() / "bulkheadctl", "-j", "test-worker", "--timeout", "3", "--only", check, "--content",
                               "!roll 2d6", program], capture_output=True, text=True, timeout=300, check=False)
        (found,) = json.loads(done.stdout)["checks"] if done.stdout else ({"result": done.stderr, "why": ""},)
        right = done.returncode == 1 and found["result"] == "failed" and any(w in found["why"] for w in words.split("|"))
        return None if right else (name, words, found)
    # A few at a time: each is an interpreter that has to start within the three seconds.
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert not [m for m in pool.map(lambda one: missed(*one), programs) if m]


def test_usage(tmp_path):
    ctl = build_dir() / "bulkheadctl"
    for words, status, text in (
            (["help", "test-worker"], 0, "parallel"), (["test-worker", "--help"], 0, "--content"),
            (["test-worker"], 64, "usage"), (["test-worker", "--only", "strat", DICE], 64, "strat"),
            (["test-worker", "--event", "NOPE", DICE], 64, "NOPE"), (["test-worker", "--body", "[]", DICE], 64, "object")):
        done = subprocess.run([ctl, *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == status and text in done.stdout + done.stderr, (words, done)
    # For people: a line each, and what the program itself said.
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\necho I have no key >&2\nexit 3\n")
    os.chmod(bad, 0o755)
    done = subprocess.run([ctl, "test-worker", "--only", "start,ping", bad], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["failed", "start"] and "| I have no key" in lines[1]
    assert lines[-1] == "0 ok, 2 failed, 0 skipped" and "status 3" in done.stdout
