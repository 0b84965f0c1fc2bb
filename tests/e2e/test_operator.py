"""`careloop webhooks listen` and `careloop events` against a running platform."""

import contextlib
import json
import re
import signal
import subprocess
import time

from careloop.network import COORDINATOR
from careloop.ports import free_port
from tests.world import Platform

CLINIC = "Lakeside Clinic"
WITHIN_S = 60


@contextlib.contextmanager
def listening(platform: Platform, *options: str):
    """The command, and the lines that it has printed so far; ended as by Ctrl-C."""
    command = platform.command("webhooks", "listen", "--as", "clinic", *options)
    out = platform.data_dir / "listen.log"
    with out.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield lambda: out.read_text().splitlines()
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0, out.read_text()
    finally:
        process.kill()
        process.wait()


def until(condition):
    deadline = time.monotonic() + WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def endpoints(platform):
    return {one["id"]: one for one in platform.partner(CLINIC).items("/v1/webhook-endpoints")}


def test_a_listener_registers_verifies_prints_misbehaves_and_leaves_nothing(calm):
    before = endpoints(calm)
    # pings pass every filter, and nothing else of this platform passes this one
    quiet = ("--port", str(free_port()), "--type", "emergency-access.reviewed", "--json")
    options = (*quiet, "--signature", "v1a", "--fault", "503:1", "--every", "2")
    with listening(calm, *options) as printed:

        def registered():
            return re.search(r"endpoint (whe_\w+) to http", "\n".join(printed()))

        endpoint = until(registered)[1]
        assert set(endpoints(calm)) == {*before, endpoint}
        until(lambda: endpoints(calm)[endpoint]["state"] == "enabled")

        def requests(kind="ping.v1"):
            found = [json.loads(line) for line in printed() if line.startswith("{")]
            return [
                one for one in found if one["message"] and one["message"]["type"].endswith(kind)
            ]

        assert [one["status"] for one in requests("verification")] == [200]
        assert "forged half of a handshake" in "\n".join(printed())

        for count in (1, 3):  # the second ping meets the fault, comes again and is taken
            answer = calm.partner(CLINIC).post(f"/v1/webhook-endpoints/{endpoint}/test")
            assert answer.status == 202, answer.body
            until(lambda least=count: len(requests()) >= least)
    first, second, again = requests()[:3]
    assert (first["status"], first["fault"], first["refused"]) == (204, None, None)
    assert second["fault"] == "503:1"
    assert (again["id"], again["times"], again["status"]) == (second["id"], 2, 204)
    assert set(endpoints(calm)) == set(before)


def test_an_operator_sees_every_reader_of_the_running_platform(calm):
    command = calm.command("events", "lag", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    picture = json.loads(done.stdout)
    readers = {lag["consumer"] for lag in picture["lags"]}
    assert readers == {"gateway", "case-svc", "referral-svc", "document-svc", "notify-svc"}
    assert {each["note"] for each in picture["lags"]} == {""}
    assert picture["parked"] == []


def test_a_listener_for_nobody_says_who_there_is(calm):
    command = calm.command("webhooks", "listen", "--as", "bakery")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert COORDINATOR.name in done.stdout
