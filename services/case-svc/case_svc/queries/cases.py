"""Cases: one, locked, listed, counted. Filters on a field match only where the field is seen."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, cast

from sharing import DataClass, Organisation, Reader, sql
from sharing import rule as rules
from sharing.algebra import Rule
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from svckit import rights
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.domain.cases import CaseStatus, Phase
from case_svc.domain.needs import NeedCategory, NeedStatus
from case_svc.domain.plan import GoalStatus
from case_svc.domain.tasks import OPEN
from case_svc.models import CaseFile, CasePhase, CaseReader, ExternalNumber, Goal, Need, Note, Task
from case_svc.models.base import InCase
from case_svc.queries.visible import (
    Seen,
    case_seen,
    row_mask,
    shows_case,
    shows_row,
)

P = ParamSpec("P")
_ASKED = bindparam("case_id", type_=CaseFile.id.type)
AFTER_ALL = "~"  # every id sorts before it


def kept(build: Callable[P, Select[Any]]) -> Callable[P, Select[Any]]:
    """Keep what was built: it and its key cost more than PostgreSQL needs to answer.

    Not while rights are stale: a statement built before would go on deciding by them.
    """

    def under(_: Rule, *args: P.args, **kwargs: P.kwargs) -> Select[Any]:
        return build(*args, **kwargs)

    cached = cast(Callable[Concatenate[Rule, P], Select[Any]], lru_cache(maxsize=512)(under))

    @wraps(build)
    def statement(*args: P.args, **kwargs: P.kwargs) -> Select[Any]:
        if rights.is_stale():
            return build(*args, **kwargs)
        return cached(rules.current(), *args, **kwargs)

    return statement


@dataclass(frozen=True)
class CaseFilter:
    """What a list of cases may be narrowed by; None does not narrow."""

    status: CaseStatus | None = None
    phase: Phase | None = None
    person_id: str | None = None
    need: NeedCategory | None = None
    worker: str | None = None
    number: str | None = None
    custodian_id: str | None = None
    opened_since: datetime | None = None
    updated_since: datetime | None = None


async def get_case(tx: AsyncSession, caller: Caller, case_id: str) -> Seen[CaseFile]:
    """Return the case. Raises NotFound, also when it is not the caller's to see."""
    return Seen(*await _first(tx, _readable(reader_of(caller)), case_id))


async def lock_case(tx: AsyncSession, caller: Caller, case_id: str) -> Seen[CaseFile]:
    """Return the case locked: every write below it comes after this. Raises NotFound."""
    statement = _visible(caller, CaseFile.id == case_id).with_for_update(
        of=CaseFile, key_share=True
    )
    return await _one(tx, statement.execution_options(populate_existing=True))


async def find_case(tx: AsyncSession, case_id: str) -> CaseFile | None:
    """Return the case locked, for an event: the caller is another service, not an organisation."""
    statement = (
        select(CaseFile).where(CaseFile.id == case_id).with_for_update(key_share=True)
    ).execution_options(populate_existing=True)
    return await tx.scalar(statement)


async def list_cases(
    tx: AsyncSession, caller: Caller, wanted: CaseFilter, after: str | None, limit: int
) -> Sequence[Seen[CaseFile]]:
    """Return up to `limit` cases, newest first, after the case of that id."""
    rows = await tx.execute(_page(reader_of(caller), wanted, limit), {"after": after or AFTER_ALL})
    return [Seen(*row) for row in rows]


@kept
def _page(reader: Organisation, wanted: CaseFilter, limit: int) -> Select[Any]:
    after = bindparam("after", type_=CaseFile.id.type)
    return (
        _listed(reader, wanted, CaseFile)
        # on both sides: a merge join would read the other from its newest row
        .where(CaseReader.case_id < after, CaseFile.id < after)
        .order_by(CaseReader.case_id.desc())
        .limit(limit)
    )


async def count_cases(tx: AsyncSession, caller: Caller, wanted: CaseFilter) -> int:
    """Return how many cases the list would hold."""
    listed = _listed(caller, wanted, CaseReader.case_id).subquery()
    return await tx.scalar(select(func.count()).select_from(listed)) or 0


async def list_phases(tx: AsyncSession, case_id: str) -> Sequence[CasePhase]:
    """Return a case's stays in phases in their order; check the case first."""
    return await phases_of(tx, [case_id])


async def phases_of(tx: AsyncSession, case_ids: Collection[str]) -> Sequence[CasePhase]:
    """Return the same of several cases."""
    statement = select(CasePhase).where(CasePhase.case_id.in_(case_ids)).order_by(CasePhase.place)
    return (await tx.scalars(statement)).all()


async def count_rows(tx: AsyncSession, caller: Caller, file: CaseFile) -> dict[str, int]:
    """Return the counts of rows of the case that the caller sees, in one statement."""
    row = await _first(tx, _counts(reader_of(caller)), file.id)
    return dict(zip(row._fields, row, strict=True))


@kept
def _counts(reader: Organisation) -> Select[Any]:
    columns = {
        "needs_open": _count(
            reader, Need, Need.status.in_([NeedStatus.OPEN, NeedStatus.IN_PROGRESS])
        ),
        "tasks_open": _count(reader, Task, Task.status.in_(sorted(OPEN))),
        "goals": _count(reader, Goal, Goal.lifecycle_status != GoalStatus.ENTERED_IN_ERROR),
        "notes": _count(reader, Note, true()),
    }
    labelled: list[Any] = [count.label(name) for name, count in columns.items()]
    counted: Select[Any] = select(*labelled)
    return counted


@kept
def _readable(reader: Organisation) -> Select[Any]:
    return _visible(reader, CaseFile.id == _ASKED)


async def _first(tx: AsyncSession, statement: Select[Any], case_id: str) -> Any:
    """Return the one row of a kept statement over one case. Raises NotFound."""
    row = (await tx.execute(statement, {"case_id": case_id})).first()
    if row is None:
        raise NotFound
    return row


def reader_of(caller: Caller) -> Organisation:
    """Return what of the caller a decision depends on: by it statements are kept."""
    return Organisation(caller.organisation_id, caller.kind, caller.purpose)


def _count(reader: Reader, model: type[InCase], which: ColumnElement[bool]) -> ColumnElement[int]:
    seen = sql.lateral(row_mask(reader, model))
    return (
        select(func.count())
        .select_from(model)
        .join(CaseFile, CaseFile.id == model.case_id)
        .join(seen, true())
        .where(model.case_id == _ASKED, which, shows_row(seen.c.mask, model))
        .scalar_subquery()
    )


def _visible(caller: Reader, which: ColumnElement[bool]) -> Select[Any]:
    seen = case_seen(caller)
    return select(CaseFile, seen.c.mask).join(seen, true()).where(which, shows_case(seen.c.mask))


async def _one(tx: AsyncSession, statement: Select[Any]) -> Seen[CaseFile]:
    row = (await tx.execute(statement)).first()
    if row is None:
        raise NotFound
    return Seen(*row)


def _listed(caller: Reader, wanted: CaseFilter, what: Any) -> Select[Any]:
    """Drive from the caller's narrow reader table: first and deep pages then cost the same."""
    seen = case_seen(caller)
    return (
        select(what, seen.c.mask)
        .select_from(CaseReader)
        .join(CaseFile, CaseFile.id == CaseReader.case_id)
        .join(seen, true())
        .where(
            CaseReader.organisation_id == caller.organisation_id,
            shows_case(seen.c.mask),
            *_narrowed(caller, wanted, seen.c.mask),
        )
    )


def _narrowed(
    caller: Reader, wanted: CaseFilter, mask: ColumnElement[int]
) -> list[ColumnElement[bool]]:
    """A filter on a hidden field matches nothing."""
    exact: list[tuple[str, ColumnElement[bool] | None]] = [
        ("envelope", _equal(CaseFile.person_id, wanted.person_id)),
        ("envelope", _equal(CaseFile.custodian_id, wanted.custodian_id)),
        ("outcome", _equal(CaseFile.status, wanted.status)),
        ("outcome", CaseFile.opened_at >= wanted.opened_since if wanted.opened_since else None),
        ("coordination", _equal(CaseFile.phase, wanted.phase)),
        ("coordination", _equal(CaseFile.worker, wanted.worker)),
        (
            "coordination",
            CaseFile.updated_at >= wanted.updated_since if wanted.updated_since else None,
        ),
    ]
    narrowed = [
        and_(sql.may_filter(mask, needed), condition)
        for needed, condition in exact
        if condition is not None
    ]
    if wanted.need:
        narrowed.append(_has(caller, Need, Need.category == wanted.need))
    if wanted.number:
        own = and_(sql.may_filter(mask, "coordination"), CaseFile.number == wanted.number)
        other = _has(caller, ExternalNumber, ExternalNumber.value == wanted.number)
        narrowed.extend((or_(own, other), CaseFile.id.in_(_numbered(wanted.number))))
    return narrowed


def _numbered(number: str) -> CompoundSelect[str]:
    """Candidates by index: whoever's number it is, the filter beside this decides if it is seen."""
    numbered = aliased(CaseFile)
    return union(
        select(numbered.id).where(numbered.number == number),
        select(ExternalNumber.case_id).where(ExternalNumber.value == number),
    )


def _equal(column: Any, value: object) -> ColumnElement[bool] | None:
    return None if value is None else column == value


def _has(caller: Reader, model: type[InCase], which: ColumnElement[bool]) -> ColumnElement[bool]:
    mask = row_mask(caller, model)
    found = select(literal(1)).where(model.case_id == CaseFile.id, which, shows_row(mask, model))
    return found.correlate(CaseFile).exists()


def shows_phases(seen: Seen[CaseFile]) -> bool:
    """Tell whether the mask shows in which phases the case has been."""
    return bool(seen.mask & DataClass.COORDINATION)
