"""The attack list for the keys that a client registers, as a set or by address."""

import base64
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.gateway import Gateway


def register(gateway: Gateway, keys: list[dict[str, Any]], **more: Any) -> httpx.Response:
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "name": "hostile",
        "jwks": {"keys": keys},
        "scopes": ["cases.read"],
        "purposes": ["TREAT"],
        **more,
    }
    return gateway.admin.post("/v1/clients", body)


GOOD = ECKey.generate_key("P-256", {"kid": "good"}).as_dict(private=False)
KEY_SETS: dict[str, list[dict[str, Any]]] = {
    "empty": [],
    "oct": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}],
    "private EC": [ECKey.generate_key("P-256", {"kid": "a"}).as_dict(private=True)],
    "private RSA": [RSAKey.generate_key(2048, {"kid": "a"}).as_dict(private=True)],
    "RSA of 1024 bits": [
        {"kty": "RSA", "kid": "a", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xc1" + b"\x01" * 127).rstrip(b"=").decode()}
    ],
    "point off the curve": [{**GOOD, "y": GOOD["x"]}],
    "P-521": [ECKey.generate_key("P-521", {"kid": "a"}).as_dict(private=False)],
    "X25519": [{"kty": "OKP", "crv": "X25519", "kid": "a", "x": "A" * 43}],
    "no kid": [{k: v for k, v in GOOD.items() if k != "kid"}],
    "kid a number": [{**GOOD, "kid": 7}],
    "kid twice": [GOOD, GOOD],
    "for encryption": [{**GOOD, "use": "enc"}],
    "alg of another kind": [{**GOOD, "alg": "HS256"}],
    "alg a list": [{**GOOD, "alg": ["ES256"]}],
    "alg null": [{**GOOD, "alg": None}],
    "crv a dict": [{**GOOD, "crv": {}}],
    "no key at all": [{"kid": "a"}],
    "a thousand": [{**GOOD, "kid": str(n)} for n in range(1000)],
}  # fmt: skip


@pytest.mark.parametrize("name", KEY_SETS)
def test_an_unfit_key_set_is_not_registered(gateway: Gateway, name: str) -> None:
    answer = register(gateway, KEY_SETS[name])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("#/jwks/keys")


def test_a_key_set_is_stored_without_what_we_do_not_know(gateway: Gateway) -> None:
    answer = register(gateway, [{**GOOD, "x5u": "http://127.0.0.1/", "extra": {"a": 1}}])
    assert answer.status_code == 201
    assert answer.json()["jwks"]["keys"] == [GOOD]


@pytest.mark.parametrize(
    "member",
    ["client_secret", "secret_hash", "registration_hash", "tokens_from", "id", "active", "version"],
)
def test_registration_takes_no_member_that_is_not_its_own(gateway: Gateway, member: str) -> None:
    answer = register(gateway, [GOOD], **{member: "http://169.254.169.254/latest"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"#/{member}"


def test_no_clinic_gets_the_admin_scope_or_a_payers_purpose(gateway: Gateway) -> None:
    answer = register(gateway, [GOOD], scopes=["admin"], purposes=["HPAYMT"])
    assert answer.status_code == 422
    codes = {error["code"] for error in answer.json()["errors"]}
    assert codes == {"scope-not-allowed", "purpose-not-allowed"}


SSRF = [
    "http://169.254.169.254/latest/meta-data", "https://169.254.169.254/", "https://127.0.0.1/jwks",
    "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/", "https://2130706433/",
    "https://0x7f.1/", "https://127.1/", "https://localhost/", "http://localhost:80@evil.test/",
    "https://user@evil.test/", "https://10.0.0.1/", "https://evil.test:22/", "http://evil.test/",
    "file:///etc/passwd", "gopher://evil.test/", "https://evil.test/#x", "//evil.test/", "",
]  # fmt: skip


@pytest.mark.parametrize("uri", SSRF)
def test_jwks_uri_to_an_address_that_is_not_public(gateway: Gateway, uri: str) -> None:
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "name": "hostile",
        "jwks_uri": uri,
        "scopes": ["cases.read"],
        "purposes": ["TREAT"],
    }
    answer = gateway.admin.post("/v1/clients", body)
    assert answer.status_code == 422, answer.text
