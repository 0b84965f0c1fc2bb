"""A FHIR Consent as directives: the shapes of the specification, refusals, and a second reading."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateway import fhir
from gateway.fhir import Directive, Inexpressible
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing import purposes
from sharing.classes import ALL, NAMES, class_of, mask_of

PERSON = "per_01k9zq3v6h8m2n4p5r7s9t0001"
CLINIC = "org_01k9zq3v6h8m2n4p5r7s9t0001"
PANTRY = "org_01k9zq3v6h8m2n4p5r7s9t0002"
PAYER = "org_01k9zq3v6h8m2n4p5r7s9t0003"
AT = datetime(2026, 3, 1, tzinfo=UTC)
HL7 = "http://terminology.hl7.org/CodeSystem"
NORMAL, RESTRICTED, VERY = 3, 4, 5


def concept(system: str, *codes: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{HL7}/{system}", "code": code} for code in codes]}


def reason(*codes: str) -> list[dict[str, str]]:
    return [{"system": f"{HL7}/v3-ActReason", "code": code} for code in codes]


def label(*codes: str) -> list[dict[str, str]]:
    return [
        {
            "system": f"{HL7}/{'v3-Confidentiality' if code in 'ULMNRV' else 'v3-ActCode'}",
            "code": code,
        }
        for code in codes
    ]


def actor(organisation: str, role: str = "PRCP") -> dict[str, Any]:
    return {
        "role": concept("v3-ParticipationType", role),
        "reference": {"reference": f"Organization/{organisation}"},
    }


def of_class(*names: str) -> list[dict[str, str]]:
    return [{"system": "urn:careloop:data-class", "code": name} for name in names]


def of_type(*names: str) -> list[dict[str, str]]:
    return [{"system": "http://hl7.org/fhir/resource-types", "code": name} for name in names]


def consent(
    provision: dict[str, Any] | None, rule: str | None = None, **more: Any
) -> dict[str, Any]:
    found = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("consentscope", "patient-privacy"),
        "category": [concept("v3-ActCode", "IDSCL")],
        "patient": {"reference": f"Patient/{PERSON}"},
        "dateTime": "2026-01-05",
        "policy": [{"uri": "https://policies.example/sharing"}],
        **({"policyRule": concept("v3-ActCode", rule)} if rule else {}),
        **({"provision": provision} if provision else {}),
        **more,
    }
    return copy.deepcopy(found)


def answer(
    resource: dict[str, Any],
    reader: str = PANTRY,
    purpose: str = "TREAT",
    *,
    rank: int = NORMAL,
    at: datetime = AT,
) -> tuple[set[str], set[str]]:
    """What it permits and what it denies, by name."""
    permitted, denied = fhir.said(fhir.read(resource).directives, reader, purpose, rank, at)
    return {n for n in NAMES if class_of(n) & permitted}, {n for n in NAMES if class_of(n) & denied}


def faults(resource: Any) -> dict[str, str]:
    with pytest.raises(Inexpressible) as refused:
        fhir.read(resource)
    return {fault.pointer: fault.code for fault in refused.value.errors}


EVERY = set(NAMES)


# the shapes of the specification


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


# refusals


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


# a second reading of the tree, by questions instead of directives

CHOICES: dict[str, st.SearchStrategy[list[Any]]] = {
    "actor": st.lists(st.sampled_from([PANTRY, PAYER]), min_size=1, max_size=2, unique=True).map(
        lambda who: [actor(each) for each in who]
    ),
    "purpose": st.lists(
        st.sampled_from(["TREAT", "COC", "HOPERAT", "ETREAT"]), min_size=1, unique=True
    ).map(lambda some: reason(*some)),
    "class": st.lists(
        st.sampled_from(["needs", "notes", "substance-use", "plan"]), min_size=1, unique=True
    ).map(lambda some: of_class(*some)),
    "securityLabel": st.sampled_from(["L", "N", "R"]).map(label),
}
PERIODS = st.sampled_from(
    [{"start": "2026-02"}, {"end": "2026-02"}, {"start": "2026-03", "end": "2026-04"}]
)


@st.composite
def provisions(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"type": draw(st.sampled_from(["permit", "deny"]))}
    for name, choice in CHOICES.items():
        if draw(st.integers(0, 3)) == 0:
            found[name] = draw(choice)
    if draw(st.integers(0, 4)) == 0:
        found["period"] = draw(PERIODS)
    if depth < 3:
        inner = draw(st.lists(provisions(depth + 1), max_size=2))
        if inner:
            found["provision"] = inner
    return found


def matches(one: dict[str, Any], reader: str, purpose: str, rank: int, at: datetime) -> bool:
    period = one.get("period", {})
    start = datetime.fromisoformat(period.get("start", "2000-01") + "-01").replace(tzinfo=UTC)
    _, _, month = period.get("end", "2099-12").partition("-")
    year = int(period.get("end", "2099-12")[:4])
    end = datetime(year + (month == "12"), int(month) % 12 + 1, 1, tzinfo=UTC)
    return (
        ("actor" not in one or any(reader in json.dumps(each) for each in one["actor"]))
        and (
            "purpose" not in one
            or any(purposes.covers(purposes.bit(each["code"]), purpose) for each in one["purpose"])
        )
        and (
            "securityLabel" not in one
            or any(rank <= "ULMNRV".index(each["code"]) for each in one["securityLabel"])
        )
        and start <= at < end
    )


def oracle(
    one: dict[str, Any],
    question: tuple[str, str, int, datetime],
    name: str,
    depth: int = 0,
    named: frozenset[str] | None = None,
) -> tuple[int, int] | None:
    """The deepest provision that has an answer and whether it denies; None: nothing is said."""
    reader, purpose, rank, at = question
    if not matches(one, reader, purpose, rank, at):
        return None
    own = frozenset(each["code"] for each in one["class"]) if "class" in one else None
    within = own if named is None else named if own is None else named & own
    deny = one["type"] == "deny"
    meant = name in within if within is not None else deny or name != "substance-use"
    if within is not None and name not in within:
        return None
    answers = [(depth, int(deny))] if meant else []
    for inner in one.get("provision", []):
        found = oracle(inner, question, name, depth + 1, within)
        if found:
            answers.append(found)
    return max(answers, default=None)


QUESTIONS = st.tuples(
    st.sampled_from([PANTRY, PAYER]),
    st.sampled_from(["TREAT", "COC", "BTG", "HOPERAT", "CAREMGT"]),
    st.integers(0, 5),
    st.sampled_from([AT, datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)]),
)


def compiled(tree: dict[str, Any], **more: Any) -> tuple[Directive, ...]:
    """The directives, nothing when some provision can never apply."""
    try:
        return fhir.read(consent(tree, **more)).directives
    except Inexpressible as refused:
        found = {fault.code for fault in refused.errors}
    assert found == {"never-applies"}
    return ()


@settings(max_examples=60)
@given(tree=provisions(), questions=st.lists(QUESTIONS, min_size=4, max_size=8))
def test_directives_say_what_the_tree_says(
    tree: dict[str, Any], questions: list[tuple[str, str, int, datetime]]
) -> None:
    directives = compiled(tree)
    for question in questions if directives else ():
        permitted, denied = fhir.said(directives, *question)
        for name in NAMES:
            found = oracle(tree, question, name)
            mask = class_of(name)
            expected = (found is not None and not found[1], found is not None and bool(found[1]))
            assert (bool(permitted & mask), bool(denied & mask)) == expected, (name, question)


@settings(max_examples=40)
@given(tree=provisions(), active=st.booleans())
def test_what_is_imported_and_exported_decides_the_same(tree: dict[str, Any], active: bool) -> None:
    directives = compiled(tree, identifier=[{"value": "7"}])
    if not directives:
        return
    source = consent(tree, identifier=[{"value": "7"}])
    given_back = exported(directives, active=active, source=source)
    again = fhir.read(given_back)
    assert again.directives == directives
    assert again.status == ("active" if active else "inactive")
    assert given_back["identifier"] == [{"value": "7"}]
    assert given_back["meta"]["versionId"] == "3"


def exported(
    directives: tuple[Directive, ...], *, active: bool = True, source: Any = None
) -> dict[str, Any]:
    return fhir.consent(
        consent_id="con_01k9zq3v6h8m2n4p5r7s9t0001",
        person_id=PERSON,
        custodian_id=CLINIC,
        version=3,
        changed_at=AT,
        decided_at=AT,
        active=active,
        directives=directives,
        source=source,
    )


DIRECTIVES = st.builds(
    Directive,
    decision=st.sampled_from(["permit", "deny"]),
    depth=st.just(0),
    recipient_id=st.sampled_from([None, PANTRY]),
    purposes=st.lists(st.sampled_from(purposes.CODES), min_size=1, unique=True).map(tuple),
    classes=st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
    confidentiality=st.integers(0, 5),
    valid_from=st.just(AT),
    valid_to=st.sampled_from([None, AT + timedelta(days=30, microseconds=7)]),
)


@given(directive=DIRECTIVES, question=QUESTIONS)
def test_a_consent_of_ours_is_written_so_that_it_reads_the_same(
    directive: Directive, question: tuple[str, str, int, datetime]
) -> None:
    written = fhir.read(exported((directive,)))
    assert fhir.said(written.directives, *question) == fhir.said((directive,), *question)
    assert written.person.id == PERSON


@given(directive=DIRECTIVES)
def test_a_directive_survives_being_stored(directive: Directive) -> None:
    kept = fhir.restored(json.loads(json.dumps(directive.stored(AT))))
    assert mask_of(kept.classes) & ALL == mask_of(directive.classes)
    assert kept == directive
