"""42 CFR Part 2 at the door: programs, consents in its name, and the notice on whatever leaves."""

from typing import Any

import pytest
from sharing.classes import PART2_NOTICE
from svckit.disclosure import Disclosed
from svckit.ids import new_id

from tests.fhir_consents import actor, of_case, of_class, reason
from tests.gateway import Gateway, Partner
from tests.service.gateway.test_fhir_consents import FHIR, grants_of, of, send
from tests.service.gateway.test_ledger import read
from tests.service.gateway.test_resources import agreement, outbox, person_of

SUD = 128


def change(gateway: Gateway, organisation_id: str, version: int, **body: Any) -> Any:
    path = f"/v1/organisations/{organisation_id}"
    with gateway.admin.http() as http:
        return http.patch(path, json=body, headers={"If-Match": f'"{version}"'})


@pytest.fixture(scope="module")
def program(gateway: Gateway) -> Partner:
    found = gateway.client(gateway.organisation("clinic", "Recovery"), "TREAT")
    assert change(gateway, found.organisation_id, 1, part2_program=True).json()["part2_program"]
    terms = {"recipient_id": gateway.outsider.organisation_id, "purposes": ["TREAT"]}
    classes = ["coordination", "substance-use"]
    agreement(
        gateway, custodian_id=found.organisation_id, classes=classes, consent_classes=[], **terms
    )
    return found


def consent(by: Partner, recipient: Partner, person_id: str, **more: Any) -> Any:
    body = {
        "person_id": person_id,
        "recipient_id": recipient.organisation_id,
        "decision": "permit",
        "classes": ["coordination", "substance-use"],
        "purposes": ["TREAT"],
        **more,
    }
    return by.post("/v1/consents", {name: each for name, each in body.items() if each is not None})


def by_law(**more: Any) -> dict[str, Any]:
    signed = {"signed_by": "patient", "decided_at": "2026-01-05T10:00:00Z"}
    return {"legal_basis": "42CFRPart2", **signed, **more}


def shown(program: Partner, reader: Partner, person_id: str) -> list[str]:
    query = {"person_id": person_id, "recipient_id": reader.organisation_id, "purpose": "TREAT"}
    answer = program.get("/v1/access/explain", **query)
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["classes"]
    return found


def test_that_it_is_a_program_is_told_to_all_services(gateway: Gateway) -> None:
    made = gateway.organisation("clinic", "Once plain")
    assert change(gateway, made, 1).status_code == 422
    assert change(gateway, made, 1, part2_program=True).status_code == 200
    assert change(gateway, made, 2, name="Another name").json()["part2_program"] is True
    told = [each["change"] for each in outbox(gateway, made)]
    assert [each["part2_program"] for each in told] == [False, True, True]


def test_a_programs_records_need_a_consent_in_the_name_of_the_law(
    gateway: Gateway, program: Partner
) -> None:
    person, other = person_of(gateway, program.organisation_id), gateway.outsider
    assert consent(program, other, person).status_code == 201
    assert shown(program, other, person) == ["coordination"]
    made = consent(program, other, person, **by_law()).json()
    assert made["legal_basis"] == "42CFRPart2"
    assert shown(program, other, person) == ["coordination", "substance-use"]
    (event,) = outbox(gateway, made["id"])
    assert event["change"]["part2"] is True
    with program.http() as http:
        withdrawn = http.post(
            f"/v1/consents/{made['id']}/withdraw",
            headers={"Idempotency-Key": new_id("key"), "If-Match": '"1"'},
        )
    assert withdrawn.status_code == 200
    assert "substance-use" not in shown(program, other, person)


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ({"signed_by": None}, {"#/signed_by"}),
        ({"decided_at": None}, {"#/decided_at"}),
        ({"classes": ["needs"]}, {"#/classes"}),
        ({"purposes": ["HRESCH"]}, {"#/valid_to"}),
        ({"purposes": ["HRESCH"], "recipient_id": None}, {"#/valid_to", "#/recipient_id"}),
    ],
)
def test_a_consent_without_what_the_law_asks_for_is_refused(
    gateway: Gateway, program: Partner, more: dict[str, Any], places: set[str]
) -> None:
    person = person_of(gateway, program.organisation_id)
    answer = consent(program, gateway.outsider, person, **by_law(**more))
    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} == places
    assert gateway.sql("SELECT 1 FROM consent WHERE person_id = $1", person) == []


def test_it_goes_out_as_fhir_in_the_name_of_the_law(gateway: Gateway, program: Partner) -> None:
    person = person_of(gateway, program.organisation_id)
    made = consent(program, gateway.outsider, person, **by_law()).json()
    with program.http(Accept=FHIR) as http:
        found = http.get(f"/v1/consents/{made['id']}").json()
    assert found["policyRule"]["coding"][0]["code"] == "42CFRPart2"
    assert [each["code"] for each in found["meta"]["security"]] == ["R", "SUD", "NORDSCLCD"]
    again = send(program, found)
    assert again.status_code == 201, again.text
    row = gateway.sql("SELECT legal_basis FROM consent WHERE id = $1", again.json()["id"])
    assert row[0]["legal_basis"] == "42CFRPart2"


def test_a_consent_of_one_case_opens_a_grant_of_that_case(
    gateway: Gateway, program: Partner
) -> None:
    person = person_of(gateway, program.organisation_id)
    case = new_id("cas")
    statement = "INSERT INTO case_file (id, custodian_id, person_id) VALUES ($1, $2, $3)"
    gateway.sql(statement, case, program.organisation_id, person)
    provision = {
        "type": "permit",
        "actor": [actor(gateway.outsider.organisation_id)],
        "purpose": reason("TREAT"),
        "class": of_class("coordination"),
    }
    made = send(program, of(person, {**provision, "data": [of_case(case)]}))
    assert made.status_code == 201, made.text
    assert [row["case_id"] for row in grants_of(gateway, made.json()["id"])] == [case]
    (event,) = outbox(gateway, made.json()["id"])
    assert [each.get("case_id") for each in event["change"]["directives"]] == [None, case]
    foreign = send(program, of(person, {**provision, "data": [of_case(new_id("cas"))]}))
    assert foreign.status_code == 422
    assert [each["code"] for each in foreign.json()["errors"]] == ["unknown-case"]


def test_how_confidential_a_case_is_counts_in_what_is_explained(
    gateway: Gateway, program: Partner
) -> None:
    person, other = person_of(gateway, program.organisation_id), gateway.outsider
    case = new_id("cas")
    statement = "INSERT INTO case_file (id, custodian_id, person_id) VALUES ($1, $2, $3)"
    gateway.sql(statement, case, program.organisation_id, person)
    assert consent(program, other, person).status_code == 201

    def visible() -> bool:
        query = {"case_id": case, "recipient_id": other.organisation_id, "purpose": "TREAT"}
        return bool(program.get("/v1/access/explain", **query).json()["visible"])

    assert visible()
    gateway.sql("UPDATE case_file SET confidentiality = 'R' WHERE id = $1", case)
    assert not visible()


@pytest.mark.parametrize("kind", ["note", "document", "content", "export"])
def test_every_answer_that_tells_of_part_2_records_has_the_notice(
    gateway: Gateway, kind: str
) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    told = read(gateway.outsider, Disclosed(kind, owner, person, SUD | 4))
    assert told.headers["redisclosure-notice"] == PART2_NOTICE
    both = Disclosed(kind, owner, person, 4), Disclosed(kind, owner, person, SUD, rows=7)
    assert read(gateway.outsider, *both).headers["redisclosure-notice"] == PART2_NOTICE


def test_no_other_answer_has_it(gateway: Gateway) -> None:
    owner, person = gateway.clinic.organisation_id, new_id("per")
    plain = read(gateway.outsider, Disclosed("note", owner, person, 4))
    refused = Disclosed("note", owner, person, SUD, denied=True)
    for answer in (plain, read(gateway.outsider, refused, status=404)):
        assert "redisclosure-notice" not in answer.headers
