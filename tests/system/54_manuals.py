"""The manuals say what the programs do: made from the tables, without a mistake in their form, nothing left out."""

import os
import re
import shutil
import subprocess

import pytest

from bot import ROOT, build_dir

PAGES = [*ROOT.glob("supervisor/*.[578]"), *ROOT.glob("supervisor/ctl/*.1"), *ROOT.glob("worker/*.7")]


def page(name):
    return next(p for p in PAGES if p.name == name).read_text()


def test_they_are_what_the_tables_say():
    done = subprocess.run([ROOT / "scripts/gen-docs", "--check"], capture_output=True, text=True, check=False,
                          env=os.environ | {"BULKHEAD_BUILD": str(build_dir())})
    assert done.returncode == 0, done.stderr


def test_every_reason_has_its_place_in_the_runbook():
    rows = re.findall(r'^REASON\((\w+), "(.*?)",\n', (ROOT / "proto/reasons.def").read_text(), re.M)
    assert len(rows) >= 16
    runbook = page("bulkhead.7")
    for name, line in rows:
        shown = re.sub(r"(%(s|llu))+", "...", line)
        assert f"\\&{shown}" in runbook, name
    code = "".join(p.read_text() for p in ROOT.glob("supervisor/**/*.c"))
    assert set(re.findall(r"because_([A-Z_]+)\b", code)) == {name for name, _ in rows}
    assert not re.search(r'because\(h, "(?!%s")', code), "a reason that is not in the table"


def test_every_exit_status_is_explained():
    contract = (ROOT / "proto/contract.h").read_text()
    for prefix, name in (("BULKHEADD", "bulkheadd.8"), ("BULKHEADD", "bulkhead.7"), ("CTL", "bulkheadctl.1"),
                         ("CONTRACT", "bulkhead-worker.7")):
        numbers = re.findall(rf"define {prefix}_EXIT_\w+\s+(\d+)", contract)
        assert numbers
        for number in numbers:
            assert re.search(rf"^\.It {number}$", page(name), re.M), (name, number)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_their_form():
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *PAGES], capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if re.search(r": (WARNING|ERROR|UNSUPP): ", line)]
    assert len(PAGES) == 5 and not said, "\n".join(said)
