"""What an unexpected error leaves in the log: where it happened, not with what."""

import subprocess
import sys

import orjson
import pytest

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


_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_LEAVING = f"""
import pathlib
import sys

from svckit import telemetry

file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
telemetry.setup("some-svc", trace_file=file, log_level="info")
for parent in ("{_PARENT}", ""):
    leaving = telemetry.outgoing("post", parent, delivery="dlv_1")
    print(telemetry.traceparent_of(leaving))
    leaving.end()
"""


@pytest.mark.parametrize("recorded", [True, False])
def test_a_request_that_leaves_goes_on_with_its_trace_recorded_or_not(tmp_path, recorded):
    file = tmp_path / "spans.jsonl"
    command = [sys.executable, "-c", _LEAVING, *([str(file)] if recorded else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told, begun = [line.split("-") for line in done.stdout.split()]
    assert told[:2] == _PARENT.split("-")[:2]
    assert told[2] != _PARENT.split("-")[2]
    assert told[3] == "01"
    assert int(begun[3], 16) & 1
    assert begun[1] not in {told[1], "0" * 32}
    if recorded:
        spans = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        assert [span["context"]["span_id"] for span in spans] == [f"0x{told[2]}", f"0x{begun[2]}"]
        assert spans[0]["parent_id"] == "0xb7ad6b7169203331"
