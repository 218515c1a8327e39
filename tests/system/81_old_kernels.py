"""What a kernel, or a container's filter, does not have: done without, or said in one sentence."""

import pytest

from bot import ROOT, alive, wait_for

OLD_KERNEL = ROOT / "tests" / "system" / "oldkernel.py"
LANDLOCK = "landlock_create_ruleset,landlock_add_rule,landlock_restrict_self"


# The first is Linux 5.8; the second a container whose profile is older than the kernel below it.
@pytest.mark.parametrize("lacks", [f"close_range,{LANDLOCK},SO_PEERPIDFD", f"close_range,{LANDLOCK}=EPERM"])
def test_done_without(polite, bots, lacks):
    bot = bots(polite, pools={"echo": {"handler": "echo"}, "dice": {"handler": f"exec:{ROOT}/worker/examples/dice.py",
                                                                    "events": ["MESSAGE_CREATE"]}})
    bot.wrapper = [OLD_KERNEL, lacks]
    bot.start().ready()

    def answers(text):
        said = polite.say(polite.channels[0], text)
        assert polite.wait(lambda: polite.replies_to(said["id"]), 20), text

    answers("!ping")
    for name in ("echo.0", "dice.0"):
        shown = wait_for(lambda n=name: bot.ask("show", "worker", n).get("confined"), 10, "it was looked at")
        assert shown["no_new_privs"] and shown["landlock"] == 0, (name, shown)
    assert bot.fake.token not in bot.ctl("show", "config")
    for name in ("rest", "echo.0", "dice.0"):
        bot.kill(name)
        answers("!ping")
    bot.ready()
    bot.ctl("restart", "dice")
    answers("!roll 2d6")
    bot.ctl("upgrade")
    bot.ready()
    answers("!ping")
    pids = [w["pid"] for w in bot.status()["workers"]]
    # Nobody has a second answer after kill -9 of the supervisor either; its children are found by their numbers.
    bot.kill("supervisor")
    bot.process.wait(20)
    bot.start().ready()
    answers("!ping")
    assert bot.stop() == 0
    assert not [pid for pid in pids if alive(pid)]
    assert len(polite.answers()) == len({m["message_reference"]["message_id"] for m in polite.answers()}), "one answer each"


@pytest.mark.parametrize("lacks", ["pidfd_open", "pidfd_send_signal=EPERM"])
def test_said(polite, bots, lacks):
    bot = bots(polite)
    bot.wrapper = [OLD_KERNEL, lacks]
    bot.start()
    assert bot.process.wait(20) == 1
    assert "Linux 5.3" in bot.log() and len(bot.log().splitlines()) == 1, bot.log()
