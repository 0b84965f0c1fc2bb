"""A FHIR Consent as directives: the shapes of the specification."""

from datetime import UTC, datetime, timedelta

import pytest
from gateway import fhir

from tests.fhir_consents import (
    CLINIC,
    EVERY,
    NORMAL,
    PANTRY,
    PAYER,
    RESTRICTED,
    VERY,
    actor,
    answer,
    concept,
    consent,
    label,
    of_class,
    of_type,
    reason,
)


def test_opting_out_denies_everything_to_everybody() -> None:
    assert answer(consent(None, "OPTOUT")) == (set(), EVERY)
    assert answer(consent({}, "OPTOUTE")) == (set(), EVERY)


def test_opting_in_permits_everything_but_what_must_be_named() -> None:
    permitted, denied = answer(consent(None, "OPTIN"))
    assert (permitted, denied) == (EVERY - {"substance-use"}, set())


def test_a_type_at_the_root_counts_like_a_policy_rule() -> None:
    assert answer(consent({"type": "deny"})) == answer(consent(None, "OPTOUT"))
    assert answer(consent({"type": "permit"})) == answer(consent(None, "OPTIN"))


def test_without_either_the_base_is_a_deny() -> None:
    assert answer(consent(None)) == (set(), EVERY)
    assert answer(consent({"provision": [{"type": "permit", "actor": [actor(PAYER)]}]})) == (
        set(),
        EVERY,
    )


def test_a_root_that_contradicts_its_rule_is_an_exception_to_it() -> None:
    """The shape of notAuthor, notOrg and Out: opted in, one of them withheld."""
    withheld = consent({"type": "deny", "actor": [actor(PANTRY)]}, "OPTIN")
    assert answer(withheld, PANTRY) == (set(), EVERY)
    assert answer(withheld, PAYER)[0] == EVERY - {"substance-use"}


def test_a_custodian_as_actor_is_told_and_is_no_recipient() -> None:
    found = fhir.read(consent({"type": "deny", "actor": [actor(CLINIC, "CST")]}, "OPTIN"))
    assert [one.id for one in found.custodians] == [CLINIC]
    assert found.recipients == ()
    assert answer(consent({"type": "deny", "actor": [actor(CLINIC, "CST")]}, "OPTIN"), PAYER) == (
        set(),
        EVERY,
    )


def test_opted_out_with_an_exception_and_an_exception_of_that() -> None:
    """The shape of the guide's own example: a permit to one service, but for substance use."""
    tree = consent(
        {
            "provision": [
                {
                    "type": "permit",
                    "period": {"start": "2026-01-05", "end": "2027-01-05"},
                    "actor": [actor(PANTRY)],
                    "action": [concept("consentaction", "access")],
                    "purpose": reason("COC"),
                    "class": of_type("ServiceRequest", "Condition"),
                    "provision": [{"type": "deny", "securityLabel": label("SUD")}],
                }
            ]
        },
        "OPTOUT",
    )
    assert answer(tree, PANTRY, "COC")[0] == {"coordination", "needs"}
    assert "substance-use" in answer(tree, PANTRY, "COC")[1]
    assert answer(tree, PANTRY, "TREAT") == (set(), EVERY)
    assert answer(tree, PAYER, "COC") == (set(), EVERY)
    last = datetime(2027, 1, 5, 23, 59, 59, tzinfo=UTC)
    assert answer(tree, PANTRY, "COC", at=last)[0] == {"coordination", "needs"}
    assert answer(tree, PANTRY, "COC", at=last + timedelta(seconds=1)) == (set(), EVERY)


def test_an_exception_beats_what_it_is_an_exception_to_and_not_a_deeper_one() -> None:
    tree = consent(
        {
            "type": "deny",
            "provision": [
                {
                    "type": "permit",
                    "class": of_class("needs", "notes", "plan"),
                    "provision": [
                        {
                            "type": "deny",
                            "class": of_class("notes", "plan"),
                            "provision": [{"type": "permit", "class": of_class("plan")}],
                        }
                    ],
                }
            ],
        }
    )
    assert answer(tree)[0] == {"needs", "plan"}


def test_of_two_equally_deep_the_deny_counts() -> None:
    two = [
        {"type": "permit", "class": of_class("needs", "plan")},
        {"type": "deny", "class": of_class("plan")},
    ]
    for order in (two, two[::-1]):
        assert answer(consent({"type": "deny", "provision": order}))[0] == {"needs"}


def test_an_exception_reaches_no_further_than_what_it_is_in() -> None:
    inner = {"type": "deny", "class": of_class("needs")}
    outer = {"type": "permit", "actor": [actor(PANTRY)], "provision": [inner]}
    tree = consent({"type": "permit", "provision": [outer]})
    assert "needs" in answer(tree, PANTRY)[1]
    assert "needs" in answer(tree, PAYER)[0]


def test_a_purpose_covers_what_lies_under_it_and_not_what_lies_above() -> None:
    for stated, asked, held in (
        ("TREAT", "COC", True),
        ("COC", "TREAT", False),
        ("TREAT", "HPAYMT", False),
    ):
        tree = consent(
            {"type": "permit", "purpose": reason(stated), "class": of_class("needs")}, None
        )
        assert bool(answer(tree, PANTRY, asked)[0]) is held


def test_confidentiality_is_a_high_water_mark() -> None:
    tree = consent({"type": "permit", "securityLabel": label("R")})
    assert answer(tree, rank=NORMAL)[0]
    assert answer(tree, rank=RESTRICTED)[0]
    assert answer(tree, rank=VERY) == (set(), set())


def test_a_label_covers_what_lies_under_it() -> None:
    def denied(code: str) -> set[str]:
        return answer(consent({"type": "deny", "securityLabel": label(code)}))[1]

    assert denied("BH") == {"behavioral", "substance-use"}
    assert denied("SUD") == denied("ETH") == {"substance-use"}
    assert denied("MH") == {"behavioral"}
    assert denied("SDV") == {"safety"}


def test_part_2_data_is_permitted_by_its_name_only() -> None:
    for named in (
        {"securityLabel": label("SUD")},
        {"securityLabel": label("BH")},
        {"class": of_class("substance-use")},
    ):
        assert "substance-use" in answer(consent({"type": "permit", **named}))[0]
    for unnamed in ({}, {"class": of_type("Condition", "Observation")}):
        assert "substance-use" not in answer(consent({"type": "permit", **unnamed}))[0]


def test_a_type_of_resource_is_permitted_down_and_denied_up() -> None:
    condition = {"class": of_type("Condition")}
    assert answer(consent({"type": "permit", **condition}))[0] == {"needs"}
    assert answer(consent({"type": "deny", **condition}))[1] >= {"needs", "clinical", "behavioral"}


def test_only_in_an_emergency_means_only_then() -> None:
    tree = consent(None, "EMRGONLY")
    assert answer(tree, purpose="TREAT") == (set(), EVERY)
    assert answer(tree, purpose="BTG")[0] == EVERY - {"substance-use"}


def test_a_profile_counts_as_its_type() -> None:
    uri = {"system": "urn:ietf:rfc:3986", "code": "http://hl7.org/fhir/StructureDefinition/Goal"}
    assert answer(consent({"type": "permit", "class": [uri]}))[0] == {"plan"}


def test_an_organisation_is_named_by_our_identifier_too() -> None:
    named = actor(PANTRY)
    named["reference"] = {"identifier": {"system": "urn:careloop:organisation", "value": PANTRY}}
    assert answer(consent({"type": "permit", "actor": [named]}))[0]


@pytest.mark.parametrize(
    ("stated", "ends"),
    [
        ("2026", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-02", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 3, 1, tzinfo=UTC)),
        ("2026-05-01T10:00:00+02:00", datetime(2026, 5, 1, 8, tzinfo=UTC)),
    ],
)
def test_an_end_is_still_within(stated: str, ends: datetime) -> None:
    (one,) = fhir.read(consent({"type": "permit", "period": {"end": stated}})).directives
    assert one.valid_to == ends
