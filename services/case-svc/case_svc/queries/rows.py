"""Rows of one case: a page, one of them, one of them to be changed."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sharing import sql
from sqlalchemy import ColumnElement, Select, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.models import CaseFile, TimelineEntry
from case_svc.models.base import InCase
from case_svc.queries.cases import get_case
from case_svc.queries.visible import Seen, row_mask, shows_row

Row = TypeVar("Row", bound=InCase)


async def list_rows(
    tx: AsyncSession,
    caller: Caller,
    model: type[Row],
    case_id: str,
    *,
    after: str | None,
    limit: int,
    which: Sequence[ColumnElement[bool]] = (),
) -> Sequence[Seen[Row]]:
    """Return a page of the case's rows that the caller sees, newest first. Raises NotFound."""
    file = (await get_case(tx, caller, case_id)).row
    statement = _visible(caller, model, file).where(*which).order_by(model.id.desc()).limit(limit)
    if after:
        statement = statement.where(model.id < after)
    return [Seen(*row) for row in (await tx.execute(statement))]


async def get_row(
    tx: AsyncSession, caller: Caller, model: type[Row], case_id: str, row_id: str
) -> Seen[Row]:
    """Return one row of a case. Raises NotFound."""
    file = (await get_case(tx, caller, case_id)).row
    return await row_of(tx, caller, model, file, row_id)


async def row_of(
    tx: AsyncSession, caller: Caller, model: type[Row], file: CaseFile, row_id: str
) -> Seen[Row]:
    """Return one row of a case at hand; current when the case is locked. Raises NotFound."""
    statement = _visible(caller, model, file).where(model.id == row_id)
    found = await tx.execute(statement.execution_options(populate_existing=True))
    row = found.first()
    if row is None:
        raise NotFound
    return Seen(*row)


async def list_timeline(
    tx: AsyncSession, caller: Caller, case_id: str, after: str | None, limit: int
) -> Sequence[Seen[TimelineEntry]]:
    """Return a page of what happened that the caller may learn of, newest first.

    The order is the place in the case; a cursor holds an id, because places count hidden entries.
    """
    file = (await get_case(tx, caller, case_id)).row
    statement = (
        _visible(caller, TimelineEntry, file).order_by(TimelineEntry.place.desc()).limit(limit)
    )
    if after:
        place = select(TimelineEntry.place).where(
            TimelineEntry.case_id == case_id, TimelineEntry.id == after
        )
        statement = statement.where(TimelineEntry.place < place.scalar_subquery())
    return [Seen(*row) for row in (await tx.execute(statement))]


def _visible(caller: Caller, model: Any, file: CaseFile) -> Select[Any]:
    seen = sql.lateral(row_mask(caller, model))
    return (
        select(model, seen.c.mask, CaseFile.person_id)
        .join(CaseFile, CaseFile.id == model.case_id)
        .join(seen, true())
        .where(model.case_id == file.id, shows_row(seen.c.mask, model))
    )
