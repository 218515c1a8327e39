"""What happened, in lists that a test reads from another thread."""

import time


class Log(list):
    """A list that forgets its older half when it is full."""

    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def append(self, item):
        if len(self) >= self.keep:
            del self[: self.keep // 2]
        super().append(item)


class Records:
    def __init__(self, keep):
        self.sent = Log(keep)           # dispatches written to a socket: live, doubled or replayed
        self.requests = Log(keep)
        self.posts = Log(keep)          # POSTed and PATCHed messages of the bot
        self.heartbeats = Log(keep)
        self.identifies = Log(keep)
        self.resumes = Log(keep)
        self.presences = Log(keep)      # op 3; that of an IDENTIFY stands in its d
        self.connections = Log(keep)
        self.violations = Log(keep)
        self.unimplemented = Log(keep)
        self.faults = Log(keep)
        self.feed = Log(keep)           # one line per thing worth showing to a person
        self.feed_n = 0
        self.listeners = []             # called in the loop's thread after each record
        self.hooks = []                 # called there with (list's name, row)

    def touch(self):
        for call in self.listeners:
            call()

    def add(self, log, /, **fields):
        fields.setdefault("t", time.monotonic())
        getattr(self, log).append(fields)
        for hook in self.hooks:
            hook(log, fields)
        self.touch()
        return fields

    def show(self, kind, /, **fields):
        self.feed_n += 1
        self.feed.append({"n": self.feed_n, "kind": kind, "time": time.time(), **fields})
        self.touch()
