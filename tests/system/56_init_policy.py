"""bulkheadd --init writes what bulkheadd takes; -n says what a configuration amounts to and what is hardly meant."""

import os
import pathlib
import pty
import re
import shutil
import subprocess
import tempfile

import pytest

from bot import ROOT, build_dir

STAYS_ROOT = "warning: started as root it stays root: the options user, rest_user and handler_user give each part a user of its own\n"
OLD_KERNEL = ROOT / "tests" / "system" / "oldkernel.py"
INTENTS = "{ \"GUILDS\", \"GUILD_MEMBERS\" }"


def run(*words, stdin="", **env):
    return subprocess.run([build_dir() / "bulkheadd", *words], input=stdin, capture_output=True, text=True, check=False,
                          timeout=90, env={**os.environ, **env})


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("MTIz.abc.def\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def shm():
    """A runtime_dir that nothing can be said against."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="bulkhead-", dir=os.environ.get("BULKHEAD_DIR", "/dev/shm")))
    yield path / "run"
    shutil.rmtree(path)


@pytest.mark.parametrize("kind, more, says", [
    ("echo", [], "pool echo: echo, 2 workers"),
    ("chat", ["https://api.example.com/v1", "gpt-x", "CHAT_KEY"], "model default: gpt-x at https://api.example.com/v1"),
    ("exec", ["/bin/cat --sides 6"], "pool bot: exec:/bin/cat --sides 6"),
])
def test_init(tmp_path, shm, token, kind, more, says):
    conf = tmp_path / "bulkhead.conf"
    answers = "\n".join([str(token), kind, *more, str(shm), "yes"]) + "\n"
    done = run("--init", "-c", conf, stdin=answers, CHAT_KEY="secret-of-the-model")
    assert done.returncode == 0 and f"{conf} is written" in done.stdout, (done.stdout, done.stderr)
    assert f"next: bulkheadd -c {conf}\nthen: bulkheadctl -s {shm}/control.sock status\n" in done.stdout
    text = conf.read_text()
    assert text.startswith("# ") and 'web         = "127.0.0.1:9464"' in text
    assert "secret" not in text and conf.stat().st_mode & 0o027 == 0
    checked = run("-n", "-c", conf, CHAT_KEY="secret-of-the-model")
    assert checked.returncode == 0 and says in checked.stdout and "secret" not in checked.stdout, checked
    assert not re.search("^warning: (?!pool bot, here: )", checked.stdout.replace(STAYS_ROOT, ""), re.M), checked.stdout
    assert "MTIz" not in checked.stdout + text
    again = run("--init", "-c", conf, stdin=answers)
    assert again.returncode == 78 and "there already" in again.stderr and conf.read_text() == text, "never over a file"


def test_init_says_what_is_missing(tmp_path):
    conf = tmp_path / "bulkhead.conf"
    done = run("--init", "-c", conf, stdin=f"{tmp_path}/none\n")
    assert done.returncode == 78 and "before it can be used" in done.stdout and "none" in done.stdout
    assert 'handler = "echo"' in conf.read_text(), "what was not answered has its default"
    for answers in ("token\n", f"{tmp_path}/t\ntalk\n", f'{tmp_path}/"t\n'):
        other = tmp_path / "other.conf"
        assert run("--init", "-c", other, stdin=answers).returncode == 64 and not other.exists(), answers


def test_init_on_a_terminal(tmp_path, token):
    conf = tmp_path / "bulkhead.conf"
    master, slave = pty.openpty()
    process = subprocess.Popen([build_dir() / "bulkheadd", "--init", "-c", conf], stdin=slave, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    os.write(master, f"{token}\ntalk\necho\n{tmp_path}/run\nno\n".encode())
    said, _ = process.communicate(timeout=90)
    os.close(master), os.close(slave)
    assert process.returncode == 0, said
    assert all(f"{n}. " in said for n in (1, 2, 4, 5)) and "echo answers !ping" in said, "asked again"
    assert "# web" in conf.read_text()


def test_init_ends_early(tmp_path, token):
    """Where nothing can be written nobody is asked; who ends the answers on a terminal gets no file."""
    done = run("--init", "-c", tmp_path / "none" / "bulkhead.conf", stdin="/token\n")
    assert done.returncode == 1 and "cannot be written there; -c names another file: No such file" in done.stderr
    conf = tmp_path / "bulkhead.conf"
    master, slave = pty.openpty()
    process = subprocess.Popen([build_dir() / "bulkheadd", "--init", "-c", conf], stdin=slave, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    os.write(master, f"{token}\n\4".encode())
    said, _ = process.communicate(timeout=30)
    os.close(master), os.close(slave)
    assert process.returncode == 64 and "nothing is written" in said and not conf.exists(), said


def test_no_file(tmp_path):
    done = run("-n", "-c", tmp_path / "bulkhead.conf")
    assert done.returncode == 78 and "bulkheadd --init writes one; -c names another" in done.stderr


def test_warnings_of_the_machine(tmp_path, shm, token):
    conf, key = tmp_path / "bulkhead.conf", tmp_path / "key"
    conf.touch(mode=0o644)
    key.write_text("sk-file\n")

    def said(head, runtime=shm, **env):
        conf.write_text(f'{head}\nruntime_dir = "{runtime}"\npool "echo" {{ handler = echo }}\n')
        done = run("-n", "-c", conf, **env)
        assert done.returncode == 0, done
        return [line for line in done.stdout.splitlines() if line.startswith("warning: ") and line + "\n" != STAYS_ROOT]
    file = f'token_file = "{token}"'
    assert said(file) == []
    token.chmod(0o644)
    assert said(file) == [f"warning: everybody may read {token}, the file of token_file: chmod 0600 or 0640"]
    token.chmod(0o640)
    assert said(file + f'\nmodel "m" {{ base_url = "http://127.0.0.1/v1" name = "n" api_key_file = "{key}" }}') == [
        f"warning: everybody may read {key}, the file of api_key_file: chmod 0600 or 0640"]
    assert said("token = ${TOKEN}", TOKEN="abc.def") == []
    literal = f"warning: everybody may read {conf}, and a secret stands in it: "
    assert [one.startswith(literal) for one in said('token = "abc.def"')] == [True]
    conf.chmod(0o640)
    assert said('token = "abc.def"') == []
    assert said(file, "/proc") == ["warning: runtime_dir /proc is not on tmpfs: a slow disk can stall the heartbeat",
                                   "warning: runtime_dir /proc has room for 0 KiB, the journal takes 65536"]
    assert said(file, shm / "far") == [f"warning: runtime_dir {shm}/far cannot be made: {shm}: No such file or directory"]


def test_policy_and_its_warnings(tmp_path, shm, token):
    conf = tmp_path / "bulkhead.conf"
    pool = 'pool "echo" { handler = "echo" }\n'
    head = f'token_file = "{token}"\nruntime_dir = "{shm}"\n'

    def said(text):
        conf.write_text(head + text)
        done = run("-n", "-c", conf)
        assert done.returncode == 0 and done.stdout.splitlines()[0] == f"{conf}: ok", done
        assert (STAYS_ROOT in done.stdout) == (os.geteuid() == 0 and "user =" not in text), "who checks it starts it"
        return done.stdout.replace(STAYS_ROOT, "")
    text = said(pool)
    for line in ("pool rest: ", "pool echo: echo, 1 worker, 64 deliveries open in each; gets MESSAGE_CREATE (of its role)",
                 "intent GUILD_MESSAGES: for pool echo (MESSAGE_CREATE)", "intent MESSAGE_CONTENT: for what is written to pool echo",
                 "a stop takes at most 37 s"):
        assert line in text, (line, text)
    assert "warning: " not in text
    text = said(pool + f"intents = {INTENTS}\n")
    assert "warning: intent GUILD_MEMBERS is asked for, but no pool gets an event of it" in text
    assert "warning: pool echo wants MESSAGE_CREATE, but intents name none that brings it" in text
    assert "warning: without MESSAGE_CONTENT pool echo sees" in text
    assert "warning: without MESSAGE_CONTENT pool echo" in said(pool + "content = false\n")
    if os.geteuid() == 0:
        said(pool + "user = nobody\n")
    # Of programs of one's own also what does not keep them on this machine.
    mine = 'pool "mine" { handler = "exec:/bin/cat" events = { "MESSAGE_CREATE" } }\ncgroup = "none"\n'
    assert "warning: pool mine, here: it may start any number of processes: set handler_user" in said(mine)
    done = subprocess.run([OLD_KERNEL, "landlock_create_ruleset", build_dir() / "bulkheadd", "-n", "-c", conf], capture_output=True,
                          text=True, check=True, timeout=30)
    assert "warning: pool mine, here: no Landlock" in done.stdout and "here: before Linux 6.12" in done.stdout, done.stdout
