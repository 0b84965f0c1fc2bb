"""The rule for one reader, with everything known of the facts worked out before the first row.

    decide = Decider(facts, reader, at=now())
    shown = [row for row in rows if may_show(decide(row), required)]

The same nodes as `evaluate` and `sql` read: what does not hang on the row is folded into constants,
what is left of a clause is a small function of the row. For many rows of few people; one row alone
is cheaper with `evaluate`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sharing import rule as rules
from sharing.algebra import Clause, Equal, Factor, Ref, Rule, Side
from sharing.classes import ALL
from sharing.folding import Folding, Found, Said, Test
from sharing.model import Consent, Facts, Reader, Row

_ALL = int(ALL)
_SILENCE: Said = {"permit": 0, "deny": 0}
_T = TypeVar("_T")


class _Cut(NamedTuple):
    """Factors folded: what they leave in any case, and what hangs on the row."""

    fixed: int
    varying: tuple[Found, ...]

    def of(self, row: Row, said: Said) -> int:
        mask = self.fixed
        for cut in self.varying:
            mask &= cut(row, said)
        return mask


class _Opening(NamedTuple):
    """A grant that may hold: what the row must still be, what it shows, and what it has shown."""

    tests: tuple[Test, ...]
    cut: _Cut
    known: dict[Any, int]


class _Heard(NamedTuple):
    """A directive that may count, what the row must still be for it, and what it speaks of."""

    tests: tuple[Test, ...]
    consent: Consent
    cut: _Cut


class Decider:
    """What one reader sees of a row: the mask that `evaluate` gives, over facts that stay."""

    def __init__(
        self, facts: Facts, reader: Reader, *, at: datetime, rule: Rule | None = None
    ) -> None:
        rule = rule or rules.current()
        self._organisation = reader.organisation_id
        folding = Folding(reader, at)
        self._openings: _Keyed[_Opening] = _Keyed(rule.clauses, "grant", "person_id")
        for grant in facts.grants:
            sides = {"grant": grant, "agreement": facts.agreements.get(grant.agreement_id)}
            tests = folding.residue(self._openings.rest, sides)
            if tests is not None and (cut := _cut(folding, rule.factors, sides)) is not None:
                self._openings.add(grant, _Opening(tests, cut, {}))
        alike = {"person_id", *_read_of_row(rule.factors)}
        self._heard: _Keyed[_Heard] = _Keyed(rule.directives, "consent", "person_id")
        for consent in facts.consents:
            said = {"consent": consent}
            tests = folding.residue(self._heard.rest, said)
            if tests is not None and (cut := _cut(folding, rule.says, said)) is not None:
                self._heard.add(consent, _Heard(tests, consent, cut))
                alike |= _left_to_read(folding, self._heard.rest, said)
                alike |= set(_read_of_row(rule.says)) if cut.varying else set()
        self._seals: _Keyed[tuple[Test, ...]] = _Keyed(rule.seals, "seal", "case_id")
        for seal in facts.seals:
            tests = folding.residue(self._seals.rest, {"seal": seal})
            if tests is not None:
                self._seals.add(seal, tests)
        self._open = _cut(folding, rule.barriers, {})
        self._closed = _cut(Folding(reader, at, sealed=True), rule.barriers, {})
        # a grant shows the same of rows that are alike in what is read of a row beside the clauses
        if self._openings.keyed and self._heard.keyed and len(alike) > 1:
            alike.discard("person_id")
        self._alike = attrgetter(*sorted(alike))

    def __call__(self, row: Row) -> int:
        """Return the mask of the row's classes. Pure, but for what it remembers."""
        organisation = self._organisation
        if row.custodian_id == organisation:
            return _ALL
        mask = _ALL if organisation in row.parties else 0
        for tests, cut, known in self._openings.of(row):
            for test in tests:
                if not test(row):
                    break
            else:
                key = self._alike(row)
                shown = known.get(key)
                if shown is None:
                    shown = known[key] = cut.of(row, self._directed(row))
                mask |= shown
        if not mask:
            return 0
        barrier = self._closed if self._is_sealed(row) else self._open
        if barrier is None:
            return 0
        return mask & (barrier.of(row, _SILENCE) if barrier.varying else barrier.fixed)

    def _is_sealed(self, row: Row) -> bool:
        return any(all(test(row) for test in tests) for tests in self._seals.of(row))

    def _directed(self, row: Row) -> Said:
        said = {"permit": 0, "deny": 0}
        counted = [one for one in self._heard.of(row) if all(test(row) for test in one.tests)]
        for _, consent, cut in sorted(counted, key=_order):
            classes = consent.classes & (cut.of(row, _SILENCE) if cut.varying else cut.fixed)
            other = "deny" if consent.decision == "permit" else "permit"
            said[consent.decision] |= classes
            said[other] &= ~classes
        return said


def _order(heard: _Heard) -> tuple[datetime, int, bool]:
    consent = heard.consent
    return consent.decided_at, consent.depth, consent.decision == "deny"


def _cut(folding: Folding, factors: tuple[Factor, ...], sides: Mapping[str, Any]) -> _Cut | None:
    """Return the factors folded; None: they leave nothing, whatever the row."""
    fixed = _ALL
    varying: list[Found] = []
    for factor in factors:
        mask = folding.mask(factor.mask, sides)
        if isinstance(mask, int):
            fixed &= mask
        else:
            varying.append(mask)
    return _Cut(fixed, tuple(varying)) if fixed else None


class _Keyed(Generic[_T]):
    """Records kept by a field that a clause of the rule demands to be the row's, if one does."""

    def __init__(self, clauses: tuple[Clause, ...], side: Side, field: str) -> None:
        demand = Equal(Ref(side, field), Ref("row", field))
        self.rest = tuple(clause for clause in clauses if clause.condition != demand)
        self.keyed = len(self.rest) < len(clauses)
        self._get = attrgetter(field)
        self._kept: dict[str | None, list[_T]] = {}

    def add(self, record: Any, kept: _T) -> None:
        self._kept.setdefault(self._get(record) if self.keyed else None, []).append(kept)

    def of(self, row: Row) -> Sequence[_T]:
        if not self.keyed:
            return self._kept.get(None, ())
        # a record names one, so that a row without any finds none
        return self._kept.get(self._get(row), ())


def _left_to_read(
    folding: Folding, clauses: tuple[Clause, ...], sides: Mapping[str, Any]
) -> set[str]:
    """Return what the clauses read of a row that this record does not settle alone."""
    left = (
        one.condition for one in clauses if not isinstance(folding.test(one.condition, sides), bool)
    )
    return set(_read_of_row(tuple(left)))


def _read_of_row(node: Any) -> Iterator[str]:
    """Yield the fields of the row that some nodes read."""
    if isinstance(node, Ref):
        if node.side == "row":
            yield node.field
    elif isinstance(node, tuple):
        for part in node:
            yield from _read_of_row(part)
    elif is_dataclass(node):
        for name in fields(node):
            yield from _read_of_row(getattr(node, name.name))
