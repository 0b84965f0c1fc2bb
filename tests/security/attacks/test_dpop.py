"""The attack list for bound tokens: proofs of keys (RFC 9449) and certificates (RFC 8705)."""

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.gateway import HTTP, Gateway, Partner, free_port, new_key, process_of, replica, signed
from tests.proofs import Certificate, Prover, certificate, over_tls

OURS = "/v1/grants"
PROXIED = "/v1/cases"


@pytest.fixture(scope="module")
def prover(gateway: Gateway) -> Prover:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT", sender_constraint="dpop")
    return Prover(client)


@pytest.fixture(scope="module")
def token(prover: Prover) -> str:
    return prover.token()


def refused(answer: httpx.Response, error: str = "invalid_dpop_proof") -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("DPoP ")
    assert f'error="{error}"' in answer.headers["www-authenticate"]


def not_issued(answer: httpx.Response, error: str = "invalid_dpop_proof") -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "access_token" not in answer.text


@pytest.mark.parametrize("path", [OURS, PROXIED])
def test_a_bound_token_opens_with_its_proof(prover: Prover, token: str, path: str) -> None:
    answer = prover.get(path, token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["dpop-nonce"]


@pytest.mark.parametrize("alg", ["ES256", "ES384", "EdDSA"])
def test_a_key_of_each_kind_can_be_shown_unasked(gateway: Gateway, alg: str) -> None:
    some = Prover(gateway.clinic, new_key(alg), alg)
    token = some.token()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["cnf"] == {"jkt": some.thumbprint}
    assert some.get(PROXIED, token).status_code == 200


def test_introspection_names_the_key(prover: Prover, token: str) -> None:
    url = f"{prover.partner.url}/oauth/introspect"
    found = HTTP.post(url, data=prover.partner.form(token=token)).json()
    assert found["cnf"] == {"jkt": prover.thumbprint}
    assert found["token_type"] == "DPoP"


def test_the_proof_stays_at_the_door(gateway: Gateway, prover: Prover, token: str) -> None:
    assert prover.get(PROXIED, token).status_code == 200
    names = [name for name, _ in gateway.upstream.last.headers]
    assert b"dpop" not in names
    assert gateway.upstream.last.header(b"authorization") != token.encode()


# the scheme


def test_bearer_scheme_with_a_bound_token(prover: Prover, token: str) -> None:
    for path in (OURS, PROXIED):
        for more in ({}, {"DPoP": prover.proof("GET", path, token)}):
            headers = {"Authorization": f"Bearer {token}", **more}
            refused(HTTP.get(prover.url + path, headers=headers), "invalid_token")


def test_dpop_scheme_with_an_unbound_token(gateway: Gateway, prover: Prover) -> None:
    answer = prover.get(PROXIED, gateway.clinic.token())
    assert answer.status_code == 401


def test_no_proof_and_two_proofs(prover: Prover, token: str) -> None:
    bare = {"Authorization": f"DPoP {token}"}
    refused(HTTP.get(prover.url + PROXIED, headers=bare))
    two = [("DPoP", prover.proof("GET", PROXIED, token)) for _ in range(2)]
    answer = HTTP.get(prover.url + PROXIED, headers=[*bare.items(), *two])
    assert answer.status_code == 400
    joined = ", ".join(value for _, value in two)
    refused(HTTP.get(prover.url + PROXIED, headers={**bare, "DPoP": joined}))


# what the proof says

WRONG: dict[str, Callable[[Prover], dict[str, Any]]] = {
    "htm of another method": lambda _: {"htm": "POST"},
    "htm in lower case": lambda _: {"htm": "get"},
    "htm absent": lambda _: {"htm": None},
    "htm a list": lambda _: {"htm": ["GET"]},
    "htu of another path": lambda p: {"htu": p.url + "/v1/persons"},
    "htu with a trailing slash": lambda p: {"htu": p.url + PROXIED + "/"},
    "htu in another case": lambda p: {"htu": p.url + PROXIED.upper()},
    "htu of another host": lambda _: {"htu": "https://evil.test" + PROXIED},
    "htu of another scheme": lambda p: {"htu": p.url.replace("http:", "https:") + PROXIED},
    "htu with a user": lambda p: {"htu": p.url.replace("//", "//evil@") + PROXIED},
    "query in htu": lambda p: {"htu": p.url + PROXIED + "?limit=1"},
    "fragment in htu": lambda p: {"htu": p.url + PROXIED + "#x"},
    "htu absent": lambda _: {"htu": None},
    "htu a path": lambda _: {"htu": PROXIED},
    "ath mismatch": lambda _: {"ath": base64.urlsafe_b64encode(b"\0" * 32).rstrip(b"=").decode()},
    "ath absent": lambda _: {"ath": None},
    "ath empty": lambda _: {"ath": ""},
    "iat old": lambda _: {"iat": int(time.time()) - 90},
    "iat in the future": lambda _: {"iat": int(time.time()) + 60},
    "iat absent": lambda _: {"iat": None},
    "iat a text": lambda _: {"iat": str(int(time.time()))},
    "iat boolean": lambda _: {"iat": True},
    "exp past": lambda _: {"exp": int(time.time()) - 1},
    "nbf in the future": lambda _: {"nbf": int(time.time()) + 60},
    "jti absent": lambda _: {"jti": None},
    "jti empty": lambda _: {"jti": ""},
    "jti of 10 kB": lambda _: {"jti": "j" * 3000},
    "jti with NUL": lambda _: {"jti": "a\0b"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_proof_of_something_else(prover: Prover, token: str, name: str) -> None:
    proof = prover.proof("GET", PROXIED, token, **WRONG[name](prover))
    refused(prover.get(PROXIED, token, proof))


HEADERS: dict[str, Callable[[Prover], dict[str, Any]]] = {
    "typ absent": lambda p: p.header(typ=None),
    "typ JWT": lambda p: p.header(typ="JWT"),
    "typ of an access token": lambda p: p.header(typ="at+jwt"),
    "jwk absent": lambda p: p.header(jwk=None, kid="k"),
    "jwk private": lambda p: p.header(jwk=p.key.as_dict(private=True)),
    "jwk of another key": lambda p: p.header(jwk=new_key("ES256").as_dict(private=False)),
    "jwk a secret": lambda p: p.header(jwk=OctKey.generate_key(256).as_dict(private=True)),
    "jwk off the curve": lambda p: p.header(
        jwk={**p.key.as_dict(private=False), "y": p.key.as_dict(private=False)["x"]}
    ),
    "jku": lambda p: p.header(jku="http://127.0.0.1:1/"),
    "x5c": lambda p: p.header(x5c=["MIIB"]),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_proof_with_another_header(prover: Prover, token: str, name: str) -> None:
    claims = prover.claims("GET", PROXIED, token)
    refused(prover.get(PROXIED, token, signed(prover.key, HEADERS[name](prover), claims)))


def test_a_proof_that_nobody_signed(prover: Prover, token: str) -> None:
    def forged(alg: str) -> str:
        parts = [prover.header(alg=alg), prover.claims("GET", PROXIED, token)]
        encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in parts]
        return b".".join(p.rstrip(b"=") for p in [*encoded, b""]).decode()

    for alg in ("none", "None", "HS256", "ES256"):
        refused(prover.get(PROXIED, token, forged(alg)))


def test_a_proof_with_an_rsa_key_or_another_curve(prover: Prover, token: str) -> None:
    for key, alg in ((RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-521"), "ES512")):
        other = Prover(prover.partner, key, alg, prover.nonce)
        refused(prover.get(PROXIED, token, other.proof("GET", PROXIED, token)))


def test_the_proof_of_another_key(prover: Prover, token: str) -> None:
    other = Prover(prover.partner, nonce=prover.nonce)
    refused(prover.get(PROXIED, token, other.proof("GET", PROXIED, token)), "invalid_token")


def test_the_proof_of_another_token(prover: Prover, token: str) -> None:
    proof = prover.proof("GET", PROXIED, prover.token())
    refused(prover.get(PROXIED, token, proof))


def test_an_access_token_or_assertion_in_place_of_a_proof(prover: Prover, token: str) -> None:
    partner = prover.partner
    refused(prover.get(PROXIED, token, token))
    refused(prover.get(PROXIED, token, signed(partner.key, partner.header(), partner.claims())))


# used once


def test_reused_jti(prover: Prover, token: str) -> None:
    proof = prover.proof("GET", PROXIED, token)
    assert prover.get(PROXIED, token, proof).status_code == 200
    refused(prover.get(PROXIED, token, proof))
    again = prover.proof("GET", OURS, token, jti=json.loads(_claims(proof))["jti"])
    refused(prover.get(OURS, token, again))


def test_reused_jti_at_once(prover: Prover, token: str) -> None:
    proof = prover.proof("GET", PROXIED, token)
    with ThreadPoolExecutor(6) as many:
        found = list(many.map(lambda _: prover.get(PROXIED, token, proof).status_code, range(6)))
    assert sorted(found) == [200] + [401] * 5


def _claims(proof: str) -> bytes:
    return base64.urlsafe_b64decode(proof.split(".")[1] + "==")


# the nonce


def test_nonce_required(prover: Prover, token: str) -> None:
    answer = prover.get(PROXIED, token, prover.proof("GET", PROXIED, token, nonce=None))
    refused(answer, "use_dpop_nonce")
    assert answer.headers["dpop-nonce"]


@pytest.mark.parametrize("nonce", ["", "made-up", 7, ["x"]])
def test_nonce_old_or_made_up(prover: Prover, token: str, nonce: Any) -> None:
    refused(
        prover.get(PROXIED, token, prover.proof("GET", PROXIED, token, nonce=nonce)),
        "use_dpop_nonce",
    )


# the token endpoint


def test_a_client_registered_for_dpop_gets_no_token_without(prover: Prover) -> None:
    not_issued(prover.partner.ask())


def test_a_token_request_with_a_bad_proof(prover: Prover) -> None:
    prover.learn()
    not_issued(prover.ask(prover.proof("GET", "/oauth/token")))
    not_issued(prover.ask(prover.proof("POST", "/oauth/introspect")))
    not_issued(prover.ask(prover.proof("POST", "/oauth/token", iat=int(time.time()) - 300)))
    not_issued(prover.ask("x.y.z"))
    used = prover.proof("POST", "/oauth/token")
    assert prover.ask(used).status_code == 200
    not_issued(prover.ask(used))
    not_issued(prover.ask(prover.proof("POST", "/oauth/token", nonce="old")), "use_dpop_nonce")


# certificates


@pytest.fixture(scope="module")
def bound(gateway: Gateway) -> Partner:
    return gateway.client(gateway.clinic.organisation_id, "TREAT", sender_constraint="mtls")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificates"), "authority")


def told(shown: Certificate) -> dict[str, str]:
    return {"Client-Cert": f":{base64.b64encode(shown.der).decode()}:"}


@pytest.fixture(scope="module")
def behind_proxy(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica that believes a proxy on this machine."""
    log = tmp_path_factory.mktemp("proxied") / "gateway.log"
    with replica(gateway, log, trusted_proxies='["127.0.0.1/32"]') as url:
        yield url


def token_at(url: str, partner: Partner, headers: dict[str, str]) -> httpx.Response:
    return HTTP.post(f"{url}/oauth/token", data=partner.form(), headers=headers)


def test_a_proxy_tells_the_certificate(
    behind_proxy: str, bound: Partner, authority: Certificate
) -> None:
    shown = certificate(authority.folder, "partner", authority)
    answer = token_at(behind_proxy, bound, told(shown))
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["cnf"] == {"x5t#S256": shown.thumbprint}
    bearer = {"Authorization": f"Bearer {token}"}
    url = behind_proxy + PROXIED
    assert HTTP.get(url, headers={**bearer, **told(shown)}).status_code == 200
    # cert rotated: the token goes with the certificate it was given to
    renewed = certificate(authority.folder, "partner", authority)
    assert HTTP.get(url, headers={**bearer, **told(renewed)}).status_code == 401
    assert HTTP.get(url, headers=bearer).status_code == 401
    dpop = {"Authorization": f"DPoP {token}", **told(shown)}
    assert HTTP.get(url, headers=dpop).status_code == 401


@pytest.mark.parametrize("value", ["", ":", "::", "abc", ":!!!:", "MIIB", ":TUlJ"])
def test_a_malformed_certificate_header(behind_proxy: str, bound: Partner, value: str) -> None:
    answer = token_at(behind_proxy, bound, {"Client-Cert": value})
    not_issued(answer, "invalid_request") if value != "::" else None
    assert "access_token" not in answer.text


def test_two_certificate_headers(behind_proxy: str, bound: Partner, authority: Certificate) -> None:
    one, two = (certificate(authority.folder, name, authority) for name in ("one", "two"))
    headers = [*told(one).items(), *told(two).items()]
    answer = HTTP.post(f"{behind_proxy}/oauth/token", data=bound.form(), headers=headers)
    not_issued(answer, "invalid_request")


def test_the_header_that_the_proxy_does_not_write(
    behind_proxy: str, bound: Partner, authority: Certificate
) -> None:
    forwarded = {"X-Forwarded-Client-Cert": "Hash=" + "ab" * 32}
    not_issued(token_at(behind_proxy, bound, forwarded), "invalid_request")


def test_xfcc_spoof_from_outside(gateway: Gateway, bound: Partner, authority: Certificate) -> None:
    shown = certificate(authority.folder, "spoofed", authority)
    for headers in (told(shown), {"X-Forwarded-Client-Cert": "Hash=" + "ab" * 32}):
        not_issued(token_at(gateway.url, bound, headers), "invalid_request")
    assert gateway.clinic.get(PROXIED).status_code == 200
    with gateway.clinic.http(**told(shown)) as http:
        assert http.get(PROXIED).status_code == 200
    assert gateway.upstream.last.header(b"client-cert") is None


@pytest.fixture(scope="module")
def tls(gateway: Gateway, authority: Certificate) -> Iterator[str]:
    """A replica that ends TLS itself and knows the authority."""
    server = certificate(authority.folder, "server", authority)
    port = free_port()
    environment = {
        **gateway.environment,
        "GATEWAY_PORT": str(port),
        "GATEWAY_TLS_CERTIFICATE_FILE": str(server.pem_file),
        "GATEWAY_TLS_KEY_FILE": str(server.key_file),
        "GATEWAY_TLS_CLIENT_CA_FILE": str(authority.pem_file),
    }
    url = f"https://127.0.0.1:{port}"
    with process_of("api", environment, url, authority.folder / "tls.log"):
        yield url


def test_a_token_goes_with_the_certificate_of_the_connection(
    tls: str, bound: Partner, authority: Certificate
) -> None:
    shown = certificate(authority.folder, "over-tls", authority)
    other = certificate(authority.folder, "other", authority)
    with over_tls(tls, shown) as mine, over_tls(tls, other) as another, over_tls(tls, None) as bare:
        not_issued(bare.post("/oauth/token", data=bound.form()), "invalid_request")
        not_issued(
            bare.post("/oauth/token", data=bound.form(), headers=told(shown)), "invalid_request"
        )
        answer = mine.post("/oauth/token", data=bound.form())
        assert answer.status_code == 200, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert mine.get(PROXIED, headers=bearer).status_code == 200
        for thief in (another, bare):
            assert thief.get(PROXIED, headers=bearer).status_code == 401
            assert thief.get(PROXIED, headers={**bearer, **told(shown)}).status_code == 401


def test_chain_order(tls: str, bound: Partner, authority: Certificate) -> None:
    """The leaf is what the sender holds the key of, whatever else it sends with it."""
    shown = certificate(authority.folder, "leaf", authority)
    chain = shown.pem_file.read_bytes() + authority.pem_file.read_bytes()
    (authority.folder / "leaf.pem").write_bytes(chain)
    with over_tls(tls, shown) as http:
        answer = http.post("/oauth/token", data=bound.form())
    token = answer.json()["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["cnf"] == {"x5t#S256": shown.thumbprint}


def test_a_certificate_of_a_stranger(tls: str, bound: Partner, authority: Certificate) -> None:
    stranger = certificate(authority.folder, "stranger")
    with over_tls(tls, stranger) as http, contextlib.suppress(httpx.TransportError):
        answer = http.post("/oauth/token", data=bound.form())
        raise AssertionError(answer.text)


# two replicas


def test_reused_jti_on_two_replicas(gateway: Gateway, prover: Prover, behind_proxy: str) -> None:
    token = prover.token()
    proof = prover.proof("GET", PROXIED, token)
    there = Prover(prover.partner, prover.key, prover.alg, prover.nonce, at=behind_proxy)
    found = sorted((p.get(PROXIED, token, proof).status_code) for p in (prover, there))
    assert found == [200, 401]
    assert there.get(PROXIED, token).status_code == 200
