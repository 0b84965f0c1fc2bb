"""The rule computed in process, over facts at hand: one decision with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sharing import purposes
from sharing import rule as rules
from sharing.algebra import (
    AllOf,
    Always,
    AnyOf,
    AtMost,
    Ceiling,
    Classes,
    Clause,
    Covers,
    Differ,
    Directed,
    Either,
    Equal,
    Except,
    Holds,
    InForce,
    Mask,
    Missing,
    OneOf,
    Predicate,
    Ref,
    Rule,
    Sealed,
    Side,
    Under,
    When,
)
from sharing.classes import ALL, DataClass
from sharing.model import Consent, Facts, Grant, Reader, Row


@dataclass(frozen=True, slots=True)
class GrantTrace:
    """How one grant fared: every clause with its answer, every factor with its classes."""

    grant_id: str
    agreement_id: str
    basis: str
    clauses: tuple[tuple[str, bool], ...]
    factors: tuple[tuple[str, DataClass], ...]
    mask: DataClass


@dataclass(frozen=True, slots=True)
class Decision:
    """The classes the reader sees of the row, and why.

    `directives` and `seals` are the ids of those that counted; `barriers` what the row's grants and
    parties were cut down to.
    """

    mask: DataClass
    custodian: bool
    party: bool = False
    directives: tuple[str, ...] = ()
    seals: tuple[str, ...] = ()
    grants: tuple[GrantTrace, ...] = ()
    barriers: tuple[tuple[str, DataClass], ...] = ()


def evaluate(
    facts: Facts, reader: Reader, row: Row, *, at: datetime, rule: Rule | None = None
) -> Decision:
    """Return what the reader sees of the row at that instant. Pure; same rule as `sql.shared`."""
    if row.custodian_id == reader.organisation_id:
        return Decision(ALL, custodian=True)
    reading = Reading(facts, reader, row, at, rule or rules.current())
    traces = tuple(reading.trace(grant) for grant in facts.grants)
    party = reader.organisation_id in row.parties
    mask = ALL if party else DataClass.ENVELOPE
    for trace in traces:
        mask |= trace.mask
    barriers = reading.barriers()
    for _, classes in barriers:
        mask &= classes
    return Decision(
        mask,
        custodian=False,
        party=party,
        directives=reading.directives,
        seals=reading.seals,
        grants=traces,
        barriers=barriers,
    )


class Reading:
    """One walk over the rule for one reader, row and instant."""

    def __init__(self, facts: Facts, reader: Reader, row: Row, at: datetime, rule: Rule) -> None:
        self._facts, self._reader, self._at, self._rule = facts, reader, at, rule
        self._sides: dict[str, Any] = {"reader": reader, "row": row}
        self._directed = {"permit": DataClass.ENVELOPE, "deny": DataClass.ENVELOPE}
        self.directives = self._resolve()
        self.seals = tuple(
            seal.case_id for seal in facts.seals if self._counts(rule.seals, "seal", seal)
        )

    def answers(
        self, clauses: tuple[Clause, ...], side: Side, record: Any
    ) -> tuple[tuple[str, bool], ...]:
        """Return what each clause says of one record."""
        sides = {**self._sides, side: record}
        return tuple((one.name, self._true(one.condition, sides)) for one in clauses)

    def _counts(self, clauses: tuple[Clause, ...], side: str, record: Any) -> bool:
        sides = {**self._sides, side: record}
        return all(self._true(clause.condition, sides) for clause in clauses)

    def _resolve(self) -> tuple[str, ...]:
        counted = [
            consent
            for consent in self._facts.consents
            if self._counts(self._rule.directives, "consent", consent)
        ]
        # oldest first, then the deeper, deny after permit: the last word on a class stays
        for consent in sorted(
            counted, key=lambda one: (one.decided_at, one.depth, one.decision == "deny")
        ):
            other = "deny" if consent.decision == "permit" else "permit"
            classes = DataClass(consent.classes)
            for _, spoken_of in self.says(consent):
                classes &= spoken_of
            self._directed[consent.decision] |= classes
            self._directed[other] &= ~classes
        return tuple(consent.id for consent in counted)

    def says(self, consent: Consent) -> tuple[tuple[str, DataClass], ...]:
        """Return what one directive's classes are cut down to, factor by factor."""
        sides = {**self._sides, "consent": consent}
        return tuple((one.name, self._mask(one.mask, sides)) for one in self._rule.says)

    def barriers(self) -> tuple[tuple[str, DataClass], ...]:
        return tuple((one.name, self._mask(one.mask, self._sides)) for one in self._rule.barriers)

    def trace(self, grant: Grant) -> GrantTrace:
        agreement = self._facts.agreements.get(grant.agreement_id)
        sides = {**self._sides, "grant": grant, "agreement": agreement}
        clauses = tuple((one.name, self._true(one.condition, sides)) for one in self._rule.clauses)
        mask = DataClass.ENVELOPE
        factors: tuple[tuple[str, DataClass], ...] = ()
        if all(held for _, held in clauses):
            factors = tuple((one.name, self._mask(one.mask, sides)) for one in self._rule.factors)
            mask = ALL
            for _, classes in factors:
                mask &= classes
        return GrantTrace(grant.id, grant.agreement_id, grant.basis, clauses, factors, mask)

    def _true(self, node: Predicate, sides: Mapping[str, Any]) -> bool:  # noqa: C901, PLR0911
        match node:
            case Equal(left, right):
                value = _get(sides, left)
                return value is not None and value == _get(sides, right)
            case Differ(left, right):
                one, other = _get(sides, left), _get(sides, right)
                return one is not None and other is not None and one != other
            case OneOf(of, values):
                return _get(sides, of) in values
            case AtMost(left, right):
                one, other = _get(sides, left), _get(sides, right)
                return one is not None and other is not None and one <= other
            case Missing(of):
                return _get(sides, of) is None
            case Holds(of):
                return _get(sides, of) is True
            case Covers(declared):
                return purposes.covers(_get(sides, declared) or 0, self._reader.purpose)
            case Under(code):
                return purposes.covers(purposes.bit(code), self._reader.purpose)
            case InForce(start, end):
                since, until = _get(sides, start), _get(sides, end)
                return (
                    since is not None and since <= self._at and (until is None or self._at < until)
                )
            case AllOf(terms):
                return all(self._true(term, sides) for term in terms)
            case AnyOf(terms):
                return any(self._true(term, sides) for term in terms)

    def _mask(self, node: Mask, sides: Mapping[str, Any]) -> DataClass:  # noqa: PLR0911
        match node:
            case Classes(of):
                return DataClass(_get(sides, of))
            case Ceiling(lines):
                return DataClass(lines.ceiling(self._reader.kind, self._reader.purpose))
            case Directed(decision):
                return self._directed[decision]
            case Sealed():
                return ALL if self.seals else DataClass.ENVELOPE
            case When(condition):
                return ALL if self._true(condition, sides) else DataClass.ENVELOPE
            case Always(mask):
                return DataClass(mask)
            case Except(of):
                return ALL & ~self._mask(of, sides)
            case Either(terms):
                union = DataClass.ENVELOPE
                for term in terms:
                    union |= self._mask(term, sides)
                return union


def _get(sides: Mapping[str, Any], ref: Ref) -> Any:
    side = sides.get(ref.side)
    return None if side is None else getattr(side, ref.field)
