"""A program of somebody else: plain httpx, a key of its own, no code of ours."""

import base64
import hashlib
import hmac
import json
import secrets
import time

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import import_key
from joserfc.jws import JWSRegistry

from tests.world import Platform


@pytest.fixture(params=["ES384", "RS384"])
def entry(calm: Platform, request: pytest.FixtureRequest) -> dict:
    return next(e for e in calm.sandbox()["organisations"] if e["alg"] == request.param)


def assertion(platform: Platform, entry: dict, **claims: object) -> str:
    kind = "RSA" if entry["alg"].startswith("RS") else "EC"
    key = import_key((platform.data_dir / entry["key_file"]).read_bytes(), kind)
    now = int(time.time())
    body = {
        "iss": entry["client_id"],
        "sub": entry["client_id"],
        "aud": platform.sandbox()["token_url"],
        "iat": now,
        "exp": now + 240,
        "jti": secrets.token_hex(16),
        **claims,
    }
    header = {"alg": entry["alg"], "kid": entry["kid"], "typ": "JWT"}
    return jwt.encode(header, body, key, registry=JWSRegistry(algorithms=[entry["alg"]]))


def ask(platform: Platform, signed: str, **form: str) -> httpx.Response:
    return httpx.post(
        platform.sandbox()["token_url"],
        data={
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
            **form,
        },
    )


def test_a_token_is_had_and_used(calm: Platform, entry: dict):
    answer = ask(calm, assertion(calm, entry), scope="cases.read")
    assert answer.status_code == 200, answer.text
    token = answer.json()
    assert token["token_type"].lower() == "bearer"
    assert token["scope"] == "cases.read"
    assert 0 < token["expires_in"] <= 300
    assert answer.headers["cache-control"] == "no-store"
    listed = httpx.get(
        f"{calm.url}/v1/cases", headers={"Authorization": f"Bearer {token['access_token']}"}
    )
    assert listed.status_code == 200
    assert set(listed.json()) == {"items", "next"}


def test_an_assertion_works_once(calm: Platform, entry: dict):
    signed = assertion(calm, entry)
    assert ask(calm, signed).status_code == 200
    again = ask(calm, signed)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_metadata_leads_to_the_keys(calm: Platform):
    metadata = httpx.get(f"{calm.url}/.well-known/oauth-authorization-server").json()
    assert metadata["token_endpoint"] == calm.sandbox()["token_url"]
    assert "private_key_jwt" in metadata["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} <= set(metadata["token_endpoint_auth_signing_alg_values_supported"])
    keys = httpx.get(metadata["jwks_uri"]).json()["keys"]
    assert keys
    assert not any("d" in key for key in keys)
    smart = httpx.get(f"{calm.url}/.well-known/smart-configuration").json()
    assert "client-confidential-asymmetric" in smart["capabilities"]


def test_the_sandbox_client_works_with_its_secret(calm: Platform):
    (sandbox,) = (
        e["sandbox_client"] for e in calm.sandbox()["organisations"] if "sandbox_client" in e
    )
    answer = httpx.post(
        calm.sandbox()["token_url"],
        data={"grant_type": "client_credentials"},
        auth=(sandbox["client_id"], sandbox["client_secret"]),
    )
    assert answer.status_code == 200, answer.text
    wrong = httpx.post(
        calm.sandbox()["token_url"],
        data={"grant_type": "client_credentials"},
        auth=(sandbox["client_id"], "wrong"),
    )
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


def test_a_signature_by_the_letter_of_the_standard_equals_ours():
    from notify_svc.domain import signing

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = json.dumps({"test": 2432232314}, separators=(", ", ": ")).encode()
    signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    by_hand = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    ours = signing.header([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert ours == f"v1,{by_hand}"
