"""Cases: one, locked, listed, counted. Filters on a field match only where the field is seen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sharing import DataClass, Reader, sql
from sharing.kept import AFTER_ALL, at_least, given, kept, narrowing
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from svckit.identity import Caller

from case_svc.domain.cases import CaseStatus, Phase
from case_svc.domain.classes import CASE_WHOLE
from case_svc.domain.needs import NeedCategory, NeedStatus
from case_svc.domain.plan import GoalStatus
from case_svc.domain.tasks import OPEN
from case_svc.models import CaseFile, CasePhase, CaseReader, ExternalNumber, Goal, Need, Note, Task
from case_svc.models.base import InCase
from case_svc.queries.visible import (
    Seen,
    case_seen,
    found,
    row_mask,
    shows_case,
    shows_row,
)


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
    return Seen(*found(await _case.first(tx, caller, {"case_id": case_id})))


@kept
def _case(reader: Reader) -> Select[Any]:
    seen = case_seen(reader)
    return (
        select(CaseFile, seen.c.mask)
        .join(seen, true())
        .where(CaseFile.id == given("case_id"), shows_case(seen.c.mask))
    )


async def lock_case(tx: AsyncSession, caller: Caller, case_id: str) -> Seen[CaseFile]:
    """Return the case locked: every write below it comes after this. Raises NotFound."""
    return Seen(*found(await _case_locked.locked(tx, caller, {"case_id": case_id})))


@kept
def _case_locked(reader: Reader) -> Select[Any]:
    return _case.build(reader).with_for_update(of=CaseFile, key_share=True)


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
    values = narrowing(wanted)
    names = frozenset(values)
    values["after"] = after or AFTER_ALL
    rows = await _page.rows(tx, caller, values, names, at_least(limit))
    return [Seen(*row) for row in rows[:limit]]


@kept
def _page(reader: Reader, names: frozenset[str], limit: int) -> Select[Any]:
    return (
        _listed(reader, names, CaseFile)
        .where(CaseReader.case_id < given("after"))
        .order_by(CaseReader.case_id.desc())
        .limit(limit)
    )


async def count_cases(tx: AsyncSession, caller: Caller, wanted: CaseFilter) -> int:
    """Return how many cases the list would hold."""
    values = narrowing(wanted)
    [counted] = found(await _counted.first(tx, caller, values, frozenset(values)))
    return int(counted)


@kept
def _counted(reader: Reader, names: frozenset[str]) -> Select[Any]:
    listed = _listed(reader, names, CaseReader.case_id).subquery()
    return select(func.count()).select_from(listed)


async def list_phases(tx: AsyncSession, case_id: str) -> Sequence[CasePhase]:
    """Return a case's stays in phases in their order; check the case first."""
    return await phases_of(tx, [case_id])


async def phases_of(tx: AsyncSession, case_ids: Collection[str]) -> Sequence[CasePhase]:
    """Return the same of several cases."""
    statement = select(CasePhase).where(CasePhase.case_id.in_(case_ids)).order_by(CasePhase.place)
    return (await tx.scalars(statement)).all()


async def get_counted(
    tx: AsyncSession, caller: Caller, case_id: str
) -> tuple[Seen[CaseFile], dict[str, int]]:
    """Return the case and the counts of its rows that the caller sees. Raises NotFound."""
    file, mask, *counts = found(await _case_counted.first(tx, caller, {"case_id": case_id}))
    return Seen(file, mask), dict(zip(_COUNTED, counts, strict=True))


@kept
def _case_counted(reader: Reader) -> Select[Any]:
    counts = (_count(reader, model, which) for model, which in _COUNTED.values())
    return _case.build(reader).add_columns(*counts)


_COUNTED: Mapping[str, tuple[type[InCase], ColumnElement[bool]]] = {
    "needs_open": (Need, Need.status.in_([NeedStatus.OPEN, NeedStatus.IN_PROGRESS])),
    "tasks_open": (Task, Task.status.in_(sorted(OPEN))),
    "goals": (Goal, Goal.lifecycle_status != GoalStatus.ENTERED_IN_ERROR),
    "notes": (Note, true()),
}


def _count(reader: Reader, model: type[InCase], which: ColumnElement[bool]) -> ColumnElement[int]:
    seen = sql.lateral(row_mask(reader, model))
    counted = (
        select(func.count())
        .select_from(model)
        .join(seen, true())
        .where(model.case_id == CaseFile.id, which, shows_row(seen.c.mask, model))
    )
    return counted.correlate(CaseFile).scalar_subquery()


def _listed(reader: Reader, names: frozenset[str], what: Any) -> Select[Any]:
    """Drive from the reader's narrow table: first and deep pages then cost the same."""
    seen = case_seen(reader)
    return (
        select(what, seen.c.mask)
        .select_from(CaseReader)
        .join(CaseFile, sql.looked_up(CaseFile.id, CaseReader.case_id))
        .join(seen, true())
        .where(
            CaseReader.organisation_id == reader.organisation_id,
            shows_case(seen.c.mask),
            *_narrowed(reader, names, seen.c.mask),
        )
    )


def _narrowed(
    reader: Reader, names: frozenset[str], mask: ColumnElement[int]
) -> list[ColumnElement[bool]]:
    """A filter on a hidden field matches nothing."""
    exact: dict[str, tuple[str | int, ColumnElement[bool]]] = {
        "person_id": ("envelope", CaseFile.person_id == given("person_id")),
        "custodian_id": ("envelope", CaseFile.custodian_id == given("custodian_id")),
        "status": ("outcome", CaseFile.status == given("status")),
        "opened_since": ("outcome", CaseFile.opened_at >= given("opened_since")),
        "phase": ("coordination", CaseFile.phase == given("phase")),
        "worker": ("coordination", CaseFile.worker == given("worker")),
        "updated_since": (int(CASE_WHOLE), CaseFile.updated_at >= given("updated_since")),
    }
    narrowed = [
        and_(sql.may_filter(mask, needed), condition)
        for name, (needed, condition) in exact.items()
        if name in names
    ]
    if "need" in names:
        narrowed.append(_has(reader, Need, Need.category == given("need")))
    if "number" in names:
        number = given("number", CaseFile.number.type)
        own = and_(sql.may_filter(mask, "coordination"), CaseFile.number == number)
        other = _has(reader, ExternalNumber, ExternalNumber.value == number)
        narrowed.extend((or_(own, other), CaseFile.id.in_(_numbered(number))))
    return narrowed


def _numbered(number: ColumnElement[str]) -> CompoundSelect[str]:
    """Candidates by index: whoever's number it is, the filter beside this decides if it is seen."""
    numbered = aliased(CaseFile)
    return union(
        select(numbered.id).where(numbered.number == number),
        select(ExternalNumber.case_id).where(ExternalNumber.value == number),
    )


def _has(reader: Reader, model: type[InCase], which: ColumnElement[bool]) -> ColumnElement[bool]:
    mask = row_mask(reader, model)
    some = select(literal(1)).where(model.case_id == CaseFile.id, which, shows_row(mask, model))
    return some.correlate(CaseFile).exists()


def shows_phases(seen: Seen[CaseFile]) -> bool:
    """Tell whether the mask shows in which phases the case has been."""
    return bool(seen.mask & DataClass.COORDINATION)
