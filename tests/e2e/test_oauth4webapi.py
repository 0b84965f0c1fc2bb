"""oauth4webapi, a client library of somebody else, gets tokens from a running gateway and uses them."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import Gateway, Partner, new_key, public_set, signed

FOLDER = Path(__file__).parent / "oauth4webapi"
NPM_S = 90
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(scope="module")
def library() -> Path:
    """The library in the version of the lock; skipped where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    if int(subprocess.check_output([node, "-p", "process.versions.node.split('.')[0]"])) < 20:
        pytest.skip("node is older than 20")
    if not (FOLDER / "node_modules" / "oauth4webapi").is_dir():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                command, cwd=FOLDER, capture_output=True, timeout=NPM_S, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("the npm registry does not answer")
        if done.returncode:
            pytest.skip("npm cannot install the library here")
    return FOLDER


def play(gateway: Gateway, partner: Partner, **more: Any) -> dict[str, Any]:
    task = {
        "issuer": gateway.url,
        "client_id": partner.client_id,
        "jwk": partner.key.as_dict(private=True),
        "alg": partner.alg,
        "scope": "sharing.read",
        "resource": f"{gateway.url}/v1/grants",
        **more,
    }
    done = subprocess.run(
        ["node", "client.mjs"],
        cwd=FOLDER,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("alg", ["ES384", "ES256", "EdDSA"])
def test_a_token_is_had_with_private_key_jwt(library: Path, gateway: Gateway, alg: str) -> None:
    partner = gateway.client(gateway.clinic.organisation_id, "TREAT", alg=alg)
    found = play(gateway, partner)
    assert found["token"]["token_type"] == "bearer"
    assert found["status"] == 200
    assert found["seen"]["active"]
    assert found["seen"]["client_id"] == found["claims"]["client_id"] == partner.client_id
    assert found["claims"]["authorization_details"][0]["purpose"] == "TREAT"
    assert found["after"] == 401


@pytest.mark.parametrize("dpop", ["ES256", "Ed25519"])
def test_a_token_is_had_and_used_with_dpop(library: Path, gateway: Gateway, dpop: str) -> None:
    partner = gateway.client(gateway.clinic.organisation_id, "TREAT", sender_constraint="dpop")
    found = play(gateway, partner, dpop=dpop)
    assert found["token"]["token_type"] == "dpop"
    assert found["status"] == 200
    assert found["seen"]["cnf"].keys() == {"jkt"}
    assert found["after"] == 401


def test_a_partners_own_token_is_exchanged(library: Path, gateway: Gateway) -> None:
    key, at = new_key("ES256"), int(time.time())
    issuer = "https://login.independent.test"
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "issuer": issuer,
        "audience": "careloop",
        "jwks": public_set(key),
        "algorithms": ["ES256"],
    }
    assert gateway.admin.post("/v1/trusted-issuers", body).status_code == 201
    claims = {"iss": issuer, "aud": "careloop", "sub": "w-1", "iat": at, "exp": at + 600}
    subject = signed(key, {"alg": "ES256", "typ": "JWT", "kid": key.kid}, claims)
    kind = "urn:ietf:params:oauth:token-type:id_token"
    partner = gateway.client(gateway.clinic.organisation_id, "TREAT")
    form = {"subject_token": subject, "subject_token_type": kind}
    found = play(gateway, partner, grant=GRANT, form=form)
    assert found["status"] == 200
    assert found["seen"]["sub"].endswith(":w-1")
    assert found["claims"]["act"]["sub"] == partner.client_id
