#!/usr/bin/python3
"""dice - a handler of Bulkhead in Python: answers !roll 2d6 in the chat, and `bulkheadctl POOL roll 2d6`.

    pool "dice" { handler = "exec:/usr/local/share/bulkhead/examples/dice.py"  events = { "MESSAGE_CREATE" } }

Needs python3-msgpack.  Everything that the protocol (proto/README.md) asks of a worker is here; to make another
bot of it, write another `on_message` and other `verbs`.  Test it: bulkheadctl test-worker --content '!roll 2d6' ./dice.py
"""

import io
import json
import mmap
import random
import re
import select
import socket
import struct
import sys

import msgpack

# ---- the bot ----

ROLL = re.compile(r"(\d{0,2})d(\d{1,4})")


def roll(text):
    """ "2d6" -> a sentence; None when it is no roll."""
    match = ROLL.fullmatch(text.strip())
    if not match or int(match[2]) < 1:
        return None
    thrown = [random.randint(1, int(match[2])) for _ in range(int(match[1] or 1))]
    return f"{' + '.join(map(str, thrown))} = **{sum(thrown)}**" if len(thrown) > 1 else f"**{sum(thrown)}**"


def on_message(message):
    """A generator.  Each call is a yield, which gives (status, id, body) when it is done: of Discord it asks a method, a
    path and a body, of another pool its name, a verb and a text, as in: yield "dice", "roll", "2d6"."""
    text = message.get("content", "")
    if not text.startswith("!roll ") or message["author"].get("bot"):
        return
    path = f"/channels/{message['channel_id']}/messages"
    yield "POST", path, {
        "content": roll(text[6:]) or "I throw dice like these: `!roll 2d6`", "allowed_mentions": {"parse": []},
        "message_reference": {"message_id": message["id"], "fail_if_not_exists": False}}


handlers = {"MESSAGE_CREATE": on_message}       # event -> generator
verbs = {"roll": ("throw dice, as in: roll 2d6", roll)}

# ---- the protocol: numbers of messages.def ----

VERSION, FRAME_MAX = 1, 64 << 20
HELLO, READY, EVENT, ACK, NACK, CANCEL = 0x01, 0x02, 0x10, 0x11, 0x12, 0x14
CALL, RESULT, DRAIN, PING, PONG = 0x20, 0x21, 0x30, 0x31, 0x32
DRAINING, FAILED, DEADLINE = 1, 2, 4            # reasons of NACK
CREATE, BULK = 1, 4                             # lanes.def
ESERVICE, EINVALID = 11, 14                     # errors.def

link = socket.socket(fileno=3)
received = bytearray()


def send(*fields):
    frame = msgpack.packb(fields)
    link.sendall(struct.pack(">I", len(frame)) + frame)


def frames():
    """The whole frames that have come; waits for nothing but what is there."""
    data = link.recv(65536)
    if not data:
        sys.exit(0)                             # the supervisor is gone: at once
    received.extend(data)
    while len(received) >= 4:
        (n,) = struct.unpack_from(">I", received)
        if n > FRAME_MAX:
            sys.exit(76)                        # contract.h: it broke the protocol
        if len(received) < 4 + n:
            return
        frame = bytes(received[4:4 + n])
        del received[:4 + n]
        yield msgpack.unpackb(frame)


def next_message():
    while True:
        for message in frames():
            return message


def pack_list(*values):                         # a list: scalars in a bin, row after row
    return b"".join(msgpack.packb(v) for v in values)


def rows(field, columns):
    flat = list(msgpack.Unpacker(io.BytesIO(field)))
    return [flat[i:i + columns] for i in range(0, len(flat), columns)]


# ---- the scoreboard: shows that we live, and what runs when we die ----

try:
    board = mmap.mmap(4, 4096)
except (OSError, ValueError):                   # a test that has none
    board = bytearray(4096)
ticks = 0


def show(delivery):
    global ticks
    ticks += 1
    struct.pack_into("=QQQ", board, 0, ticks, delivery, len(tasks))


# ---- deliveries ----

tasks = {}                                      # delivery -> Task
calls = {}                                      # number of an open call -> Task
last_call = 0
draining = False


class Task:
    """One delivery, from its EVENT to its one ACK or NACK."""

    def __init__(self, delivery, steps):
        self.delivery, self.steps, self.changes = delivery, steps, 0
        tasks[delivery] = self

    def go_on(self, value=None):
        global last_call
        show(self.delivery)                     # a crash in here is charged to this delivery
        try:
            what, where, body = self.steps.send(value)
        except StopIteration:
            self.end(ACK)
        except Exception as why:                # a handler with a bug: this delivery fails, not the worker
            print(f"delivery {self.delivery}: {why!r}", file=sys.stderr, flush=True)
            self.end(NACK, FAILED, repr(why)[:200])
        else:
            service, verb, path = ("discord", what, where) if where.startswith("/") else (what, where, "")
            reads = service != "discord" or verb in ("GET", "HEAD")
            if not reads:
                self.changes += 1               # the same number for the same call, each time the event comes
            last_call += 1
            calls[last_call] = self
            body = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
            send(CALL, last_call, self.delivery, 0 if reads else self.changes, service, BULK if reads else CREATE,
                 30000, 0, verb, path, body)
        show(0)

    def end(self, *message):
        del tasks[self.delivery]
        for number in [n for n, task in calls.items() if task is self]:
            del calls[number]                   # its RESULT may still come, and is let be
        self.steps.close()
        send(message[0], self.delivery, *message[1:])


def on_event(delivery, name, body):
    Task(delivery, handlers[name](json.loads(body)) if name in handlers else iter(())).go_on()


def on_result(number, error, status, object_id, why, body):
    task = calls.pop(number, None)
    if task is None:
        return                                  # of a delivery that was cancelled
    if error:
        task.end(NACK, DRAINING if draining else FAILED, why[:200])
    else:
        task.go_on((status, object_id, body))


def on_cancel(kind, number):
    if kind == 0 and number in tasks:
        tasks[number].end(NACK, DRAINING if draining else DEADLINE, "cancelled")


def on_call(number, verb, body):
    """bulkheadctl POOL VERB TEXT"""
    if verb not in verbs:
        send(RESULT, number, ESERVICE, 0, 0, "there is no such verb", b"")
        return
    answer = verbs[verb][1](body.decode(errors="replace"))
    if answer is None:
        send(RESULT, number, EINVALID, 0, 0, verbs[verb][0], b"")
    else:
        send(RESULT, number, 0, 0, 0, "", answer.encode())


def main():
    global draining
    _, version, role, pool, slot, generation, credit, hang_ms, *_, options, _ = next_message()
    # What the bot needs is built here: READY says that it is.  dict(rows(options, 2)) is what the supervisor set.
    send(READY, VERSION, pack_list(*handlers), pack_list(*(s for name, (text, _) in verbs.items() for s in (name, text))))
    while not (draining and not tasks):
        show(0)
        if not select.select([link], [], [], min(1, hang_ms / 4000))[0]:
            continue
        for number, *f in frames():
            if number == EVENT:                 # delivery attempt flags shard seq key deadline name body effects
                on_event(f[0], f[7], f[8])
            elif number == RESULT:              # call error status id why body
                on_result(*f)
            elif number == CALL:                # call delivery ordinal service lane deadline asked verb path body
                on_call(f[0], f[7], f[9])
            elif number == CANCEL:
                on_cancel(*f)
            elif number == PING:
                send(PONG, f[0])
            elif number == DRAIN:
                draining = True


try:
    main()
except (BrokenPipeError, ConnectionResetError):
    sys.exit(0)                                 # the supervisor is gone
