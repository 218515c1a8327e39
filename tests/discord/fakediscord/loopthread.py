"""A server of asyncio behind a thread: started, asked and waited for from any other one."""

import asyncio
import inspect
import threading
import time

CALL_S = 30.0
RECHECK_S = 0.005


class LoopThread:
    """Whoever derives from it has the coroutines starting() and stopping(), and calls note() after each record."""

    name = "fake"
    patience = 1                    # tests of programs make it more: on a busy machine the right thing takes longer

    def __init__(self):
        self.changed = threading.Condition()
        self.version = 0
        self.told = False
        self.loop = None
        self.thread = None
        self.lock = threading.Lock()

    def start(self):
        with self.lock:
            if self.thread is None:
                self.loop = asyncio.new_event_loop()
                self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)
                self.thread.start()
                try:
                    self.call(self.starting)
                except BaseException:
                    self.end_loop()
                    raise
        return self

    def stop(self):
        with self.lock:
            if self.thread is not None:
                try:
                    self.call(self.stopping)
                finally:
                    self.end_loop()

    def end_loop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(CALL_S)
        self.loop.close()
        self.thread = None

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def call(self, function, *args, **kwargs):
        """Runs a function of the fake in its own thread and returns its result."""
        async def inside():
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(CALL_S)

    def note(self):
        """In the loop's thread, after a record; waiters are told once per turn of the loop."""
        if not self.told:
            self.told = True
            self.loop.call_soon(self.tell)

    def tell(self):
        self.told = False
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def wait(self, predicate, timeout=10.0):
        """The first true value of predicate(), or its last false one when the time is up."""
        deadline = time.monotonic() + timeout * self.patience
        while True:
            seen = self.version
            value = predicate()
            left = deadline - time.monotonic()
            if value or left <= 0:
                return value
            with self.changed:
                # A predicate may look at things that are not records: look again soon in any case.
                self.changed.wait_for(lambda: self.version != seen, min(left, 0.1))
            time.sleep(RECHECK_S)
