"""A FHIR Consent in the name of 42 CFR Part 2, one of a single case, and the labels they leave with."""

from typing import Any

import pytest
from gateway import fhir

from tests.fhir_consents import (
    CASE,
    EVERY,
    OTHER_CASE,
    PANTRY,
    PAYER,
    PERSON,
    actor,
    answer,
    concept,
    consent,
    exported,
    faults,
    of_case,
    of_class,
    reason,
)

SUD = of_class("substance-use")
TPO = reason("TREAT", "HPAYMT", "HOPERAT")


def by_law(provision: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {
        "policyRule": concept("v3-ActCode", "42CFRPart2"),
        "organization": [{"display": "the program"}],
        "performer": [{"reference": f"Patient/{PERSON}"}],
        **more,
    }
    found = consent({"type": "permit", "class": SUD, "purpose": TPO, **provision}, **named)
    return {name: value for name, value in found.items() if value is not None}


def test_a_consent_names_the_law_beside_its_base() -> None:
    assert fhir.read(by_law({})).legal_basis == "42CFRPart2"
    both = concept("v3-ActCode", "OPTOUT", "42CFRPart2")
    assert fhir.read(by_law({}, policyRule=both)).legal_basis == "42CFRPart2"
    assert fhir.read(consent(None, "OPTIN")).legal_basis is None


def test_a_single_consent_for_treatment_payment_and_operations_needs_no_end_and_no_name() -> None:
    (one,) = fhir.read(by_law({})).directives
    assert (one.recipient_id, one.valid_to) == (None, None)


@pytest.mark.parametrize(
    ("provision", "more", "places"),
    [
        ({}, {"organization": None}, {"#/organization"}),
        ({}, {"performer": None}, {"#/performer"}),
        ({}, {"dateTime": None}, {"#/dateTime"}),
        ({"class": of_class("needs")}, {}, {"#/provision"}),
        ({"purpose": reason("HRESCH"), "actor": [actor(PANTRY)]}, {}, {"#/provision"}),
        ({"purpose": reason("HRESCH"), "period": {"end": "2027"}}, {}, {"#/provision"}),
    ],
)
def test_what_the_law_asks_for_and_is_not_there_is_named(
    provision: dict[str, Any], more: dict[str, Any], places: set[str]
) -> None:
    assert set(faults(by_law(provision, **more))) == places


def test_for_another_purpose_recipient_and_end_are_named() -> None:
    said = {"purpose": reason("HRESCH"), "actor": [actor(PANTRY)], "period": {"end": "2027"}}
    assert fhir.read(by_law(said)).legal_basis


@pytest.mark.parametrize(
    "signed",
    [
        {"sourceReference": {"reference": "DocumentReference/1"}},
        {"verification": [{"verified": True}]},
    ],
)
def test_a_signature_is_a_performer_a_source_or_a_verification(signed: dict[str, Any]) -> None:
    assert fhir.read(by_law({}, performer=None, **signed)).legal_basis
    denied = {"verification": [{"verified": False}]}
    assert set(faults(by_law({}, performer=None, **denied))) == {"#/performer"}


@pytest.mark.parametrize("signed_by", ["patient", "representative"])
def test_one_of_ours_goes_out_in_the_name_of_the_law_and_comes_back_so(signed_by: str) -> None:
    said = fhir.read(by_law({})).directives
    out = exported(said, legal_basis="42CFRPart2", signed_by=signed_by)
    again = fhir.read(out)
    assert again.legal_basis == "42CFRPart2"
    assert [one.classes for one in again.directives] == [("substance-use",)]


# a case


def test_data_of_a_case_is_that_case_with_all_that_is_under_it() -> None:
    for meaning in ("related", "dependents"):
        tree = consent({"type": "permit", "data": [of_case(CASE, meaning)]})
        assert answer(tree, case=CASE)[0] == EVERY - {"substance-use"}
        assert answer(tree, case=OTHER_CASE) == answer(tree, case=None) == (set(), set())
    (named,) = fhir.read(tree).cases
    assert (named.id, named.pointer) == (CASE, "#/provision/data/0/reference")


def test_a_deny_of_a_case_alone_closes_what_is_under_it() -> None:
    tree = consent({"provision": [{"type": "deny", "data": [of_case(CASE, "instance")]}]}, "OPTIN")
    assert answer(tree, case=CASE) == (set(), EVERY)
    assert answer(tree, case=OTHER_CASE)[1] == set()


@pytest.mark.parametrize(
    ("provision", "place"),
    [
        ({"type": "permit", "data": [of_case(CASE, "instance")]}, "#/provision/data/0"),
        ({"type": "deny", "data": [of_case(CASE, "authoredby")]}, "#/provision/data/0"),
        ({"type": "deny", "data": [of_case(CASE, "about")]}, "#/provision/data/0"),
        ({"type": "deny", "data": [of_case("cas_1")]}, "#/provision/data/0/reference"),
        ({"type": "deny", "data": [{"meaning": "related"}]}, "#/provision/data/0"),
        (
            {
                "type": "permit",
                "actor": [actor(PANTRY)],
                "data": [of_case(CASE), of_case(OTHER_CASE)],
            },
            "#/provision",
        ),
    ],
)
def test_data_that_cannot_be_told_apart_is_refused(provision: dict[str, Any], place: str) -> None:
    assert place in faults(consent(provision))


def test_several_cases_may_be_denied_and_two_recipients_permitted_one_each() -> None:
    both = {"type": "deny", "data": [of_case(CASE), of_case(OTHER_CASE)]}
    assert len(fhir.read(consent(both)).directives) == 2
    each = [
        {"type": "permit", "actor": [actor(who)], "data": [of_case(case)]}
        for who, case in ((PANTRY, CASE), (PAYER, OTHER_CASE))
    ]
    tree = consent({"provision": each}, "OPTOUT")
    assert answer(tree, PANTRY, case=CASE)[0]
    assert answer(tree, PANTRY, case=OTHER_CASE) == (set(), EVERY)


# labels


def codes(resource: dict[str, Any]) -> list[str]:
    return [each["code"] for each in resource["meta"]["security"]]


def test_a_consent_that_permits_substance_use_leaves_restricted_with_its_basis() -> None:
    found = exported(fhir.read(by_law({})).directives, legal_basis="42CFRPart2")
    assert codes(found) == ["R", "SUD", "NORDSCLCD"]
    (basis,) = found["meta"]["security"][1]["extension"]
    assert basis["valueCoding"]["code"] == "42CFRPart2"
    assert codes(exported(fhir.read(consent(None, "OPTOUT")).directives)) == ["N"]


def test_labels_that_came_stay_and_a_higher_confidentiality_counts() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
    source = consent(None, "OPTOUT", meta={"security": [{"system": system, "code": "V"}]})
    assert codes(exported(fhir.read(source).directives, source=source)) == ["V"]


def test_a_bundle_has_the_highest_of_its_consents() -> None:
    secret = exported(fhir.read(by_law({})).directives, legal_basis="42CFRPart2")
    plain = exported(fhir.read(consent(None, "OPTOUT")).directives)
    page = fhir.bundle([plain, secret], url="/v1/consents", following=None)
    assert codes(page) == ["R", "SUD", "NORDSCLCD"]
    assert "meta" not in fhir.bundle([], url="/v1/consents", following=None)
