"""Organisations, clients, agreements, consents and grants over HTTP: effects, not only statuses."""

import json
import secrets
import time
from typing import Any

import pytest
from svckit.ids import new_id

from tests.gateway import Gateway, Partner


def outbox(gateway: Gateway, subject: str) -> list[dict[str, Any]]:
    """Return what was recorded about a subject: still in the outbox, or sent on already."""
    found = gateway.sql(
        "SELECT type, version, value FROM outbox WHERE subject = $1 "
        "UNION SELECT headers->>'ce_type', (headers->>'ce_aggregateversion')::int, value "
        "FROM log_record WHERE headers->>'ce_subject' = $1 ORDER BY 2",
        subject,
    )
    return [
        {"type": row["type"], "version": row["version"], **json.loads(row["value"])}
        for row in found
    ]


def person_of(gateway: Gateway, organisation_id: str) -> str:
    """Let the gateway know of a person, as case-svc's event would."""
    person_id = new_id("per")
    gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, organisation_id)
    return person_id


def agreement(gateway: Gateway, **changes: Any) -> dict[str, Any]:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": gateway.payer.organisation_id,
        "purposes": ["HOPERAT"],
        "classes": ["outcome"],
        "consent_classes": ["outcome"],
        **changes,
    }
    # what other tests left standing may be opened by it: that has to be seen
    seen = gateway.admin.post("/v1/access/simulate", {"agreement": body}).json()
    answer = gateway.admin.post("/v1/agreements", {**body, "diff": seen["digest"]})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def consent(gateway: Gateway, by: Partner, person_id: str, **changes: Any) -> Any:
    body = {
        "person_id": person_id,
        "recipient_id": gateway.payer.organisation_id,
        "decision": "permit",
        "classes": ["outcome"],
        "purposes": ["HOPERAT"],
        **changes,
    }
    return by.post("/v1/consents", {k: v for k, v in body.items() if v is not None})


def test_an_organisation_is_registered_and_announced(gateway: Gateway) -> None:
    answer = gateway.admin.post("/v1/organisations", {"kind": "clinic", "name": "North"})
    assert answer.status_code == 201
    row = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/organisations/{row['id']}"
    (event,) = outbox(gateway, row["id"])
    assert event["type"] == "org.careloop.organisation.registered.v1"
    assert event["change"] == {"kind": "clinic", "name": "North", "part2_program": False}
    assert gateway.clinic.get(f"/v1/organisations/{row['id']}").json()["name"] == "North"
    audited = gateway.sql("SELECT action FROM audit WHERE resource = $1", row["id"])
    assert [entry["action"] for entry in audited] == ["organisation.register"]


def test_an_organisation_is_renamed_under_its_version(gateway: Gateway) -> None:
    made = gateway.organisation("payer", "Old")
    with gateway.admin.http() as http:
        path = f"/v1/organisations/{made}"
        assert http.patch(path, json={"name": "New"}).status_code == 428
        assert (
            http.patch(path, json={"name": "New"}, headers={"If-Match": '"7"'}).status_code == 412
        )
        answer = http.patch(path, json={"name": "New"}, headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        assert http.patch(path, json={"name": "X"}, headers={"If-Match": '"1"'}).status_code == 412
    assert [e["version"] for e in outbox(gateway, made)] == [1, 2]


def test_a_repeated_command_acts_once(gateway: Gateway) -> None:
    key, body = secrets.token_hex(8), {"kind": "clinic", "name": "Once"}
    first = gateway.admin.post("/v1/organisations", body, key=key)
    again = gateway.admin.post("/v1/organisations", body, key=key)
    assert first.json() == again.json()
    other = gateway.admin.post("/v1/organisations", {**body, "name": "Twice"}, key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    with gateway.admin.http() as http:
        bare = http.post("/v1/organisations", json=body)
    assert (bare.status_code, bare.json()["code"]) == (400, "idempotency-key-missing")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/organisations", {"kind": "clinic", "name": "A", "id": "org_1"}),
        ("/v1/organisations", {"kind": "clinic", "name": "A", "version": 9}),
        ("/v1/organisations", {"kind": "hospital", "name": "A"}),
        ("/v1/organisations", {"kind": "clinic", "name": ""}),
        ("/v1/organisations", {"kind": "clinic", "name": 7}),
        ("/v1/organisations", []),
        ("/v1/agreements", {"custodian_id": "org_1"}),
        ("/v1/consents", {"person_id": "per_1", "decision": "maybe"}),
    ],
)
def test_a_body_that_does_not_fit_is_422_with_pointers(
    gateway: Gateway, path: str, body: Any
) -> None:
    answer = gateway.admin.post(path, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(error["pointer"].startswith("#") for error in answer.json()["errors"])


def test_malformed_json_is_400(gateway: Gateway) -> None:
    with gateway.admin.http() as http:
        headers = {"Idempotency-Key": "m", "Content-Type": "application/json"}
        answer = http.post("/v1/organisations", content=b'{"kind": ', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-json")


def test_lists_page_by_signed_cursor(gateway: Gateway) -> None:
    made = {gateway.organisation("clinic", f"Page {n}") for n in range(5)}
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = gateway.clinic.get("/v1/organisations", **params)
        seen += [item["id"] for item in page.json()["items"]]
        assert len(page.json()["items"]) <= 2
        if page.json()["next"] is None:
            break
        assert 'rel="next"' in page.headers["link"]
        params["cursor"] = page.json()["next"]
    assert made <= set(seen)
    assert seen == sorted(seen, reverse=True)
    stolen = gateway.pantry.get("/v1/organisations", **params)
    assert (stolen.status_code, stolen.json()["code"]) == (400, "cursor-invalid")


def test_clients_are_seen_by_their_organisation_and_the_coordinator(gateway: Gateway) -> None:
    path = f"/v1/clients/{gateway.clinic.client_id}"
    assert gateway.clinic.get(path).status_code == 200
    assert gateway.admin.get(path).status_code == 200
    assert gateway.pantry.get(path).status_code == 404
    own = gateway.pantry.get("/v1/clients").json()["items"]
    assert {item["organisation_id"] for item in own} == {gateway.pantry.organisation_id}
    assert "secret_hash" not in own[0]
    owner = gateway.clinic.organisation_id
    filtered = gateway.admin.get("/v1/clients", organisation_id=owner, limit=200).json()["items"]
    assert {item["organisation_id"] for item in filtered} == {owner}


def test_an_agreement_is_published_seen_by_its_parties_and_ended(gateway: Gateway) -> None:
    made = agreement(gateway)
    path = f"/v1/agreements/{made['id']}"
    for partner in (gateway.clinic, gateway.payer, gateway.admin):
        assert partner.get(path).status_code == 200
    for partner in (gateway.pantry, gateway.outsider):
        assert partner.get(path).status_code == 404
        assert made["id"] not in [i["id"] for i in partner.get("/v1/agreements").json()["items"]]
    assert gateway.admin.post(f"{path}/end", None).status_code == 428
    ended = gateway.admin.post(f"{path}/end", None, **{"If-Match": '"1"'})
    assert ended.json()["ended_at"]
    again = gateway.admin.post(f"{path}/end", None, **{"If-Match": '"2"'})
    assert (again.status_code, again.json()["code"]) == (409, "agreement-ended")
    published, over = outbox(gateway, made["id"])
    assert published["type"] == "org.careloop.agreement.published.v1"
    assert published["change"]["valid_to"] is None
    assert over["change"]["valid_to"] == ended.json()["valid_to"]
    assert over["parties"] == [gateway.payer.organisation_id]


@pytest.mark.parametrize(
    "change",
    [
        {"recipient_kind": "payer"},
        {"recipient_id": None},
        {"consent_classes": ["notes"]},
        {"classes": ["everything"]},
        {"purposes": ["FUN"]},
        {"purposes": []},
        {"recipient_id": "org_00000000000000000000000000"},
        {"valid_from": "2030-01-01T00:00:00Z", "valid_to": "2029-01-01T00:00:00Z"},
        {"valid_to": "2020-01-01T00:00:00Z"},
        {"valid_from": "2030-01-01T00:00:00"},
        {"retention_days": -1},
    ],
)
def test_an_agreement_that_makes_no_sense_is_refused(
    gateway: Gateway, change: dict[str, Any]
) -> None:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": gateway.payer.organisation_id,
        "purposes": ["HOPERAT"],
        "classes": ["outcome"],
        **change,
    }
    assert gateway.admin.post("/v1/agreements", body).status_code == 422


def test_a_permit_for_a_named_recipient_opens_a_grant_until_withdrawn(gateway: Gateway) -> None:
    bound = agreement(gateway)
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    made = consent(gateway, gateway.clinic, person_id)
    assert made.status_code == 201
    held = gateway.payer.get("/v1/grants", person_id=person_id).json()["items"]
    (grant,) = [item for item in held if item["agreement_id"] == bound["id"]]
    assert (grant["basis"], grant["basis_id"]) == ("consent", made.json()["id"])
    assert grant["classes"] == ["outcome"]
    assert grant["valid_to"] is None
    path = f"/v1/consents/{made.json()['id']}/withdraw"
    withdrawn = gateway.clinic.post(path, None, **{"If-Match": '"1"'})
    assert withdrawn.json()["active"] is False
    ended = gateway.payer.get(f"/v1/grants/{grant['id']}").json()
    assert ended["valid_to"] is not None
    assert [e["type"] for e in outbox(gateway, grant["id"])] == [
        "org.careloop.grant.opened.v1",
        "org.careloop.grant.ended.v1",
    ]
    told = outbox(gateway, made.json()["id"])
    assert [e["change"]["active"] for e in told] == [True, False]
    again = gateway.clinic.post(path, None, **{"If-Match": '"2"'})
    assert (again.status_code, again.json()["code"]) == (409, "consent-withdrawn")


def test_a_denial_opens_nothing_and_is_announced(gateway: Gateway) -> None:
    agreement(gateway)
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    changes = {"decision": "deny", "classes": None, "purposes": None, "recipient_id": None}
    made = consent(gateway, gateway.clinic, person_id, **changes)
    assert made.status_code == 201
    assert gateway.clinic.get("/v1/grants", person_id=person_id).json()["items"] == []
    (event,) = outbox(gateway, made.json()["id"])
    # a deny that names no class is a deny of each
    assert (event["change"]["decision"], len(event["change"]["classes"])) == ("deny", 12)
    assert len(event["classes"]) == 12


def test_a_permit_beyond_the_agreement_opens_only_what_is_agreed(gateway: Gateway) -> None:
    bound = agreement(gateway)
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    everything = {"classes": ["identity", "outcome", "notes"], "purposes": ["HOPERAT", "TREAT"]}
    consent(gateway, gateway.clinic, person_id, **everything)
    held = gateway.payer.get("/v1/grants", person_id=person_id).json()["items"]
    (grant,) = [item for item in held if item["agreement_id"] == bound["id"]]
    assert (grant["classes"], grant["purposes"]) == (["outcome"], ["HOPERAT"])


def test_a_permit_older_than_the_agreement_counts_once_it_is_published(gateway: Gateway) -> None:
    late = gateway.client(gateway.organisation("payer", "Late"), "HOPERAT")
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    consent(gateway, gateway.clinic, person_id, recipient_id=late.organisation_id)
    assert late.get("/v1/grants").json()["items"] == []
    first = agreement(gateway, recipient_id=late.organisation_id)
    second = agreement(gateway, recipient_id=late.organisation_id)
    held = late.get("/v1/grants").json()["items"]
    assert {item["agreement_id"] for item in held} == {first["id"], second["id"]}
    assert {item["person_id"] for item in held} == {person_id}


def test_a_permit_without_an_agreement_opens_nothing(gateway: Gateway) -> None:
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    stranger = gateway.outsider.organisation_id
    made = consent(gateway, gateway.clinic, person_id, recipient_id=stranger)
    assert made.status_code == 201
    assert gateway.outsider.get("/v1/grants", person_id=person_id).json()["items"] == []


def test_a_consent_is_recorded_only_by_who_knows_the_person(gateway: Gateway) -> None:
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    for partner in (gateway.pantry, gateway.outsider):
        answer = consent(gateway, partner, person_id)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "#/person_id"
    unknown = consent(gateway, gateway.clinic, new_id("per"))
    refused = consent(gateway, gateway.outsider, person_id)
    ignored = ("trace_id",)
    assert {k: v for k, v in unknown.json().items() if k not in ignored} == {
        k: v for k, v in refused.json().items() if k not in ignored
    }


def test_who_holds_a_grant_may_record_a_consent_and_the_custodian_sees_it(gateway: Gateway) -> None:
    agreement(gateway)
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    consent(gateway, gateway.clinic, person_id)
    writer = gateway.client(gateway.payer.organisation_id, "HOPERAT")
    made = consent(gateway, writer, person_id, recipient_id=None, decision="deny")
    assert made.status_code == 201
    assert gateway.clinic.get(f"/v1/consents/{made.json()['id']}").status_code == 200
    for partner in (gateway.pantry, gateway.outsider, gateway.admin):
        assert partner.get(f"/v1/consents/{made.json()['id']}").status_code == 404
        assert partner.get("/v1/consents", person_id=person_id).json()["items"] == []


def test_a_consent_of_a_person_announced_a_moment_later_is_recorded(gateway: Gateway) -> None:
    import threading

    person_id = new_id("per")

    def announce() -> None:
        gateway.sql("INSERT INTO person VALUES ($1, $2)", person_id, gateway.clinic.organisation_id)

    threading.Timer(0.1, announce).start()
    assert consent(gateway, gateway.clinic, person_id).status_code == 201


def test_grants_are_seen_by_both_sides_and_nobody_else(gateway: Gateway) -> None:
    agreement(gateway)
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    consent(gateway, gateway.clinic, person_id)
    grant = gateway.payer.get("/v1/grants", person_id=person_id).json()["items"][0]
    path = f"/v1/grants/{grant['id']}"
    assert gateway.clinic.get(path).status_code == gateway.payer.get(path).status_code == 200
    for partner in (gateway.pantry, gateway.outsider, gateway.admin):
        assert partner.get(path).status_code == 404
    assert gateway.payer.post("/v1/grants", {}).status_code == 422
    assert gateway.pantry.get("/v1/grants/grt_00000000000000000000000000").status_code == 404


def test_a_decision_in_the_future_is_refused(gateway: Gateway) -> None:
    person_id = person_of(gateway, gateway.clinic.organisation_id)
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    answer = consent(gateway, gateway.clinic, person_id, decided_at=ahead)
    assert answer.json()["errors"][0]["pointer"] == "#/decided_at"
