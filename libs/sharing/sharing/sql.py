"""The rule compiled to SQLAlchemy expressions: the enforcement point, inside the statement.

    seen = sql.seen(caller, custodian=Case.custodian_id, person=Case.person_id, case=Case.id)
    select(Case, seen.c.mask).join(seen, true()).where(sql.may_see(seen.c.mask, "coordination"))

Only parameters and columns of the static tables enter; nothing of the caller becomes SQL text.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy import case as switch
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.selectable import FromClause, LateralFromClause

from sharing import policy, purposes, tables
from sharing import rule as rules
from sharing.algebra import (
    AllOf,
    Always,
    AnyOf,
    Ceiling,
    Classes,
    Clause,
    Covers,
    Directed,
    Either,
    Equal,
    Except,
    Holds,
    InForce,
    Mask,
    Missing,
    Predicate,
    Ref,
    Rule,
)
from sharing.classes import ALL, class_of
from sharing.model import Organisation, Reader

Expression = ColumnElement[Any]
Column = Expression | InstrumentedAttribute[Any]


def shared(
    reader: Reader,
    *,
    custodian: Column,
    person: Column,
    case: Column | None = None,
    parties: Sequence[Column] = (),
    at: datetime | None = None,
    rule: Rule | None = None,
) -> ColumnElement[int]:
    """Return the mask of classes the reader sees of a row: a scalar, never null.

    `case` None says that the row is the person's own record, which every grant about the person
    reaches; a null case column is reached only by grants that hold for every case. `parties` are
    columns of organisations that, like the custodian, see all of the row. The clock is the
    transaction's unless `at` is given.
    """
    asking = Organisation(reader.organisation_id, reader.kind, reader.purpose)
    # an instant or a value in place of a column hardly comes again
    once = at is not None or any(isinstance(one, BindParameter) for one in (person, case))
    compiled = _shared.__wrapped__ if once else _shared
    return compiled(asking, custodian, person, case, tuple(parties), at, rule)


# building costs milliseconds and 140 kB; readers and rows come in few kinds
@lru_cache(maxsize=256)
def _shared(  # noqa: PLR0917 - a cache key has no names
    reader: Organisation,
    custodian: Column,
    person: Column,
    case: Column | None,
    parties: tuple[Column, ...],
    at: datetime | None,
    rule: Rule | None,
) -> ColumnElement[int]:
    row = {"custodian_id": custodian, "person_id": person, "case_id": case}
    compiler = _Compiler(reader, row, rule or rules.current(), at)
    own = [column == reader.organisation_id for column in (custodian, *parties)]
    if not policy.current().ceiling(reader.kind, reader.purpose):
        return switch((or_(*own), _number(ALL)), else_=_number(0))
    return switch((or_(*own), _number(ALL)), else_=compiler.granted())


def seen(
    reader: Reader,
    *,
    custodian: Column,
    person: Column,
    case: Column | None = None,
    parties: Sequence[Column] = (),
) -> LateralFromClause:
    """Return the same mask as a lateral to join `on true()`, with one column `mask`.

    It is computed once for a row however often the statement names it.
    """
    asking = Organisation(reader.organisation_id, reader.kind, reader.purpose)
    return _seen(asking, custodian, person, case, tuple(parties))


@lru_cache(maxsize=256)
def _seen(
    reader: Organisation,
    custodian: Column,
    person: Column,
    case: Column | None,
    parties: tuple[Column, ...],
) -> LateralFromClause:
    mask = _shared(reader, custodian, person, case, parties, None, None)
    return lateral(mask)


def lateral(mask: ColumnElement[int]) -> LateralFromClause:
    """Return a mask made of the row's columns as a lateral to join `on true()`: column `mask`.

    Correlated in full: left alone, SQLAlchemy gives the lateral a FROM of its own, and every row is
    joined to the masks of all the others. OFFSET keeps PostgreSQL from pulling the mask up into
    every place that names it, to be computed once in each.
    """
    return select(mask.label("mask")).correlate_except(None).offset(0).lateral()


def may_see(mask: Expression, required: Expression | str | int) -> ColumnElement[bool]:
    """Return whether a mask that sees anything at all holds every required class.

    `required` is a column of masks, a mask, or the name of one class. Requiring nothing is not
    seen by those who see nothing.
    """
    needed = _required(required)
    # >= is == here, but PostgreSQL expects = to hold for one row in 200 and then plans a page of
    # the newest rows as a search for the few: 3 s instead of 30 ms on 100,000 cases
    return and_(mask != 0, mask.op("&")(needed) >= needed)


def may_see_any(mask: Expression, any_of: Expression | str | int) -> ColumnElement[bool]:
    """Return whether the mask holds at least one of the classes."""
    return mask.op("&")(_required(any_of)) != 0


def may_filter(mask: Expression, required: Expression | str | int) -> ColumnElement[bool]:
    """Return whether the reader may learn of a field by filtering, sorting or counting on it.

    Combine as `may_filter(mask, "coordination") & (column == value)`: a hidden field matches
    nothing, whatever it holds.
    """
    return may_see(mask, required)


def _required(required: Expression | str | int) -> Expression:
    if isinstance(required, str):
        return _number(class_of(required))
    return _number(required) if isinstance(required, int) else required


def _number(value: int) -> ColumnElement[int]:
    return literal(int(value), Integer)


class _Compiler:
    """One compilation of the rule, for one reader and the columns of one kind of row."""

    def __init__(
        self, reader: Reader, row: Mapping[str, Column | None], rule: Rule, at: datetime | None
    ) -> None:
        self._reader, self._row, self._rule = reader, row, rule
        self._at: Expression = func.now() if at is None else literal(at)
        # anonymous aliases: a named one could capture a column of the caller's own statement
        self._tables: dict[str, FromClause] = {
            "grant": tables.grant.alias(),
            "agreement": tables.agreement.alias(),
            "consent": tables.consent.alias(),
        }
        self._directed: dict[str, Expression] = {}

    def granted(self) -> ColumnElement[int]:
        """The union over the grants that hold, each cut down by every factor."""
        grant, agreement = self._tables["grant"], self._tables["agreement"]
        standing = self._directives().lateral()
        self._directed = {"permit": standing.c.permitted, "deny": standing.c.denied}
        mask: Expression = _number(ALL)
        for factor in self._rule.factors:
            mask = mask.op("&")(self._mask(factor.mask))
        joined = grant.join(agreement, self._all(self._rule.clauses)).join(standing, true())
        union = select(func.coalesce(func.bit_or(mask), 0)).select_from(joined)
        return union.correlate_except(grant, agreement, standing).scalar_subquery()

    def _directives(self) -> Select[Any]:
        """One row: the classes permitted and denied by the newest directive on each of them."""
        consent = self._tables["consent"]
        classes, decision = consent.c.classes, consent.c.decision
        newest_first = consent.c.decided_at.desc()
        newer_permits = (
            func.bit_or(classes)
            .filter(decision == "permit")
            .over(order_by=newest_first, groups=(None, -1))
        )
        denies_since = (
            func.bit_or(classes)
            .filter(decision == "deny")
            .over(order_by=newest_first, groups=(None, 0))
        )
        counted = (
            select(
                decision.label("decision"),
                _without(classes, func.coalesce(newer_permits, 0)).label("denied"),
                _without(classes, func.coalesce(denies_since, 0)).label("permitted"),
            )
            .select_from(consent)
            .where(self._all(self._rule.directives))
            .correlate_except(consent)
            .subquery()
        )
        said = counted.c.decision
        denied = func.bit_or(counted.c.denied).filter(said == "deny")
        permitted = func.bit_or(counted.c.permitted).filter(said == "permit")
        return select(
            func.coalesce(denied, 0).label("denied"),
            func.coalesce(permitted, 0).label("permitted"),
        )

    def _all(self, clauses: tuple[Clause, ...]) -> ColumnElement[bool]:
        return and_(true(), *(self._true(clause.condition) for clause in clauses))

    def _true(self, node: Predicate) -> ColumnElement[bool]:  # noqa: PLR0911
        match node:
            case Equal(left, right):
                one, other = self._get(left), self._get(right)
                return false() if one is None or other is None else one == other
            case Missing(of):
                value = self._get(of)
                return true() if value is None else value.is_(None)
            case Holds(Ref("row", "about_person")):
                return true() if self._row["case_id"] is None else false()
            case Holds(of):
                return self._known(of).is_(true())
            case Covers(declared):
                wanted = literal(purposes.covering(self._reader.purpose), tables.PURPOSES)
                return self._known(declared).op("&")(wanted) != 0
            case InForce(start, end):
                until = self._known(end)
                since = self._known(start) <= self._at
                return and_(since, or_(until.is_(None), self._at < until))
            case AllOf(terms):
                return and_(*(self._true(term) for term in terms))
            case AnyOf(terms):
                return or_(*(self._true(term) for term in terms))

    def _mask(self, node: Mask) -> Expression:
        match node:
            case Classes(of):
                return cast("Expression", self._known(of))
            case Ceiling():
                return _number(policy.current().ceiling(self._reader.kind, self._reader.purpose))
            case Directed(decision):
                return self._directed[decision]
            case Always(mask):
                return _number(mask)
            case Except(of):
                return _without(_number(ALL), self._mask(of))
            case Either(terms):
                first, *others = (self._mask(term) for term in terms)
                for other in others:
                    first = first.op("|")(other)
                return first

    def _get(self, ref: Ref) -> Column | None:
        if ref.side == "reader":
            return literal(getattr(self._reader, ref.field), tables.TEXT)
        if ref.side == "row":
            return self._row[ref.field]
        return self._tables[ref.side].c[ref.field]

    def _known(self, ref: Ref) -> Column:
        value = self._get(ref)
        assert value is not None
        return value


def _without(mask: Expression, other: Expression) -> Expression:
    return mask.op("&")(other.bitwise_not())
