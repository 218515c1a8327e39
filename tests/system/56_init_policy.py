"""bulkheadd --init writes what bulkheadd takes; -n says what a configuration amounts to and what is hardly meant."""

import os
import pty
import subprocess

import pytest

from bot import build_dir

ROOT = "warning: started as root it stays root: the options user, rest_user and handler_user give each part a user of its own\n"
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


@pytest.mark.parametrize("kind, more, says", [
    ("echo", [], "pool echo: echo, 2 workers"),
    ("chat", ["https://api.example.com/v1", "gpt-x", "CHAT_KEY"], "model default: gpt-x at https://api.example.com/v1"),
    ("exec", ["/bin/cat --sides 6"], "pool bot: exec:/bin/cat --sides 6"),
])
def test_init(tmp_path, token, kind, more, says):
    conf = tmp_path / "bulkhead.conf"
    answers = "\n".join([str(token), kind, *more, str(tmp_path / "run"), "yes"]) + "\n"
    done = run("--init", "-c", conf, stdin=answers, CHAT_KEY="secret-of-the-model")
    assert done.returncode == 0 and f"{conf} is written" in done.stdout, (done.stdout, done.stderr)
    text = conf.read_text()
    assert text.startswith("# ") and 'web         = "127.0.0.1:9464"' in text
    assert "secret" not in text and conf.stat().st_mode & 0o027 == 0
    checked = run("-n", "-c", conf, CHAT_KEY="secret-of-the-model")
    assert checked.returncode == 0 and says in checked.stdout and "secret" not in checked.stdout, checked
    assert "warning: " not in checked.stdout.replace(ROOT, "") and "MTIz" not in checked.stdout + text
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


def test_policy_and_its_warnings(tmp_path, token):
    conf = tmp_path / "bulkhead.conf"
    pool = 'pool "echo" { handler = "echo" }\n'
    head = f'token_file = "{token}"\nruntime_dir = "{tmp_path}/run"\n'

    def said(text):
        conf.write_text(head + text)
        done = run("-n", "-c", conf)
        assert done.returncode == 0 and done.stdout.splitlines()[0] == f"{conf}: ok", done
        assert (ROOT in done.stdout) == (os.geteuid() == 0 and "user =" not in text), "who checks it starts it"
        return done.stdout.replace(ROOT, "")
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
