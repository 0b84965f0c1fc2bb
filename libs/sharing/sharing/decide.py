"""The rule for one reader, with everything known of the facts worked out before the first row.

    decide = Decider(facts, reader, at=now())
    shown = [row for row in rows if may_show(decide(row), required)]

The same nodes as `evaluate` and `sql` read: what does not hang on the row is folded into constants,
what is left of a clause is a small function of the row. For many rows of few people; one row alone
is cheaper with `evaluate`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sharing import rule as rules
from sharing.algebra import Clause, Equal, Ref, Rule
from sharing.classes import ALL
from sharing.folding import Folding, Found, Said, Test
from sharing.model import Consent, Facts, Grant, Reader, Row

_ALL = int(ALL)
_PERSON = Ref("row", "person_id")
_OPEN: Said = {"seal": 0}
_CLOSED: Said = {"seal": _ALL}
_T = TypeVar("_T")


class _Opening(NamedTuple):
    """A grant that may hold: what the row must still be, and the classes it then shows."""

    tests: tuple[Test, ...]
    fixed: int
    varying: tuple[Found, ...]


class _Heard(NamedTuple):
    """A directive that may count, and what the row must still be for it."""

    tests: tuple[Test, ...]
    consent: Consent


class Decider:
    """What one reader sees of a row: the mask that `evaluate` gives, over facts that stay."""

    def __init__(
        self, facts: Facts, reader: Reader, *, at: datetime, rule: Rule | None = None
    ) -> None:
        self._rule = rule or rules.current()
        self._folding = Folding(reader, at)
        self._organisation = reader.organisation_id
        self._openings: _ByPerson[_Opening] = _ByPerson(self._rule.clauses, "grant")
        for grant in facts.grants:
            self._open(facts, grant)
        self._heard: _ByPerson[_Heard] = _ByPerson(self._rule.directives, "consent")
        for consent in facts.consents:
            tests = self._folding.residue(self._heard.rest, {"consent": consent})
            if tests is not None:
                self._heard.add(consent.person_id, _Heard(tests, consent))
        self._seals = [
            tests
            for seal in facts.seals
            if (tests := self._folding.residue(self._rule.seals, {"seal": seal})) is not None
        ]
        self._barriers = [self._folding.mask(one.mask, {}) for one in self._rule.barriers]
        # directives say the same of all rows that are alike in what the rule reads of a row
        self._alike = attrgetter("person_id", *_read_of_row(self._rule.directives))
        self._said: dict[Any, Said] = {}

    def __call__(self, row: Row) -> int:
        """Return the mask of the row's classes. Pure, but for what it remembers."""
        if row.custodian_id == self._organisation:
            return _ALL
        mask = _ALL if self._organisation in row.parties else 0
        for tests, fixed, varying in self._openings.of(row.person_id):
            if all(test(row) for test in tests):
                shown = fixed
                for cut in varying:
                    shown &= cut(row, self._directed(row))
                mask |= shown
        if mask and self._barriers:
            said = _CLOSED if self._seals and self._is_sealed(row) else _OPEN
            for barrier in self._barriers:
                mask &= barrier if isinstance(barrier, int) else barrier(row, said)
        return mask

    def _open(self, facts: Facts, grant: Grant) -> None:
        sides = {"grant": grant, "agreement": facts.agreements.get(grant.agreement_id)}
        tests = self._folding.residue(self._openings.rest, sides)
        if tests is None:
            return
        fixed = _ALL
        varying: list[Found] = []
        for factor in self._rule.factors:
            mask = self._folding.mask(factor.mask, sides)
            if isinstance(mask, int):
                fixed &= mask
            else:
                varying.append(mask)
        if fixed:
            self._openings.add(grant.person_id, _Opening(tests, fixed, tuple(varying)))

    def _is_sealed(self, row: Row) -> bool:
        return any(all(test(row) for test in tests) for tests in self._seals)

    def _directed(self, row: Row) -> Said:
        key = self._alike(row)
        found = self._said.get(key)
        if found is None:
            found = self._said[key] = self._resolve(row)
        return found

    def _resolve(self, row: Row) -> Said:
        said = {"permit": 0, "deny": 0}
        counted = [
            one.consent
            for one in self._heard.of(row.person_id)
            if all(test(row) for test in one.tests)
        ]
        for consent in sorted(
            counted, key=lambda one: (one.decided_at, one.depth, one.decision == "deny")
        ):
            other = "deny" if consent.decision == "permit" else "permit"
            said[consent.decision] |= consent.classes
            said[other] &= ~consent.classes
        return said


class _ByPerson(Generic[_T]):
    """Records by the person they are about, where a clause of the rule demands the row's person."""

    def __init__(self, clauses: tuple[Clause, ...], side: str) -> None:
        self.rest = tuple(
            clause
            for clause in clauses
            if not (
                isinstance(clause.condition, Equal)
                and clause.condition.left == Ref(side, "person_id")  # type: ignore[arg-type]
                and clause.condition.right == _PERSON
            )
        )
        self._demanded = len(self.rest) < len(clauses)
        self._kept: dict[str | None, list[_T]] = {}

    def add(self, person_id: str, record: _T) -> None:
        self._kept.setdefault(person_id if self._demanded else None, []).append(record)

    def of(self, person_id: str | None) -> Iterable[_T]:
        if self._demanded and person_id is None:
            return ()
        return self._kept.get(person_id if self._demanded else None, ())


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
