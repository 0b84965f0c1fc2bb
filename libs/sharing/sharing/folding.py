"""Nodes of the rule with one reader and one record worked in: a constant, or a function of the row."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from sharing import purposes
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
    Sealed,
    Under,
    When,
)
from sharing.classes import ALL
from sharing.model import Reader, Row

Test = Callable[[Row], bool]
# the classes that a person's directives say "permit" and "deny" of
Said = Mapping[str, int]
Found = Callable[[Row, Said], int]
_ALL = int(ALL)
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    Equal: lambda one, other: bool(one == other),
    Differ: lambda one, other: bool(one != other),
    AtMost: lambda one, other: bool(one <= other),
}


class Folding:
    """What is left of the rule for one reader at one instant, of rows that are sealed or not."""

    def __init__(self, reader: Reader, at: datetime, *, sealed: bool = False) -> None:
        self._reader, self._at, self._sealed = reader, at, sealed

    def residue(
        self, clauses: Iterable[Clause], sides: Mapping[str, Any]
    ) -> tuple[Test, ...] | None:
        """Return what the row must still be for all clauses to hold; None: none ever does."""
        left: list[Test] = []
        for clause in clauses:
            folded = self.test(clause.condition, sides)
            if folded is False:
                return None
            if folded is not True:
                left.append(folded)
        return tuple(left)

    def test(self, node: Predicate, sides: Mapping[str, Any]) -> bool | Test:  # noqa: PLR0911
        match node:
            case Equal(left, right) | Differ(left, right) | AtMost(left, right):
                return self._compared(_COMPARE[type(node)], left, right, sides)
            case Missing(of):
                return self._of(of, sides, lambda value: value is None)
            case Holds(of):
                return self._of(of, sides, lambda value: value is True)
            case OneOf(of, values):
                return self._of(of, sides, lambda value: value in values)
            case Covers(declared):
                return self._of(declared, sides, self._covers)
            case Under(code):
                return purposes.covers(purposes.bit(code), self._reader.purpose)
            case InForce(start, end):
                since, until = self._known(start, sides), self._known(end, sides)
                begun = since is not None and since <= self._at
                return begun and (until is None or self._at < until)
            case AllOf(terms):
                return _joined([self.test(term, sides) for term in terms], decides=False)
            case AnyOf(terms):
                return _joined([self.test(term, sides) for term in terms], decides=True)

    def mask(self, node: Mask, sides: Mapping[str, Any]) -> int | Found:  # noqa: C901, PLR0911
        match node:
            case Classes(of):
                return int(self._known(of, sides) or 0)
            case Ceiling(lines):
                return int(lines.ceiling(self._reader.kind, self._reader.purpose))
            case Always(mask):
                return int(mask)
            case Directed(decision):
                return lambda _, said: said[decision]
            case Sealed():
                return _ALL if self._sealed else 0
            case When(condition):
                test = self.test(condition, sides)
                if isinstance(test, bool):
                    return _ALL if test else 0
                return lambda row, _: _ALL if test(row) else 0
            case Except(of):
                inner = self.mask(of, sides)
                if isinstance(inner, int):
                    return _ALL & ~inner
                return lambda row, said: _ALL & ~inner(row, said)
            case Either(terms):
                return _united([self.mask(term, sides) for term in terms])

    def _covers(self, declared: int | None) -> bool:
        return purposes.covers(declared or 0, self._reader.purpose)

    def _known(self, ref: Ref, sides: Mapping[str, Any]) -> Any:
        record = self._reader if ref.side == "reader" else sides.get(ref.side)
        return None if record is None else getattr(record, ref.field)

    def _of(self, ref: Ref, sides: Mapping[str, Any], holds: Callable[[Any], bool]) -> bool | Test:
        if ref.side != "row":
            return holds(self._known(ref, sides))
        get = attrgetter(ref.field)
        return lambda row: holds(get(row))

    def _compared(
        self, compare: Callable[[Any, Any], bool], left: Ref, right: Ref, sides: Mapping[str, Any]
    ) -> bool | Test:
        """Both sides known, and the comparison of them."""
        of_row = [ref for ref in (left, right) if ref.side == "row"]
        if len(of_row) == 1 and compare is _COMPARE[Equal]:
            fixed = self._known(left if of_row[0] is right else right, sides)
            get = attrgetter(of_row[0].field)
            return False if fixed is None else lambda row: bool(get(row) == fixed)
        one, other = self._getter(left, sides), self._getter(right, sides)

        def holds(row: Row | None) -> bool:
            known, against = one(row), other(row)
            return known is not None and against is not None and compare(known, against)

        return holds if of_row else holds(None)

    def _getter(self, ref: Ref, sides: Mapping[str, Any]) -> Callable[[Any], Any]:
        if ref.side == "row":
            return attrgetter(ref.field)
        value = self._known(ref, sides)
        return lambda _: value


def _joined(terms: list[bool | Test], *, decides: bool) -> bool | Test:
    """Join terms of which one that is `decides` settles it: any of True, all without False."""
    if decides in terms:
        return decides
    tests = [term for term in terms if not isinstance(term, bool)]
    if not tests:
        return not decides
    first, *others = tests
    if not others:
        return first
    rest = _joined([*others], decides=decides)
    assert not isinstance(rest, bool)
    if decides:
        return lambda row: first(row) or rest(row)
    return lambda row: first(row) and rest(row)


def _united(terms: list[int | Found]) -> int | Found:
    known, rest = 0, []
    for term in terms:
        if isinstance(term, int):
            known |= term
        else:
            rest.append(term)
    if not rest or known == _ALL:
        return known
    if len(rest) == 1 and not known:
        return rest[0]

    def union(row: Row, said: Said) -> int:
        mask = known
        for found in rest:
            mask |= found(row, said)
        return mask

    return union
