"""The attack list for access tokens: each forged with our own keys, so that only its content is wrong."""

import base64
import hmac
import json
import os
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey
from svckit.errors import Unauthenticated
from svckit.identity import Verifier

from tests.forgery import forged, sign_text
from tests.gateway import HTTP, Gateway, signed


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_request_without_a_token_gets_a_challenge(gateway: Gateway) -> None:
    answer = HTTP.get(f"{gateway.url}/v1/cases")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Basic YTpi", "DPoP x", "Bearer a.b.c", "bearer  x y", "Token x"],
)
def test_a_malformed_authorization_gets_a_challenge(gateway: Gateway, value: str) -> None:
    answer = HTTP.get(f"{gateway.url}/v1/cases", headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_in_the_query_is_no_token(gateway: Gateway) -> None:
    assert (
        HTTP.get(f"{gateway.url}/v1/cases?access_token={gateway.clinic.token()}").status_code == 401
    )


@pytest.fixture(scope="session")
def ring(gateway: Gateway) -> dict[str, Any]:
    """The gateway's own keys: with them, what is refused is refused for its content."""
    stored = json.loads(gateway.key_file.read_text())
    return {name: ECKey.import_key(stored[name][0]["jwk"]) for name in ("access", "internal")}


def claims_for(gateway: Gateway, **changes: Any) -> dict[str, Any]:
    at = int(time.time())
    claims = {
        "iss": gateway.url, "aud": gateway.url, "sub": gateway.clinic.client_id,
        "client_id": gateway.clinic.client_id, "iat": at, "exp": at + 200, "jti": os.urandom(8).hex(),
        "scope": "cases.read", "purpose": "TREAT", "org": gateway.clinic.organisation_id,
        "org_kind": "clinic", "actor": gateway.clinic.client_id, **changes,
    }  # fmt: skip
    return {name: value for name, value in claims.items() if value is not None}


def shown(gateway: Gateway, token: str) -> int:
    answer = HTTP.get(f"{gateway.url}/v1/cases", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200 or "invalid_token" in answer.headers["www-authenticate"]
    return answer.status_code


def forge(
    gateway: Gateway,
    ring: dict[str, Any],
    *,
    key: str = "access",
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> int:
    full = {"alg": "ES256", "typ": "at+jwt", "kid": ring[key].kid, **(header or {})}
    full = {name: value for name, value in full.items() if value is not None}
    claims = json.dumps(claims_for(gateway, **changes))
    return shown(gateway, sign_text(ring[key], "ES256", json.dumps(full), claims))


def test_the_forger_is_good_enough(gateway: Gateway, ring: dict[str, Any]) -> None:
    assert forge(gateway, ring) == 200


AT = int(time.time())
TOKENS: dict[str, dict[str, Any]] = {
    "internal identity at the edge": {"key": "internal", "header": {"typ": "careloop-int+jwt"}},
    "internal key with our type": {"key": "internal"},
    "typ JWT": {"header": {"typ": "JWT"}},
    "typ absent": {"header": {"typ": None}},
    "typ application/at+jwt": {"header": {"typ": "application/at+jwt"}},
    "typ of a DPoP proof": {"header": {"typ": "dpop+jwt"}},
    "typ of a logout token": {"header": {"typ": "logout+jwt"}},
    "typ in another case": {"header": {"typ": "AT+JWT"}},
    "typ a list": {"header": {"typ": ["at+jwt"]}},
    "kid absent": {"header": {"kid": None}},
    "kid unknown": {"header": {"kid": "last-year"}},
    "kid a path": {"header": {"kid": "../../../../dev/null"}},
    "kid SQL": {"header": {"kid": "' OR 1=1 --"}},
    "kid with NUL": {"header": {"kid": "a\0b"}},
    "kid of 10 kB": {"header": {"kid": "k" * 5_000}},
    "kid a number": {"header": {"kid": 7}},
    "jwk": {"header": {"jwk": {"kty": "oct", "k": "AA"}}},
    "jku": {"header": {"jku": "http://127.0.0.1/"}},
    "x5u": {"header": {"x5u": "http://127.0.0.1/"}},
    "x5c": {"header": {"x5c": ["MIIB"]}},
    "cty for a nested token": {"header": {"cty": "JWT"}},
    "exp past": {"exp": 1},
    "exp absent": {"exp": None},
    "exp in a day": {"exp": AT + 86_400},
    "exp text": {"exp": str(AT + 100)},
    "exp 1e308": {"exp": 1e308},
    "exp boolean": {"exp": True},
    "exp a list": {"exp": [AT + 100]},
    "nbf in the future": {"nbf": AT + 3_000},
    "nbf text": {"nbf": "0"},
    "iat absent": {"iat": None},
    "iat in the future": {"iat": AT + 10_000, "exp": AT + 10_100},
    "iat boolean": {"iat": True},
    "aud a list": {"aud": ["x"]},
    "aud a service": {"aud": "case-svc"},
    "aud absent": {"aud": None},
    "aud a dict": {"aud": {"a": "b"}},
    "iss another": {"iss": "http://evil.test"},
    "iss absent": {"iss": None},
    "iss a list": {"iss": ["a"]},
    "sub is not client_id": {"sub": "cli_other"},
    "sub absent": {"sub": None},
    "client_id absent": {"client_id": None},
    "act that is no object": {"act": "cli_other"},
    "actor is not sub": {"act": {"sub": "x"}, "actor": "somebody"},
    "org absent": {"org": None},
    "org a list": {"org": ["a"]},
    "purpose absent": {"purpose": None},
    "jti absent": {"jti": None},
    "client_version a text": {"client_version": "9"},
    "cnf without proof": {"cnf": {"jkt": "a" * 43}},
    "cnf of a certificate without one": {"cnf": {"x5t#S256": "a" * 43}},
    "cnf of an unknown kind": {"cnf": {"jwk": {}}},
    "cnf of two kinds": {"cnf": {"jkt": "a" * 43, "x5t#S256": "a" * 43}},
    "cnf empty": {"cnf": {}},
    "cnf null": {"cnf": False},
}  # fmt: skip
ADDRESSES: dict[str, Any] = {
    "with a slash": lambda url: url + "/",
    "a prefix": lambda url: url[:-1],
    "a suffix": lambda url: url + "1",
    "in capitals": lambda url: url.upper(),
    "with another scheme": lambda url: url.replace("http:", "https:"),
    "in a list": lambda url: [url],
    "with a blank": lambda url: url + " ",
}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("claim", ["iss", "aud"])
def test_iss_and_aud_variants(
    gateway: Gateway, ring: dict[str, Any], claim: str, name: str
) -> None:
    assert forge(gateway, ring, **{claim: ADDRESSES[name](gateway.url)}) == 401


@pytest.mark.parametrize("name", TOKENS)
def test_an_access_token_outside_the_profile_is_refused(
    gateway: Gateway, ring: dict[str, Any], name: str
) -> None:
    assert forge(gateway, ring, **TOKENS[name]) == 401


def test_a_token_of_another_issuer_is_refused(gateway: Gateway) -> None:
    foreign = {"access": ECKey.generate_key("P-256", auto_kid=True)}
    assert forge(gateway, foreign) == 401


def test_a_foreign_key_under_our_kid_is_refused(gateway: Gateway, ring: dict[str, Any]) -> None:
    foreign = {"access": ECKey.generate_key("P-256", {"kid": ring["access"].kid})}
    assert forge(gateway, foreign) == 401


def test_our_public_key_is_no_hmac_secret(gateway: Gateway, ring: dict[str, Any]) -> None:
    public = ECKey.import_key(ring["access"].as_dict(private=False))
    for secret in (
        json.dumps(public.as_dict(private=False)).encode(),
        public.as_pem(private=False),
        public.as_der(private=False),
    ):
        header = {"alg": "HS256", "typ": "at+jwt", "kid": ring["access"].kid}
        content = forged(header, claims_for(gateway)).rpartition(".")[0]
        mac = hmac.new(secret, content.encode(), "sha256").digest()
        assert shown(gateway, f"{content}.{encoded(mac)}") == 401


def test_a_changed_token_is_refused_also_after_the_good_one(gateway: Gateway) -> None:
    good = gateway.clinic.token()
    assert gateway.clinic.get("/v1/cases").status_code == 200
    header, claims, signature = good.split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    body["org"] = gateway.pantry.organisation_id
    other = base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()
    for changed in (
        f"{header}.{other}.{signature}",
        good + "=",
        good[:-1],
        good + ".x",
        f"{header}.{claims}.",
    ):
        answer = HTTP.get(f"{gateway.url}/v1/cases", headers={"Authorization": f"Bearer {changed}"})
        assert answer.status_code == 401


def test_a_high_s_signature_gives_no_second_life_after_revocation(gateway: Gateway) -> None:
    """ECDSA signatures have a twin; whoever revokes a token revokes both."""
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    token = client.token()
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    content, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin_s = (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    twin = content + "." + base64.urlsafe_b64encode(raw[:32] + twin_s).rstrip(b"=").decode()
    assert (
        HTTP.post(f"{gateway.url}/oauth/revoke", data=client.form(token=token)).status_code == 200
    )
    answer = HTTP.get(f"{gateway.url}/v1/cases", headers={"Authorization": f"Bearer {twin}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("alg", ["none", "nOnE", "NONE", None, ["ES256"], "", "ES384", "RS256", 1])
def test_alg_none_null_array_or_another(gateway: Gateway, ring: dict[str, Any], alg: Any) -> None:
    header = {"alg": alg, "typ": "at+jwt", "kid": ring["access"].kid}
    assert shown(gateway, forged(header, claims_for(gateway))) == 401
    assert shown(gateway, forged(header, claims_for(gateway), b"x" * 64)) == 401


@pytest.mark.parametrize("member", ["crit", "b64", "zip", "enc"])
def test_headers_that_change_what_is_signed(
    gateway: Gateway, ring: dict[str, Any], member: str
) -> None:
    value: Any = {"crit": ["exp"], "b64": False, "zip": "DEF", "enc": "A128GCM"}[member]
    header = {"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid, member: value}
    token = sign_text(ring["access"], "ES256", json.dumps(header), json.dumps(claims_for(gateway)))
    assert shown(gateway, token) == 401


def test_other_tenants_kid(gateway: Gateway) -> None:
    """A partner signs an access token with its own registered key."""
    partner = gateway.outsider
    header = {"alg": "ES256", "typ": "at+jwt", "kid": partner.key.kid}
    assert shown(gateway, signed(partner.key, header, claims_for(gateway))) == 401


def test_typ_cross_use_an_assertion_or_a_proof_at_the_edge(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assert shown(gateway, signed(clinic.key, clinic.header(), clinic.claims())) == 401
    proof = {"alg": "ES384", "typ": "dpop+jwt", "jwk": clinic.key.as_dict(private=False)}
    assert shown(gateway, signed(clinic.key, proof, {"htm": "GET"})) == 401


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_exp_nan(gateway: Gateway, ring: dict[str, Any], number: str) -> None:
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid})
    claims = json.dumps(claims_for(gateway, exp=0)).replace('"exp": 0', f'"exp": {number}')
    assert shown(gateway, sign_text(ring["access"], "ES256", header, claims)) == 401


def test_leeway_edge(gateway: Gateway, ring: dict[str, Any]) -> None:
    """Our own clock made it: there is no leeway."""
    at = int(time.time())
    assert forge(gateway, ring, iat=at - 10, exp=at + 5) == 200
    assert forge(gateway, ring, iat=at - 10, exp=at) == 401
    assert forge(gateway, ring, iat=at - 10, exp=at - 1) == 401
    assert forge(gateway, ring, iat=int(time.time()) + 3) == 401


def test_duplicate_keys(gateway: Gateway, ring: dict[str, Any]) -> None:
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid})
    claims = json.dumps(claims_for(gateway))
    assert shown(gateway, sign_text(ring["access"], "ES256", header, claims)) == 200
    for one, two in (
        (header, claims[:-1] + ', "org": "org_other"}'),
        (header, claims[:-1] + f', "org": "{gateway.clinic.organisation_id}"}}'),
        (header[:-1] + ', "alg": "ES256"}', claims),
    ):
        assert shown(gateway, sign_text(ring["access"], "ES256", one, two)) == 401


def test_deep_nesting_and_one_megabyte(gateway: Gateway, ring: dict[str, Any]) -> None:
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid})
    claims = json.dumps(claims_for(gateway))[:-1] + ', "x": ' + "[" * 2000 + "]" * 2000 + "}"
    assert shown(gateway, sign_text(ring["access"], "ES256", header, claims)) == 401
    raw = gateway.raw(
        b"GET /v1/cases HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + b"a" * (1 << 20)
    )
    assert raw == b"" or raw.startswith(b"HTTP/1.1 431")


def test_non_canonical_base64_and_trailing_bytes(gateway: Gateway, ring: dict[str, Any]) -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid}
    good = signed(ring["access"], header, claims_for(gateway))
    content, _, signature = good.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes leave four bits over in the last character: other bits, the same bytes
    twin = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    for changed in (twin, signature + "=", signature + "==", signature + "AA"):
        assert shown(gateway, f"{content}.{changed}") == 401
    assert shown(gateway, good.replace("-", "+").replace("_", "/") + "+") == 401
    assert shown(gateway, good) == 200


def test_jwe_and_nested(gateway: Gateway, ring: dict[str, Any]) -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid}
    good = signed(ring["access"], header, claims_for(gateway))
    assert shown(gateway, good + ".AAAA.AAAA") == 401
    jwe = {"alg": "dir", "enc": "A128GCM", "typ": "at+jwt", "kid": ring["access"].kid}
    assert shown(gateway, forged(jwe, claims_for(gateway), b"x" * 16) + ".AAAA.AAAA") == 401
    inside = sign_text(ring["access"], "ES256", json.dumps(header), json.dumps(good))
    assert shown(gateway, inside) == 401


def test_es256_r_s_zero(gateway: Gateway, ring: dict[str, Any]) -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": ring["access"].kid}
    for signature in (b"\0" * 64, b"\0" * 32 + b"\x01" * 32, b"", b"\0" * 63, b"\xff" * 64):
        assert shown(gateway, forged(header, claims_for(gateway), signature)) == 401


# at a service


def verifier(gateway: Gateway, service: str) -> Verifier:
    url = f"{gateway.url}/.well-known/internal-jwks.json"
    return Verifier(issuer=gateway.url, audience=service, jwks_url=url)


def internal(gateway: Gateway) -> str:
    """The identity that the gateway sent to case-svc."""
    assert gateway.clinic.get("/v1/cases").status_code == 200
    sent = gateway.upstream.last.header(b"authorization")
    assert sent is not None
    return sent.decode().removeprefix("Bearer ")


async def test_a_service_takes_its_own_identity(gateway: Gateway) -> None:
    caller = await verifier(gateway, "case-svc")(internal(gateway))
    assert caller.organisation_id == gateway.clinic.organisation_id


async def test_token_for_case_svc_at_document_svc(gateway: Gateway) -> None:
    with pytest.raises(Unauthenticated):
        await verifier(gateway, "document-svc")(internal(gateway))


async def test_edge_token_presented_to_a_service(gateway: Gateway, ring: dict[str, Any]) -> None:
    check = verifier(gateway, "case-svc")
    with pytest.raises(Unauthenticated):
        await check(gateway.clinic.token())
    # not even with the audience and the type of an identity
    header = {"alg": "ES256", "typ": "careloop-int+jwt", "kid": ring["access"].kid}
    claims = claims_for(gateway, aud="case-svc", exp=int(time.time()) + 30)
    with pytest.raises(Unauthenticated):
        await check(signed(ring["access"], header, claims))
    header["kid"] = ring["internal"].kid
    with pytest.raises(Unauthenticated):
        await check(signed(ring["access"], header, claims))


def test_internal_token_presented_at_the_edge(gateway: Gateway) -> None:
    assert shown(gateway, internal(gateway)) == 401
