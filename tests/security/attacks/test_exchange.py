"""A partner's own token for one of ours (RFC 8693): who may act, and what is refused."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.forgery import claims_of
from tests.gateway import Gateway, Partner, new_key, public_set, signed

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
PROVIDER = "https://login.clinic.test/realms/staff"


class Provider:
    """The clinic's identity provider."""

    def __init__(self, gateway: Gateway, organisation_id: str, issuer: str) -> None:
        self.issuer = issuer
        self.key = new_key("ES256")
        body = {
            "organisation_id": organisation_id,
            "issuer": issuer,
            "audience": "careloop",
            "jwks": public_set(self.key),
            "algorithms": ["ES256"],
        }
        answer = gateway.admin.post("/v1/trusted-issuers", body)
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": "ES256", "typ": "JWT", "kid": self.key.kid, **changes}
        return {k: v for k, v in header.items() if v is not None}

    def claims(self, **changes: Any) -> dict[str, Any]:
        at = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "careloop", "sub": "8f14e45f", "iat": at, "exp": at + 900,
            "jti": secrets.token_hex(8), **changes,
        }  # fmt: skip
        return {k: v for k, v in claims.items() if v is not None}

    def token(self, **changes: Any) -> str:
        return signed(self.key, self.header(), self.claims(**changes))


@pytest.fixture(scope="module")
def provider(gateway: Gateway) -> Provider:
    return Provider(gateway, gateway.clinic.organisation_id, PROVIDER)


def exchange(partner: Partner, subject: str, **more: str) -> httpx.Response:
    form = {"grant_type": GRANT, "subject_token": subject, "subject_token_type": ID_TOKEN, **more}
    return partner.ask(**form)


def refused(answer: httpx.Response, error: str = "invalid_request") -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
    assert "access_token" not in answer.text


def test_a_worker_acts_through_the_client(gateway: Gateway, provider: Provider) -> None:
    clinic = gateway.clinic
    answer = exchange(clinic, provider.token(), scope="cases.read sharing.read")
    assert answer.status_code == 200, answer.text
    assert answer.json()["issued_token_type"] == ACCESS
    token = answer.json()["access_token"]
    claims = claims_of(token)
    actor = f"{provider.id}:8f14e45f"
    assert (claims["sub"], claims["actor"], claims["client_id"]) == (
        actor, actor, clinic.client_id
    )  # fmt: skip
    assert claims["act"] == {"sub": clinic.client_id, "iss": gateway.url}
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{gateway.url}/v1/cases", headers=bearer).status_code == 200
    sent = gateway.upstream.last.header(b"authorization")
    assert sent is not None
    inside = claims_of(sent.decode().removeprefix("Bearer "))
    assert (inside["actor"], inside["sub"]) == (actor, clinic.client_id)
    assert inside["act"] == claims["act"]


def test_the_audit_names_the_worker(gateway: Gateway, provider: Provider) -> None:
    """Only an administrator writes at the gateway itself: the coordinator's own provider."""
    staff = Provider(gateway, gateway.admin.organisation_id, "https://login.network.test/")
    token = exchange(gateway.admin, staff.token(sub="w-77")).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": secrets.token_hex(8)}
    made = httpx.post(
        f"{gateway.url}/v1/organisations", json={"kind": "clinic", "name": "New"}, headers=headers
    )
    assert made.status_code == 201
    rows = gateway.sql("SELECT actor FROM audit WHERE resource = $1", made.json()["id"])
    assert [row["actor"] for row in rows] == [f"{staff.id}:w-77"]


def test_the_chain_of_actors_is_kept(gateway: Gateway, provider: Provider) -> None:
    chain = {"sub": "scheduler", "iss": PROVIDER, "act": {"sub": "portal"}}
    subject = provider.token(act={**chain, "name": "Eva"})
    claims = claims_of(exchange(gateway.clinic, subject).json()["access_token"])
    assert claims["act"]["act"] == chain


def test_the_token_does_not_outlive_the_one_it_was_given_for(
    gateway: Gateway, provider: Provider
) -> None:
    answer = exchange(gateway.clinic, provider.token(exp=int(time.time()) + 60)).json()
    assert answer["expires_in"] <= 60
    claims = claims_of(answer["access_token"])
    assert claims["exp"] - claims["iat"] <= 60


SUBJECTS: dict[str, Callable[[Provider], str]] = {
    "another issuer": lambda p: p.token(iss="https://evil.test"),
    "issuer with a slash": lambda p: p.token(iss=PROVIDER + "/"),
    "another audience": lambda p: p.token(aud="other"),
    "audience a list": lambda p: p.token(aud=["careloop", "other"]),
    "audience absent": lambda p: p.token(aud=None),
    "expired": lambda p: p.token(exp=int(time.time()) - 60),
    "valid for a day": lambda p: p.token(exp=int(time.time()) + 86_400),
    "iat absent": lambda p: p.token(iat=None),
    "not yet valid": lambda p: p.token(nbf=int(time.time()) + 600),
    "sub absent": lambda p: p.token(sub=None),
    "sub an address": lambda p: p.token(sub="eva@clinic.test"),
    "sub a name": lambda p: p.token(sub="Eva Lind"),
    "sub a number": lambda p: p.token(sub=7),
    "cnf without proof": lambda p: p.token(cnf={"jkt": "a" * 43}),
    "act a text": lambda p: p.token(act="portal"),
    "act without sub": lambda p: p.token(act={}),
    "act an address": lambda p: p.token(act={"sub": "eva@clinic.test"}),
    "act too deep": lambda p: p.token(
        act={"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d", "act": {"sub": "e"}}}}}
    ),
    "typ of a logout token": lambda p: signed(p.key, p.header(typ="logout+jwt"), p.claims()),
    "typ of an access token": lambda p: signed(p.key, p.header(typ="at+jwt"), p.claims()),
    "typ absent": lambda p: signed(p.key, p.header(typ=None), p.claims()),
    "kid absent": lambda p: signed(p.key, p.header(kid=None), p.claims()),
    "kid unknown": lambda p: signed(p.key, p.header(kid="x"), p.claims()),
    "jwk": lambda p: signed(p.key, p.header(jwk=p.key.as_dict(private=False)), p.claims()),
    "another key": lambda p: signed(
        type(p.key).generate_key("P-256", {"kid": p.key.kid}), p.header(), p.claims()
    ),
    "no token": lambda _: "",
    "not a token": lambda _: "a.b.c",
}  # fmt: skip


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_token_outside_the_profile(
    gateway: Gateway, provider: Provider, name: str
) -> None:
    answer = exchange(gateway.clinic, SUBJECTS[name](provider))
    refused(answer)
    assert answer.json()["error_description"] == "The subject token is not acceptable."


def test_the_token_of_another_organisations_provider(gateway: Gateway, provider: Provider) -> None:
    for thief in (gateway.outsider, gateway.admin):
        refused(exchange(thief, provider.token()))


def test_an_algorithm_that_is_not_registered_though_the_key_is(gateway: Gateway) -> None:
    issuer, key = "https://rsa.clinic.test", new_key("RS384")
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "issuer": issuer,
        "audience": "careloop",
        "jwks": public_set(key),
        "algorithms": ["RS384"],
    }
    assert gateway.admin.post("/v1/trusted-issuers", body).status_code == 201
    at = int(time.time())
    claims = {"iss": issuer, "aud": "careloop", "sub": "w-1", "iat": at, "exp": at + 600}
    for alg, status in (("RS256", 400), ("PS256", 400), ("RS384", 200)):
        subject = signed(key, {"alg": alg, "typ": "JWT", "kid": key.kid}, claims)
        assert exchange(gateway.clinic, subject).status_code == status


def test_our_own_token_is_not_exchanged(gateway: Gateway, provider: Provider) -> None:
    for subject in (gateway.clinic.token(), gateway.outsider.token()):
        refused(exchange(gateway.clinic, subject, subject_token_type=ACCESS))
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "issuer": gateway.url,
        "audience": gateway.url,
        "jwks": public_set(new_key("ES256")),
        "algorithms": ["ES256"],
    }
    assert gateway.admin.post("/v1/trusted-issuers", body).status_code == 422


def test_exchange_to_wider_audience_type_or_scope(gateway: Gateway, provider: Provider) -> None:
    clinic, subject = gateway.clinic, provider.token()
    for name in ("audience", "resource"):
        refused(exchange(clinic, subject, **{name: "case-svc"}), "invalid_target")
        refused(exchange(clinic, subject, **{name: gateway.url + "/"}), "invalid_target")
    refused(exchange(clinic, subject, requested_token_type=ID_TOKEN))
    refused(exchange(clinic, subject, actor_token=subject, actor_token_type=ID_TOKEN))
    refused(exchange(clinic, subject, subject_token_type="urn:ietf:params:oauth:token-type:saml2"))
    refused(exchange(clinic, subject, scope="admin"), "invalid_scope")


def test_an_exchanged_token_is_not_handed_on(gateway: Gateway, provider: Provider) -> None:
    token = exchange(gateway.clinic, provider.token()).json()["access_token"]
    refused(exchange(gateway.clinic, token, subject_token_type=ACCESS))


def test_trust_ends_with_the_administrators_word(gateway: Gateway) -> None:
    gone = Provider(gateway, gateway.clinic.organisation_id, "https://old.clinic.test")
    assert exchange(gateway.clinic, gone.token()).status_code == 200
    with gateway.admin.http() as http:
        path = f"/v1/trusted-issuers/{gone.id}"
        answer = http.patch(path, json={"active": False}, headers={"If-Match": '"1"'})
        assert answer.status_code == 200
    refused(exchange(gateway.clinic, gone.token()))


def test_only_an_administrator_says_whom_to_trust(gateway: Gateway, provider: Provider) -> None:
    body = {"issuer": "https://x.test", "audience": "a", "algorithms": ["ES256"]}
    assert gateway.clinic.post("/v1/trusted-issuers", body).status_code == 403
    assert gateway.clinic.get("/v1/trusted-issuers").status_code == 403
    assert gateway.clinic.get(f"/v1/trusted-issuers/{provider.id}").status_code == 403
    again = gateway.admin.get(f"/v1/trusted-issuers/{provider.id}")
    assert again.json()["issuer"] == PROVIDER
    uri = {
        "jwks_uri": "https://169.254.169.254/",
        "organisation_id": gateway.clinic.organisation_id,
    }
    assert gateway.admin.post("/v1/trusted-issuers", {**body, **uri}).status_code == 422
