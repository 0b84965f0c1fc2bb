"""45 CFR 164.528(a)(2): what an agency was told is left out of accountings for as long as it stated."""

from datetime import timedelta
from typing import Any

import pytest
from svckit.clock import now
from svckit.disclosure import Disclosed

from tests.gateway import Gateway
from tests.service.gateway.test_ledger import read
from tests.service.gateway.test_resources import person_of

PATH = "/v1/ledger/suspensions"


def statement(gateway: Gateway, person: str, **more: Any) -> dict[str, Any]:
    body = {
        "person_id": person,
        "organisation_id": gateway.payer.organisation_id,
        "authority": "law-enforcement",
        "form": "oral",
        "official": "Sergeant 4711",
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


def told(gateway: Gateway, person: str, report: str = "accounting") -> set[str]:
    found = gateway.clinic.get(f"/v1/ledger/reports/{report}", person_id=person).json()
    lines = found["lines"] if report == "person" else found["disclosures"] + found["exempt"]
    names = {gateway.payer.organisation_id: "Meridian", gateway.pantry.organisation_id: "Harbor"}
    return {each for each, name in names.items() for line in lines if name in str(line)}


def test_the_agency_is_left_out_while_it_is_suspended_and_nothing_else_is(
    gateway: Gateway,
) -> None:
    owner = gateway.clinic.organisation_id
    person = person_of(gateway, owner)
    for partner in (gateway.payer, gateway.pantry):
        read(partner, Disclosed("case", owner, person, 4))
    both = {gateway.payer.organisation_id, gateway.pantry.organisation_id}
    assert told(gateway, person) == told(gateway, person, "person") == both
    made = gateway.clinic.post(PATH, statement(gateway, person))
    assert made.status_code == 201, made.text
    rest = {gateway.pantry.organisation_id}
    assert told(gateway, person) == told(gateway, person, "person") == rest
    over = "UPDATE accounting_suspension SET valid_to = now() WHERE id = $1"
    gateway.sql(over, made.json()["id"])
    assert told(gateway, person) == both


def test_by_word_of_mouth_it_ends_after_30_days(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    made = gateway.clinic.post(PATH, statement(gateway, person)).json()
    (listed,) = gateway.clinic.get(PATH, person_id=person).json()["items"]
    assert listed == made
    (row,) = gateway.sql(
        "SELECT valid_to - valid_from AS d FROM accounting_suspension WHERE id = $1", made["id"]
    )
    assert row["d"] == timedelta(days=30)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"valid_to": 31}, "oral-limit"),
        ({"valid_to": -1}, "period"),
        ({"form": "written"}, None),
        ({"authority": "a friend"}, None),
        ({"official": None}, None),
        ({"organisation_id": "org_00000000000000000000000001"}, "unknown-organisation"),
        ({"person_id": "per_00000000000000000000000001"}, "unknown-person"),
    ],
)
def test_a_statement_that_does_not_suffice_is_refused(
    gateway: Gateway, more: dict[str, Any], code: str | None
) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    if days := more.get("valid_to"):
        more = {"valid_to": (now() + timedelta(days=days)).isoformat()}
    answer = gateway.clinic.post(PATH, statement(gateway, person, **more))
    assert answer.status_code == 422
    if code:
        assert [each["code"] for each in answer.json()["errors"]] == [code]
    assert gateway.clinic.get(PATH, person_id=person).json()["items"] == []


def test_a_written_statement_holds_until_its_own_end(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    until = (now() + timedelta(days=400)).isoformat()
    more = {"form": "written", "valid_to": until, "reference": "GJ-2026-17"}
    assert gateway.clinic.post(PATH, statement(gateway, person, **more)).status_code == 201


def test_nobody_suspends_for_anothers_person_or_sees_that_it_is(gateway: Gateway) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    assert gateway.pantry.post(PATH, statement(gateway, person)).status_code == 422
    assert gateway.clinic.post(PATH, statement(gateway, person)).status_code == 201
    assert gateway.pantry.get(PATH, person_id=person).json()["items"] == []
    assert gateway.payer.get(PATH).json()["items"] == []
