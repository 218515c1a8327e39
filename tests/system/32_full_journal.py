"""More comes at once than the journal holds: reading waits, nothing is lost, the session is kept."""

N = 300


def test_burst_above_the_journal(polite, bots):
    bot = bots(polite, pools={"echo": {"workers": 2}}, journal="64K")
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(N)])
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 60), \
        f"unanswered: {sum(not polite.replies_to(m['id']) for m in messages)}"
    assert len(polite.answers()) == N, "none is doubled"
    assert len(polite.identifies) == 1, "the session was never given up"
    assert bot.counters()["events_dropped"] == 0
    assert bot.logged("journal nearly full"), "the journal was too small indeed, and the log says so"


def test_full_while_nothing_is_answered(polite, bots):
    """The pause lasts: heartbeats go on, and when answers are possible again all of it is answered."""
    polite.slow(n=1, delay_s=3, method="POST", path="/messages$")
    bot = bots(polite, pools={"echo": {"workers": 1, "credit": 1}}, journal="64K")
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i % 20], "!ping") for i in range(N)])
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in messages), 60), \
        f"unanswered: {sum(not polite.replies_to(m['id']) for m in messages)}"
    assert len(polite.answers()) == N and len(polite.identifies) == 1
    assert bot.counters()["gateway_zombies"] == 0
