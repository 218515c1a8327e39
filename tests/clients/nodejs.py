"""Programs of tests/clients/node, run by the Node 22 that lies beside them."""

import itertools
import json
import pathlib
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent / "node"
NODE = HERE / "node_modules" / ".bin" / "node"
TIMEOUT = 60


def install():
    """What package-lock.json names; an error says what npm said."""
    done = subprocess.run([HERE / "install"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"tests/clients/node/install: {done.stderr.strip()}")


class Program:
    """One .mjs that speaks JSON on lines (node/lines.mjs); leaving the with block closes its stdin."""

    def __init__(self, script, **argument):
        install()
        self.process = subprocess.Popen([NODE, HERE / script, json.dumps(argument)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.lines = []                 # everything it said, in order
        self.changed = threading.Condition()
        self.ended = False
        self.ids = itertools.count(1)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, predicate, timeout=TIMEOUT):
        """The first true value of predicate(), looked at after each line."""
        with self.changed:
            return self.changed.wait_for(lambda: predicate() or self.ended, timeout) and predicate()

    def ask(self, call, timeout=TIMEOUT, **command):
        """The line that answers: {"result": ...} or {"error": ...}."""
        id = next(self.ids)
        print(json.dumps({"id": id, "call": call, **command}), file=self.process.stdin, flush=True)
        answer = self.wait(lambda: next((line for line in self.lines if line.get("id") == id), None), timeout)
        assert answer, f"no answer to {call}: {self.lines[-3:]}"
        return answer

    def result(self, call, **command):
        answer = self.ask(call, **command)
        assert "result" in answer, answer
        return answer["result"]

    def events(self, name):
        return [line for line in self.lines if line.get("event") == name]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        deadline = time.monotonic() + TIMEOUT
        try:
            status = self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
            self.reader.join(max(0.0, deadline - time.monotonic()))
            self.process.stdout.close()
        assert exc[0] or status == 0, f"exit status {status}"


class Aimock(Program):
    """@copilotkit/aimock on a free port: a model server that we did not write."""

    key = "aimock"

    def __init__(self):
        super().__init__("aimock.mjs")
        line = self.wait(lambda: self.lines and self.lines[0])
        if not line:
            self.process.kill()
            raise RuntimeError("aimock did not start")
        self.url = line["url"]

    def on(self, pattern, content, tps=None, chunk=None):
        """Questions with pattern in the last user message get content, tps pieces of chunk characters per second."""
        self.result("on", pattern=pattern, content=content, tps=tps, chunk=chunk)

    def fail(self, status, message):
        """The next request gets an error."""
        self.result("fail", status=status, message=message)

    @property
    def requests(self):
        """[{method, path, headers, body, status}]"""
        return self.result("requests")
