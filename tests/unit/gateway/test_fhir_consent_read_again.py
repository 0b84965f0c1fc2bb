"""A second reading of a consent's tree, by questions; what is exported and read again says the same."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway import fhir
from gateway.fhir import Directive, Inexpressible
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing import purposes
from sharing.classes import ALL, NAMES, class_of, mask_of

from tests.fhir_consents import (
    AT,
    CASE,
    OTHER_CASE,
    PANTRY,
    PAYER,
    PERSON,
    actor,
    consent,
    exported,
    label,
    of_case,
    of_class,
    reason,
)

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
    "data": st.sampled_from([CASE, OTHER_CASE]).map(lambda one: [of_case(one)]),
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


Question = tuple[str, str, int, datetime, str | None]


def matches(one: dict[str, Any], question: Question) -> bool:
    reader, purpose, rank, at, case = question
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
        and ("data" not in one or any(case and case in json.dumps(each) for each in one["data"]))
        and start <= at < end
    )


def oracle(
    one: dict[str, Any],
    question: Question,
    name: str,
    depth: int = 0,
    named: frozenset[str] | None = None,
) -> tuple[int, int] | None:
    """The deepest provision that has an answer and whether it denies; None: nothing is said."""
    if not matches(one, question):
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
    st.sampled_from([None, CASE, OTHER_CASE]),
)


def compiled(tree: dict[str, Any], **more: Any) -> tuple[Directive, ...]:
    """The directives, nothing when some provision can never apply, or a grant not say its cases."""
    try:
        return fhir.read(consent(tree, **more)).directives
    except Inexpressible as refused:
        found = {fault.code for fault in refused.errors}
    assert found <= {"never-applies", "unsupported"}
    return ()


@settings(max_examples=60)
@given(tree=provisions(), questions=st.lists(QUESTIONS, min_size=4, max_size=8))
def test_directives_say_what_the_tree_says(tree: dict[str, Any], questions: list[Question]) -> None:
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
    case_id=st.sampled_from([None, CASE]),
)


@given(directive=DIRECTIVES, question=QUESTIONS)
def test_a_consent_of_ours_is_written_so_that_it_reads_the_same(
    directive: Directive, question: Question
) -> None:
    written = fhir.read(exported((directive,)))
    assert fhir.said(written.directives, *question) == fhir.said((directive,), *question)
    assert written.person.id == PERSON


@given(directive=DIRECTIVES)
def test_a_directive_survives_being_stored(directive: Directive) -> None:
    kept = fhir.restored(json.loads(json.dumps(directive.stored(AT))))
    assert mask_of(kept.classes) & ALL == mask_of(directive.classes)
    assert kept == directive
