"""What cannot work says so in one sentence and exits with a status of its own."""

import re

import pytest
from fakediscord import threaded

from bot import wait_for

EXIT_API, EXIT_INSTANCE, EXIT_INTENTS, EXIT_TOKEN = 69, 73, 76, 77


def ends(bot, status, pattern, timeout=120):
    bot.start()
    assert bot.process.wait(timeout) == status, bot.log()
    errors = [line for line in bot.log().splitlines() if " err " in line]
    assert len(errors) == 1, f"one sentence, not {errors}"
    assert re.search(pattern, errors[0], re.I), errors[0]
    return errors[0]


def test_wrong_token(polite, bots):
    ends(bots(polite, token="not.the.token"), EXIT_TOKEN, "token")


def test_token_revoked_while_live(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    polite.token_revoked()
    assert bot.process.wait(120) == EXIT_TOKEN
    assert re.search(r" err .*token", bot.log())


def test_intents_not_enabled(bots):
    with threaded.Fake(polite=True, privileged=0) as fake:
        line = ends(bots(fake), EXIT_INTENTS, "intent")
        assert "MESSAGE_CONTENT" in line, "it names the toggle"


def test_unreachable_api(polite, bots):
    url = polite.url
    polite.stop()
    line = ends(bots(None, token="x", api_url=url, start_patience=6), EXIT_API, "could not be reached")
    assert url in line and "connect" in line.split("could not be reached")[1], "and the cause"


@pytest.mark.strange_requests
def test_wrong_api_url(polite, bots):
    line = ends(bots(polite, api_url=polite.url.replace("v10", "v99"), start_patience=6), EXIT_API, "could not be reached")
    assert "404" in line and "api_url" in line


def test_second_instance(polite, bots):
    first = bots(polite)
    first.start().ready()
    second = bots(polite, runtime_dir=str(first.dir / "run"))
    ends(second, EXIT_INSTANCE, "another bulkheadd")
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"])), "the first one goes on"
    assert len(polite.identifies) == 1


def test_api_that_comes_back_within_patience(polite, bots):
    polite.listen(False)
    bot = bots(polite, start_patience=30, backoff_max=1)
    bot.start()
    wait_for(lambda: "gateway/bot" in bot.log(), 10, "it has asked")
    polite.listen(True)
    bot.ready(20)
