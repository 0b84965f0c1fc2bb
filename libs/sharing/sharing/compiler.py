"""One compilation of the rule to SQLAlchemy expressions, constants folded; `sql.py` is its face.

Only parameters and columns of the static tables enter; nothing of the caller becomes SQL text.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    False_,
    Integer,
    Select,
    True_,
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
from sqlalchemy.sql.selectable import FromClause

from sharing import purposes, tables
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
    Factor,
    Holds,
    InForce,
    Mask,
    Missing,
    OneOf,
    Predicate,
    Ref,
    Rule,
    Sealed,
    Under,
    When,
)
from sharing.classes import ALL
from sharing.model import Reader

Expression = ColumnElement[Any]
Column = Expression | InstrumentedAttribute[Any]
# a mask known before any row is looked at, or an expression that is never null
Folded = int | Expression


def number(value: int) -> ColumnElement[int]:
    return literal(int(value), Integer)


def common(one: Folded, other: Folded) -> Folded:
    """Return the classes of both masks."""
    if isinstance(one, int) and isinstance(other, int):
        return one & other
    for known, rest in ((one, other), (other, one)):
        if isinstance(known, int):
            if known in {ALL, 0}:
                return rest if known else 0
            return cast("Expression", rest).op("&")(number(known))
    return cast("Expression", one).op("&")(other)


def either(one: Folded, other: Folded) -> Folded:
    """Return the classes of any of the two masks."""
    if isinstance(one, int) and isinstance(other, int):
        return one | other
    for known, rest in ((one, other), (other, one)):
        if isinstance(known, int):
            if known in {ALL, 0}:
                return rest if known == 0 else int(ALL)
            return cast("Expression", rest).op("|")(number(known))
    return cast("Expression", one).op("|")(other)


def without(mask: Expression, other: Expression) -> Expression:
    return mask.op("&")(other.bitwise_not())


class Compiler:
    """The rule for one reader and the columns of one kind of row."""

    def __init__(
        self,
        reader: Reader,
        row: Mapping[str, Column | None],
        rule: Rule,
        at: datetime | Expression | None,
    ) -> None:
        self._reader, self._row, self._rule = reader, row, rule
        instant = func.now() if at is None else at
        self._at = instant if isinstance(instant, ColumnElement) else literal(instant)
        # anonymous aliases: a named one could capture a column of the caller's own statement
        self._tables: dict[str, FromClause] = {
            "grant": tables.grant.alias(),
            "agreement": tables.agreement.alias(),
            "consent": tables.consent.alias(),
            "seal": tables.seal.alias(),
        }
        # the row's custodian where it is a Part 2 program: joined to the directives
        self._program = tables.organisation.alias()
        self._directed: dict[str, Expression] = {}

    def granted(self) -> Folded:
        """The union over the grants that hold, each cut down by every factor."""
        grant, agreement = self._tables["grant"], self._tables["agreement"]
        standing = self._directives().lateral()
        self._directed = {"permit": standing.c.permitted, "deny": standing.c.denied}
        mask = self._cut(self._rule.factors)
        if isinstance(mask, int) and not mask:
            return 0
        joined = grant.join(agreement, self._all(self._rule.clauses)).join(standing, true())
        union = select(func.coalesce(func.bit_or(expression(mask)), 0)).select_from(joined)
        return union.correlate_except(grant, agreement, standing).scalar_subquery()

    def barriers(self) -> Folded:
        """What every grant and every party is cut down to."""
        return self._cut(self._rule.barriers)

    def sealed(self) -> ColumnElement[bool]:
        """Whether a seal that counts is in place."""
        condition = self._all(self._rule.seals)
        if isinstance(condition, False_):
            return condition
        seal = self._tables["seal"]
        found = select(literal(1)).select_from(seal).where(condition)
        return found.correlate_except(seal).exists()

    def _cut(self, factors: tuple[Factor, ...]) -> Folded:
        mask: Folded = int(ALL)
        for factor in factors:
            mask = common(mask, self._mask(factor.mask))
        return mask

    def _directives(self) -> Select[Any]:
        """One row: the classes denied by the newest directive on each, and those permitted by any.

        A permit that a newer deny takes back is still among the permitted: what is denied is not
        shown whatever else permits it.
        """
        consent, program = self._tables["consent"], self._program
        decision, says = consent.c.decision, self._says()
        classes = expression(common(consent.c.classes, says))
        source = consent
        if not isinstance(says, int):
            # once for a row, however often the classes are named
            keeps = and_(program.c.id == self._row["custodian_id"], program.c.part2_program)
            source = consent.outerjoin(program, keeps)
        newest_first = (consent.c.decided_at.desc(), consent.c.depth.desc())
        newer_permits = (
            func.bit_or(classes)
            .filter(decision == "permit")
            .over(order_by=newest_first, groups=(None, -1))
        )
        counted = (
            select(
                decision.label("decision"),
                without(classes, func.coalesce(newer_permits, 0)).label("denied"),
                classes.label("permitted"),
            )
            .select_from(source)
            .where(self._all(self._rule.directives))
            .correlate_except(consent, program)
            .subquery()
        )
        said = counted.c.decision
        denied = func.bit_or(counted.c.denied).filter(said == "deny")
        permitted = func.bit_or(counted.c.permitted).filter(said == "permit")
        return select(
            func.coalesce(denied, 0).label("denied"),
            func.coalesce(permitted, 0).label("permitted"),
        )

    def _says(self) -> Folded:
        """What each directive is cut down to, of the classes that may be shown at all."""
        shown = int(ALL)
        for factor in self._rule.factors:
            if isinstance(factor.mask, Ceiling):
                shown &= self._least(factor.mask)
        cuts = (one for one in self._rule.says if shown & ~self._least(one.mask))
        return self._cut(tuple(cuts))

    def _least(self, node: Mask) -> int:
        """The classes that a mask has in any case."""
        match node:
            case Always() | Except(Always()) | Ceiling():
                known = self._mask(node)
                return known if isinstance(known, int) else 0
            case Either(terms):
                least = 0
                for term in terms:
                    least |= self._least(term)
                return least
        return 0

    def _all(self, clauses: tuple[Clause, ...]) -> ColumnElement[bool]:
        return and_(true(), *(self._true(clause.condition) for clause in clauses))

    def _true(self, node: Predicate) -> ColumnElement[bool]:  # noqa: C901, PLR0911
        match node:
            case Equal(left, right):
                one, other = self._get(left), self._get(right)
                return false() if one is None or other is None else one == other
            case Differ(left, right):
                one, other = self._get(left), self._get(right)
                return false() if one is None or other is None else one != other
            case OneOf(of, values):
                return self._known(of).in_(values)
            case AtMost(left, right):
                return self._known(left) <= self._known(right)
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
            case Under(code):
                under = purposes.covers(purposes.bit(code), self._reader.purpose)
                return true() if under else false()
            case InForce(start, end):
                until = self._known(end)
                since = self._known(start) <= self._at
                return and_(since, or_(until.is_(None), self._at < until))
            case AllOf(terms):
                return and_(*(self._true(term) for term in terms))
            case AnyOf(terms):
                return or_(*(self._true(term) for term in terms))

    def _mask(self, node: Mask) -> Folded:  # noqa: C901, PLR0911
        match node:
            case Classes(of):
                return cast("Expression", self._known(of))
            case Ceiling(lines):
                return int(lines.ceiling(self._reader.kind, self._reader.purpose))
            case Directed(decision):
                return self._directed[decision]
            case Sealed():
                return _where(self.sealed())
            case When(condition):
                return _where(self._true(condition))
            case Always(mask):
                return int(mask)
            case Except(of):
                inner = self._mask(of)
                if isinstance(inner, int):
                    return int(ALL) & ~inner
                return without(number(ALL), inner)
            case Either(terms):
                union: Folded = 0
                for term in terms:
                    union = either(union, self._mask(term))
                return union

    def _get(self, ref: Ref) -> Column | None:
        if ref.side == "reader":
            value = getattr(self._reader, ref.field)
            # of a statement that is kept it is given as it runs
            return value if isinstance(value, ColumnElement) else literal(value, tables.TEXT)
        if ref == Ref("row", "program"):
            return self._program.c.id
        if ref.side == "row":
            return self._row[ref.field]
        return self._tables[ref.side].c[ref.field]

    def _known(self, ref: Ref) -> Column:
        value = self._get(ref)
        assert value is not None
        return value


def _where(condition: ColumnElement[bool]) -> Folded:
    if isinstance(condition, True_ | False_):
        return int(ALL) if isinstance(condition, True_) else 0
    return switch((condition, number(ALL)), else_=number(0))


def expression(mask: Folded) -> Expression:
    return number(mask) if isinstance(mask, int) else mask
