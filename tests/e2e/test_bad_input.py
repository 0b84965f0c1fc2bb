"""Bad input through the gateway: a clear problem each, and nothing changed."""

import secrets
from collections.abc import Callable

import httpx
import pytest

from careloop.partner import Partner
from tests.world import Platform

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def clinic(calm: Platform) -> Partner:
    return calm.partner("Lakeside Clinic")


@pytest.fixture
def send(calm: Platform, clinic: Partner) -> Callable[..., httpx.Response]:
    def request(method: str, path: str, *, headers=(), token=None, **more) -> httpx.Response:
        given = {
            "Authorization": f"Bearer {clinic.token() if token is None else token}",
            "Idempotency-Key": secrets.token_hex(8),
            **dict(headers),
        }
        return httpx.request(method, f"{calm.url}{path}", headers=given, timeout=60, **more)

    return request


@pytest.fixture(autouse=True)
def unchanged(clinic: Partner, case: dict):
    """Every test here changes nothing: the same count, the same case, byte for byte."""

    def now() -> tuple:
        found = clinic.get(f"/v1/cases/{case['id']}")
        return clinic.get("/v1/cases/count").body, found.body, found.headers["etag"]

    before = now()
    yield
    assert now() == before


@pytest.fixture(scope="module")
def case(clinic: Partner) -> dict:
    person = clinic.post(
        "/v1/persons",
        {"family_name": "Abelard", "given_name": "Noor", "number": secrets.token_hex(4)},
    ).body
    opened = clinic.post("/v1/cases", {"person_id": person["id"], "worker": "w-1"})
    assert opened.status == 201, opened.body
    return opened.body


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == (code or problem["code"])
    assert problem["title"]
    return problem


def test_malformed_json(send):
    is_problem(
        send("POST", "/v1/cases", content=b'{"person_id": ', headers=JSON), 400, "malformed-json"
    )


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"1"])
def test_a_body_of_another_shape(send, body):
    assert send("POST", "/v1/cases", content=body, headers=JSON).status_code in {400, 422}


def test_wrong_types_have_a_pointer_each(send, case):
    answer = send("POST", f"/v1/cases/{case['id']}/notes", json={"kind": 5, "text": ["x"]})
    pointers = {error["pointer"] for error in is_problem(answer, 422)["errors"]}
    assert {"#/kind", "#/text"} <= pointers


@pytest.mark.parametrize(
    "field", ["id", "custodian_id", "version", "status", "created_at", "organisation_id"]
)
def test_fields_that_are_not_the_callers_are_refused(send, case, field):
    answer = send(
        "POST", "/v1/cases", json={"person_id": case["person_id"], "worker": "w", field: "x"}
    )
    problem = is_problem(answer, 422, "invalid")
    assert f"#/{field}" in {error["pointer"] for error in problem["errors"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/cases/cas_00000000000000000000000000",
        "/v1/cases/x",
        "/v1/persons/per_00000000000000000000000000",
        "/v1/referrals/ref_00000000000000000000000000",
        "/v1/documents/doc_00000000000000000000000000",
        "/v1/deliveries/dlv_00000000000000000000000000",
        "/v1/nowhere",
        "/v2/cases",
    ],
)
def test_unknown_ids_and_paths_are_404(send, path):
    is_problem(send("GET", path), 404)


def test_a_stale_etag_is_412_and_a_missing_one_428(send, case):
    path = f"/v1/cases/{case['id']}/activate"
    is_problem(send("POST", path, headers={"If-Match": '"99"'}), 412, "precondition-failed")
    is_problem(send("POST", path), 428, "precondition-required")


def test_a_missing_idempotency_key_is_400(calm, clinic, case):
    answer = httpx.post(
        f"{calm.url}/v1/cases/{case['id']}/notes",
        json={"kind": "coordination", "text": "x"},
        headers={"Authorization": f"Bearer {clinic.token()}"},
    )
    is_problem(answer, 400, "idempotency-key-missing")


def test_a_reused_key_with_another_body_is_422(send, clinic):
    key = {"Idempotency-Key": secrets.token_hex(8)}
    person = {"family_name": "Key", "given_name": "One"}
    assert send("POST", "/v1/persons", json=person, headers=key).status_code == 201
    again = send("POST", "/v1/persons", json={**person, "given_name": "Two"}, headers=key)
    is_problem(again, 422, "idempotency-key-reused")


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30"])
def test_a_token_that_is_none_is_401(send, token):
    answer = send("GET", "/v1/cases", token=token)
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_another_signers_token_is_401(send, clinic):
    header, claims, signature = clinic.token().split(".")
    flipped = ("A" if signature[10] != "A" else "B") + signature[11:]
    is_problem(send("GET", "/v1/cases", token=f"{header}.{claims}.{signature[:10]}{flipped}"), 401)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/v1/cases", "/v1/persons", "/v1/referrals", "/v1/consents"])
def test_a_body_of_100_megabytes_is_413(send, path, declared):
    megabyte = b"x" * (1 << 20)

    def chunks():
        for _ in range(100):
            yield megabyte

    content = megabyte * 100 if declared else chunks()
    try:
        answer = send("POST", path, content=content, headers=JSON)
    except httpx.WriteError:  # refused while still sending: the connection is closed on us
        return
    is_problem(answer, 413, "payload-too-large")


@pytest.mark.parametrize("cursor", ["x", "e30", "AAAA", "%00", "é"])
def test_a_made_up_cursor_is_400(send, cursor):
    is_problem(send("GET", f"/v1/cases?cursor={cursor}"), 400, "cursor-invalid")


def test_a_cursor_of_another_list_is_400(send, clinic):
    for n in range(2):
        clinic.post("/v1/persons", {"family_name": "Page", "given_name": str(n)})
    cursor = clinic.get("/v1/persons", limit=1).body["next"]
    assert cursor
    is_problem(send("GET", f"/v1/cases?cursor={cursor}"), 400, "cursor-invalid")


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1e3"])
def test_an_odd_limit_is_422(send, limit):
    is_problem(send("GET", f"/v1/cases?limit={limit}"), 422)


def test_no_identity_header_from_outside_counts(send, calm, case):
    outsider = calm.partner("Northside Housing Aid")
    forged = {
        "X-Organisation-Id": case["custodian_id"],
        "X-Forwarded-User": case["custodian_id"],
        "X-Internal-Token": "x",
    }
    answer = send("GET", f"/v1/cases/{case['id']}", headers=forged, token=outsider.token())
    is_problem(answer, 404)


def test_a_nul_in_a_text_is_422(send, case):
    body = {"kind": "coordination", "text": "a\x00b"}
    is_problem(send("POST", f"/v1/cases/{case['id']}/notes", json=body), 422)
