"""The attack list for the token endpoint itself."""

from typing import Any

import httpx
import pytest

from tests.gateway import ASSERTION_TYPE, HTTP, Gateway


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
    "grant", ["authorization_code", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "implicit"]
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
