"""The rule compiled to SQLAlchemy expressions: the enforcement point, inside the statement.

    seen = sql.seen(caller, custodian=Case.custodian_id, person=Case.person_id, case=Case.id)
    select(Case, seen.c.mask).join(seen, true()).where(sql.may_see(seen.c.mask, "coordination"))

Only parameters and columns of the static tables enter; nothing of the caller becomes SQL text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy import case as switch
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql.selectable import LateralFromClause
from svckit import rights

from sharing import confidentiality as confidential
from sharing import rule as rules
from sharing import stale, tables
from sharing.algebra import Rule
from sharing.classes import ALL, class_of
from sharing.compiler import Column, Compiler, Expression, common, expression, number
from sharing.model import Reader
from sharing.tables import TEXT
from sharing.waiting import waits


@dataclass(frozen=True)
class Protected:
    """How a row under a case is protected, where the case is known by its events alone.

    `rank` is how confidential it is, `waits` whether an event of its case is still to be applied.
    """

    rank: ColumnElement[int]
    waits: ColumnElement[bool]


def shared(
    reader: Reader,
    *,
    custodian: Column,
    person: Column,
    case: Column | None = None,
    parties: Sequence[Column] = (),
    referral: Column | None = None,
    confidentiality: Column | Protected | None = None,
    at: datetime | Expression | None = None,
    rule: Rule | None = None,
) -> ColumnElement[int]:
    """Return the mask of classes the reader sees of a row: a scalar, never null.

    `case` None says that the row is the person's own record, which every grant about the person
    reaches; a null case column is reached only by grants that hold for every case. `parties` are
    columns of organisations that, like the custodian, see all of the row unless the case is sealed.
    `referral` is the referral that the row is, or belongs to: grants of another one do not reach
    it. `confidentiality` is a column of codes or of ranks, or what `protected` made; without one the
    row is normal. The clock is the transaction's unless `at` is given. While the rights are not
    fresh, it is the custodian's own row or an error (see `stale.py`).
    """
    if rights.is_stale():
        return stale.own_or_refused(reader.organisation_id, custodian)
    closed: list[tuple[ColumnElement[bool], ColumnElement[int]]] = []
    if isinstance(confidentiality, Protected):
        closed = [(confidentiality.waits, number(0))]
        confidentiality = confidentiality.rank
    columns = custodian, person, case, referral, confidentiality
    compiler = _compiler(reader, columns, at, rule or rules.current())
    mask = compiler.granted()
    if parties:
        standing = or_(*(column == reader.organisation_id for column in parties))
        mask = switch((standing, number(ALL)), else_=expression(mask))
    mask = common(mask, compiler.barriers())
    own = custodian == reader.organisation_id
    return switch((own, number(ALL)), *closed, else_=expression(mask))


_Columns = tuple[Column, Column, Column | None, Column | None, Column | None]


def _compiler(
    reader: Reader, columns: _Columns, at: datetime | Expression | None, rule: Rule
) -> Compiler:
    custodian, person, case, referral, confidentiality = columns
    row = {
        "custodian_id": custodian,
        "person_id": person,
        "case_id": case,
        "referral_id": referral,
        "confidentiality": _rank(confidentiality),
    }
    return Compiler(reader, row, rule, at)


def protected(*, case: Column, confidentiality: Column | None = None) -> Protected:
    """Return how a row under a case is protected: at least as confidential as the case.

    For services that know of the case by the replica alone. Build it once for a kind of row: what
    is compiled is kept by its columns.
    """
    one = tables.protection.alias()
    found = select(one.c.confidentiality).where(one.c.case_id == case)
    of_case = func.coalesce(found.correlate_except(one).scalar_subquery(), confidential.NORMAL)
    least = switch((case.is_(None), number(0)), else_=of_case)
    rank = func.greatest(_rank(confidentiality), least, type_=Integer)
    return Protected(rank, waits(case))


def _rank(column: Column | None) -> Expression:
    if column is None:
        return number(confidential.NORMAL)
    if isinstance(column.type, Integer):
        return type_coerce(column, Integer)
    ranks = {code: rank for rank, code in enumerate(confidential.CODES)}
    # what is not a code is taken for the most protected
    return switch(ranks, value=type_coerce(column, Text), else_=confidential.HIGHEST)


def sealed(reader: Reader, *, case: Column) -> ColumnElement[bool]:
    """Return whether the row's case is closed to the reader by a seal of another organisation.

    So is one of which an event waits. For statements that give a standing of their own to parties,
    in services that know of cases by their events; `shared` looks by itself.
    """
    if rights.is_stale():
        return stale.refused(case)
    closed = _compiler(reader, (case, case, case, None, None), None, rules.current()).sealed()
    return or_(closed, waits(case))


def seen(
    reader: Reader,
    *,
    custodian: Column,
    person: Column,
    case: Column | None = None,
    parties: Sequence[Column] = (),
    referral: Column | None = None,
    confidentiality: Column | Protected | None = None,
) -> LateralFromClause:
    """Return the same mask as a lateral to join `on true()`, with one column `mask`.

    It is computed once for a row however often the statement names it.
    """
    mask = shared(
        reader,
        custodian=custodian,
        person=person,
        case=case,
        parties=parties,
        referral=referral,
        confidentiality=confidentiality,
    )
    return lateral(mask)


def lateral(mask: ColumnElement[int]) -> LateralFromClause:
    """Return a mask made of the row's columns as a lateral to join `on true()`: column `mask`.

    Correlated in full: left alone, SQLAlchemy gives the lateral a FROM of its own, and every row is
    joined to the masks of all the others. OFFSET keeps PostgreSQL from pulling the mask up into
    every place that names it, to be computed once in each.
    """
    return select(mask.label("mask")).correlate_except(None).offset(0).lateral()


def organisation(reader: Reader) -> ColumnElement[str]:
    """Return the reader's organisation as an expression, also of one that stands for others."""
    found: object = reader.organisation_id
    return found if isinstance(found, ColumnElement) else literal(found, TEXT)


def looked_up(column: Column, by: Column) -> ColumnElement[bool]:
    """Return that the two are equal, where a list is driven by the table of `by`.

    Of a plain `=` PostgreSQL may make a merge join, which reads both tables from their newest row
    on: good for who sees a fifth of all, 40 ms for who sees a thousandth. One plan is for both.
    """
    return column == any_(array([by]))


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
        return number(class_of(required))
    return number(required) if isinstance(required, int) else required
