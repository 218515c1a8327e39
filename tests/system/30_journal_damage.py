"""200 seeded damages to a journal that a killed supervisor left: it starts, says what it dropped, never answers twice."""

import json
import os
import random
import shutil

import pytest
from fakediscord import threaded

from bot import wait_for

ASAN = "asan" in os.environ.get("BULKHEAD_BUILD", "")
SAMPLES = 20 if ASAN else 200
BATCH = 20
JOURNAL = 65536


@pytest.fixture(scope="module")
def wreck(tmp_path_factory):
    """A 64 KiB journal with answered, asked and untouched deliveries; and the fake that knows what was answered."""
    from bot import Bot
    with threaded.Fake(polite=True, limits=False, nonce_ttl_s=0.0) as fake:
        bot = Bot(fake, pools={"echo": {"workers": 1}}, journal="64K")
        bot.start().ready()
        done = fake.say_many([(fake.channels[i % 10], "!ping") for i in range(20)])
        assert fake.wait(lambda: all(fake.replies_to(m["id"]) for m in done), 30)
        wait_for(lambda: bot.status()["deliveries"]["given"] == 0, 10, "all acked")
        # Half of the rest is on its way to Discord, which answers slowly; then everything dies at once.
        fake.slow(n=1000, delay_s=300, method="POST", path="/messages$")
        stuck = fake.say_many([(fake.channels[i % 10], "!ping") for i in range(10)])
        wait_for(lambda: bot.status()["deliveries"]["given"] >= 5, 10, "some are given")
        for worker in bot.status()["workers"]:
            os.kill(worker["pid"], 9)
        os.kill(bot.pid, 9)
        bot.process.wait()
        keep = tmp_path_factory.mktemp("wreck") / "journal"
        shutil.copy(bot.dir / "run" / "journal", keep)
        bot.close()
    assert keep.stat().st_size == JOURNAL
    return keep.read_bytes(), [m["id"] for m in done], [m["id"] for m in stuck]


def questions(fake):
    """What was answered, repeats of one nonce included: this fake does not know the messages themselves."""
    return [p["body"]["message_reference"]["message_id"] for p in fake.posts]


def accounted_for(explained):
    """Set aside; or asked more than a minute ago, so that no nonce settles whether it took effect."""
    if explained.returncode != 0:
        return False
    rows = json.loads(explained.stdout)["deliveries"]
    return all(row["state"] == "aside" or any(not e["done"] for e in row["effects"]) for row in rows)


def damage(image, rng):
    image = bytearray(image)
    kind = rng.randrange(4)
    # The records are at the front: damage what has been written, not the zeroes behind it.
    used = max(i for i, b in enumerate(image) if b) + 1
    if kind == 0:
        image[rng.randrange(used)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        at = rng.randrange(used)
        image[at:at + 64] = bytes(len(image[at:at + 64]))
    elif kind == 2:
        return bytes(image[:rng.randrange(used)])
    else:
        for _ in range(8):
            image[rng.randrange(used)] = rng.randrange(256)
    return bytes(image)


def test_whole(bots, wreck):
    """The same journal undamaged: what was unfinished is answered, what was done is not done again."""
    image, _, stuck = wreck
    with threaded.Fake(polite=True, limits=False) as fake:
        bot = bots(fake, pools={"echo": {"workers": 1}}, journal="64K", args=["--no-gateway"])
        (bot.dir / "run").mkdir()
        (bot.dir / "run" / "journal").write_bytes(image)
        bot.start().ready()
        assert fake.wait(lambda: len(fake.posts) >= len(stuck), 20)
        assert sorted(questions(fake)) == sorted(stuck)
        assert not bot.status()["journal"]["damaged"]


@pytest.mark.parametrize("batch", range(SAMPLES // BATCH))
def test_damaged(bots, wreck, batch):
    image, done, stuck = wreck
    for sample in range(batch * BATCH, (batch + 1) * BATCH):
        rng = random.Random(sample)
        with threaded.Fake(polite=True, limits=False) as fake:
            bot = bots(fake, pools={"echo": {"workers": 1}}, journal="64K", args=["--no-gateway"])
            (bot.dir / "run").mkdir()
            (bot.dir / "run" / "journal").write_bytes(damage(image, rng))
            bot.start()
            bot.ready()

            def settled():
                deliveries = bot.status()["deliveries"]
                return deliveries["waiting"] == 0 and deliveries["given"] == 0
            wait_for(settled, 20, f"sample {sample}: nothing is left to do")
            posts = questions(fake)
            again = [m for m in posts if m in done]
            assert not again, f"sample {sample}: answered before the crash and now again: {again}"
            assert len(posts) == len(set(posts)), f"sample {sample}: answered twice"
            assert set(posts) <= set(stuck)
            damaged = bot.status()["journal"]["damaged"]
            for missing in set(stuck) - set(posts):
                known = bot.ctl_run("-j", "explain", missing)
                assert damaged or accounted_for(known), f"sample {sample}: {missing} is missing and nothing says so"
            if damaged:
                assert "damage" in bot.log(), "it says what it dropped"
                doubts = [row for row in bot.ask("show", "dead")["dead"] if row["reason"] == "in doubt"]
                assert bot.counters()["deliveries_doubt"] == len(doubts), f"sample {sample}: each is counted and shown"
            assert bot.stop() == 0
