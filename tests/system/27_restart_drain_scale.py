"""restart, drain, resume, scale, recycle: nobody's message is lost, doubled or held up by any of them."""

import time

from bot import wait_for


def given(bot, n):
    wait_for(lambda: bot.status()["deliveries"]["given"] == n, 20, f"{n} deliveries are given")


def test_restart_now(polite, bots):
    """T1 is skipped: what is open is cut, comes back and is answered once by the next process."""
    bot = bots(polite, drain=60, last_word=1)
    bot.start().ready()
    said = polite.say(polite.channels[0], "!stream 100 10")
    given(bot, 1)
    began = time.monotonic()
    bot.ctl("restart", "echo", "--now")
    assert time.monotonic() - began < 5, "nobody waited for 10 s of text"
    assert bot.worker("echo.0")["generation"] == 2
    given(bot, 0)
    assert len(polite.replies_to(said["id"])) == 1
    assert bot.ctl_run("restart", "echo", "now").returncode == 64
