"""A broken configuration: one clear sentence with file and line, its own exit status."""

import subprocess

import pytest

GOOD = 'token = "x"\napi_url = "http://127.0.0.1:1/api/v10"\nruntime_dir = "{dir}/run"\npool "echo" {{ handler = "echo" }}\n'
EXIT_CONFIG = 78


def check(bot, *args):
    return subprocess.run([bot.build / "bulkheadd", *args, "-c", bot.conf], capture_output=True, text=True,
                          timeout=60, check=False, env=bot.env)


CASES = {
    "unknown option": ('tokn = "x"\n', r':5: .*unknown option "tokn".*did you mean "token"'),
    "unknown option in a pool": ('pool "two" { handler = "echo" workrs = 2 }\n', r':5: .*"workrs".*"workers"'),
    "repeated scalar": ('token = "y"\n', r':5: .*token.*(twice|again|already|repeated)'),
    "not a number": ('hang = "soon"\n', r':5: .*hang'),
    "out of range": ('hang = 0.1\n', r':5: .*hang'),
    "syntax": ('hang = {\n', r':\d+: '),
    "unterminated string": ('ca_file = "abc\n', r':\d+: '),
    "unknown handler": ('pool "two" { handler = "ecko" }\n', r':5: .*"ecko".*echo'),
    "unknown event": ('pool "two" { handler = "echo" events = {"MESSAGE_CREAT"} }\n', r'MESSAGE_CREAT.*MESSAGE_CREATE'),
    "reserved pool name": ('pool "rest" { handler = "echo" }\n', r':5: .*rest'),
    "duplicate pool": ('pool "echo" { handler = "echo" }\n', r':5: .*echo'),
    "unset variable": ('ca_file = "${BULKHEAD_NO_SUCH}"\n', r'BULKHEAD_NO_SUCH'),
    "both tokens": ('token_file = "/dev/null"\n', r'token_file'),
    "NUL": ('# \0\n', r'NUL'),
    "binary": ('\x01\x02\x7f\n', r':\d+: '),
}


@pytest.mark.parametrize("name", CASES)
def test_broken(bots, name):
    more, pattern = CASES[name]
    bot = bots(None)
    bot.write_conf(GOOD.format(dir=bot.dir) + more)
    import re
    for args in ([], ["-n"]):
        done = check(bot, *args)
        assert done.returncode == EXIT_CONFIG, (done.returncode, done.stderr)
        assert re.search(pattern, done.stderr, re.I), done.stderr
        assert str(bot.conf) in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, f"one sentence, not: {done.stderr}"


@pytest.mark.parametrize("text, pattern", [
    ("", "pool"),
    ('token = ""\npool "echo" { handler = "echo" }\n', "token"),
    ('pool "echo" { handler = "echo" }\n', "token"),
    ('token = "x"\napi_url = "http://example.com/api/v10"\npool "echo" { handler = "echo" }\n', "https"),
])
def test_incomplete(bots, text, pattern):
    bot = bots(None)
    bot.write_conf(text)
    done = check(bot, "-n")
    assert done.returncode == EXIT_CONFIG
    assert pattern in done.stderr


def test_good_and_missing(bots):
    bot = bots(None)
    bot.write_conf(GOOD.format(dir=bot.dir))
    done = check(bot, "-n")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{bot.conf}: ok")
    bot.conf.unlink()
    done = check(bot, "-n")
    assert done.returncode == EXIT_CONFIG and "No such file" in done.stderr


def test_variable_is_read_and_scrubbed(polite, bots):
    bot = bots(polite, env={"MY_BOT_TOKEN": polite.token}, token="${MY_BOT_TOKEN}")
    bot.start().ready()
    with open(f"/proc/{bot.pid}/environ", "rb") as file:
        inherited = file.read()
    # The kernel shows what lies where exec put the environment: the value there was wiped.
    assert b"MY_BOT_TOKEN" in inherited and polite.token.encode() not in inherited
    for worker in bot.status()["workers"]:
        with open(f"/proc/{worker['pid']}/environ", "rb") as file:
            assert b"MY_BOT_TOKEN" not in file.read()


def test_usage(bots):
    bot = bots(None)
    done = subprocess.run([bot.build / "bulkheadd", "--nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "usage" in done.stderr
    for program in ("bulkheadd", "bulkheadctl", "bulkhead-worker"):
        done = subprocess.run([bot.build / program, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "usage" in done.stdout.lower(), program
        done = subprocess.run([bot.build / program, "--version"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.strip(), program
    for table in ("proto", "options", "counters", "commands", "errors", "events", "faults"):
        done = subprocess.run([bot.build / "bulkheadd", "-x", table], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and len(done.stdout) > 200, table
    done = subprocess.run([bot.build / "bulkheadd", "-T", "gatway"], capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "gateway" in done.stderr
    done = subprocess.run([bot.build / "bulkhead-worker"], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 64 and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["-n"], ["-x", "options"], ["--help"], ["--version"]])
def test_full_disk(bots, words):
    """What could not be printed was not said."""
    bot = bots(None)
    bot.write_conf(GOOD.format(dir=bot.dir))
    with open("/dev/full", "w") as full:
        done = subprocess.run([bot.build / "bulkheadd", *words, "-c", bot.conf], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=60)
    assert done.returncode == 1
    with open("/dev/full", "w") as full:
        done = subprocess.run([bot.build / "bulkheadctl", "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=60)
    assert done.returncode == 1 and "stdout" in done.stderr


def test_closed_descriptors(polite, bots):
    """Started with 0, 1 and 2 closed: it works, and no log line lands in a file that got such a number."""
    bot = bots(polite)
    bot.wanted = True
    bot.process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", bot.build / "bulkheadd", "-c", bot.conf],
                                   env=bot.env, start_new_session=True)
    bot.ready()
    message = polite.say(polite.channels[0], "!ping")
    assert polite.wait(lambda: polite.replies_to(message["id"]))
    assert (bot.dir / "run" / "lock").stat().st_size == 0
    assert b" bulkheadd: " not in (bot.dir / "run" / "journal").read_bytes()
    assert bot.stop() == 0
