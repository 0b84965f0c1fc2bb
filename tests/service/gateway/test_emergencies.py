"""Emergency access at the gateway: who may, for how long, what it documents, who reviews it."""

import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from svckit.ids import new_id

from tests.gateway import HTTP, Gateway, Partner

PATH = "/v1/emergency-accesses"
TEXT = "found unconscious, no relative to ask"


@pytest.fixture(scope="module")
def hospital(gateway: Gateway) -> Partner:
    """A clinic with which the custodian agreed on treatment, and whose client may break the glass."""
    found = gateway.client(gateway.organisation("clinic", "Hospital"), "BTG")
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": found.organisation_id,
        "purposes": ["TREAT"],
        "classes": ["identity", "clinical", "notes"],
    }
    assert gateway.admin.post("/v1/agreements", body).status_code == 201
    return found


def person_of(gateway: Gateway) -> str:
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)
    return person_id


def ask(gateway: Gateway, by: Partner, person_id: str, **changes: Any) -> httpx.Response:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "person_id": person_id,
        "reason_code": "medical-emergency",
        "reason_text": TEXT,
        "role": "emergency physician",
        "personnel_name": "Dr. Ines Zq",
        "personnel_affiliation": "Hospital, emergency department",
        **changes,
    }
    return by.post(PATH, body)


def opened(gateway: Gateway, by: Partner, **changes: Any) -> dict[str, Any]:
    answer = ask(gateway, by, person_of(gateway), **changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(gateway: Gateway, subject: str) -> list[dict[str, Any]]:
    found = gateway.sql(
        "SELECT headers->>'ce_type' AS type, value FROM log_record "
        "WHERE headers->>'ce_subject' = $1 UNION ALL "
        "SELECT type, value FROM outbox WHERE subject = $1 ORDER BY 1",
        subject,
    )
    return [dict(row) for row in found]


def test_it_opens_what_is_agreed_for_four_hours_and_for_emergencies_only(
    gateway: Gateway, hospital: Partner
) -> None:
    made = opened(gateway, hospital)
    (grant,) = hospital.get("/v1/grants", person_id=made["person_id"]).json()["items"]
    assert (grant["basis"], grant["basis_id"]) == ("emergency", made["id"])
    assert grant["purposes"] == ["ETREAT"]
    assert grant["classes"] == ["identity", "clinical", "notes"]
    begins, ends, due = (
        datetime.fromisoformat(made[name]) for name in ("opened_at", "ends_at", "review_due_at")
    )
    assert ends - begins == timedelta(hours=4)
    assert due - begins == timedelta(hours=72)
    assert grant["valid_to"] == made["ends_at"]


def test_it_documents_what_42_cfr_2_51_and_an_audit_ask_for(
    gateway: Gateway, hospital: Partner
) -> None:
    made = opened(gateway, hospital)
    assert made["personnel_name"] == "Dr. Ines Zq"
    assert made["personnel_affiliation"] == "Hospital, emergency department"
    assert made["discloser"] == "Lakeside, by rule"
    assert made["reason_text"] == TEXT
    assert (made["purpose"], made["client_id"]) == ("BTG", hospital.client_id)
    assert made["address"] == "127.0.0.1"
    named = opened(gateway, hospital, discloser="Records desk, M. Ruiz")
    assert named["discloser"] == "Records desk, M. Ruiz"


def test_its_event_says_who_and_when_and_not_a_word_of_why(
    gateway: Gateway, hospital: Partner
) -> None:
    made = opened(gateway, hospital)
    (event,) = told(gateway, made["id"])
    assert event["type"] == "org.careloop.emergency-access.opened.v1"
    for word in (TEXT, "Ines", "physician", "department"):
        assert word.encode() not in event["value"]
    assert gateway.clinic.organisation_id.encode() in event["value"]


@pytest.mark.parametrize(
    ("kind", "purpose", "code"),
    [
        ("clinic", "TREAT", "purpose-not-emergency"),
        ("clinic", "COC", "purpose-not-emergency"),
        ("payer", "HPAYMT", "emergency-not-allowed"),
        ("social-service", "COC", "emergency-not-allowed"),
        ("coordinator", "COC", "emergency-not-allowed"),
    ],
)
def test_no_other_kind_and_no_other_purpose_may(
    gateway: Gateway, kind: str, purpose: str, code: str
) -> None:
    other = gateway.client(gateway.organisation(kind, f"No {code}"), purpose)
    answer = ask(gateway, other, person_of(gateway))
    assert (answer.status_code, answer.json()["code"]) == (403, code)


def test_without_an_agreement_in_force_there_is_none(gateway: Gateway) -> None:
    stranger = gateway.client(gateway.organisation("clinic", "Stranger"), "BTG")
    for person_id in (person_of(gateway), new_id("per")):
        answer = ask(gateway, stranger, person_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "no-agreement")
    assert stranger.get("/v1/grants").json()["items"] == []
    assert stranger.get(PATH).json()["items"] == []


def test_an_agreement_about_another_purpose_does_not_do(gateway: Gateway) -> None:
    other = gateway.client(gateway.organisation("clinic", "Coordinating only"), "BTG")
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": other.organisation_id,
        "purposes": ["COC"],
        "classes": ["identity"],
    }
    assert gateway.admin.post("/v1/agreements", body).status_code == 201
    answer = ask(gateway, other, person_of(gateway))
    assert (answer.status_code, answer.json()["code"]) == (409, "no-agreement")


def test_a_person_the_custodian_does_not_keep_is_refused(
    gateway: Gateway, hospital: Partner
) -> None:
    answer = ask(gateway, hospital, new_id("per"))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "unknown-person")


@pytest.mark.parametrize("left_out", ["reason_code", "reason_text", "role", "personnel_name"])
def test_every_part_of_the_documentation_is_required(
    gateway: Gateway, hospital: Partner, left_out: str
) -> None:
    answer = ask(gateway, hospital, new_id("per"), **{left_out: None})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"#/{left_out}"


def test_the_custodian_and_the_requester_see_it_and_nobody_else(
    gateway: Gateway, hospital: Partner
) -> None:
    made = opened(gateway, hospital)
    for partner in (hospital, gateway.clinic):
        assert partner.get(f"{PATH}/{made['id']}").json()["reason_text"] == TEXT
        assert made["id"] in [item["id"] for item in partner.get(PATH).json()["items"]]
    for partner in (gateway.pantry, gateway.outsider, gateway.admin):
        assert partner.get(f"{PATH}/{made['id']}").status_code == 404
        assert partner.get(PATH).json()["items"] == []


def test_the_custodian_reviews_it_once(gateway: Gateway, hospital: Partner) -> None:
    made = opened(gateway, hospital)
    path, body = f"{PATH}/{made['id']}/review", {"outcome": "justified", "note": "chart agrees"}
    own = hospital.post(path, body)
    assert (own.status_code, own.json()["code"]) == (403, "not-the-custodian")
    assert gateway.outsider.post(path, body).status_code == 404
    done = gateway.clinic.post(path, body)
    assert (done.status_code, done.json()["review"]) == (200, "done")
    assert done.json()["reviewed_by"] == gateway.clinic.client_id
    again = gateway.clinic.post(path, {**body, "outcome": "unjustified"})
    assert (again.status_code, again.json()["code"]) == (409, "already-reviewed")
    assert hospital.get(f"{PATH}/{made['id']}").json()["outcome"] == "justified"
    kinds = [event["type"].split(".")[3] for event in told(gateway, made["id"])]
    assert kinds == ["opened", "reviewed"]


def test_an_unjustified_one_ends_with_its_review(gateway: Gateway, hospital: Partner) -> None:
    made = opened(gateway, hospital)
    body = {"outcome": "unjustified", "note": "nobody was ill"}
    gateway.clinic.post(f"{PATH}/{made['id']}/review", body)
    assert over(hospital, made)


def over(hospital: Partner, made: dict[str, Any]) -> bool:
    (grant,) = hospital.get("/v1/grants", person_id=made["person_id"]).json()["items"]
    return bool(datetime.fromisoformat(grant["valid_to"]).timestamp() <= time.time())


def test_either_side_ends_it_early(gateway: Gateway, hospital: Partner) -> None:
    for by in (hospital, gateway.clinic):
        made = opened(gateway, hospital)
        assert not over(hospital, made)
        path = f"{PATH}/{made['id']}/end"
        assert gateway.outsider.post(path, None, **{"If-Match": '"1"'}).status_code == 404
        ended = by.post(path, None, **{"If-Match": '"1"'})
        assert ended.json()["ended_by_id"] == by.organisation_id
        assert over(hospital, made)
        again = by.post(path, None, **{"If-Match": '"2"'})
        assert (again.status_code, again.json()["code"]) == (409, "emergency-access-ended")


def test_a_later_agreement_does_not_prolong_or_widen_it(
    gateway: Gateway, hospital: Partner
) -> None:
    made = opened(gateway, hospital)
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": hospital.organisation_id,
        "purposes": ["TREAT"],
        "classes": ["substance-use"],
    }
    seen = gateway.admin.post("/v1/access/simulate", {"agreement": body}).json()
    answer = gateway.admin.post("/v1/agreements", {**body, "diff": seen["digest"]})
    assert answer.status_code == 201, answer.text
    (grant,) = hospital.get("/v1/grants", person_id=made["person_id"]).json()["items"]
    assert grant["classes"] == ["identity", "clinical", "notes"]


def test_what_nobody_reviewed_in_time_shows_in_the_queue_and_in_the_metrics(
    gateway: Gateway, hospital: Partner
) -> None:
    late, fresh = opened(gateway, hospital)["id"], opened(gateway, hospital)["id"]
    gateway.sql(
        "UPDATE emergency_access SET review_due_at = now() - interval '1 hour' WHERE id = $1", late
    )

    def queue(review: str) -> list[str]:
        items = gateway.clinic.get(PATH, review=review, limit=200).json()["items"]
        assert {item["review"] for item in items} <= {review}
        return [item["id"] for item in items]

    assert late in queue("overdue")
    assert late not in queue("due")
    assert fresh in queue("due")
    assert fresh not in queue("overdue")
    deadline = time.monotonic() + 20
    while overdue(gateway) != 1.0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert overdue(gateway) == 1.0
    body = {"outcome": "justified", "note": "late, but so"}
    gateway.clinic.post(f"{PATH}/{late}/review", body)
    assert late not in queue("overdue")
    assert late in queue("done")


def overdue(gateway: Gateway) -> float:
    (line,) = (
        line
        for line in HTTP.get(f"{gateway.url}/metrics").text.splitlines()
        if line.startswith("careloop_emergency_reviews_overdue ")
    )
    return float(line.split(" ")[1])
