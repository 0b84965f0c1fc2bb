"""The token endpoint as SMART Backend Services clients use it."""

import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.gateway import HTTP, Gateway, Partner, signed


def decoded(gateway: Gateway, token: str) -> jwt.Token:
    keys = HTTP.get(f"{gateway.url}/.well-known/jwks.json").json()
    return jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"])


@pytest.mark.parametrize("who", ["clinic", "pantry", "payer", "outsider"])
def test_a_client_gets_a_token_with_each_algorithm(gateway: Gateway, who: str) -> None:
    partner: Partner = getattr(gateway, who)
    answer = partner.ask(scope="cases.read")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] <= 300
    assert answer.json()["scope"] == "cases.read"


def test_the_access_token_has_the_profile_of_rfc_9068(gateway: Gateway) -> None:
    token = decoded(gateway, gateway.clinic.token(scope="cases.read persons.read"))
    assert token.header["typ"] == "at+jwt"
    assert token.header["alg"] == "ES256"
    assert token.header["kid"]
    claims = token.claims
    assert claims["iss"] == claims["aud"] == gateway.url
    assert claims["sub"] == claims["client_id"] == gateway.clinic.client_id
    assert claims["org"] == gateway.clinic.organisation_id
    assert claims["org_kind"] == "clinic"
    assert claims["purpose"] == "TREAT"
    assert claims["scope"] == "cases.read persons.read"
    assert claims["exp"] - claims["iat"] <= 300
    assert claims["jti"]


def test_the_audience_may_be_the_issuer(gateway: Gateway) -> None:
    clinic = gateway.clinic
    assertion = signed(clinic.key, clinic.header(), clinic.claims(aud=gateway.url))
    assert clinic.ask(assertion).status_code == 200


def test_without_a_scope_the_client_gets_what_is_registered(gateway: Gateway) -> None:
    narrow = gateway.client(
        gateway.clinic.organisation_id, "TREAT", scopes="cases.read sharing.read"
    )
    assert narrow.ask().json()["scope"] == "cases.read sharing.read"


def test_more_scope_than_registered_is_refused_whole(gateway: Gateway) -> None:
    narrow = gateway.client(gateway.clinic.organisation_id, "TREAT", scopes="cases.read")
    answer = narrow.ask(scope="cases.read cases.write")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("code", ["TREAT", "urn:oid:2.16.840.1.113883.5.8#TREAT"])
def test_the_purpose_can_be_asked_in_the_assertion(gateway: Gateway, code: str) -> None:
    clinic = gateway.clinic
    extension = {"hl7-b2b": {"version": "1", "purpose_of_use": [code]}}
    answer = clinic.ask(signed(clinic.key, clinic.header(), clinic.claims(extensions=extension)))
    assert decoded(gateway, answer.json()["access_token"]).claims["purpose"] == "TREAT"


def test_the_purpose_can_be_asked_in_authorization_details(gateway: Gateway) -> None:
    both = gateway.client(gateway.admin.organisation_id, "COC", "HOPERAT")
    details = json.dumps([{"type": "careloop_purpose", "purpose": "HOPERAT"}])
    answer = both.ask(authorization_details=details)
    assert decoded(gateway, answer.json()["access_token"]).claims["purpose"] == "HOPERAT"
    assert answer.json()["authorization_details"] == json.loads(details)
    assert decoded(gateway, both.token()).claims["purpose"] == "COC"


@pytest.mark.parametrize("purpose", ["HMARKT", "NOTHING", "HOPERAT"])
def test_a_purpose_that_is_not_registered_is_refused(gateway: Gateway, purpose: str) -> None:
    details = json.dumps([{"type": "careloop_purpose", "purpose": purpose}])
    answer = gateway.clinic.ask(authorization_details=details)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_authorization_details"


@pytest.mark.parametrize(
    "details",
    ["", "{}", "[]", "[1]", '[{"type":"other","purpose":"TREAT"}]', "[" * 3000, "x" * 5000],
)
def test_malformed_authorization_details_are_refused(gateway: Gateway, details: str) -> None:
    answer = gateway.clinic.ask(authorization_details=details)
    assert answer.json()["error"] == "invalid_authorization_details"


def test_a_sandbox_client_may_use_its_secret_both_ways(gateway: Gateway) -> None:
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "name": "sandbox",
        "scopes": ["cases.read"],
        "purposes": ["TREAT"],
        "sandbox": True,
    }
    made = gateway.admin.post("/v1/clients", body).json()
    url, form = f"{gateway.url}/oauth/token", {"grant_type": "client_credentials"}
    basic = (made["id"], made["client_secret"])
    assert HTTP.post(url, data=form, auth=basic).status_code == 200
    posted = {**form, "client_id": made["id"], "client_secret": made["client_secret"]}
    assert HTTP.post(url, data=posted).status_code == 200
    wrong = {**posted, "client_secret": made["client_secret"] + "x"}
    assert HTTP.post(url, data=wrong).json()["error"] == "invalid_client"


def test_the_secret_of_a_sandbox_client_is_shown_once_and_not_kept(gateway: Gateway) -> None:
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "name": "sandbox",
        "scopes": ["cases.read"],
        "purposes": ["TREAT"],
        "sandbox": True,
    }
    first = gateway.admin.post("/v1/clients", body, key="show-once")
    secret = first.json()["client_secret"]
    again = gateway.admin.post("/v1/clients", body, key="show-once")
    assert again.json()["id"] == first.json()["id"]
    assert "client_secret" not in again.json()
    assert "client_secret" not in gateway.admin.get(f"/v1/clients/{first.json()['id']}").json()
    kept = gateway.sql("SELECT convert_from(body, 'UTF8') AS text FROM idempotency")
    assert not any(secret in row["text"] for row in kept)
    stored = gateway.sql("SELECT row_to_json(c)::text AS text FROM client c")
    assert not any(secret in row["text"] for row in stored)


def test_metadata_is_consistent_and_accepted_by_authlib(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    url = f"{gateway.url}/.well-known/oauth-authorization-server"
    found = HTTP.get(url).json()
    AuthorizationServerMetadata(found).validate()
    assert found["issuer"] == gateway.url
    assert found["token_endpoint"] == gateway.clinic.token_endpoint
    assert found["grant_types_supported"][0] == "client_credentials"
    assert HTTP.get(found["jwks_uri"]).json()["keys"][0]["use"] == "sig"


def test_the_smart_configuration_names_what_smart_demands(gateway: Gateway) -> None:
    url = f"{gateway.url}/.well-known/smart-configuration"
    found = HTTP.get(url)
    assert found.headers["content-type"] == "application/json"
    assert {"RS384", "ES384"} <= set(
        found.json()["token_endpoint_auth_signing_alg_values_supported"]
    )
    assert "client-confidential-asymmetric" in found.json()["capabilities"]
    assert found.json()["code_challenge_methods_supported"] == ["S256"]


def test_published_keys_hold_nothing_private_and_differ_by_use(gateway: Gateway) -> None:
    outside = HTTP.get(f"{gateway.url}/.well-known/jwks.json").json()["keys"]
    inside = HTTP.get(f"{gateway.url}/.well-known/internal-jwks.json").json()["keys"]
    assert not any("d" in key for key in outside + inside)
    assert outside[0]["kid"] != inside[0]["kid"]
    assert gateway.key_file.stat().st_mode & 0o777 == 0o600


def test_introspection_tells_of_own_tokens_only(gateway: Gateway) -> None:
    token = gateway.clinic.token(scope="persons.read")
    url = f"{gateway.url}/oauth/introspect"
    own = HTTP.post(url, data=gateway.clinic.form(token=token)).json()
    assert own["active"]
    assert own["client_id"] == gateway.clinic.client_id
    assert own["scope"] == "persons.read"
    foreign = HTTP.post(url, data=gateway.outsider.form(token=token))
    assert foreign.json() == {"active": False}
    assert HTTP.post(url, data={"token": token}).status_code == 401


def test_a_revoked_token_stops_within_a_second(gateway: Gateway) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    with client.http() as http:
        assert http.get("/v1/grants").status_code == 200
        form = client.form(token=client.token())
        assert HTTP.post(f"{gateway.url}/oauth/revoke", data=form).status_code == 200
        assert http.get("/v1/grants").status_code == 401


def test_nobody_revokes_the_token_of_another_organisation(gateway: Gateway) -> None:
    form = gateway.outsider.form(token=gateway.clinic.token())
    assert HTTP.post(f"{gateway.url}/oauth/revoke", data=form).status_code == 200
    assert gateway.clinic.get("/v1/grants").status_code == 200


def test_a_client_switched_off_stops_within_a_second(gateway: Gateway) -> None:
    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    assert client.get("/v1/grants").status_code == 200
    with gateway.admin.http() as http:
        answer = http.patch(
            f"/v1/clients/{client.client_id}", json={"active": False}, headers={"If-Match": '"1"'}
        )
        assert answer.status_code == 200
    deadline = time.monotonic() + 1.5
    while client.get("/v1/grants").status_code != 401:
        assert time.monotonic() < deadline
    assert client.ask().json()["error"] == "invalid_client"


def test_rotated_keys_replace_the_old_ones(gateway: Gateway) -> None:
    from tests.gateway import new_key, public_set

    client = gateway.client(gateway.clinic.organisation_id, "TREAT")
    old, client.key = client.key, new_key("ES384")
    with gateway.admin.http() as http:
        body = {"jwks": public_set(client.key)}
        path = f"/v1/clients/{client.client_id}"
        assert http.patch(path, json=body, headers={"If-Match": '"1"'}).status_code == 200
    assert client.ask().status_code == 200
    client.key = old
    assert client.ask().json()["error"] == "invalid_client"


def test_a_secret_does_not_work_for_a_client_that_is_no_sandbox(gateway: Gateway) -> None:
    credentials = base64.b64encode(f"{gateway.clinic.client_id}:".encode()).decode()
    answer = HTTP.post(
        f"{gateway.url}/oauth/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {credentials}"},
    )
    assert answer.json()["error"] == "invalid_client"
