"""63 slow deliveries beside one that crashes its worker: the one is set aside, nobody else pays."""

from bot import wait_for

N = 64
GUILTY = 31


def test_poison_is_set_aside_and_only_poison(polite, bots):
    # The crash strikes where "boom" is said; everything else takes 1.5 s.
    bot = bots(polite, pools={"echo": {"workers": 1, "credit": 128}},
               env={"BULKHEAD_FAULTS": "worker.crash=match=boom;worker.slow=match=!ping,arg=1500"})
    bot.start().ready()
    messages = polite.say_many([(polite.channels[i % 20], "boom" if i == GUILTY else "!ping") for i in range(N)])
    innocent = [m for i, m in enumerate(messages) if i != GUILTY]
    assert polite.wait(lambda: all(polite.replies_to(m["id"]) for m in innocent), 90), \
        f"unanswered: {sum(not polite.replies_to(m['id']) for m in innocent)}"
    assert len(polite.answers()) == N - 1, "none is doubled"
    wait_for(lambda: bot.status()["deliveries"]["aside"] == 1, 20, "the one is set aside")
    bot.ready()
    guilty = messages[GUILTY]["id"]
    path = bot.ask("explain", guilty)["deliveries"]
    assert [d["state"] for d in path] == ["aside"] and path[0]["charges"] == 3
    assert "signal 11" in path[0]["report"], "with its report"
    for message in innocent:
        for row in bot.ask("explain", message["id"])["deliveries"] if message in innocent[:8] + innocent[-8:] else []:
            assert row["charges"] == 0 and row["state"] == "finished"
    counters = bot.counters()
    assert counters["deliveries_poison"] == 1 and counters["worker_crashes"] == 3
    assert "poison" in bot.ctl("status") or "set aside" in bot.ctl("status")
