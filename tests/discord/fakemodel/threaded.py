"""The fake model server behind a thread, for pytest: every call is safe from any thread.

    with threaded.FakeModel(pace=50) as model:
        model.script("vllm-error", n=1)
        assert model.wait(lambda: model.requests and model.requests[-1]["end"])
"""

from fakediscord.loopthread import LoopThread

from . import options, server


class FakeModel(LoopThread):
    name = "fake-model"

    def __init__(self, **opts):
        super().__init__()
        self.opts = options.make(**opts)
        self.server = server.FakeModel(self.opts)
        self.server.records.listeners.append(self.note)

    async def starting(self):
        print(f"fake model: seed={self.opts.seed}")             # pytest shows it when the test fails
        await self.server.start()

    async def stopping(self):
        await self.server.stop()

    @property
    def url(self):
        return self.server.url

    @property
    def other_url(self):
        return self.server.other_url

    @property
    def port(self):
        return self.server.port

    @property
    def key(self):
        return self.opts.key

    @property
    def model(self):
        return self.opts.model

    def url_of(self, provider):
        """The base URL under which that provider's rules hold."""
        return self.server.url_of(provider)

    # Records: lists of dicts that only grow (up to the option keep)

    def __getattr__(self, name):
        if name in server.LISTS:
            return getattr(self.server.records, name)
        raise AttributeError(name)

    def state(self):
        return self.call(self.server.state)

    def script(self, scenario=None, variant=None, **args):
        """How the next n (default 1, None: all) requests are answered; arguments: options.Script."""
        self.call(self.server.script, scenario, variant, **args)

    def calm(self):
        self.call(self.server.calm)

    def drop(self):
        """Every open connection is reset; how many."""
        return self.call(self.server.drop)

    def listen(self, on=True):
        """False: new connections are refused."""
        self.call(self.server.listen, on)
