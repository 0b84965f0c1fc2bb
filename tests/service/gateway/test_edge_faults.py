"""What a partner is told when the door itself fails in a way that nobody expected."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import gateway as kit
from tests.gateway import HTTP, Gateway

# a door whose ledger has a fault
FAULTY = """
from gateway.ledger.recording import Recorder
def fails(self, answered):
    raise ZeroDivisionError("a name that nobody may read")
Recorder.begin = fails
from gateway.__main__ import app
app()
"""
TOLD = {"told": "case|org_01jbqz3v5k8m2n4p6q7r8s9t0v|4|01jbqz3v5k8m2n4p6q7r8s9t0v"}


@pytest.fixture(scope="module")
def faulty(
    gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A replica with a fault: its address and its log."""
    port, log = kit.free_port(), tmp_path_factory.mktemp("faulty") / "log"
    environment = {**gateway.environment, "GATEWAY_PORT": str(port)}
    with log.open("wb") as out, contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-c", FAULTY, "api"], env=environment, stdout=out, stderr=out
        )
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        url = f"http://127.0.0.1:{port}"
        kit._await_ready(url, process, log)
        yield url, log


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}])
def test_an_unexpected_error_of_the_door_is_a_problem(
    gateway: Gateway, faulty: tuple[str, Path], headers: dict[str, str]
) -> None:
    url, log = faulty
    token = {"Authorization": f"Bearer {gateway.payer.token()}"}
    for _ in range(2):
        answer = HTTP.get(f"{url}/v1/cases/discloses", params=TOLD, headers={**token, **headers})
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["code"]) == (500, "internal")
        assert problem["trace_id"] in log.read_text()
        assert "name that nobody" not in answer.text + log.read_text()
    # what failed holds nothing: the door goes on
    assert HTTP.get(f"{url}/v1/cases", headers=token).status_code == 200
