"""Grants that a custodian gives by itself: for treatment between providers, or by law."""

from typing import Any

import httpx
import pytest
from svckit.ids import new_id

from tests.gateway import Gateway, Partner
from tests.service.gateway.test_fhir_consents import DRAFTS, person_of


@pytest.fixture
def provider(gateway: Gateway) -> Partner:
    return gateway.client(gateway.organisation("clinic", "Provider"), "TREAT")


def agreed(
    gateway: Gateway, recipient: Partner, legal_basis: str = "treatment", **more: Any
) -> str:
    body = {
        "custodian_id": gateway.clinic.organisation_id,
        "recipient_id": recipient.organisation_id,
        "purposes": ["TREAT"],
        "classes": ["identity", "plan", "clinical"],
        "legal_basis": legal_basis,
        **more,
    }
    draft = f"{DRAFTS}/{gateway.admin.post(DRAFTS, body).json()['id']}"
    seen = gateway.admin.post(f"{draft}/simulate", None).json()["digest"]
    answer = gateway.admin.post(f"{draft}/publish", {"diff": seen})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def give(
    gateway: Gateway, agreement: str, recipient: Partner, person: str, **more: Any
) -> httpx.Response:
    body = {
        "agreement_id": agreement,
        "recipient_id": recipient.organisation_id,
        "person_id": person,
        "basis": "treatment",
        **more,
    }
    return gateway.clinic.post("/v1/grants", body)


def test_a_provider_opens_its_data_to_another_for_treatment(
    gateway: Gateway, provider: Partner
) -> None:
    agreement = agreed(gateway, provider)
    person = person_of(gateway, gateway.clinic.organisation_id)
    answer = give(gateway, agreement, provider, person)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["basis"], made["purposes"], made["reference"]) == ("treatment", ["TREAT"], None)
    assert made["classes"] == ["identity", "plan", "clinical"]
    assert answer.headers["location"] == f"/v1/grants/{made['id']}"
    (held,) = provider.get("/v1/grants", person_id=person).json()["items"]
    assert held["id"] == made["id"]
    narrow = give(gateway, agreement, provider, person, classes=["plan", "notes"]).json()
    assert narrow["classes"] == ["plan"]


def test_it_is_told_opened_and_ended(gateway: Gateway, provider: Partner) -> None:
    agreement = agreed(gateway, provider)
    person = person_of(gateway, gateway.clinic.organisation_id)
    made = give(gateway, agreement, provider, person).json()
    end = f"/v1/grants/{made['id']}/end"
    assert provider.post(end, None, **{"If-Match": '"1"'}).status_code == 403
    assert gateway.outsider.post(end, None, **{"If-Match": '"1"'}).status_code == 404
    assert gateway.clinic.post(end, None, **{"If-Match": '"7"'}).status_code == 412
    ended = gateway.clinic.post(end, None, **{"If-Match": '"1"'})
    assert (ended.status_code, ended.headers["etag"]) == (200, '"2"')
    assert ended.json()["valid_to"] is not None
    again = gateway.clinic.post(end, None, **{"If-Match": '"2"'})
    assert (again.status_code, again.json()["code"]) == (409, "grant-over")
    told = gateway.sql(
        "SELECT type FROM outbox WHERE subject = $1 "
        "UNION SELECT headers->>'ce_type' FROM log_record WHERE headers->>'ce_subject' = $1",
        made["id"],
    )
    kinds = {row["type"] for row in told}
    assert kinds == {"org.careloop.grant.opened.v1", "org.careloop.grant.ended.v1"}


def test_treatment_needs_an_agreement_of_providers_that_says_so(
    gateway: Gateway, provider: Partner
) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)

    def refused(agreement: str, to: Partner) -> Any:
        answer = give(gateway, agreement, to, person)
        return answer.status_code, answer.json()["code"]

    assert refused(agreed(gateway, provider, "consent"), provider) == (409, "not-agreed")
    pantry = agreed(gateway, gateway.pantry)
    assert refused(pantry, gateway.pantry) == (409, "not-agreed")
    payment = agreed(gateway, provider, purposes=["HPAYMT"])
    assert refused(payment, provider) == (409, "not-agreed")


def test_the_law_names_what_it_follows(gateway: Gateway, provider: Partner) -> None:
    agreement = agreed(gateway, provider, "court orders")
    person = person_of(gateway, gateway.clinic.organisation_id)
    made = give(
        gateway, agreement, provider, person, basis="legal", reference="Order 17-2026"
    ).json()
    assert (made["basis"], made["reference"]) == ("legal", "Order 17-2026")
    for wrong in ({"basis": "legal"}, {"reference": "Order 17-2026"}, {"basis": "consent"}):
        assert give(gateway, agreement, provider, person, **wrong).status_code == 422


def test_what_is_not_the_custodians_is_refused_with_its_place(
    gateway: Gateway, provider: Partner
) -> None:
    agreement = agreed(gateway, provider)
    person = person_of(gateway, gateway.clinic.organisation_id)

    def place(**wrong: Any) -> Any:
        answer = give(gateway, agreement, provider, **{"person": person, **wrong})
        assert answer.status_code == 422, answer.text
        return [each["pointer"] for each in answer.json()["errors"]]

    assert place(person=person_of(gateway, provider.organisation_id)) == ["#/person_id"]
    assert place(case_id=new_id("cas")) == ["#/case_id"]
    assert place(agreement_id=agreed(gateway, gateway.pantry)) == ["#/agreement_id"]
    assert place(recipient_id=new_id("org")) == ["#/recipient_id"]
    assert place(valid_to="2020-01-01T00:00:00Z") == ["#/valid_to"]
    body = {
        "agreement_id": agreement,
        "recipient_id": provider.organisation_id,
        "person_id": person,
        "basis": "treatment",
    }
    other = gateway.outsider.post("/v1/grants", body)
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "#/agreement_id")


def test_a_grant_that_rests_on_something_else_ends_with_it(
    gateway: Gateway, provider: Partner
) -> None:
    agreed(gateway, provider, "consent")
    person = person_of(gateway, gateway.clinic.organisation_id)
    body = {
        "person_id": person,
        "recipient_id": provider.organisation_id,
        "decision": "permit",
        "classes": ["plan"],
        "purposes": ["TREAT"],
    }
    assert gateway.clinic.post("/v1/consents", body).status_code == 201
    (held,) = provider.get("/v1/grants", person_id=person).json()["items"]
    answer = gateway.clinic.post(f"/v1/grants/{held['id']}/end", None, **{"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (409, "grant-rests-on-its-basis")


def test_a_new_agreement_does_not_take_over_what_was_given_by_hand(
    gateway: Gateway, provider: Partner
) -> None:
    person = person_of(gateway, gateway.clinic.organisation_id)
    give(gateway, agreed(gateway, provider), provider, person)
    agreed(gateway, provider, "consent", classes=["notes"])
    assert len(provider.get("/v1/grants", person_id=person).json()["items"]) == 1
