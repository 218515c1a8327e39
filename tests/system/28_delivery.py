"""What becomes of a delivery: bounds, deadlines, cancels, NACKs, news, interactions, dead letters."""

import os
import signal

import pytest

from bot import wait_for

# A worker without a scoreboard that does what a message says.  $FLAG: a file; while it is there, every message is a ping.
WORKER = '''#!/usr/bin/python3
import io, json, os, select, socket, struct, sys
import msgpack
READY, EVENT, ACK, NACK, BEAT, CANCEL, NEWS = 0x02, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
CALL, RESULT, DRAIN, PING, PONG = 0x20, 0x21, 0x30, 0x31, 0x32
link = socket.socket(fileno=3)

def send(*fields):
    frame = msgpack.packb(fields)
    link.sendall(struct.pack(">I", len(frame)) + frame)

def read(n):
    data = b""
    while len(data) < n:
        piece = link.recv(n - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data

def receive():
    (n,) = struct.unpack(">I", read(4))
    return msgpack.unpackb(read(n))

def say(*words):
    print(*words, file=sys.stderr, flush=True)

hello = receive()
name = f"{hello[3]}.{hello[4]}"
send(READY, 1, b"", b"")
calls, open_, last, draining = {}, set(), 0, False

def ask(delivery, path, body, then, lane=1):
    global last
    last += 1
    calls[last] = (delivery, then)
    send(CALL, last, delivery, 1, "discord", lane, 30000, 0, "POST", path, json.dumps(body).encode())

def end(delivery, *message):
    open_.discard(delivery)
    send(message[0], delivery, *message[1:])

def event(delivery, name, body):
    open_.add(delivery)
    m = json.loads(body)
    if name == "INTERACTION_CREATE":
        ask(delivery, "/interactions/%s/%s/callback" % (m["id"], m["token"]), {"type": 4, "data": {"content": "here"}}, ACK, 0)
        return
    if name != "MESSAGE_CREATE" or m["author"].get("bot"):
        end(delivery, ACK)
        return
    text, then = m["content"], ACK
    if os.path.exists(os.environ["FLAG"]):
        text = "!ping"
    if text == "die":
        os.abort()
    if text == "wrong":
        send(ACK, delivery ^ 1)
    elif text in ("refuse", "fail"):
        end(delivery, NACK, 3 if text == "refuse" else 2, "as it was told")
    elif text in ("!ping", "half"):
        ask(delivery, "/channels/%s/messages" % m["channel_id"],
            {"content": "pong", "allowed_mentions": {"parse": []}, "message_reference": {"message_id": m["id"]}},
            ACK if text == "!ping" else NACK)
    elif text == "deaf":
        deaf.add(delivery)
    # sit: nothing, until CANCEL

deaf = set()
while not (draining and not open_):
    if not select.select([link], [], [], hello[7] / 4000)[0]:
        send(BEAT, 0)
        continue
    number, *f = receive()
    if number == EVENT:
        event(f[0], f[7], f[8])
    elif number == RESULT:
        delivery, then = calls.pop(f[0])
        if delivery in open_:
            if f[1] != 0:
                say("error", f[1], f[4])
            end(delivery, *((ACK,) if then == ACK or f[1] != 0 else (NACK, 3, "half of it is done")))
    elif number == CANCEL and f[0] == 0:
        say("told to cancel")
        if f[1] in open_ and f[1] not in deaf:
            end(f[1], NACK, 4, "cancelled")
    elif number == NEWS:
        say("news", name, f[4], json.loads(f[5])["name"])
    elif number == PING:
        send(PONG, f[0])
    elif number == DRAIN:
        draining = True
'''


@pytest.fixture
def worker(tmp_path):
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    program.chmod(0o755)
    return {"handler": f"exec:{program}", "events": ["MESSAGE_CREATE"], "env": [f"FLAG={tmp_path}/flag"], "credit": 16}


def path_of(bot, message):
    return bot.ask("explain", message["id"])["deliveries"][0]


def ends_as(bot, message, state, timeout=15):
    wait_for(lambda: path_of(bot, message)["state"] == state, timeout, f"{message['content']} {state}")
    return path_of(bot, message)


def all_answered(fake, messages, timeout=20):
    assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in messages), timeout), "unanswered"


def test_nacks_and_dead_letters(polite, bots, worker, tmp_path):
    bot = bots(polite, pools={"py": worker}, poison=2)
    bot.start().ready()
    assert bot.ctl_run("dead", "retry", "all").returncode == 66 and "no dead letters" in bot.ctl("show", "dead")
    refused, failed, half = [polite.say(polite.channels[i], text) for i, text in enumerate(("refuse", "fail", "half"))]
    assert ends_as(bot, refused, "aside")["report"].endswith("refused it: as it was told")
    path = ends_as(bot, failed, "aside")
    assert path["reason"] == "poison" and path["attempts"] == 2 and path["charges"] == 2
    assert ends_as(bot, half, "aside")["effects"][0]["done"]
    assert len(polite.replies_to(half["id"])) == 1
    # An ACK of what it does not hold: the worker goes, the delivery is nobody's fault.
    polite.say(polite.channels[3], "wrong")
    wait_for(lambda: bot.counters()["worker_protocol"] >= 1, 10, "it broke the protocol")
    assert "broke the protocol" in bot.worker("py.0")["last"]["text"]
    # They outlive the supervisor, and are shown whole.
    (tmp_path / "flag").touch()
    bot.stop(signal.SIGKILL)
    bot.start().ready()
    status = bot.status()
    assert status["deliveries"]["aside"] == 3 and status["deliveries"]["aside_oldest_ms"] > 0
    assert "3 deliveries are set aside, the oldest" in bot.ctl("status")
    rows = bot.ask("show", "dead")["dead"]
    assert [r["object"] for r in rows] == [m["id"] for m in (half, failed, refused)]
    assert "refused it" in bot.ctl("show", "dead") and "as it was told" in bot.ctl("dead", "show", refused["id"])
    assert bot.ask("dead", "show", rows[0]["delivery"])["deliveries"][0]["body"]["content"] == "half"
    assert bot.ctl_run("dead", "show", "1").returncode == 66 and bot.ctl_run("dead", "eat", "1").returncode == 64
    # Put back: what was done is not done twice.  Let go: never answered.
    assert "let go" in bot.ctl("dead", "drop", failed["id"])
    assert bot.ctl_run("dead", "retry", "all", "other").returncode == 66
    assert "2 deliveries put back" in bot.ctl("dead", "retry", "all", "py")
    path = ends_as(bot, half, "finished")
    assert path["attempts"] == 2 and path["charges"] == 0
    ends_as(bot, refused, "finished")
    assert [len(polite.replies_to(m["id"])) for m in (refused, failed, half)] == [1, 0, 1]
    assert ends_as(bot, failed, "dropped") and bot.status()["deliveries"]["aside"] == 0
    counters = bot.counters()
    assert counters["letters_retried"] == 2 and counters["letters_dropped"] == 1 and counters["calls_answered"] >= 1


def test_suspects_one_at_a_time(polite, bots, worker):
    """Nobody can say what it was running: the guilty one is found, the others are answered once and not charged."""
    bot = bots(polite, pools={"py": worker})
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i], "die" if i == 4 else "!ping") for i in range(10)])
    guilty = messages.pop(4)
    path = ends_as(bot, guilty, "aside", 30)
    assert path["reason"] == "poison" and path["charges"] == 3
    all_answered(polite, messages)
    for message in messages:
        assert ends_as(bot, message, "finished")["charges"] == 0
    assert len(polite.answers()) == 9, "none is doubled"


def test_deadlines_deletions_interactions_news(polite, bots, worker):
    # Of 10 two are kept for control events, if there are any; here one for interactions, nine for messages.
    pool = worker | {"deadline": 4, "credit": 10, "events": ["MESSAGE_CREATE", "INTERACTION_CREATE"],
                     "states": ["CHANNEL_UPDATE"], "workers": 1}
    bot = bots(polite, pools={"py": pool, "more": worker | {"states": ["CHANNEL_UPDATE"], "workers": 2, "events": []}},
               last_word=0.1)
    bot.start().ready()
    # Everything that may be open is open, and more waits: an interaction does not.
    sits = polite.say_many([(polite.channels[i], "sit") for i in range(12)])
    wait_for(lambda: bot.status()["pools"][1]["waiting"] == 3, 10, "three wait")
    interaction = polite.interact(polite.channels[0])
    assert polite.wait(lambda: interaction in polite.callbacks, 0.6), "answered at once"
    # What was deleted is not worked on, given or not, though the pool wants no deletions.
    polite.delete(polite.channels[0], sits[0]["id"])
    polite.purge(polite.channels[11], [sits[11]["id"]])
    assert ends_as(bot, sits[0], "cancelled", 0.6)["charges"] == 0
    assert ends_as(bot, sits[11], "cancelled", 0.6)["attempts"] == 0
    # The others are too late, given or not, and are said to be.
    for message in sits[1:11]:
        assert ends_as(bot, message, "aside")["reason"] == "deadline"
    counters = bot.counters()
    assert counters["deliveries_late"] == 10 and counters["deliveries_cancelled"] == 2
    assert bot.log().count("told to cancel") >= 9
    # One that does not obey is killed for it, and only its delivery pays.
    deaf = polite.say(polite.channels[5], "deaf")
    wait_for(lambda: bot.status()["pools"][1]["given"] == 1, 5, "it is out")
    assert ends_as(bot, deaf, "aside")["reason"] == "deadline"
    assert "which it was told to cancel" in bot.worker("py.0")["last"]["text"]
    bot.ready()
    all_answered(polite, [polite.say(polite.channels[5], "!ping")])
    # Every worker of each pool that asked hears the news.
    polite.rename(polite.channels[2], "a new name")
    for name in ("py.0", "more.0", "more.1"):
        wait_for(lambda n=name: bot.logged(f"news {n} CHANNEL_UPDATE a new name"), 5, f"news for {name}")
    assert bot.counters()["states_sent"] == 3
    assert bot.stop() == 0


def test_full_pool(polite, bots, worker):
    """At the bound typing is dropped and reading waits; no message is lost, and it is said which pool it was."""
    pool = worker | {"queue": 8, "events": ["MESSAGE_CREATE", "TYPING_START"], "credit": 4}
    bot = bots(polite, pools={"py": pool}, stopped=60, hang=60)
    bot.start().ready()
    os.kill(bot.worker("py.0")["pid"], signal.SIGSTOP)
    for i in range(15):
        polite.type(polite.channels[i])
    messages = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(100)])
    wait_for(lambda: bot.logged("pool py is full: reading from Discord pauses"), 10, "the log names it")
    row = bot.status()["pools"][1]
    assert row["full"] and row["queue"] == 8 and row["shed"] > 0
    assert "pool py is full" in bot.ctl("status")
    os.kill(bot.worker("py.0")["pid"], signal.SIGCONT)
    all_answered(polite, messages)
    assert len(polite.answers()) == 100 and len(polite.identifies) == 1
    wait_for(lambda: not bot.status()["pools"][1]["full"], 5, "it is full no more")
    counters = bot.counters()
    assert counters["events_shed"] > 0 and counters["events_dropped"] == 0


def test_poisonous_call(polite, bots, worker):
    """A CALL that three rest workers died of is answered with EPOISON; all others are done once."""
    bot = bots(polite, pools={"py": worker},
               env={"BULKHEAD_FAULTS": f"rest.crash_before=match={polite.channels[7]}"})
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i], "!ping") for i in range(12)])
    guilty = messages.pop(7)
    wait_for(lambda: bot.logged("error 18 "), 30, "EPOISON")
    ends_as(bot, guilty, "finished")
    all_answered(polite, messages)
    assert len(polite.answers()) == 11 and bot.counters()["worker_crashes"] == 3
