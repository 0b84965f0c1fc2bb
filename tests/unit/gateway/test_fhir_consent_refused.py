"""What a FHIR Consent says that cannot be kept is refused with its place, whatever it is."""

from typing import Any

import pytest
from gateway import fhir
from gateway.fhir import Inexpressible
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fhir_consents import (
    PANTRY,
    PAYER,
    actor,
    concept,
    consent,
    faults,
    label,
    of_class,
    of_type,
    reason,
)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"provision": {"type": "deny", "code": [{"text": "x"}]}}, "#/provision/code"),
        (
            {"provision": {"type": "deny", "dataPeriod": {"start": "2015"}}},
            "#/provision/dataPeriod",
        ),
        ({"provision": {"type": "deny", "data": []}}, "#/provision/data"),
        (
            {"provision": {"type": "deny", "extension": [{"url": "u"}]}},
            "#/provision/extension",
        ),
        ({"modifierExtension": [{"url": "https://x"}]}, "#/modifierExtension"),
        ({"implicitRules": "https://x"}, "#/implicitRules"),
        ({"a/b~c": 1}, "#/a~1b~0c"),
        ({"scope": concept("consentscope", "research")}, "#/scope"),
        ({"policyRule": concept("v3-ActCode", "NOCONSENT")}, "#/policyRule/coding/0"),
        ({"policyRule": {"text": "as usual"}}, "#/policyRule"),
        ({"patient": {"reference": "Patient/f001"}}, "#/patient"),
        ({"patient": {"reference": "https://elsewhere.example/Patient/1"}}, "#/patient"),
        ({"dateTime": "yesterday"}, "#/dateTime"),
        ({"dateTime": "2026-02-30"}, "#/dateTime"),
        ({"dateTime": "2026-02-03T10:00:00"}, "#/dateTime"),
        (
            {"provision": {"type": "deny", "purpose": reason("FUN")}},
            "#/provision/purpose/0",
        ),
        (
            {"provision": {"type": "deny", "class": of_type("DocumentReference")}},
            "#/provision/class/0",
        ),
        (
            {"provision": {"type": "deny", "securityLabel": label("HIV")}},
            "#/provision/securityLabel/0",
        ),
        (
            {"provision": {"type": "permit", "securityLabel": label("PSY")}},
            "#/provision",
        ),
        (
            {
                "provision": {
                    "type": "permit",
                    "securityLabel": label("SUD"),
                    "class": of_type("Condition"),
                }
            },
            "#/provision",
        ),
        (
            {
                "provision": {
                    "type": "permit",
                    "action": [concept("consentaction", "access", "correct")],
                }
            },
            "#/provision/action/0/coding/1",
        ),
        (
            {"provision": {"type": "deny", "action": [concept("consentaction", "collect")]}},
            "#/provision",
        ),
        (
            {"provision": {"type": "deny", "actor": [actor(PANTRY, "CONSENTER")]}},
            "#/provision/actor/0/role",
        ),
        (
            {"provision": {"provision": [{"type": "deny"}, {"class": of_class("plan")}]}},
            "#/provision/provision/1",
        ),
        (
            {
                "provision": {
                    "type": "deny",
                    "purpose": reason("TREAT"),
                    "provision": [{"type": "permit", "purpose": reason("HPAYMT")}],
                }
            },
            "#/provision/provision/0",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(
    change: dict[str, Any], pointer: str
) -> None:
    assert pointer in faults({**consent(None, "OPTOUT"), **change})


@pytest.mark.parametrize("nonsense", [{}, [], None, 7, "Consent", {"resourceType": "Patient"}])
def test_what_is_no_consent_is_refused(nonsense: Any) -> None:
    assert faults(nonsense)


def test_a_bomb_of_nested_provisions_is_refused_early() -> None:
    both = {"securityLabel": label("R", "SUD"), "actor": [actor(PANTRY), actor(PAYER)]}
    tree: dict[str, Any] = {"type": "deny", **both}
    for _ in range(60):
        tree = {"type": "deny", **both, "provision": [tree]}
    assert {"too-deep", "too-many"} & set(faults(consent(tree)).values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    member=st.sampled_from(
        ["status", "scope", "category", "patient", "dateTime", "policyRule", "provision"]
    ),
    value=JSON,
)
def test_whatever_stands_in_a_place_it_is_read_or_refused(member: str, value: Any) -> None:
    places: list[str] = []
    try:
        fhir.read({**consent({"type": "deny"}, "OPTOUT"), member: value})
    except Inexpressible as refused:
        places = [fault.pointer for fault in refused.errors]
    assert all(place.startswith("#") for place in places)
