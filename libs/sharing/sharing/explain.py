"""The decision in trace mode: the same walk as `evaluate`, with a source for every answer.

    facts = await replica.facts(tx, person_id=..., custodian_id=..., case_id=...)
    why = explain(reader, row, facts, at=now(), required=mask_of(["notes"]))
    why.visible, why.outcome, why.as_json()
    who = who_can_see(row, facts, await replica.recipients(tx, ...), at=now())

`Explanation.outcome` is one of OUTCOMES. `as_json` holds ids, names and versions only: nothing that
is personal, but also what only the custodian may know; a partner is told no more than the outcome.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sharing import policy, purposes
from sharing import rule as rules
from sharing.algebra import Ceiling, Directed, Mask, Predicate, Ref, Rule, Sealed
from sharing.classes import DataClass, names_of
from sharing.evaluate import Decision, GrantTrace, Reading, evaluate
from sharing.fields import may_show
from sharing.model import Consent, Facts, Organisation, Reader, Row, Seal

Outcome = Literal["custodian", "party", "granted", "sealed", "not-enough", "no-grant"]


class Source(NamedTuple):
    """The record an answer was read from."""

    kind: Literal["grant", "agreement", "consent", "seal", "policy"]
    id: str
    version: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One clause by its name, whether it held, and by which records."""

    clause: str
    held: bool
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """One factor or barrier by its name and the classes it leaves."""

    factor: str
    mask: DataClass
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What one record came to: a grant that holds (or not), a directive or seal that counts."""

    source: Source
    basis: str | None
    answers: tuple[Answer, ...]
    cuts: tuple[Cut, ...]
    mask: DataClass

    @property
    def held(self) -> bool:
        return all(answer.held for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the reader sees these classes of the row, and whether they are enough for it."""

    reader: Organisation
    at: datetime
    policy: str
    outcome: Outcome
    mask: DataClass
    required: DataClass
    visible: bool
    grants: tuple[Told, ...]
    consents: tuple[Told, ...]
    seals: tuple[Told, ...]
    barriers: tuple[Cut, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return {
            "policy": self.policy,
            "reader": {
                "organisation_id": self.reader.organisation_id,
                "kind": self.reader.kind,
                "purpose": self.reader.purpose,
            },
            "at": self.at.isoformat(),
            "outcome": self.outcome,
            "visible": self.visible,
            "classes": names_of(self.mask),
            "required": names_of(self.required),
            "grants": [_told(one) for one in self.grants],
            "consents": [_told(one) for one in self.consents],
            "seals": [_told(one) for one in self.seals],
            "barriers": [_cut(one) for one in self.barriers],
        }


class View(NamedTuple):
    """One organisation, one purpose, and what it sees."""

    reader: Organisation
    mask: DataClass


def explain(
    reader: Reader,
    row: Row,
    facts: Facts,
    *,
    at: datetime,
    required: int = 0,
    rule: Rule | None = None,
) -> Explanation:
    """Return the decision on the row with its reasons, at that instant. Pure.

    `required`: the classes that the row demands of its readers.
    """
    rule = rule or rules.current()
    decision = evaluate(facts, reader, row, at=at, rule=rule)
    story = _Story(facts, reader, row, at, rule)
    return Explanation(
        reader=Organisation(reader.organisation_id, reader.kind, reader.purpose),
        at=at,
        policy=rule.version,
        outcome=_outcome(decision, required),
        mask=decision.mask,
        required=DataClass(required),
        visible=may_show(decision.mask, required),
        grants=tuple(story.grant(trace) for trace in decision.grants),
        consents=tuple(story.consent(one) for one in facts.consents),
        seals=tuple(story.seal(one) for one in facts.seals),
        barriers=story.cuts(decision.barriers, rule.barriers),
    )


def who_can_see(
    row: Row,
    facts: Facts,
    organisations: Iterable[Organisation],
    *,
    at: datetime,
    required: int = 0,
) -> list[View]:
    """Return every view of the row that shows it, by organisation and purpose in their order.

    `organisations` are the candidates (`replica.recipients`, the custodian and the parties). The
    custodian and the parties come once, with an empty purpose: theirs do not matter.
    """
    return [
        view
        for organisation in organisations
        for view in _views(row, facts, organisation, at)
        if may_show(view.mask, required)
    ]


def _views(row: Row, facts: Facts, organisation: Organisation, at: datetime) -> Iterator[View]:
    standing = evaluate(facts, Organisation(organisation.organisation_id, ""), row, at=at)
    if standing.custodian or standing.party:
        yield View(Organisation(organisation.organisation_id, organisation.kind), standing.mask)
        return
    for code in purposes.CODES:
        if policy.current().ceiling(organisation.kind, code):
            reader = Organisation(organisation.organisation_id, organisation.kind, code)
            yield View(reader, evaluate(facts, reader, row, at=at).mask)


def _outcome(decision: Decision, required: int) -> Outcome:
    if decision.custodian:
        return "custodian"
    if decision.seals and not decision.mask:
        return "sealed"
    if decision.party:
        return "party"
    if may_show(decision.mask, required):
        return "granted"
    return "not-enough" if any(grant.mask for grant in decision.grants) else "no-grant"


class _Story:
    """Finds the sources of each answer by the records that its node of the rule looks at."""

    def __init__(self, facts: Facts, reader: Reader, row: Row, at: datetime, rule: Rule) -> None:
        self._facts, self._rule = facts, rule
        self._reading = Reading(facts, reader, row, at, rule)
        self._nodes = {
            one.name: one.condition for one in (*rule.clauses, *rule.directives, *rule.seals)
        }

    def grant(self, trace: GrantTrace) -> Told:
        grant = next(one for one in self._facts.grants if one.id == trace.grant_id)
        own = Source("grant", grant.id, grant.version)
        by_side = {"grant": [own], "agreement": []}
        agreement = self._facts.agreements.get(grant.agreement_id)
        if agreement is not None:
            by_side["agreement"] = [Source("agreement", agreement.id, agreement.version)]
        return Told(
            own,
            trace.basis,
            self._answers(trace.clauses, by_side),
            self.cuts(trace.factors, self._rule.factors, by_side),
            trace.mask,
        )

    def consent(self, consent: Consent) -> Told:
        own = Source("consent", consent.id, consent.version)
        answers = self._reading.answers(self._rule.directives, "consent", consent)
        by_side = {"consent": [own]}
        told = self._answers(answers, by_side)
        cuts = self.cuts(self._reading.says(consent), self._rule.says, by_side)
        classes = DataClass(consent.classes)
        for cut in cuts:
            classes &= cut.mask
        return Told(own, consent.decision, told, cuts, classes)

    def seal(self, seal: Seal) -> Told:
        own = Source("seal", seal.case_id, seal.valid_from.isoformat())
        answers = self._reading.answers(self._rule.seals, "seal", seal)
        return Told(own, None, self._answers(answers, {"seal": [own]}), (), DataClass.ENVELOPE)

    def cuts(
        self,
        left: tuple[tuple[str, DataClass], ...],
        nodes: Iterable[Any],
        by_side: dict[str, list[Source]] | None = None,
    ) -> tuple[Cut, ...]:
        masks = {one.name: one.mask for one in nodes}
        return tuple(
            Cut(name, mask, self._sources(masks[name], by_side or {})) for name, mask in left
        )

    def _answers(
        self, answers: tuple[tuple[str, bool], ...], by_side: dict[str, list[Source]]
    ) -> tuple[Answer, ...]:
        return tuple(
            Answer(name, held, self._sources(self._nodes[name], by_side)) for name, held in answers
        )

    def _sources(
        self, node: Predicate | Mask, by_side: dict[str, list[Source]]
    ) -> tuple[Source, ...]:
        found: dict[Source, None] = {}
        for leaf in _leaves(node):
            for source in self._of_leaf(leaf, by_side):
                found[source] = None
        return tuple(found)

    def _of_leaf(self, leaf: Any, by_side: dict[str, list[Source]]) -> list[Source]:
        match leaf:
            case Ref(side, _):
                return by_side.get(side, [])
            case Ceiling(policy.Policy() as lines):
                return [Source("policy", "policy", lines.digest())]
            case Directed():
                counted = set(self._reading.directives)
                said = (one for one in self._facts.consents if one.id in counted)
                return [Source("consent", one.id, one.version) for one in said]
            case Sealed():
                counted = set(self._reading.seals)
                put_on = (one for one in self._facts.seals if one.case_id in counted)
                return [Source("seal", one.case_id, one.valid_from.isoformat()) for one in put_on]
        return []


def _leaves(node: Any) -> Iterator[Any]:
    """Yield the nodes of a tree that read something, whatever the tree is made of."""
    if isinstance(node, Ref | Ceiling | Directed | Sealed):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _leaves(part)
    elif hasattr(node, "__dataclass_fields__"):
        for name in node.__dataclass_fields__:
            yield from _leaves(getattr(node, name))


def _told(one: Told) -> dict[str, Any]:
    return {
        **one.source._asdict(),
        **({"basis": one.basis} if one.basis else {}),
        "held": one.held,
        "clauses": [
            {
                "clause": answer.clause,
                "held": answer.held,
                "sources": [source._asdict() for source in answer.sources],
            }
            for answer in one.answers
        ],
        "factors": [_cut(cut) for cut in one.cuts],
        "classes": names_of(one.mask),
    }


def _cut(cut: Cut) -> dict[str, Any]:
    return {
        "factor": cut.factor,
        "classes": names_of(cut.mask),
        "sources": [source._asdict() for source in cut.sources],
    }
