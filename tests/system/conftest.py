import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "discord")]

from bot import PATIENCE, Bot  # noqa: E402
from fakediscord import threaded  # noqa: E402
from fakediscord.loopthread import LoopThread  # noqa: E402
from lateness import Lateness  # noqa: E402

LoopThread.patience = PATIENCE


@pytest.fixture(autouse=True)
def valid_requests(request, monkeypatch):
    """Every request of every test is one that Discord's description allows, whichever fake it went to."""
    made = []
    init = threaded.Fake.__init__

    def noted(self, **opts):
        init(self, **opts)
        made.append(self)

    monkeypatch.setattr(threaded.Fake, "__init__", noted)
    yield
    if request.node.get_closest_marker("strange_requests") is None:
        for one in made:
            assert not one.violations, f"requests that Discord's description does not allow: {one.violations}"


@pytest.fixture
def fake():
    """A fake Discord without rate limits that hinder a test; otherwise as bad as it gets.  Its replay buffer holds
    what a test says during an outage, so that every ping is owed an answer."""
    with threaded.Fake(limits=False, buffer_events=2000) as server:
        yield server


@pytest.fixture
def polite():
    """A fake Discord on its best day, for tests of something else."""
    with threaded.Fake(limits=False, polite=True) as server:
        yield server


@pytest.fixture
def watched():
    """How late the machine is, from now on, for a bot."""
    made = []

    def make(bot):
        made.append(Lateness(lambda: bot.pid))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(file, file of its key) of a certificate that nobody trusts, for localhost and 127.0.0.1."""
    at = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", at / "key.pem",
                    "-out", at / "cert.pem", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return str(at / "cert.pem"), str(at / "key.pem")


@pytest.fixture
def bots(request):
    """Make bots; each is stopped at the end, and its directory kept when the test failed."""
    made = []

    def make(*args, **kwargs):
        made.append(Bot(*args, **kwargs))
        return made[-1]

    yield make
    failed = getattr(request.node, "failed", True)
    reports = []
    for one in made:
        one.close(keep_dir=True)
        report = one.sanitizer_report()
        reports += [report] if report else []
        if not failed and not report:
            one.remove()
        else:
            print(f"kept: {one.dir}\n--- last lines of its log\n{one.log()[-6000:] if one.log_path.exists() else ''}")

    assert not reports, reports[0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed
