"""JSON that no honest program sends, at the gateway's own resources: a clear 4xx, never a 5xx."""

import json
import secrets
from typing import Any

import httpx
import pytest

from tests.gateway import Gateway


def post(gateway: Gateway, path: str, content: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)}
    with gateway.admin.http(**headers) as http:
        return http.post(path, content=content)


TEXTS: dict[str, bytes] = {
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "100,000 deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a million elements": b"[" + b"1," * 400_000 + b"1]",
    "a number of 100,000 digits": b'{"kind": "clinic", "name": ' + b"9" * 100_000 + b"}",
    "not UTF-8": b'{"kind": "clinic", "name": "\xff\xfe"}',
    "a lone surrogate": b'{"kind": "clinic", "name": "\\ud800"}',
    "NUL": b'{"kind": "clinic", "name": "a\\u0000b"}',
    "NaN": b'{"kind": "clinic", "name": NaN}',
    "nothing": b"",
    "null": b"null",
    "a comment": b'{"kind": "clinic", /* */ "name": "a"}',
    "only space for a name": b'{"kind": "clinic", "name": "   "}',
    "a long name": b'{"kind": "clinic", "name": "' + b"n" * 500_000 + b'"}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_is_refused(gateway: Gateway, name: str) -> None:
    answer = post(gateway, "/v1/organisations", TEXTS[name])
    assert answer.status_code in (400, 422), answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"


INSTANTS = [
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z", "2026-01-01T00:00:00+99:00", "99999-01-01T00:00:00Z", "now", 1e300, -1, True,
    "2026-01-01", "-infinity",
]  # fmt: skip


@pytest.mark.parametrize("value", INSTANTS, ids=str)
@pytest.mark.parametrize("field", ["valid_from", "valid_to"])
def test_a_strange_instant_is_no_5xx(gateway: Gateway, field: str, value: Any) -> None:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": gateway.payer.organisation_id,
        "purposes": ["HOPERAT"],
        "classes": ["outcome"],
        field: value,
    }
    answer = post(gateway, "/v1/agreements", json.dumps(body).encode())
    assert answer.status_code < 500, answer.text[:500]


@pytest.mark.parametrize("days", [3651, -1, 10**30, 1.5, "30", True, None])
def test_a_strange_number_is_refused(gateway: Gateway, days: Any) -> None:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": gateway.payer.organisation_id,
        "purposes": ["HOPERAT"],
        "classes": ["outcome"],
        "retention_days": days,
    }
    answer = post(gateway, "/v1/agreements", json.dumps(body).encode())
    assert answer.status_code == 422 or days in ("30", True)


@pytest.mark.parametrize(
    "path", ["/v1/organisations/x", "/v1/clients/%s" % ("a" * 900), "/v1/agreements/..a", "/v1/grants/~"]
)  # fmt: skip
def test_an_id_that_is_none_is_404(gateway: Gateway, path: str) -> None:
    assert gateway.clinic.get(path).status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=%00", "cursor=x", "cursor=" + "a" * 2000, "person_id=x", "limit=1e3"]
)  # fmt: skip
def test_a_strange_query_is_refused(gateway: Gateway, query: str) -> None:
    with gateway.clinic.http() as http:
        answer = http.get(f"/v1/grants?{query}")
    assert answer.status_code in (400, 422), answer.text[:300]
