"""What is done to the bot, and when: a list that depends on the seed and the length of the run and on nothing else.

A run is a row of rounds.  The first half of a round is a storm: everything below, at random moments.  Then the faults
are taken away, and when the bot is whole again single blows are measured, one after another, on a quiet machine.
"""

import dataclasses
import random

ROUND_S, STORM_S = 15.0, 8.0
GAP_S = 0.35                    # between two deeds of a storm, on average

# kind -> (weight, group).  The kinds of a group keep SPACING apart, so that no limit of the product is tested that
# has a test of its own: three deaths poison a call, ten in a minute make a slot `failed`.
KINDS = {
    "kill handler": (9, "handler"), "kill active rest": (4, "rest"), "kill spare rest": (2, "rest"),
    "stop handler": (2, "handler"), "stop active rest": (1, "rest"), "stop spare rest": (1, "rest"),
    "spin": (2, "handler"), "block": (1, "handler"), "crash": (2, "handler"), "exit": (2, "handler"),
    "slow handler": (2, None), "rest dies at a point": (2, "rest"), "frames in pieces": (1, None),
    "kill supervisor": (2, "supervisor"), "supervisor dies at a point": (3, "supervisor"),
    "upgrade": (2, "supervisor"),
    "gateway reset": (2, "gateway"), "gateway cut": (2, "gateway"), "gateway close": (4, "gateway"),
    "gateway op 7": (2, "gateway"), "gateway op 9": (2, "gateway"), "gateway op 1": (1, None),
    "gateway refuses": (1, "gateway"), "gateway silent": (1, "gateway"), "resume address gone": (1, "gateway"),
    "rest 5xx": (2, None), "rest 5xx after": (2, None), "rest 429": (3, None), "rest reset": (2, None),
    "rest answers lost": (2, None), "rest slow": (2, None), "rest slow body": (1, None),
    "reload": (3, "verb"), "reload of a bad file": (1, "verb"), "reload from a frozen disk": (1, "verb"),
    "restart": (2, "verb"), "restart --rolling": (3, "verb"), "restart --now": (2, "verb"),
    "scale": (3, "verb"), "drain and resume": (3, "verb"),
    "log reader stops": (1, "log"), "junk to the control socket": (1, None), "client that reads nothing": (1, None),
}
SPACING = {"handler": 0.7, "rest": 2.0, "supervisor": 3.5, "gateway": 0.6, "verb": 0.6, "log": 4.0}
MEASURED = ("death of a handler", "death of rest", "death of a handler", "rolling restart", "death of a handler",
            "death of rest", "death of a handler", "upgrade")
MEASURED_PER_ROUND = 4
MEASURED_GAP_S = 1.1            # a slot's second death in a row starts its next process a second after the one before


@dataclasses.dataclass(frozen=True)
class Deed:
    at: float                   # seconds from the start of the load
    kind: str
    measured: bool              # with a quiet machine before and after it
    pick: int                   # which one, by index
    amount: float               # how much, of 1


def make(seed, length_s):
    """The deeds of a run, in order."""
    rng = random.Random(f"chaos:{seed}")
    kinds, weights = list(KINDS), [w for w, _ in KINDS.values()]
    deeds, free_at, measured = [], {}, 0
    start = 0.0
    while start + ROUND_S <= length_s + 0.01:
        at = start + 0.5
        while True:
            at += rng.expovariate(1 / GAP_S)
            if at >= start + STORM_S:
                break
            fitting = [(k, w) for k, w in zip(kinds, weights) if at >= free_at.get(KINDS[k][1], 0.0)]
            kind = rng.choices([k for k, _ in fitting], [w for _, w in fitting])[0]
            group = KINDS[kind][1]
            if group:
                free_at[group] = at + SPACING[group]
            deeds.append(Deed(round(at, 3), kind, False, rng.randrange(1 << 16), rng.random()))
        at = start + STORM_S + 2.0
        for _ in range(MEASURED_PER_ROUND):
            kind = MEASURED[measured % len(MEASURED)]
            deeds.append(Deed(round(at, 3), kind, True, rng.randrange(1 << 16), rng.random()))
            measured += 1
            at += MEASURED_GAP_S
        start += ROUND_S
    return deeds
