"""From start to an answer, and a clean stop."""

from bot import alive, wait_for


def test_answers_and_stops(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    message = polite.say(channel, "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]))
    assert [m["content"] for m in polite.answers()] == ["pong"]
    post = polite.posts[0]
    assert post["nonce"], "without a nonce a crash between send and answer would double it"
    pids = [w["pid"] for w in bot.status()["workers"]]
    assert bot.stop() == 0
    assert not [pid for pid in pids if alive(pid)]
    assert not bot.socket.exists()
    assert bot.fake.token not in bot.log(), "the token is in the log"


def test_ignores_bots_and_other_words(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    channel = polite.channels[0]
    polite.say(channel, "hello")
    for text in ("!pingpong", "!ping17", "!ping seventeen", "!ping 1 2", "!ping " + "9" * 19):
        polite.say(channel, text)
    last = polite.say(channel, "  !ping 17 ")
    assert polite.wait(lambda: polite.replies_to(last["id"]))
    # Its own answers come back as events too; they must have been finished without a further one.
    wait_for(lambda: bot.status()["deliveries"]["finished"] >= 8, 10, "all eight events finished")
    assert [m["content"] for m in polite.answers()] == ["pong 17"]


def test_second_start_resumes(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    assert bot.stop() == 0
    missed = polite.say(polite.channels[1], "!ping")
    bot.start().ready()
    assert polite.wait(lambda: polite.replies_to(missed["id"])), "what was said between stop and start is replayed"
    assert len(polite.identifies) == 1 and polite.resumes, "a stop that comes back resumes, it does not identify"


def test_no_secret_in_children(polite, bots):
    bot = bots(polite)
    bot.start().ready()
    for pid in [bot.pid] + [w["pid"] for w in bot.status()["workers"]]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                assert polite.token.encode() not in file.read(), f"the token is in {name} of {bot.cmdline(pid)}"
    assert polite.token not in bot.ctl("show", "config")
