"""Schemathesis, an outside witness, against every OpenAPI document through the gateway.

No answer of 5xx, no status that the document does not name. The coordinator's token holds every
scope; each document gets a bounded run.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from careloop import contracts
from tests.world import Platform

SECONDS = 8
EXAMPLES = 10
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


@pytest.mark.parametrize("service", sorted(contracts.PACKAGES.values()))
def test_no_5xx_and_no_undocumented_status(calm: Platform, service: str, tmp_path: Path):
    document = json.loads((contracts.FOLDER / f"{service}.v1.json").read_text())
    location = tmp_path / "openapi.json"
    location.write_text(json.dumps(document))
    token = calm.partner("Lakeside Clinic").token()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(location), "--url", calm.url),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", CHECKS, "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS)),
        *("--phases", "examples,coverage,fuzzing", "--seed", "20261", "--workers", "1"),
        *("--request-timeout", "30", "--warnings", "off", "--suppress-health-check", "all"),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
