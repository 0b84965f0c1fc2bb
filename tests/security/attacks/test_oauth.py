"""The attack list for the OAuth endpoints: tokens, their state, registration, metadata."""

import statistics
import time
from typing import Any

import httpx
import pytest

from tests.forgery import claims_of
from tests.gateway import ASSERTION_TYPE, HTTP, Gateway, Partner, new_key, public_set, signed


def post(gateway: Gateway, content: bytes | None = None, **more: Any) -> httpx.Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded", **more.pop("headers", {})}
    url = f"{gateway.url}/oauth/token{more.pop('query', '')}"
    return HTTP.post(url, content=content, headers=headers, **more)


def encoded(form: dict[str, str]) -> bytes:
    return str(httpx.QueryParams(form)).encode()


def refused(answer: httpx.Response, error: str = "invalid_request", status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"
    assert "access_token" not in answer.text


def test_parameters_in_the_query_are_refused(gateway: Gateway) -> None:
    form = encoded(gateway.clinic.form())
    refused(post(gateway, b"", query="?" + form.decode()))
    refused(post(gateway, form, query="?scope=admin"))


def test_a_repeated_parameter_is_refused(gateway: Gateway) -> None:
    form = encoded(gateway.clinic.form())
    refused(post(gateway, form + b"&scope=cases.read&scope=admin"))
    refused(post(gateway, form + b"&grant_type=client_credentials"))


def test_another_content_type_is_refused(gateway: Gateway) -> None:
    form = gateway.clinic.form()
    url = f"{gateway.url}/oauth/token"
    refused(HTTP.post(url, json=form))
    refused(HTTP.post(url, files={k: (None, v) for k, v in form.items()}))
    refused(post(gateway, encoded(form), headers={"Content-Type": "text/plain"}))


@pytest.mark.parametrize(
    "grant", ["authorization_code", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "implicit"]
)  # fmt: skip
def test_another_grant_is_refused(gateway: Gateway, grant: str) -> None:
    refused(gateway.clinic.ask(grant_type=grant), "unsupported_grant_type")


def test_a_missing_grant_is_refused(gateway: Gateway) -> None:
    form = gateway.clinic.form()
    del form["grant_type"]
    refused(post(gateway, encoded(form)))


def test_two_ways_of_authentication_at_once_are_refused(gateway: Gateway) -> None:
    form = gateway.clinic.form()
    refused(post(gateway, encoded(form), headers={"Authorization": "Basic YTpi"}))
    refused(post(gateway, encoded({**form, "client_secret": "x"})))


def test_no_credential_and_the_wrong_assertion_type_are_refused(gateway: Gateway) -> None:
    refused(post(gateway, b"grant_type=client_credentials"), "invalid_client", 401)
    clinic = gateway.clinic
    bare = {"grant_type": "client_credentials", "client_id": clinic.client_id}
    refused(post(gateway, encoded(bare)), "invalid_client", 401)
    form = clinic.form()
    form["client_assertion_type"] = ASSERTION_TYPE.replace("jwt-bearer", "saml2-bearer")
    refused(post(gateway, encoded(form)), "invalid_client", 401)


@pytest.mark.parametrize(
    "value", ["Basic", "Basic !!!", "Basic YQ==", "Bearer x", "Digest a", "Basic //8="]
)
def test_a_malformed_authorization_is_refused(gateway: Gateway, value: str) -> None:
    answer = post(gateway, b"grant_type=client_credentials", headers={"Authorization": value})
    refused(answer, "invalid_client", 401)


@pytest.mark.parametrize(
    "scope", ["", " ", "cases.read admin", "*", "cases.*", "CASES.READ", "cases.read\0"]
)
def test_a_scope_beyond_the_registered_is_refused(gateway: Gateway, scope: str) -> None:
    refused(gateway.clinic.ask(scope=scope), "invalid_scope")


def test_large_and_malformed_forms_are_refused(gateway: Gateway) -> None:
    refused(post(gateway, b"a=" + b"x" * 20_000), status=413)
    refused(post(gateway, b"&".join(b"a%d=1" % n for n in range(100))))
    refused(post(gateway, b"grant_type"))
    refused(post(gateway, "grant_type=é".encode("latin-1")))
    refused(post(gateway, b""), "invalid_client", 401)


def test_a_token_request_by_get_is_refused(gateway: Gateway) -> None:
    url = f"{gateway.url}/oauth/token"
    assert HTTP.get(url).status_code == 405


def test_unknown_parameters_are_ignored(gateway: Gateway) -> None:
    answer = gateway.clinic.ask(redirect_uri="https://evil.test", audience="case-svc", org="x")
    assert answer.status_code == 200


def test_scope_omitted_gives_what_is_registered_and_no_more(gateway: Gateway) -> None:
    narrow = gateway.client(gateway.clinic.organisation_id, "TREAT", scopes="cases.read")
    assert claims_of(narrow.token())["scope"] == "cases.read"
    refused(narrow.ask(scope="cases.read cases.read admin"), "invalid_scope")


def test_redirect_pkce_and_code_parameters_lead_nowhere(gateway: Gateway) -> None:
    """There is no flow with a browser: nothing to redirect, to downgrade or to inject."""
    for path in ("/oauth/authorize", "/oauth/par", "/oauth/device_authorization", "/authorize"):
        for method in ("GET", "POST"):
            assert HTTP.request(method, gateway.url + path).status_code == 404
    code = {"code": "stolen", "code_verifier": "x", "redirect_uri": "https://evil.test/"}
    answer = gateway.clinic.ask(grant_type="authorization_code", **code)
    refused(answer, "unsupported_grant_type")
    metadata = HTTP.get(f"{gateway.url}/.well-known/oauth-authorization-server").json()
    assert "authorization_endpoint" not in metadata
    assert "plain" not in metadata.get("code_challenge_methods_supported", [])


# of another organisation


def test_introspection_of_another_organisations_token_is_inactive(gateway: Gateway) -> None:
    url = f"{gateway.url}/oauth/introspect"
    token = gateway.clinic.token()
    for thief in (gateway.outsider, gateway.pantry):
        found = HTTP.post(url, data=thief.form(token=token))
        assert (found.status_code, found.json()) == (200, {"active": False})
    unknown = HTTP.post(url, data=gateway.outsider.form(token="x.y.z"))
    foreign = HTTP.post(url, data=gateway.outsider.form(token=token))
    assert unknown.content == foreign.content


def test_revocation_of_another_organisations_token_changes_nothing(gateway: Gateway) -> None:
    token = gateway.clinic.token(scope="sharing.read")
    url = f"{gateway.url}/oauth/revoke"
    foreign = HTTP.post(url, data=gateway.outsider.form(token=token))
    unknown = HTTP.post(url, data=gateway.outsider.form(token="x.y.z"))
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    bearer = {"Authorization": f"Bearer {token}"}
    assert HTTP.get(f"{gateway.url}/v1/grants", headers=bearer).status_code == 200


def test_the_endpoints_ask_who_it_is(gateway: Gateway) -> None:
    for path in ("introspect", "revoke"):
        answer = HTTP.post(f"{gateway.url}/oauth/{path}", data={"token": gateway.clinic.token()})
        refused(answer, "invalid_client", 401)


# what errors tell


def test_the_error_oracle_says_and_takes_the_same(gateway: Gateway) -> None:
    """An unknown client costs a signature check too: bodies alike, times of one size."""
    clinic = gateway.clinic
    stranger = Partner(gateway.url, "", "cli_00000000000000000000000000", new_key("ES384"))
    impostor = Partner(gateway.url, "", clinic.client_id, new_key("ES384"))
    impostor.key = type(clinic.key).generate_key("P-384", {"kid": clinic.key.kid})
    times: dict[str, list[float]] = {"unknown": [], "bad signature": []}
    bodies = set()
    for _ in range(15):
        for name, who in (("unknown", stranger), ("bad signature", impostor)):
            form = who.form()
            started = time.perf_counter()
            answer = HTTP.post(clinic.token_endpoint, data=form)
            times[name].append(time.perf_counter() - started)
            bodies.add((answer.status_code, answer.content))
    assert len(bodies) == 1
    fast, slow = sorted(statistics.median(found) for found in times.values())
    assert slow - fast < max(0.005, fast)


# metadata


def test_metadata_is_consistent(gateway: Gateway) -> None:
    base = f"{gateway.url}/.well-known"
    server = HTTP.get(f"{base}/oauth-authorization-server").json()
    smart = HTTP.get(f"{base}/smart-configuration").json()
    assert {name: smart[name] for name in smart.keys() & server.keys()} == {
        name: server[name] for name in smart.keys() & server.keys()
    }
    assert server["issuer"] == gateway.url
    assert server.keys() - smart.keys() == {"response_types_supported"}
    for name, value in server.items():
        if name.endswith(("_endpoint", "_uri")):
            assert value.startswith(gateway.url + "/")
            assert HTTP.request("POST", value).status_code != 404
    assert "none" not in server["token_endpoint_auth_signing_alg_values_supported"]
    for grant in ("password", "implicit", "authorization_code"):
        assert grant not in server["grant_types_supported"]


def test_mix_up_an_assertion_for_another_server(gateway: Gateway) -> None:
    """Metadata names its issuer exactly; what is signed for another server is not taken."""
    clinic = gateway.clinic
    for other in ("https://other.test", "https://other.test/oauth/token", gateway.url + "/oauth"):
        form = clinic.form()
        claims = clinic.claims(aud=other)
        form["client_assertion"] = signed(clinic.key, clinic.header(), claims)
        refused(HTTP.post(clinic.token_endpoint, data=form), "invalid_client", 401)


# registration by the client itself (RFC 7591, 7592)


def permit(gateway: Gateway, **changes: Any) -> httpx.Response:
    body = {
        "organisation_id": gateway.clinic.organisation_id,
        "scopes": ["cases.read", "sharing.read"],
        "purposes": ["TREAT"],
        **changes,
    }
    return gateway.admin.post("/v1/registration-tokens", body)


def permission(gateway: Gateway, **changes: Any) -> str:
    answer = permit(gateway, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def registered(
    gateway: Gateway, token: str, metadata: Any, method: str = "POST", path: str = ""
) -> httpx.Response:
    url = f"{gateway.url}/oauth/register{path}"
    return HTTP.request(method, url, json=metadata, headers={"Authorization": f"Bearer {token}"})


def program(key: Any, **more: Any) -> dict[str, Any]:
    return {"client_name": "a program", "jwks": public_set(key), **more}


def bad_metadata(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_a_program_registers_itself_reads_changes_and_ends_it(gateway: Gateway) -> None:
    key, token = new_key("ES384"), permission(gateway)
    made = registered(gateway, token, program(key, scope="cases.read"))
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    body = made.json()
    assert body["registration_client_uri"] == f"{gateway.url}/oauth/register/{body['client_id']}"
    partner = Partner(gateway.url, gateway.clinic.organisation_id, body["client_id"], key)
    claims = claims_of(partner.token())
    assert (claims["org"], claims["scope"]) == (gateway.clinic.organisation_id, "cases.read")
    path, managing = f"/{body['client_id']}", body["registration_access_token"]
    read = registered(gateway, managing, None, "GET", path)
    assert read.json()["client_name"] == "a program"
    new = program(new_key("ES384"), client_id=body["client_id"], client_name="renewed")
    changed = registered(gateway, managing, new, "PUT", path)
    assert (changed.status_code, changed.json()["client_name"]) == (200, "renewed")
    assert changed.json()["scope"] == "cases.read"
    next_token = changed.json()["registration_access_token"]
    # registration token reuse: the managing token was replaced with the metadata
    assert registered(gateway, managing, None, "GET", path).status_code == 401
    assert registered(gateway, next_token, None, "DELETE", path).status_code == 204
    assert registered(gateway, next_token, None, "GET", path).status_code == 401
    refused(partner.ask(), "invalid_client", 401)


def test_registration_token_reuse(gateway: Gateway) -> None:
    token = permission(gateway)
    assert registered(gateway, token, program(new_key("ES384"))).status_code == 201
    again = registered(gateway, token, program(new_key("ES384")))
    assert (again.status_code, again.json()["error"]) == (401, "invalid_token")


def test_registration_without_its_token(gateway: Gateway) -> None:
    body = program(new_key("ES384"))
    assert HTTP.post(f"{gateway.url}/oauth/register", json=body).status_code == 401
    for token in ("x", gateway.clinic.token(), gateway.admin.token()):
        assert registered(gateway, token, body).status_code == 401
    gateway.sql("UPDATE registration_token SET expires_at = now() WHERE client_id IS NULL")
    old = permission(gateway)
    gateway.sql("UPDATE registration_token SET expires_at = now() WHERE client_id IS NULL")
    assert registered(gateway, old, body).status_code == 401


def test_a_registration_is_managed_by_its_own_token(gateway: Gateway) -> None:
    one, two = (
        registered(gateway, permission(gateway), program(new_key("ES384"))).json() for _ in range(2)
    )
    path = f"/{one['client_id']}"
    thief = two["registration_access_token"]
    for method in ("GET", "PUT", "DELETE"):
        assert registered(gateway, thief, {}, method, path).status_code == 401
    other = program(new_key("ES384"), client_id=two["client_id"])
    bad_metadata(registered(gateway, one["registration_access_token"], other, "PUT", path))


@pytest.mark.parametrize(
    "more",
    [
        {"organisation_id": "org_00000000000000000000000000"}, {"org": "other"}, {"scopes": ["admin"]},
        {"purposes": ["HPAYMT"]}, {"active": True}, {"sandbox": True}, {"client_id": "cli_mine"},
        {"client_secret": "x"}, {"secret_hash": "x"}, {"version": 9}, {"tokens_from": 0},
        {"sender_constraint": "none"}, {"registration_hash": "x"}, {"software_statement": "e30."},
        {"scope": "cases.read admin"}, {"scope": "persons.read"}, {"scope": ""}, {"scope": ["a"]},
        {"token_endpoint_auth_method": "none"}, {"token_endpoint_auth_method": "client_secret_basic"},
        {"grant_types": ["password"]}, {"grant_types": "client_credentials"},
        {"response_types": ["code"]}, {"token_endpoint_auth_signing_alg": "none"},
        {"token_endpoint_auth_signing_alg": "HS256"}, {"dpop_bound_access_tokens": "false"},
        {"dpop_bound_access_tokens": True, "tls_client_certificate_bound_access_tokens": True},
        {"client_name": ""}, {"client_name": None}, {"client_name": "x" * 300}, {"jwks": None},
        {"jwks": {"keys": []}}, {"jwks": {"keys": [{"kty": "oct", "k": "AA", "kid": "a"}]}},
        {"jwks": {"keys": [new_key("ES256").as_dict(private=True)]}},
        {"jwks_uri": "https://keys.test/jwks.json"},
    ],
    ids=lambda more: "-".join(more) or "none",
)  # fmt: skip
def test_mass_assignment_at_registration(gateway: Gateway, more: dict[str, Any]) -> None:
    token = permission(gateway)
    bad_metadata(registered(gateway, token, program(new_key("ES384"), **more)))
    # a refusal does not use the token up, and nothing was kept of it
    assert registered(gateway, token, program(new_key("ES384"))).status_code == 201


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/latest/meta-data", "https://169.254.169.254/", "https://127.0.0.1/",
        "https://[::ffff:169.254.169.254]/", "https://localhost/jwks", "http://keys.test/jwks", "", 7,
    ],
)  # fmt: skip
def test_jwks_uri_to_cloud_metadata_and_other_inner_addresses(gateway: Gateway, uri: Any) -> None:
    body = {"client_name": "hostile", "jwks_uri": uri}
    bad_metadata(registered(gateway, permission(gateway), body))


def test_redirect_uris_are_refused(gateway: Gateway) -> None:
    body = program(new_key("ES384"), redirect_uris=["https://evil.test/"])
    answer = registered(gateway, permission(gateway), body)
    assert answer.json()["error"] == "invalid_redirect_uri"


def test_registration_reads_strict_json_only(gateway: Gateway) -> None:
    token = permission(gateway)
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"{gateway.url}/oauth/register"
    json_type = {**bearer, "Content-Type": "application/json"}
    twice = b'{"client_name": "a", "client_name": "b"}'
    for content in (b"", b"[]", b"{", twice, b'{"a": NaN}', b"[" * 5000):
        bad_metadata(HTTP.post(url, content=content, headers=json_type))
    bad_metadata(HTTP.post(url, data={"client_name": "a"}, headers=bearer))
    bad_metadata(HTTP.post(url + "?client_name=a", json={}, headers=bearer))


def test_a_binding_that_was_demanded_is_not_asked_away(gateway: Gateway) -> None:
    token = permission(gateway, sender_constraint="dpop")
    bad_metadata(
        registered(
            gateway,
            token,
            program(new_key("ES384"), tls_client_certificate_bound_access_tokens=True),
        )
    )
    key = new_key("ES384")
    made = registered(gateway, token, program(key, dpop_bound_access_tokens=False)).json()
    assert made["dpop_bound_access_tokens"]
    partner = Partner(gateway.url, "", made["client_id"], key)
    refused(partner.ask(), "invalid_dpop_proof")


def test_only_an_administrator_gives_registration_tokens(gateway: Gateway) -> None:
    body = {"organisation_id": gateway.clinic.organisation_id, "scopes": ["cases.read"]}
    body["purposes"] = ["TREAT"]
    assert gateway.clinic.post("/v1/registration-tokens", body).status_code == 403
    assert gateway.clinic.get("/v1/registration-tokens").status_code == 403
    assert permit(gateway, scopes=["admin"]).status_code == 422
    assert permit(gateway, purposes=["HPAYMT"]).status_code == 422
    listed = gateway.admin.get("/v1/registration-tokens").text
    assert "secret" not in listed
    assert '"token"' not in listed
