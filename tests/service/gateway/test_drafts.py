"""Agreements as reviewed data: drafted, simulated, published with the difference that was seen."""

import hashlib
import json
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest
import yaml
from svckit.clock import now
from svckit.ids import new_id

from tests.gateway import Gateway, Partner

DRAFTS = "/v1/agreements/drafts"


@pytest.fixture
def other(gateway: Gateway) -> Partner:
    """A recipient of its own for each test: what stands with others does not count."""
    return gateway.client(gateway.organisation("clinic", "Other"), "TREAT", "COC")


def terms(gateway: Gateway, other: Partner, **changes: Any) -> dict[str, Any]:
    return {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": other.organisation_id,
        "purposes": ["TREAT"],
        "classes": ["identity", "plan"],
        **changes,
    }


def drafted(gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.admin.post(DRAFTS, body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def simulated(gateway: Gateway, draft: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.admin.post(f"{DRAFTS}/{draft['id']}/simulate", None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def publish(gateway: Gateway, draft: dict[str, Any], diff: str | None) -> httpx.Response:
    return gateway.admin.post(f"{DRAFTS}/{draft['id']}/publish", {"diff": diff})


def published(gateway: Gateway, body: dict[str, Any]) -> dict[str, Any]:
    draft = drafted(gateway, body)
    answer = publish(gateway, draft, simulated(gateway, draft)["digest"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def permitted(gateway: Gateway, other: Partner, *classes: str) -> str:
    """Let a person of the clinic permit the recipient something, and return the person's id."""
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)
    body = {
        "person_id": person_id,
        "recipient_id": other.organisation_id,
        "decision": "permit",
        "classes": list(classes),
        "purposes": ["TREAT"],
    }
    assert gateway.clinic.post("/v1/consents", body).status_code == 201
    return person_id


def write(gateway: Gateway, text: str | bytes, media_type: str) -> httpx.Response:
    headers = {"Idempotency-Key": secrets.token_hex(8), "Content-Type": media_type}
    with gateway.admin.http(**headers) as http:
        return http.post(DRAFTS, content=text)


def test_a_draft_says_its_version_and_does_nothing(gateway: Gateway, other: Partner) -> None:
    permitted(gateway, other, "identity")
    draft = drafted(gateway, terms(gateway, other, classes=["plan", "identity", "plan"]))
    assert draft["stage"] == "draft"
    assert draft["content"]["classes"] == ["identity", "plan"]
    canonical = json.dumps(draft["content"], sort_keys=True, separators=(",", ":"))
    assert draft["sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert other.get("/v1/agreements").json()["items"] == []
    assert other.get("/v1/grants").json()["items"] == []


def test_yaml_and_json_that_say_the_same_are_the_same_version(
    gateway: Gateway, other: Partner
) -> None:
    body = terms(gateway, other, valid_from="2026-01-01T00:00:00Z", legal_basis="45 CFR 164.506")
    of_json = drafted(gateway, body)
    of_yaml = write(gateway, yaml.safe_dump(body, sort_keys=True), "application/yaml")
    assert of_yaml.status_code == 201, of_yaml.text
    assert of_yaml.json()["sha256"] == of_json["sha256"]
    later = drafted(gateway, {**body, "retention_days": 31})
    assert later["sha256"] != of_json["sha256"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"classes": ["identity", "shoe-size"]}, "#/classes/1"),
        ({"purposes": ["FUN"]}, "#/purposes/0"),
        ({"consent_classes": ["nothing"]}, "#/consent_classes/0"),
        ({"recipient_id": None, "recipient_kind": "hospital"}, "#/recipient_kind"),
        ({"recipient_id": "org_00000000000000000000000000"}, "#/recipient_id"),
        ({"custodian_id": "org_00000000000000000000000000"}, "#/custodian_id"),
        ({"confidentiality": "X"}, "#/confidentiality"),
        ({"predicate": "1 = 1"}, "#/predicate"),
        ({"valid_from": "2026-01-01"}, "#/valid_from"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
def test_what_is_unknown_is_refused_with_its_place(
    gateway: Gateway, change: dict[str, Any], pointer: str, media_type: str
) -> None:
    body = terms(gateway, gateway.pantry, **change)
    text = json.dumps(body) if "json" in media_type else yaml.safe_dump(body)
    answer = write(gateway, text, media_type)
    assert answer.status_code == 422, answer.text
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("a: &x [1]\nb: *x\n", 400),
        ("custodian_id: a\ncustodian_id: b\n", 422),
        ("!!python/object/apply:os.system ['true']", 400),
        ("a: [", 400),
        (b"a: \xff", 400),
        ("- a\n", 422),
    ],
)
def test_yaml_is_read_strictly(gateway: Gateway, text: str | bytes, status: int) -> None:
    assert write(gateway, text, "application/yaml").status_code == status
    assert write(gateway, text, "text/csv").status_code == 415


def test_a_name_written_twice_in_json_is_refused(gateway: Gateway) -> None:
    answer = write(gateway, '{"classes": [], "classes": ["plan"]}', "application/json")
    assert answer.json()["errors"][0]["pointer"] == "#/classes"


def test_the_difference_is_who_gains_what_of_whom(gateway: Gateway, other: Partner) -> None:
    person_id = permitted(gateway, other, "identity", "notes")
    found = simulated(gateway, drafted(gateway, terms(gateway, other)))
    assert found["widens"] is True
    assert found["loses"] == []
    (gain,) = [one for one in found["gains"] if one["purpose"] == "TREAT"]
    assert gain["recipient_id"] == other.organisation_id
    assert (gain["persons"], gain["person_records"], gain["cases"]) == (1, 1, 0)
    # the person permits notes as well; the agreement does not list them
    assert gain["classes"] == {"identity": 1}
    assert "family_name" in gain["fields"]["person"]
    assert "phone" not in gain["fields"]["person"]
    assert [(one["person_id"], one["classes"]) for one in gain["sample"]] == [
        (person_id, ["identity"])
    ]


def test_a_simulation_leaves_no_trace(gateway: Gateway, other: Partner) -> None:
    permitted(gateway, other, "identity")
    tables = ("agreement", "grant_", "audit")
    draft = drafted(gateway, terms(gateway, other))
    before = [gateway.sql(f"SELECT count(*) FROM {name}")[0][0] for name in tables]
    first, second = simulated(gateway, draft), simulated(gateway, draft)
    assert first == second
    assert [gateway.sql(f"SELECT count(*) FROM {name}")[0][0] for name in tables] == before
    assert other.get("/v1/grants").json()["items"] == []


def test_what_was_simulated_is_what_is_published(gateway: Gateway, other: Partner) -> None:
    person_id = permitted(gateway, other, "identity")
    draft = drafted(gateway, terms(gateway, other))
    seen = simulated(gateway, draft)
    made = publish(gateway, draft, seen["digest"])
    assert made.status_code == 200, made.text
    assert made.json()["sha256"] == draft["sha256"]
    (grant,) = other.get("/v1/grants").json()["items"]
    assert (grant["person_id"], grant["classes"]) == (person_id, ["identity"])
    kept = gateway.admin.get(f"{DRAFTS}/{draft['id']}").json()
    assert (kept["stage"], kept["agreement_id"]) == ("published", made.json()["id"])
    assert kept["diff"]["digest"] == seen["digest"]
    assert kept["published_by"] == gateway.admin.client_id


def test_without_the_difference_nothing_is_published(gateway: Gateway, other: Partner) -> None:
    draft = drafted(gateway, terms(gateway, other))
    refused = publish(gateway, draft, None)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-required")
    wrong = publish(gateway, draft, "0" * 64)
    assert (wrong.status_code, wrong.json()["code"]) == (409, "diff-changed")
    assert other.get("/v1/agreements").json()["items"] == []


def test_a_difference_that_is_no_longer_the_one_seen_is_refused(
    gateway: Gateway, other: Partner
) -> None:
    draft = drafted(gateway, terms(gateway, other))
    seen = simulated(gateway, draft)
    permitted(gateway, other, "identity")
    refused = publish(gateway, draft, seen["digest"])
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-changed")
    assert other.get("/v1/grants").json()["items"] == []
    assert publish(gateway, draft, simulated(gateway, draft)["digest"]).status_code == 200


def test_a_permit_given_before_an_agreement_begins_opens_with_it(
    gateway: Gateway, other: Partner
) -> None:
    """Recorded between publication and beginning: nobody looks again when it begins."""
    begins = now() + timedelta(days=2)
    made = published(gateway, terms(gateway, other, valid_from=begins.isoformat()))
    person_id = permitted(gateway, other, "identity")
    (row,) = gateway.sql(
        "SELECT agreement_id, valid_from, classes FROM grant_ WHERE person_id = $1", person_id
    )
    assert (row["agreement_id"], row["valid_from"]) == (made["id"], begins)
    assert json.loads(row["classes"]) == ["identity"]


def test_a_permit_that_ends_before_the_agreement_begins_opens_nothing(
    gateway: Gateway, other: Partner
) -> None:
    begins = now() + timedelta(days=2)
    published(gateway, terms(gateway, other, valid_from=begins.isoformat()))
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)
    body = {
        "person_id": person_id,
        "recipient_id": other.organisation_id,
        "decision": "permit",
        "classes": ["identity"],
        "purposes": ["TREAT"],
        "valid_to": (begins - timedelta(days=1)).isoformat(),
    }
    assert gateway.clinic.post("/v1/consents", body).status_code == 201
    assert gateway.sql("SELECT 1 FROM grant_ WHERE person_id = $1", person_id) == []


def test_a_draft_is_published_once(gateway: Gateway, other: Partner) -> None:
    draft = drafted(gateway, terms(gateway, other))
    digest = simulated(gateway, draft)["digest"]
    assert publish(gateway, draft, digest).status_code == 200
    again = publish(gateway, draft, digest)
    assert (again.status_code, again.json()["code"]) == (409, "draft-over")


def test_a_revision_widens_what_stands_and_supersedes(gateway: Gateway, other: Partner) -> None:
    first = published(gateway, terms(gateway, other))
    person_id = permitted(gateway, other, "identity", "notes")
    wider = terms(gateway, other, classes=["identity", "notes"], agreement_id=first["id"])
    draft = drafted(gateway, wider)
    found = simulated(gateway, draft)
    assert found["terms"] == [
        {"field": "classes", "before": ["identity", "plan"], "after": ["identity", "notes"]}
    ]
    (gain,) = [one for one in found["gains"] if one["purpose"] == "TREAT"]
    assert gain["classes"] == {"notes": 1}
    made = publish(gateway, draft, found["digest"]).json()
    assert (made["id"], made["version"]) == (first["id"], 2)
    (grant,) = other.get("/v1/grants", person_id=person_id).json()["items"]
    assert sorted(grant["classes"]) == ["identity", "notes"]
    history = gateway.admin.get(DRAFTS, agreement_id=first["id"]).json()["items"]
    assert [one["stage"] for one in history] == ["published", "superseded"]


def test_a_revision_that_narrows_shows_who_loses(gateway: Gateway, other: Partner) -> None:
    first = published(gateway, terms(gateway, other))
    person_id = permitted(gateway, other, "identity", "plan")
    narrower = terms(gateway, other, classes=["identity"], agreement_id=first["id"])
    found = simulated(gateway, drafted(gateway, narrower))
    assert (found["widens"], found["gains"]) == (False, [])
    (loss,) = [one for one in found["loses"] if one["purpose"] == "TREAT"]
    assert (loss["classes"], loss["sample"][0]["person_id"]) == ({"plan": 1}, person_id)


def test_a_revision_of_what_changed_meanwhile_is_refused(gateway: Gateway, other: Partner) -> None:
    first = published(gateway, terms(gateway, other))
    body = terms(gateway, other, classes=["plan"], agreement_id=first["id"])
    stale, fresh = drafted(gateway, body), drafted(gateway, {**body, "retention_days": 5})
    assert publish(gateway, fresh, simulated(gateway, fresh)["digest"]).status_code == 200
    assert gateway.admin.post(f"{DRAFTS}/{stale['id']}/simulate", None).status_code == 412


def test_a_revision_keeps_its_parties(gateway: Gateway, other: Partner) -> None:
    first = published(gateway, terms(gateway, other))
    body = terms(gateway, gateway.pantry, agreement_id=first["id"])
    answer = gateway.admin.post(DRAFTS, body)
    assert answer.json()["errors"][0]["pointer"] == "#/recipient_id"


def test_an_ended_agreement_is_not_revised(gateway: Gateway, other: Partner) -> None:
    first = published(gateway, terms(gateway, other))
    gateway.admin.post(f"/v1/agreements/{first['id']}/end", None, **{"If-Match": '"1"'})
    answer = gateway.admin.post(DRAFTS, terms(gateway, other, agreement_id=first["id"]))
    assert (answer.status_code, answer.json()["code"]) == (409, "agreement-ended")
    (kept,) = gateway.admin.get(DRAFTS, agreement_id=first["id"]).json()["items"]
    assert kept["stage"] == "ended"


def test_in_one_step_only_what_lets_nobody_see_more(gateway: Gateway, other: Partner) -> None:
    body = terms(gateway, other)
    permitted(gateway, other, "identity")
    refused = gateway.admin.post("/v1/agreements", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-required")
    assert other.get("/v1/grants").json()["items"] == []
    digest = simulated(gateway, drafted(gateway, body))["digest"]
    made = gateway.admin.post("/v1/agreements", {**body, "diff": digest})
    assert made.status_code == 201, made.text
    assert len(other.get("/v1/grants").json()["items"]) == 1
    assert gateway.admin.post("/v1/agreements", body).status_code == 201
    wider = {**body, "classes": ["identity", "notes"]}
    refused = gateway.admin.post("/v1/agreements", wider)
    assert (refused.status_code, refused.json()["code"]) == (409, "diff-required")


def test_drafts_are_the_administrators(gateway: Gateway, other: Partner) -> None:
    draft = drafted(gateway, terms(gateway, other))
    for partner in (gateway.clinic, other):
        assert partner.get(DRAFTS).status_code == 403
        assert partner.get(f"{DRAFTS}/{draft['id']}").status_code == 403
        assert partner.post(f"{DRAFTS}/{draft['id']}/publish", {}).status_code == 403
