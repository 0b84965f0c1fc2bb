"""The sandbox's network keeps within what the policy allows, and its data are HSDS."""

import pytest
from gateway.domain import scopes_of
from referral_svc.domain import hsds
from sharing import purposes
from sharing.classes import NAMES

from careloop import network

DIRECTORIES = [member for member in network.MEMBERS if member.directory]


def test_agreements_go_both_ways_between_the_clinic_and_every_service():
    pairs = {(each.custodian.slug, each.recipient.slug) for each in network.AGREEMENTS}
    for service in DIRECTORIES:
        assert {("clinic", service.slug), (service.slug, "clinic")} <= pairs
    assert ("clinic", "payer") in pairs


def test_agreements_speak_the_policys_words():
    for each in network.AGREEMENTS:
        assert set(each.consent_classes) <= set(each.classes) <= set(NAMES)
        assert set(each.purposes) <= set(purposes.CODES)


def test_a_payer_is_agreed_outcomes_and_nothing_more():
    given = [set(each.classes) for each in network.AGREEMENTS if each.recipient is network.PAYER]
    assert given
    assert all(classes == {"outcome"} for classes in given)


def test_nobody_asks_for_more_than_its_kind_may_hold():
    for member in network.MEMBERS:
        assert set(member.scopes) <= scopes_of(member.kind)


@pytest.mark.parametrize("member", DIRECTORIES, ids=lambda member: member.slug)
def test_a_directory_is_well_formed_hsds(member: network.Member):
    found = hsds.read(network.seed_data(str(member.directory)))
    assert [item.errors for item in found if item.errors] == []
    kinds = {item.kind for item in found}
    assert {hsds.Kind.ORGANIZATION, hsds.Kind.SERVICE, hsds.Kind.LOCATION} <= kinds


def test_hsds_ids_are_unique_across_the_directories():
    ids = [
        (item.kind, item.hsds_id)
        for member in DIRECTORIES
        for item in hsds.read(network.seed_data(str(member.directory)))
        if item.kind is hsds.Kind.SERVICE
    ]
    assert len(ids) == len(set(ids)) >= 6


def test_the_clinics_persons_are_invented_and_numbered_once():
    found = network.persons()
    assert len({person["number"] for person in found}) == len(found)
    assert all(person["phone"].startswith("+1 555 01") for person in found)
