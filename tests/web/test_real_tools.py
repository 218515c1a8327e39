"""The web worker as others see it: Debian's Prometheus and promtool, a browser, a text browser.

Not part of `make check`: the packages are large.  scripts/deps web installs them, `make check-web` runs this.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from fakediscord import threaded

from bot import ROOT, Bot, wait_for

RULES = ROOT / "scripts" / "prometheus" / "bulkhead.rules.yml"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def page():
    """The address of a bot that has something to show: answers, a death, a dead letter with a hostile name."""
    port = free_port()
    with threaded.Fake(polite=True, limits=False, heartbeat_ms=500) as fake:
        bot = Bot(fake, pools={"echo": {"workers": 2}, "other": {"events": ["MESSAGE_DELETE"]}}, web=f"127.0.0.1:{port}",
                  poison=1, env={"BULKHEAD_FAULTS": "worker.crash=match=boom"})
        try:
            bot.start().ready()
            for i in range(10):
                message = fake.say(fake.channels[i], "!ping")
                assert fake.wait(lambda m=message: fake.replies_to(m["id"]), 20)
            fake.say(fake.channels[0], "boom")
            wait_for(lambda: bot.status()["deliveries"]["aside"] == 1, 20, "a dead letter")
            bot.ready()
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: "bulkhead_dead_letters 1" in get(url + "/metrics")
                     and re.search(r"gateway_latency_seconds_count [1-9]", get(url + "/metrics")), 10, "shown")
            yield url
        finally:
            bot.close()


def test_promtool(page):
    text = get(page + "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes(page, tmp_path):
    port = free_port()
    shutil.copy(RULES, tmp_path)
    (tmp_path / "prometheus.yml").write_text(
        "global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [ bulkhead.rules.yml ]\n"
        "scrape_configs:\n  - job_name: bulkhead\n    static_configs:\n"
        f"      - targets: [ '{page.removeprefix('http://')}' ]\n")
    with open(tmp_path / "log", "wb") as log:
        prometheus = subprocess.Popen(["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                                       f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        def query(expr):
            try:
                got = get(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
            except OSError:
                return []
            return [float(row["value"][1]) for row in json.loads(got)["data"]["result"]]

        wait_for(lambda: query('up{job="bulkhead"}') == [1.0], 30, "scraped")
        assert query("bulkhead_dead_letters") == [1.0]
        assert query("bulkhead_deliveries_acked_total")[0] >= 10
        assert query('bulkhead_answer_time_seconds_count{pool="echo"}')[0] >= 10
        # A quantile by Prometheus itself: buckets that it accepts as a histogram.
        assert 0 < query("histogram_quantile(0.5, sum by (le) (bulkhead_rest_time_seconds_bucket))")[0] <= 10
        wait_for(lambda: query('count(ALERTS{alertname="BulkheadDeadLetters"})') == [1.0], 20, "the alert is pending")
        assert query('count(ALERTS{severity="page"})') == []
    finally:
        prometheus.terminate()
        prometheus.wait(20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser(page, tmp_path, scheme):
    """Chromium draws it, runs nothing, asks nobody else, complains of nothing."""
    picture = tmp_path / f"{scheme}.png"
    done = subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                           "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/profile", "--window-size=1200,1600",
                           "--blink-settings=preferredColorScheme=" + ("0" if scheme == "dark" else "1"),
                           "--enable-logging=stderr", "--v=0", f"--screenshot={picture}", page + "/"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert picture.stat().st_size > 20000, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    keep = os.environ.get("BULKHEAD_PICTURES")
    if keep:
        shutil.copy(picture, pathlib.Path(keep))
    dom = subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                          f"--user-data-dir={tmp_path}/profile", "--dump-dom", page + "/"],
                         capture_output=True, text=True, timeout=120, check=False).stdout
    assert dom.count("<table>") == 8 and "Dead letters" in dom and "<svg" in dom


def test_text_browser(page):
    text = subprocess.run(["lynx", "-dump", "-nolist", "-width=200", page + "/"], capture_output=True, text=True,
                          timeout=60, check=True).stdout
    for word in ("Shards", "Pools and queues", "echo.0#", "Dead letters", "answer_time", "degraded"):
        assert word in text, text
