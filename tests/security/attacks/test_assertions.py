"""The attack list for client assertions: each is refused with the one answer, nothing else."""

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests import forgery
from tests.forgery import forged
from tests.gateway import HTTP, Gateway, Partner, new_key, public_set, replica, signed

REFUSED = {"error": "invalid_client", "error_description": "Client authentication failed."}


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.json() == REFUSED
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["www-authenticate"]


def sign_text(partner: Partner, header: str, claims: str) -> str:
    return forgery.sign_text(partner.key, partner.alg, header, claims)


HEADERS: dict[str, Callable[[Partner], dict[str, Any]]] = {
    "typ absent": lambda p: p.header(typ=None),
    "typ of an access token": lambda p: p.header(typ="at+jwt"),
    "typ of an internal identity": lambda p: p.header(typ="careloop-int+jwt"),
    "typ of a DPoP proof": lambda p: p.header(typ="dpop+jwt"),
    "typ of a logout token": lambda p: p.header(typ="logout+jwt"),
    "kid absent": lambda p: p.header(kid=None),
    "kid unknown": lambda p: p.header(kid="somebody-else"),
    "kid a path": lambda p: p.header(kid="../../../../dev/null"),
    "kid SQL": lambda p: p.header(kid="' OR 1=1 --"),
    "kid with NUL": lambda p: p.header(kid="a\0b"),
    "kid of 10 kB": lambda p: p.header(kid="k" * 10_000),
    "jku": lambda p: p.header(jku="http://127.0.0.1:1/jwks.json"),
    "x5u": lambda p: p.header(x5u="http://127.0.0.1:1/cert.pem"),
    "jwk": lambda p: p.header(jwk=p.key.as_dict(private=False)),
    "x5c": lambda p: p.header(x5c=["MIIB"]),
    "cty for a nested token": lambda p: p.header(cty="JWT"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_outside_the_profile_is_refused(gateway: Gateway, name: str) -> None:
    clinic = gateway.clinic
    refused(clinic.ask(signed(clinic.key, HEADERS[name](clinic), clinic.claims())))


@pytest.mark.parametrize("member", ["crit", "b64", "zip"])
def test_a_header_that_changes_what_is_signed_is_refused(gateway: Gateway, member: str) -> None:
    value: Any = {"crit": ["exp"], "b64": False, "zip": "DEF"}[member]
    clinic = gateway.clinic
    refused(clinic.ask(forged(clinic.header(**{member: value}), clinic.claims(), b"x" * 96)))


@pytest.mark.parametrize("alg", ["none", "nOnE", "NONE", None, ["ES384"], "", "HS384", 1, {}])
def test_an_unsigned_or_strange_algorithm_is_refused(gateway: Gateway, alg: Any) -> None:
    clinic = gateway.clinic
    header = {**clinic.header(), "alg": alg}
    refused(clinic.ask(forged(header, clinic.claims())))
    refused(clinic.ask(forged(header, clinic.claims(), b"x" * 96)))


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_a_public_key_is_no_hmac_secret(gateway: Gateway, form: str) -> None:
    pantry = gateway.pantry
    public = RSAKey.import_key(pantry.key.as_dict(private=False))
    secret = {
        "pem": lambda: public.as_pem(private=False),
        "der": lambda: public.as_der(private=False),
        "jwk": lambda: json.dumps(public.as_dict(private=False)).encode(),
    }[form]()
    for alg, digest in (("HS256", "sha256"), ("HS384", "sha384")):
        content = forged(pantry.header(alg=alg), pantry.claims()).rpartition(".")[0]
        mac = hmac.new(secret, content.encode(), digest).digest()
        signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
        refused(pantry.ask(f"{content}.{signature}"))


def test_an_algorithm_that_is_not_registered_is_refused(gateway: Gateway) -> None:
    pantry = gateway.pantry
    for alg in ("RS256", "PS384", "RS512"):
        refused(pantry.ask(signed(pantry.key, pantry.header(alg=alg), pantry.claims())))


NOW = {
    "exp past": lambda at: {"exp": at - 60},
    "exp absent": lambda _: {"exp": None},
    "exp beyond 300 s": lambda at: {"exp": at + 310, "iat": None},
    "exp in ten years": lambda at: {"exp": at + 315_360_000},
    "exp - iat beyond 300 s": lambda at: {"iat": at - 100, "exp": at + 250},
    "exp text": lambda at: {"exp": str(at + 100)},
    "exp boolean": lambda _: {"exp": True},
    "exp 1e308": lambda _: {"exp": 1e308},
    "exp negative": lambda at: {"exp": -at},
    "exp a list": lambda at: {"exp": [at + 100]},
    "iat in the future": lambda at: {"iat": at + 60},
    "iat text": lambda at: {"iat": str(at)},
    "nbf in the future": lambda at: {"nbf": at + 60},
    "nbf boolean": lambda _: {"nbf": True},
    "jti absent": lambda _: {"jti": None},
    "jti empty": lambda _: {"jti": ""},
    "jti a number": lambda _: {"jti": 7},
    "jti of 10 kB": lambda _: {"jti": "j" * 10_000},
    "jti with NUL": lambda _: {"jti": "a\0b"},
    "sub absent": lambda _: {"sub": None},
    "sub empty": lambda _: {"sub": ""},
    "iss absent": lambda _: {"iss": None},
    "iss another": lambda _: {"iss": "cli_00000000000000000000000000"},
}


@pytest.mark.parametrize("name", NOW)
def test_a_claim_outside_the_profile_is_refused(gateway: Gateway, name: str) -> None:
    clinic = gateway.clinic
    claims = clinic.claims(**NOW[name](int(time.time())))  # type: ignore[no-untyped-call]
    refused(clinic.ask(signed(clinic.key, clinic.header(), claims)))


@pytest.mark.parametrize("exp", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_know_is_refused(gateway: Gateway, exp: str) -> None:
    clinic = gateway.clinic
    text = json.dumps(clinic.claims(exp=0)).replace('"exp": 0', f'"exp": {exp}')
    refused(clinic.ask(sign_text(clinic, json.dumps(clinic.header()), text)))


@pytest.mark.parametrize(
    "change",
    [
        lambda url: [url],
        lambda url: [url, "https://other.test/oauth/token"],
        lambda url: url + "/",
        lambda url: url.upper(),
        lambda url: url + "x",
        lambda url: url[:-1],
        lambda url: url.replace("http:", "https:"),
        lambda _: "https://other.test/oauth/token",
        lambda url: {"url": url},
        lambda _: None,
        lambda _: True,
    ],
)  # fmt: skip
def test_only_our_exact_address_is_an_audience(
    gateway: Gateway, change: Callable[[str], Any]
) -> None:
    clinic = gateway.clinic
    claims = clinic.claims(aud=change(clinic.token_endpoint))
    refused(clinic.ask(signed(clinic.key, clinic.header(), claims)))


def test_duplicate_members_are_refused(gateway: Gateway) -> None:
    clinic = gateway.clinic
    header, claims = json.dumps(clinic.header()), json.dumps(clinic.claims())
    assert clinic.ask(sign_text(clinic, header, json.dumps(clinic.claims()))).status_code == 200
    refused(clinic.ask(sign_text(clinic, header, claims[:-1] + f', "sub": "{clinic.client_id}"}}')))
    refused(clinic.ask(sign_text(clinic, header[:-1] + f', "kid": "{clinic.key.kid}"}}', claims)))


def test_deep_nesting_and_a_megabyte_are_refused(gateway: Gateway) -> None:
    clinic = gateway.clinic
    header = json.dumps(clinic.header())
    refused(clinic.ask(sign_text(clinic, header, "[" * 2500 + "]" * 2500)))
    refused(clinic.ask(sign_text(clinic, header, json.dumps({"a": "x" * 9000}))))
    answer = clinic.ask(sign_text(clinic, header, json.dumps({"a": "x" * 1_000_000})))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "shape", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d.e", "e30.e30.e30", "e30..", "=.=.="]
)
def test_text_that_is_no_token_is_refused(gateway: Gateway, shape: str) -> None:
    refused(gateway.clinic.ask(shape or "%"))


def test_base64_that_is_not_canonical_is_refused(gateway: Gateway) -> None:
    clinic = gateway.clinic
    good = signed(clinic.key, clinic.header(), clinic.claims())
    refused(clinic.ask(good + "="))
    refused(clinic.ask(good + "."))
    refused(clinic.ask(good + "AA"))
    refused(clinic.ask(good.replace(".", ".\n", 1)))
    assert clinic.ask(good).status_code == 200


def test_a_signature_of_zeroes_is_refused(gateway: Gateway) -> None:
    clinic = gateway.clinic
    refused(clinic.ask(forged(clinic.header(), clinic.claims(), b"\0" * 96)))


def test_the_key_of_another_client_is_refused(gateway: Gateway) -> None:
    clinic, outsider = gateway.clinic, gateway.outsider
    header = {"alg": outsider.alg, "typ": "JWT", "kid": outsider.key.kid}
    refused(clinic.ask(signed(outsider.key, header, clinic.claims())))
    same_kid = ECKey.generate_key("P-384", {"kid": clinic.key.kid})
    refused(clinic.ask(signed(same_kid, clinic.header(), clinic.claims())))


def test_the_client_id_of_the_form_must_be_the_same(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assert clinic.ask(client_id=clinic.client_id).status_code == 200
    refused(clinic.ask(client_id=gateway.pantry.client_id))


def test_an_assertion_works_once(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assertion = signed(clinic.key, clinic.header(), clinic.claims())
    assert clinic.ask(assertion).status_code == 200
    refused(clinic.ask(assertion))


def test_an_assertion_works_once_also_at_once(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assertion = signed(clinic.key, clinic.header(), clinic.claims())
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: clinic.ask(assertion).status_code, range(8)))
    assert sorted(answers) == [200] + [401] * 7


def test_a_jti_belongs_to_its_issuer(gateway: Gateway) -> None:
    jti = secrets.token_hex(8)
    for partner in (gateway.clinic, gateway.pantry):
        claims = partner.claims(jti=jti)
        assert partner.ask(signed(partner.key, partner.header(), claims)).status_code == 200


def test_an_assertion_of_a_failed_request_is_spent(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assertion = signed(clinic.key, clinic.header(), clinic.claims())
    assert clinic.ask(assertion, scope="admin").json()["error"] == "invalid_scope"
    refused(clinic.ask(assertion))


def test_an_unknown_client_and_a_bad_signature_answer_alike(gateway: Gateway) -> None:
    clinic = gateway.clinic
    unknown = Partner(gateway.url, "", "cli_00000000000000000000000000", clinic.key)
    other = Partner(gateway.url, "", clinic.client_id, new_key("ES384"))
    one, two = unknown.ask(), other.ask()
    assert (one.status_code, one.content) == (two.status_code, two.content)
    volatile = {"date"}
    assert {k: v for k, v in one.headers.items() if k not in volatile} == {
        k: v for k, v in two.headers.items() if k not in volatile
    }


def test_keys_of_a_set_are_each_good_for_signing(gateway: Gateway) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    second = new_key("ES384")
    with gateway.admin.http() as http:
        path = f"/v1/clients/{client.client_id}"
        body = {"jwks": public_set(client.key, second)}
        assert http.patch(path, json=body, headers={"If-Match": '"1"'}).status_code == 200
    assert client.ask().status_code == 200
    client.key = second
    assert client.ask().status_code == 200


# more than one replica, more than one organisation, keys by address


def test_reuse_of_an_assertion_on_two_replicas_at_once(
    gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clinic = gateway.clinic
    log = tmp_path_factory.mktemp("second") / "gateway.log"
    with replica(gateway, log) as other:
        urls = [clinic.token_endpoint, f"{other}/oauth/token"] * 3
        form = clinic.form()
        with ThreadPoolExecutor(6) as many:
            found = list(many.map(lambda url: HTTP.post(url, data=form).status_code, urls))
        assert sorted(found) == [200] + [401] * 5
    # after restart: what was used before this process began
    spent = clinic.form()
    assert HTTP.post(clinic.token_endpoint, data=spent).status_code == 200
    with replica(gateway, log) as reborn:
        refused(HTTP.post(f"{reborn}/oauth/token", data=spent))


def test_sub_of_another_client(gateway: Gateway) -> None:
    clinic, pantry = gateway.clinic, gateway.pantry
    refused(clinic.ask(signed(clinic.key, clinic.header(), clinic.claims(sub=pantry.client_id))))
    both = clinic.claims(iss=pantry.client_id, sub=pantry.client_id)
    refused(clinic.ask(signed(clinic.key, clinic.header(), both)))


def test_kid_reuse_across_organisations(gateway: Gateway) -> None:
    """Two organisations with one kid: each key opens its own organisation's door."""
    keys = [ECKey.generate_key("P-384", {"kid": "shared"}) for _ in range(2)]
    partners = []
    for key, owner in zip(keys, (gateway.clinic, gateway.outsider), strict=True):
        partner = gateway.client(owner.organisation_id, "TREAT", jwks=public_set(key))
        partner.key = key
        partners.append(partner)
    for partner in partners:
        assert partner.ask().status_code == 200
    partners[0].key, partners[1].key = partners[1].key, partners[0].key
    for partner in partners:
        refused(partner.ask())


def test_jwks_swapped(gateway: Gateway) -> None:
    """The old key ends with its tokens; the new one works at once."""
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    with client.http() as http, gateway.admin.http() as admin:
        assert http.get("/v1/grants").status_code == 200
        old, client.key = client.key, new_key("ES384")
        path, body = f"/v1/clients/{client.client_id}", {"jwks": public_set(client.key)}
        assert admin.patch(path, json=body, headers={"If-Match": '"1"'}).status_code == 200
        assert client.ask().status_code == 200
        client.key = old
        refused(client.ask())
        deadline = time.monotonic() + 1.5
        while http.get("/v1/grants").status_code != 401:
            assert time.monotonic() < deadline


def test_a_leeway_is_five_seconds_and_no_more(gateway: Gateway) -> None:
    clinic, at = gateway.clinic, int(time.time())
    late = clinic.claims(iat=at - 100, exp=at - 2)
    assert clinic.ask(signed(clinic.key, clinic.header(), late)).status_code == 200
    refused(clinic.ask(signed(clinic.key, clinic.header(), clinic.claims(exp=at - 6, iat=at - 99))))
    ahead = clinic.claims(iat=at + 3, exp=at + 200)
    assert clinic.ask(signed(clinic.key, clinic.header(), ahead)).status_code == 200
    refused(clinic.ask(signed(clinic.key, clinic.header(), clinic.claims(iat=at + 30))))


def test_an_encrypted_or_nested_assertion_is_refused(gateway: Gateway) -> None:
    clinic = gateway.clinic
    good = signed(clinic.key, clinic.header(), clinic.claims())
    refused(clinic.ask(good + ".AAAA.AAAA"))
    nested = signed(clinic.key, clinic.header(cty="JWT"), {"jwt": good})
    refused(clinic.ask(nested))
