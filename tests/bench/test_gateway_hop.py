"""What the gateway adds to a request, beside the same hop written with httpx.

The gateway has one core, service and load the other. Wall-clock figures hold on a quiet machine only;
the CPU time of the gateway's process holds on a busy one, too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import gateway as kit
from tests.bench import gateway_hop

CONNECTIONS = 32
PER_SECOND = 2_000
SECONDS = 4
CORES = sorted(os.sched_getaffinity(0))


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Start what the block starts on one core."""
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


@contextmanager
def role(*arguments: str, port: int) -> Iterator[int]:
    """Run a role of `gateway_hop` until the block ends; yield its process id."""
    command = [sys.executable, gateway_hop.__file__, arguments[0], str(port), *arguments[1:]]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            kit.HTTP.get(f"http://127.0.0.1:{port}/v1/cases")
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield process.pid
    process.terminate()
    process.wait(10)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Way:
    """One way to the service, and what it cost."""

    name: str
    port: int
    pid: int
    request: Path

    def load(self, kind: str, *numbers: float) -> tuple[list[float], float]:
        """Return the sorted seconds of each request, and the way's CPU seconds."""
        arguments = [kind, str(self.port), str(self.request), str(CONNECTIONS), *map(str, numbers)]
        before = cpu_seconds(self.pid)
        done = subprocess.run(
            [sys.executable, gateway_hop.__file__, *arguments], capture_output=True, check=True
        )
        return json.loads(done.stdout), cpu_seconds(self.pid) - before


def at(took: list[float], share: float) -> float:
    return took[int(len(took) * share)] * 1e3


@pytest.fixture
def ways(database_for: Callable[[str], str], tmp_path: Path) -> Iterator[list[Way]]:
    service, proxy = kit.free_port(), kit.free_port()
    settings = {"case_url": f"http://127.0.0.1:{service}", "rate_limit": "100000000"}
    with (
        on_core(1),
        role("service", port=service) as service_pid,
        on_core(0),
        role("proxy", str(service), port=proxy) as proxy_pid,
        kit.running(database_for("gateway"), tmp_path, **settings) as gateway,
    ):
        clinic = gateway.client(gateway.organisation("clinic", "Lakeside"), "TREAT")
        lines = (
            "GET /v1/cases HTTP/1.1",
            f"Host: 127.0.0.1:{gateway.port}",
            f"Authorization: Bearer {clinic.token()}",
        )
        request = tmp_path / "request"
        request.write_text("\r\n".join(lines) + "\r\n\r\n")
        yield [
            Way("direct", service, service_pid, request),
            Way("gateway", gateway.port, gateway.pid, request),
            Way("httpx", proxy, proxy_pid, request),
        ]


def test_the_hop(ways: list[Way]) -> None:
    print(f"\n{PER_SECOND} requests/s, {CONNECTIONS} connections; then as many as it takes")
    for way in ways:
        with on_core(1):
            way.load("most", 1)
            paced, paced_cpu = way.load("rate", PER_SECOND, SECONDS)
            busy, cpu = way.load("most", SECONDS)
        assert len(paced) > PER_SECOND * SECONDS * 0.01
        assert len(busy) > SECONDS * 10
        print(
            f"{way.name:8} paced: p50 {at(paced, 0.5):.2f} p99 {at(paced, 0.99):.2f} ms, "
            f"{paced_cpu / len(paced) * 1e6:.0f} us CPU each"
            f" | most: {len(busy) / SECONDS:.0f}/s, p50 {at(busy, 0.5):.2f} p99 {at(busy, 0.99):.2f} ms, "
            f"{cpu / len(busy) * 1e6:.0f} us CPU each = {len(busy) / cpu:.0f}/s per core"
        )
