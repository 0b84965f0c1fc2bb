"""What a token costs at the gateway, and a request that comes with a DPoP proof.

Signing is the partner's work and done before. Both wait for a commit: what may be used once is a
row. The processor time of the gateway's process holds on a busy machine, too.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests import gateway as kit
from tests.bench import gateway_hop
from tests.bench.test_gateway_hop import at, cpu_seconds, on_core, role
from tests.proofs import Prover

CONNECTIONS = 16
REQUESTS = 1_000


@pytest.fixture
def gateway(database_for: Callable[[str], str], tmp_path: Path) -> Iterator[kit.Gateway]:
    service = kit.free_port()
    settings = {
        "case_url": f"http://127.0.0.1:{service}",
        "tokens_per_address": "1000000",
        "tokens_per_client": "1000000",
        "rate_limit": "1000000",
    }
    with (
        on_core(1),
        role("service", port=service),
        on_core(0),
        kit.running(database_for("gateway"), tmp_path, **settings) as found,
    ):
        yield found


def measured(gateway: kit.Gateway, requests: list[str], folder: Path) -> str:
    file = folder / "requests"
    file.write_text(json.dumps(requests))
    arguments = ["each", str(gateway.port), str(file), str(CONNECTIONS)]
    before = cpu_seconds(gateway.pid)
    with on_core(1):
        done = subprocess.run(
            [sys.executable, gateway_hop.__file__, *arguments], capture_output=True, check=True
        )
    cpu, took = cpu_seconds(gateway.pid) - before, json.loads(done.stdout)
    assert len(took) == len(requests)
    return (
        f"{cpu / len(took) * 1e6:.0f} us CPU each = {len(took) / cpu:.0f}/s per core, "
        f"p50 {at(took, 0.5):.1f} p99 {at(took, 0.99):.1f} ms"
    )


def test_a_token(gateway: kit.Gateway, tmp_path: Path) -> None:
    clinic = gateway.client(gateway.organisation("clinic", "Lakeside"), "TREAT", alg="ES256")
    requests = []
    for _ in range(REQUESTS):
        form = urlencode(clinic.form())
        head = (
            f"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
        )
        requests.append(head + form)
    print(f"\na token, assertion by ES256: {measured(gateway, requests, tmp_path)}")


def test_a_request_with_a_proof(gateway: kit.Gateway, tmp_path: Path) -> None:
    organisation = gateway.organisation("clinic", "Lakeside")
    prover = Prover(gateway.client(organisation, "TREAT", sender_constraint="dpop"))
    token = prover.token()
    requests = [
        f"GET /v1/cases HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
        f"Authorization: DPoP {token}\r\nDPoP: {prover.proof('GET', '/v1/cases', token)}\r\n\r\n"
        for _ in range(REQUESTS)
    ]
    print(f"\na read with a DPoP proof: {measured(gateway, requests, tmp_path)}")
