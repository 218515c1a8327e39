"""The forty ways in which a model server answers, against our own model client: what a person gets, how often the
server was asked, and that no socket stays open.  A real worker asks: `bulkheadctl chat try`."""

import concurrent.futures
import json

import pytest

from bot import Bot, wait_for
from fakemodel import scenarios
from fakemodel.threaded import FakeModel

FAILED, LOST = "had a failure; please try again later", "broke off before its end"
LATE, NOTHING = "did not answer in time", "returned nothing"
FOREIGN, LIMIT, FILTER = "something that is no chat completion", "reached the length limit", "content filter stopped"
LONG, UNREACHABLE, BUSY = "is too long for the model", "cannot be reached", "is busy; please try again"
pytestmark = pytest.mark.alone      # one bot is asked all at once, and its patience is two seconds
KEY, CREDIT = "refused the bot's API key", "credit at the model provider is used up"
TEXT_MAX = 262144               # of one answer
AT_ONCE = 8


class Case:
    """What comes of one scenario.

        why         a part of the sentence; None: there is none
        text        "whole" the answer; "part" what had been said when it ended; "begin" its beginning; "late" more
                    than it; "" nothing; else just this
        n           requests that the server sees
        good        exit status 0
        closed      the server waits, so the client has to close
        id          the sentence names the request
        serial      not beside others: what one request leaves behind decides over the next
    """

    def __init__(self, why=None, text=None, n=1, good=None, closed=False, id=True, serial=False, long=False, **script):
        self.why, self.n, self.closed, self.id, self.serial, self.long = why, n, closed, id, serial, long
        self.text = ("whole" if why is None else "") if text is None else text
        self.good = why is None if good is None else good
        self.script = {"n": None, **script}


def same(names, *args, **kwargs):
    return {name: Case(*args, **kwargs) for name in names.split()}


WHOLE = {"": Case()}
CASES = {
    1: WHOLE, 2: WHOLE, 3: WHOLE, 4: same("lf crlf cr"), 5: WHOLE, 6: WHOLE, 7: same("lf crlf"),
    8: {"from-start": Case(LATE, closed=True), "after-token": Case(LATE, "part", closed=True)},
    9: same("chunked close"), 10: same("done finish no-newline"),
    11: {"text": Case("may be incomplete", "whole", good=True, id=False), "empty": Case(NOTHING, n=2)},
    12: same("chunked close unfinished-chunk", LOST, "part"),
    13: {"start": Case(LOST, n=3), "middle": Case(LOST, "part")},
    14: {"middle": Case(FAILED, "part"), "start": Case(FAILED, n=3)},
    15: same("object message text", FAILED, "part"), 16: {"": Case(FAILED, "part")},
    17: {**same("object text vllm", FAILED, n=3), **same("message detail detail-list", FOREIGN)},
    18: same("json no-type wrong-type"), 19: {"": Case(FAILED, n=3)},
    # Refused once (script n=1), then answered; or nobody asks again, and the time is told.
    20: {**{name: Case(n=2) for name in "ms float int date negative garbage both".split()},
         "none": Case(BUSY + " in 3724 s", n=3), "3600": Case(BUSY + " in 3600 s"), "no-retry": Case(BUSY + " in 1 s")},
    21: same("openai openrouter", CREDIT), 22: same("openai echo html", KEY),
    23: {**same("openai llamacpp vllm anthropic ollama-400 lmstudio-event", LONG),
         "lmstudio-silent": Case(NOTHING, n=2),
         "ollama-silent": Case("only the newest part", "whole", good=True, id=False, long=True)},
    24: same("swap other-way", n=2, serial=True),
    25: same("all first middle last"), 26: same("separate finish every absent x-groq"),
    # No tool was offered, so a call of one is no answer.
    27: {name: Case(NOTHING, n=2) for name in scenarios.SCENARIOS[27].variants},
    28: same("all role-null content-null delta-missing low-prompt-tokens nested"),
    29: {"deltas": Case(LIMIT, "x" * TEXT_MAX, closed=True, id=False),
         **same("line line-no-newline", FOREIGN, closed=True)},
    30: {"before-headers": Case(LATE, closed=True, id=False), "after-headers": Case(LATE, closed=True),
         "after-first": Case(LATE, "part", closed=True), "after-finish": Case(closed=True)},
    31: {"rst": Case(LOST, "part"), "no-notify": Case(LOST, "part"), "rst-after-finish": Case(),
         "rst-before-headers": Case(UNREACHABLE, n=3, id=False)},
    32: same("rst fin", serial=True),
    33: {**same("split nested only-closing later reasoning_content reasoning reasoning_details"),
         "unclosed": Case(NOTHING, n=2)},
    34: {"split": Case(), "lone": Case(), "nul": Case(text="beforeafter")},
    35: {**same("function_call end_turn eos STOP unheard-of"), **same("length max_tokens", LIMIT, "whole"),
         **same("content_filter SAFETY refusal", FILTER, "whole"), "filtered-empty": Case(FILTER)},
    36: WHOLE,
    # As the official clients do: text is not thrown away for coming late.
    37: {"": Case(text="late")}, 38: same("307 308 301 302", FOREIGN), 39: same("stream json", FOREIGN),
    40: {"": Case(LATE, "begin", closed=True, byte_s=0.001)},
}
for refused_once in "ms float int date negative garbage both".split():
    CASES[20][refused_once].script["n"] = 1
ALL = [f"{number}:{variant}" for number in CASES for variant in CASES[number]]


def case_of(name):
    number, _, variant = name.partition(":")
    return CASES[int(number)][variant]


class Asked:
    """One question and what came of it."""

    def __init__(self, bot, model, name, case, label=None):
        number, _, variant = name.partition(":")
        name = label or name
        more = ["and-tell-it-at-great-length," * 8] * 50 if case.long else []
        model.script(int(number), variant or None, match=f"^case {name}[|]", **case.script)
        done = bot.ctl_run("-j", "chat", "try", f"case {name}|", *more)
        assert done.stdout, done.stderr
        self.status, self.said = done.returncode, json.loads(done.stdout)
        self.rows = [r for r in list(model.requests) if f"case {name}|" in str(r["body"])]


@pytest.fixture(scope="module")
def model():
    with FakeModel() as server:
        yield server
        assert not server.violations and not server.refused


@pytest.fixture(scope="module")
def bot(model):
    bot = Bot(None, {"chat": {"handler": "chat"}}, args=["--no-gateway"])
    bot.write_conf(bot.conf.read_text() + f'''model "m" {{
  base_url = "{model.url}"  api_key = "{model.key}"  name = "{model.model}"
  max_tokens = 300  first_byte = 2  idle = 2  total = 10
}}
''')
    bot.start().ready()
    yield bot
    bot.close(keep_dir=True)
    assert not bot.sanitizer_report()
    bot.remove()


@pytest.fixture(scope="module")
def asked(request, bot, model):
    """{name: Asked} of the cases that this run wants, asked beside each other."""
    names = [i.callspec.params["name"] for i in request.session.items
             if i.originalname == "test_scenario" and "name" in i.callspec.params]
    beside = [n for n in names if not case_of(n).serial]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        out = dict(zip(beside, pool.map(lambda n: Asked(bot, model, n, case_of(n)), beside)))
    for name in names:
        if case_of(name).serial:
            out[name] = Asked(bot, model, name, case_of(name))
            if name.startswith("32:"):          # the next request finds the connection closed
                out[name + " then"] = Asked(bot, model, "1:", Case(), f"after {name}")
    return out


def test_every_scenario_is_here():
    assert sorted(CASES) == sorted(scenarios.SCENARIOS) == list(range(1, 41))
    assert {n: set(c) for n, c in CASES.items()} == {n: set(s.variants) for n, s in scenarios.SCENARIOS.items()}


@pytest.mark.parametrize("name", ALL)
def test_scenario(asked, model, name):
    case, got = case_of(name), asked[name]
    row = got.rows[-1]
    assert len(got.rows) == case.n, f"asked {len(got.rows)} times: {[r['status'] for r in got.rows]}"
    want = {"whole": row["answer"], "part": row["sent"], "late": row["answer"] + " too late"}.get(case.text, case.text)
    if case.text == "begin":
        want = row["answer"][:len(got.said["answer"])]
    # How far a drip has come when the time is up is for the machine to say: perhaps to no word yet.
    assert got.said["answer"] == want and (case.text != "part" or want), got.said
    assert (case.why or "") in got.said["why"] and (case.why is not None or not got.said["why"]), got.said
    assert (got.status == 0) is case.good
    assert case.good or not case.id or f"(id {row['request_id']})" in got.said["why"], got.said["why"]
    assert model.key not in str(got.said) and "\n" not in got.said["why"]
    wait_for(lambda: row["end"], 10, f"the end of the request: {row['end']}")
    assert not case.closed or row["end"] == "client closed", row["end"]
    if case.text == "part" or case.why is None and case.text == "whole":
        assert not any(r["sent"] for r in got.rows[:-1]), "nothing is asked again after the first word"
    if name.startswith("38:"):
        assert not model.stolen, "the key stays with its host"
    if name.startswith("32:"):
        then = asked[name + " then"]
        assert len(then.rows) == 1 and then.said["answer"] == then.rows[0]["answer"]
        assert then.rows[0]["conn"] > row["conn"]
    if name in ("20:ms", "20:float", "20:both"):
        assert 0.24 <= got.rows[1]["t"] - got.rows[0]["t"] < 30, "retry-after is obeyed, the finer one first"


def test_counters_tell_how_it_went(asked, bot, model):
    """After all: every question has one end, and every request was counted."""
    ends = "answers refused busy broken cut late unreachable stopped".split()

    def count():
        return {k.removeprefix("model_"): v for k, v in bot.counters().items() if k.startswith("model_")}

    wait_for(lambda: sum(count()[k] for k in ends) == len(asked), 10, f"{len(asked)} ends: {count()}")
    got = count()
    assert got["requests"] == len(asked) + got["retries"]
    assert len(model.requests) <= got["requests"] <= len(model.requests) + 2, "two went out on closed connections"
    if len(asked) >= len(ALL):
        assert all(got[k] for k in ends), got


def test_an_unknown_length_name_is_remembered(asked, bot, model):
    """After 24: what was refused once is not sent again."""
    if "24:swap" not in asked:
        pytest.skip("24 was not asked")
    n = len(model.requests)
    bot.ctl("chat", "try", "and now?")
    assert len(model.requests) == n + 1
    assert not {"max_tokens", "max_completion_tokens"} & set(model.requests[-1]["body"])
