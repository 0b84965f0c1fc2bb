"""A place strikes as it was asked to, at its passage, and only in a process that was told to."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from svckit.failpoints import VARIABLE, failpoint

from tests.chaos import plan

ROOT = Path(__file__).parents[3]
PASS = """
from svckit.failpoints import failpoint
for n in range(5):
    print(n, flush=True)
    failpoint("here")
    failpoint("there")
"""


def run(value):
    return subprocess.run(
        [sys.executable, "-c", PASS],
        env={**os.environ, VARIABLE: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("value", "passages", "code"),
    [("", 5, 0), ("elsewhere=1", 5, 0), ("here=3", 3, -9), ("there=0.9999999 x=1", 1, -9)],
)
def test_a_place_strikes_at_its_passage(value, passages, code):
    done = run(value)
    assert len(done.stdout.split()) == passages
    assert done.returncode == code
    assert ("SIGKILL" in done.stderr) == (code != 0)


@pytest.mark.parametrize("value", ["here=soon", "here=1:pause"])
def test_what_cannot_be_read_is_refused_at_the_start(value):
    assert run(value).returncode == 1


def test_nothing_strikes_a_process_that_was_not_told():
    failpoint("relay.acked")


def test_every_place_of_the_plan_is_in_the_code_once_for_each_log_and_no_other():
    named = {place for places in plan.PLACES.values() for place in places}
    found = [
        name
        for folder in ("libs", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in re.findall(r'failpoint\("([a-z.]+)"\)', path.read_text())
    ]
    assert set(found) == named
    assert {name for name in found if found.count(name) > 1} == {"log.sent"}
