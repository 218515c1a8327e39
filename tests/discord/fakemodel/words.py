"""Answers that are never the same twice: a counter and random words, in the style that was asked for."""

import re

ADJECTIVES = ("amber bold brisk calm clever copper dusty eager faint frosty gentle hollow humble ivory jolly keen "
              "lively mellow misty narrow odd pale quiet rapid rusty silent silver small stormy sunny tidy urban vivid "
              "wild").split()
NOUNS = ("anchor badger beacon bridge candle canyon cobalt comet ember falcon ferry forest garden glacier harbour "
         "island kettle lantern meadow mirror needle orchard otter pebble pigeon quarry ribbon river saddle signal "
         "tunnel umbrella violin willow").split()
VERBS = "carries follows guards hides likes paints remembers repairs sells teaches visits watches".split()
EMOJI = "😀 🦊 🚀 🌊 🧭 🎈 👩‍🚒 🏳️‍🌈 🇦🇽 ✅".split()
STYLES = ("plain", "markdown", "code", "emoji", "table", "mixed")
ASKED = (("code", r"\b(code|function|program)\b"), ("emoji", r"\bemojis?\b"), ("table", r"\btable\b"),
         ("markdown", r"\b(markdown|list)\b"))
LONG = re.compile(r"\b(long|story|essay)\b", re.I)
SHORT_CHARS = 240
LONG_CHARS = 5000


def asked(text):
    """(style, length) that the words of a question ask for."""
    style = next((name for name, words in ASKED if re.search(words, text, re.I)), None)
    long = LONG.search(text) is not None
    return style or ("mixed" if long else "plain"), LONG_CHARS if long else SHORT_CHARS


def sentence(rng):
    return (f"The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {rng.choice(VERBS)} "
            f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}.")


def plain(rng):
    return " ".join(sentence(rng) for _ in range(rng.randint(2, 4)))


def markdown(rng):
    head = f"## {rng.choice(ADJECTIVES).capitalize()} {rng.choice(NOUNS)}"
    rows = "\n".join(f"- **{rng.choice(NOUNS)}**: *{rng.choice(ADJECTIVES)}*, "
                     f"`{rng.choice(NOUNS)}_{rng.randint(1, 99)}`" for _ in range(3))
    return f"{head}\n{rows}\n> {sentence(rng)} ~~{rng.choice(NOUNS)}~~ ||{rng.choice(NOUNS)}||"


def code(rng):
    name = f"{rng.choice(ADJECTIVES)}_{rng.choice(NOUNS)}"
    body = "\n".join(f"    {rng.choice(NOUNS)} = {rng.randint(1, 999)}  # {sentence(rng)}"
                     for _ in range(rng.randint(3, 8)))
    return f"```python\ndef {name}(n):\n{body}\n    return n * {rng.randint(2, 9)}\n```"


def emoji(rng):
    return " ".join(f"{rng.choice(NOUNS)} {rng.choice(EMOJI)}" for _ in range(8))


def table(rng):
    rows = "\n".join(f"| {rng.choice(NOUNS)} | {rng.randint(1, 999)} |" for _ in range(4))
    return f"| what | how many |\n|--|--|\n{rows}"


def mixed(rng):
    return rng.choice((plain, plain, markdown, code, emoji))(rng)


def answer(rng, n, question, style=None, length=None):
    """The n-th answer of this server: at least length characters, ending with a whole paragraph."""
    want_style, want_length = asked(question)
    style = style or want_style
    length = length or want_length
    make = {"plain": plain, "markdown": markdown, "code": code, "emoji": emoji, "table": table, "mixed": mixed}[style]
    said = f"Answer {n}, the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}."
    while True:
        said += "\n\n" + make(rng)
        if len(said) >= length:
            return said


def tokens(text):
    """The text in pieces as a model streams them: they join to the text again."""
    return re.findall(r"\s?[^\s]{1,8}|\s", text)


def unlike(rng, n):
    """A name for ids."""
    return f"{n:x}" + "".join(rng.choice("0123456789abcdef") for _ in range(16))
