"""The people: they count, channel by channel, and what they are answered is compared with what they said."""

import collections
import random
import threading
import time

CHANNELS = 200                  # the last CHATTING of them are for the language model
CHATTING = 12
RATE = 90                       # messages per second
CHAT_EVERY_S = 1.0


class Said:
    """One message that is owed an answer."""
    __slots__ = ("id", "channel", "pool", "text", "t", "number")

    def __init__(self, message, pool, text, number):
        self.id, self.channel, self.pool, self.text = message["id"], message["channel_id"], pool, text
        self.t, self.number = time.monotonic(), number


class Talk:
    def __init__(self, fake, model, seed, rate):
        self.fake, self.model, self.rate = fake, model, rate
        self.rng = random.Random(f"talk:{seed}")
        self.said, self.counts = [], {}
        self.by_id = {}
        self.answered = {}              # question -> (moment, message)
        self.order = {}                 # (channel, pool) -> Said, the last one that was answered
        self.wrong = []                 # what must not be: sentences
        self.dubious = []               # messages that somebody should have explained
        self.worst = (0.0, "", "")
        self.lock = threading.Lock()
        self.heard = collections.deque()
        fake.server.records.hooks.append(self.hear)
        self.over = threading.Event()
        self.failure = None
        self.asked_at = 0.0
        self.thread = threading.Thread(target=self.run, daemon=True)

    # Saying

    def run(self):
        try:
            while not self.over.wait(self.rng.expovariate(self.rate)):
                said = self.say(self.rng.randrange(CHANNELS - CHATTING), self.rng.random() < 0.2)
                # Nobody answers these; they go ahead of messages, to whoever has the channel.
                if self.rng.random() < 0.04:
                    self.fake.react(said.channel, said.id, "\U0001f44d")
                elif self.rng.random() < 0.04:
                    self.fake.edit(said.channel, said.id, said.text)
                if time.monotonic() - self.asked_at >= CHAT_EVERY_S:
                    self.ask()
        except Exception as why:        # a fake that is gone: the run is no good
            self.failure = why

    def line(self, channel, dice):
        """The next message of a channel: what answers it, and the words."""
        pool = "dice" if dice else "echo"
        number = self.counts[channel, pool] = self.counts.get((channel, pool), 0) + 1
        return pool, f"!roll {number % 99}d1" if dice else f"!ping {number}", number

    def note(self, message, pool, text, number):
        said = Said(message, pool, text, number)
        self.said.append(said)
        self.by_id[said.id] = said
        return said

    def say(self, index, dice=False):
        with self.lock:
            channel = self.fake.channels[index]
            pool, text, number = self.line(channel, dice)
            return self.note(self.fake.say(channel, text), pool, text, number)

    def burst(self, indices, dice=False):
        """One ping in each of these channels, all at once."""
        with self.lock:
            lines = [self.line(self.fake.channels[i], dice) for i in indices]
            pairs = [(self.fake.channels[i], text) for i, (_, text, _) in zip(indices, lines)]
            return [self.note(m, *line) for m, line in zip(self.fake.say_many(pairs), lines)]

    def ask(self):
        """The model, in a channel where nobody waits for it."""
        busy = {s.channel for s in self.said[-2000:] if s.pool == "chat" and s.id not in self.answered}
        free = [c for c in self.fake.channels[CHANNELS - CHATTING:CHANNELS] if c not in busy]
        if not free:
            return
        channel = self.rng.choice(free)
        self.asked_at = time.monotonic()
        with self.lock:
            number = self.counts[channel, "chat"] = self.counts.get((channel, "chat"), 0) + 1
            text = f"<@{self.fake.bot_id}> question {number}?"
            self.note(self.fake.say(channel, text), "chat", text, number)

    # Listening

    def hear(self, log, row):
        """In the fake's thread: a record was added."""
        if log == "posts" and row["method"] == "POST" and not row["again"]:
            self.heard.append((row["t"], row["message"]))

    def listen(self):
        """Judge what the bot has said since the last call; how many questions are open."""
        while self.heard:
            t, message = self.heard.popleft()
            question = (message.get("message_reference") or {}).get("message_id")
            with self.lock:             # say() has returned
                said = self.by_id.get(question)
            if said is None:
                self.wrong.append(f"an answer to nothing: {message['content']!r} in channel {message['channel_id']}")
            elif question in self.answered:
                self.dubious.append(said)
                self.wrong.append(f"answered twice: {said.text!r} {question}, at {self.answered[question][0]:.3f} and "
                                  f"{t:.3f} of the monotonic clock")
            else:
                self.answered[question] = (t, message)
                last = self.order.get((said.channel, said.pool))
                if last is not None and last.number > said.number:
                    self.wrong.append(f"out of order: {said.pool} in channel {said.channel} answered {said.text!r} "
                                      f"{said.id} {t - self.answered[last.id][0]:.3f} s after {last.text!r} {last.id}, "
                                      f"which was said {last.t - said.t:.3f} s later")
                    self.dubious += [said, last]
                self.order[said.channel, said.pool] = said
                self.worst = max(self.worst, (t - said.t, said.text, said.id))
        return len(self.said) - len(self.answered)

    def delay(self, said):
        """Seconds from a message to its answer; None: there is none."""
        found = self.answered.get(said.id)
        return found[0] - said.t if found else None

    def late(self, seconds):
        """How many of the last messages have waited for longer than that."""
        before = time.monotonic() - seconds
        return sum(1 for s in self.said[-1000:] if s.t < before and s.id not in self.answered)

    def missing(self):
        return [s for s in self.said if s.id not in self.answered]

    def wrong_words(self):
        """At the end, when everything has been answered: is it the right answer, and all of it?"""
        texts = {r["answer"].strip() for r in self.model.requests if r.get("answer")}
        for said in self.said:
            _, message = self.answered.get(said.id, (0, None))
            if message is None:
                continue
            if said.pool == "echo" and message["content"] != said.text.replace("!ping", "pong"):
                yield f"a wrong answer: {said.text!r} was answered {message['content']!r}"
            if said.pool == "chat":
                now = self.fake.call(self.shown, said.channel, said.id)
                if len(now) != 1 or now[0] not in texts:
                    yield f"an answer of the model that is not whole, or not alone: {said.id} {now!r}"

    def shown(self, channel, question):
        """In the fake's thread: the bot's messages for a question, as they are now."""
        return [m["content"].strip() for m in self.fake.server.world.messages[channel].values()
                if m["author"]["id"] == self.fake.bot_id
                and (m.get("message_reference") or {}).get("message_id") == question]
