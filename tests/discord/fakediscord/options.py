"""What a fake can be told at its start.  Durations end in _s or _ms."""

import dataclasses
import secrets

INTENTS_ALL = 53608447
INTENTS_PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15)

# bucket name -> (requests, seconds); None stands for "no such limit".
# Observed figures, never promises: see assumptions.md.
LIMITS = {
    "messages": (5, 5.0),
    "edits": (5, 5.0),
    "deletes": (5, 1.0),
    "reactions": (1, 0.25),
    "typing": (5, 5.0),
    "history": (5, 1.0),
    "default": (10, 5.0),
    "global": (50, 1.0),
}

POLITE = {
    "dup_p": 0.0,
    "swap_p": 0.0,
    "lose_p": 0.0,
    "buffer_events": 100000,
    "trim_acked": False,
    "session_ttl_s": 300.0,
    "fragment_bytes": 0,
}


@dataclasses.dataclass
class Options:
    host: str = "127.0.0.1"
    port: int = 0
    resume_port: int = 0
    cert: str = ""
    key: str = ""
    token: str = "fake.bot.token"
    seed: int = None
    polite: bool = False

    channels: int = 25
    members: int = 8
    members_to_send: int = 1000     # of a GUILD_MEMBERS_CHUNK

    heartbeat_ms: int = 41250
    zombie_factor: float = 1.5
    zombie_code: int = 4000
    reconnect_grace_s: float = 5.0  # op 7, then this long, then the fake closes
    send_limit: int = 120
    send_window_s: float = 60.0
    zstd: bool = True               # False: an upgrade that asks for zstd-stream is answered with 400
    fragment_bytes: int = 16384     # longer messages go out in frames of a quarter of it; 0: never
    outbox_bytes: int = 64 << 20    # a client that reads slower than this is cut off

    privileged: int = INTENTS_PRIVILEGED
    identify_total: int = 1000
    identify_reset_ms: int = 86400000
    identify_window_s: float = 5.0
    max_concurrency: int = 1
    shards: int = 1

    buffer_events: int = 100
    trim_acked: bool = True         # a heartbeat's seq trims the replay buffer
    session_ttl_s: float = 60.0
    resume_failure: str = "either"  # "op9", "4007" or "either" (seeded)
    dup_p: float = 0.01
    swap_p: float = 0.01
    swap_hold_s: float = 0.05

    limits: dict = None             # rows that replace those of LIMITS; False: no limits
    nonce_ttl_s: float = 120.0
    lose_p: float = 0.01            # created messages whose answer is lost
    invalid_limit: int = 10000      # 401, 403, 429 in 10 min before the front blocks the address
    validate: bool = True
    keep: int = 200000              # records of each kind

    def __post_init__(self):
        if self.seed is None:
            self.seed = secrets.randbits(32)
        if self.limits is False:
            self.limits = {name: None for name in LIMITS}
        else:
            self.limits = {**LIMITS, **(self.limits or {})}


def make(**given):
    """Options; polite ones are the POLITE rows, and what is given wins over both."""
    base = dict(POLITE) if given.get("polite") else {}
    base.update(given)
    return Options(**base)
