"""The rules of the door, without a door."""

import json
from pathlib import Path

import pytest
import yaml
from gateway import domain
from gateway.domain import OAuthError, OrganisationKind, Scope
from hypothesis import given
from hypothesis import strategies as st
from svckit.errors import Forbidden, NotFound

CONTRACT = Path(__file__).parents[3] / "contracts" / "scopes.yaml"


def test_the_scopes_of_the_contract_are_those_of_the_code() -> None:
    written = yaml.safe_load(CONTRACT.read_text())["scopes"]
    assert list(written) == [scope.value for scope in Scope]
    for kind in OrganisationKind:
        allowed = {s for s, entry in written.items() if kind in entry.get("kinds", [kind])}
        assert domain.scopes_of(kind) == allowed


@pytest.mark.parametrize(
    "path", ["/v1/cases", "/v1/cases/cas_1/needs", "/a.b/~c/_-", "/...", "/.well-known/jwks.json"]
)
def test_a_canonical_path_is_routed(path: str) -> None:
    assert domain.is_canonical(path.encode())


@pytest.mark.parametrize(
    "path", ["", "v1", "//", "/v1/", "/v1//x", "/v1/.", "/v1/..", "/./x", "/../x", "/a/../b", "/a%20", "/a b", "/a;b", "/a\n", "/é", "/a\\b", "/a?b"]
)  # fmt: skip
def test_any_other_spelling_is_not(path: str) -> None:
    assert not domain.is_canonical(path.encode())


@given(st.binary(max_size=60))
def test_what_is_canonical_survives_every_normalisation(raw: bytes) -> None:
    import posixpath
    from urllib.parse import quote, unquote

    path = b"/v1/" + raw
    if domain.is_canonical(path):
        text = path.decode("ascii")
        assert posixpath.normpath(text) == text == unquote(text) == quote(text, safe="/~")


def test_the_first_segments_name_the_service() -> None:
    assert domain.route_of("/v1/cases/cas_1").service == "case-svc"
    assert domain.route_of("/v1/webhook-endpoints").service == "notify-svc"
    assert domain.route_of("/v1/clients").service is None
    for path in ("/v1", "/v1/nothing", "/v2/cases", "/cases", "/oauth/other"):
        with pytest.raises(NotFound):
            domain.route_of(path)


def test_every_path_that_a_service_publishes_leads_to_it() -> None:
    for name in domain.SERVICES:
        paths = json.loads((CONTRACT.parent / "openapi" / f"{name}.v1.json").read_text())["paths"]
        assert paths
        for path in paths:
            assert domain.route_of(path.replace("{", "").replace("}", "")).service == name, path


def test_reading_and_writing_need_their_own_scope() -> None:
    cases = domain.route_of("/v1/cases")
    domain.check_scope(cases, "GET", frozenset({"cases.read"}))
    domain.check_scope(cases, "POST", frozenset({"cases.write"}))
    for method, held in (("POST", "cases.read"), ("GET", "cases.write"), ("GET", "admin")):
        with pytest.raises(Forbidden) as refused:
            domain.check_scope(cases, method, frozenset({held}))
        assert "insufficient_scope" in refused.value.headers["WWW-Authenticate"]


def test_only_documents_may_be_large() -> None:
    assert domain.is_upload(domain.route_of("/v1/documents"), "POST")
    assert not domain.is_upload(domain.route_of("/v1/documents"), "GET")
    assert not domain.is_upload(domain.route_of("/v1/cases"), "POST")


def test_a_token_holds_what_is_asked_or_all_that_is_registered() -> None:
    registered = frozenset({"cases.read", "cases.write"})
    assert domain.granted_scopes(None, registered, "clinic") == registered
    assert domain.granted_scopes("cases.read", registered, "clinic") == {"cases.read"}
    for asked in ("", " ", "cases.read persons.read", "admin"):
        with pytest.raises(OAuthError) as refused:
            domain.granted_scopes(asked, registered, "clinic")
        assert refused.value.error == "invalid_scope"


def test_a_scope_beyond_the_kind_is_not_granted_even_if_registered() -> None:
    registered = frozenset({"admin", "cases.read"})
    assert domain.granted_scopes(None, registered, "clinic") == {"cases.read"}
    assert domain.granted_scopes("admin", registered, "coordinator") == {"admin"}


def test_a_purpose_is_a_code_with_or_without_its_system() -> None:
    assert domain.purpose_code("urn:oid:2.16.840.1.113883.5.8#TREAT") == "TREAT"
    assert domain.purpose_code("COC") == "COC"
