"""What the door itself decides: scopes, admin operations, and what an error tells."""

import httpx
import pytest

from tests.gateway import HTTP, Gateway
from tests.wire import is_untouched


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/cases", "cases.write"),
        ("POST", "/v1/cases", "cases.read"),
        ("PATCH", "/v1/persons/x", "persons.read"),
        ("DELETE", "/v1/documents/x", "documents.read"),
        ("PUT", "/v1/referrals/x", "referrals.read"),
        ("POST", "/v1/webhook-endpoints", "events.read"),
        ("POST", "/v1/organisations", "sharing.write"),
        ("PATCH", "/v1/clients/x", "sharing.write"),
        ("POST", "/v1/agreements", "sharing.write"),
        ("POST", "/v1/consents", "sharing.read"),
    ],
)
def test_a_missing_scope_is_403_before_any_service(
    gateway: Gateway, method: str, path: str, scope: str
) -> None:
    before = len(gateway.upstream.seen)
    token = gateway.clinic.token(scope=scope)
    answer = HTTP.request(method, gateway.url + path, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    assert is_untouched(gateway, before)


def test_no_partner_reaches_an_admin_operation(gateway: Gateway) -> None:
    operations = [
        ("POST", "/v1/organisations"), ("PATCH", f"/v1/organisations/{gateway.clinic.organisation_id}"),
        ("POST", "/v1/clients"), ("PATCH", f"/v1/clients/{gateway.clinic.client_id}"),
        ("POST", "/v1/agreements"), ("POST", "/v1/agreements/agr_1/end"),
    ]  # fmt: skip
    for partner in (gateway.clinic, gateway.pantry, gateway.payer, gateway.outsider):
        with partner.http(**{"Idempotency-Key": "x", "If-Match": '"1"'}) as http:
            assert {http.request(m, p, json={}).status_code for m, p in operations} == {403}


def test_errors_name_no_internals(gateway: Gateway) -> None:
    answers: list[httpx.Response] = [
        gateway.clinic.get("/v1/events"),
        gateway.clinic.get("/v1/nothing"),
        gateway.clinic.post("/v1/consents", {"person_id": "x"}),
    ]
    for answer in answers:
        text = answer.text.lower()
        assert not any(
            word in text for word in ("traceback", "127.0.0.1", "sqlalchemy", "aiohttp", ".py")
        )
