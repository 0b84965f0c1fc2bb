import pytest
from sharing import Facts, visible_event

from tests.unit.sharing import worlds

AGREEMENT = worlds.agreement("agr_1", "org_clinic", recipient_id="org_food")
GRANT = worlds.grant("grt_1", "org_clinic", "org_food", "per_1", "agr_1", case_id="cas_1")
FACTS = worlds.as_facts([AGREEMENT], [GRANT], [])


def event(**more):
    return {
        "id": "not_1",
        "version": 1,
        "custodian_id": "org_clinic",
        "person_id": "per_1",
        "case_id": "cas_1",
        "parties": [],
        "classes": ["notes"],
        "href": "/v1/cases/cas_1/notes/not_1",
        "change": {},
        **more,
    }


def learns(data, organisation="org_food", kind="social-service", purpose="COC", facts=FACTS):
    return visible_event(facts, organisation, kind, purpose, data, at=worlds.NOW)


def test_a_partner_learns_of_what_its_grant_shows():
    assert learns(event())


def test_custodian_and_parties_learn_of_their_own_without_any_grant():
    assert learns(event(), "org_clinic", "clinic", "", Facts())
    assert learns(event(parties=["org_other"]), "org_other", "payer", "", Facts())


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["notes", "clinical"]},
        {"classes": ["notes", "a-class-of-tomorrow"]},
        {"case_id": "cas_2"},
        {"case_id": None},
        {"person_id": "per_2"},
        {"person_id": None},
        {"custodian_id": "org_other"},
    ],
)
def test_a_partner_does_not_learn_of_anything_else(change):
    assert not learns(event(**change))


def test_an_event_that_needs_no_class_still_needs_a_grant():
    assert learns(event(classes=[]))
    assert not learns(event(classes=[], case_id="cas_2"))


def test_an_event_about_the_person_is_above_the_cases():
    assert learns(event(id="per_1", case_id=None, classes=["identity"]))


def test_the_purpose_of_the_subscription_counts():
    assert not learns(event(), purpose="HOPERAT")
    assert not learns(event(), kind="payer")
