"""What a fake model server can be told at its start, and what one answer can be told.  Durations end in _s or _ms."""

import dataclasses
import re
import secrets


@dataclasses.dataclass
class Options:
    host: str = "127.0.0.1"
    other_host: str = "127.0.0.2"   # the "other host" of scenario 38; loopback too
    port: int = 0
    other_port: int = 0
    cert: str = ""
    tls_key: str = ""
    key: str = "sk-fake-model-key-0123456789"   # "": none is asked for
    model: str = "fake-model"
    provider: str = "plain"         # whose rules hold under /v1; /p/NAME/v1 chooses by address
    seed: int = None
    pace: float = 0.0               # tokens per second; 0: as fast as they can be written
    first_s: float = 0.0            # silence between the headers and the first token
    length: int = 0                 # characters of an answer; 0: a few sentences
    keep: int = 200000              # records of each kind

    def __post_init__(self):
        if self.seed is None:
            self.seed = secrets.randbits(32)


@dataclasses.dataclass
class Script:
    """How requests are answered.  None: as the options say, or as the scenario does by itself."""
    scenario: object = None         # number, name, "name:variant"
    variant: str = None
    n: int = 1                      # for so many requests; None: all
    model: str = None               # of requests for this model only (regular expression, whole name)
    match: str = None               # of requests whose last user message has this (regular expression)
    text: str = None                # the answer, instead of an invented one
    style: str = None               # words.STYLES
    length: int = None
    pace: float = None
    first_s: float = None
    finish: str = None              # finish_reason
    usage: dict = None              # replaces figures of it
    framing: str = None             # "chunked" (the default) or "close": the body ends with the connection
    headers: dict = None            # of the answer, added
    after: int = None               # scenarios that break off do it after so many tokens
    every_ms: float = None          # 8: between comments
    byte_s: float = None            # 40: between bytes
    count: int = None               # 29: deltas or bytes
    limit: int = None               # 23: characters of messages that still fit; 0: none
    status: int = None              # 19, 38: of the answer
    retry_after: object = None      # 20: of the header

    def takes(self, model, text):
        if self.n == 0:
            return False
        if self.model is not None and not re.fullmatch(self.model, str(model)):
            return False
        return self.match is None or re.search(self.match, text) is not None


def make(**given):
    return Options(**given)
