"""What an unexpected error leaves in the log: where it happened, not with what."""

import subprocess
import sys

import orjson

_FAILING = """
import structlog
from svckit import telemetry

telemetry.setup("some-svc", trace_file=None, log_level="info")


def read(answer):
    raise ValueError(f"unreadable: {answer}")


def run(answer):
    try:
        read(answer)
    except ValueError as error:
        error.add_note(f"in {answer}")
        raise ExceptionGroup(f"several, with {answer}", [error]) from error


try:
    run("Ada Byron")
except ExceptionGroup:
    structlog.get_logger().exception("request failed")
"""


def test_an_error_is_logged_with_its_places_and_no_values():
    done = subprocess.run(
        [sys.executable, "-c", _FAILING], capture_output=True, text=True, check=True
    )
    line = orjson.loads(done.stderr)
    assert "Ada" not in done.stderr
    [group] = line["exception"]
    [[inner]] = group["exceptions"]
    assert (group["exc_type"], inner["exc_type"]) == ("ExceptionGroup", "ValueError")
    assert [frame["name"] for frame in inner["frames"]] == ["run", "read"]
