"""Rows of one case: a page, one of them, one of them to be changed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sharing import Organisation, Reader, sql
from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.models import CaseFile, TimelineEntry
from case_svc.models.base import InCase
from case_svc.queries.cases import AFTER_ALL, get_case, kept, reader_of
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
    which: Mapping[str, str],
) -> Sequence[Seen[Row]]:
    """Return a page of the case's rows that the caller sees, newest first. Raises NotFound."""
    file = (await get_case(tx, caller, case_id)).row
    equal = (getattr(model, name) == value for name, value in which.items())
    statement = (
        _visible(caller, model, model.case_id == file.id)
        .where(*equal)
        .order_by(model.id.desc())
        .limit(limit)
    )
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
    statement = _visible(caller, model, model.case_id == file.id).where(model.id == row_id)
    found = await tx.execute(statement.execution_options(populate_existing=True))
    row = found.first()
    if row is None:
        raise NotFound
    return Seen(*row)


async def list_timeline(
    tx: AsyncSession,
    caller: Caller,
    file: CaseFile,
    *,
    after: str | None,
    limit: int,
    as_of: datetime | None = None,
) -> Sequence[Seen[TimelineEntry]]:
    """Return a page of what happened (until then) that the caller may learn of, newest first.

    The order is the place in the case; a cursor holds an id, because places count hidden entries.
    """
    statement = (
        _visible(caller, TimelineEntry, TimelineEntry.case_id == file.id)
        .order_by(TimelineEntry.place.desc())
        .limit(limit)
    )
    if as_of:
        statement = statement.where(TimelineEntry.at <= as_of)
    if after:
        place = select(TimelineEntry.place).where(
            TimelineEntry.case_id == file.id, TimelineEntry.id == after
        )
        statement = statement.where(TimelineEntry.place < place.scalar_subquery())
    return [Seen(*row) for row in (await tx.execute(statement))]


async def rows_of(
    tx: AsyncSession,
    caller: Caller,
    model: type[InCase] | type[TimelineEntry],
    case_ids: Collection[str],
    *,
    after: str | None,
    limit: int,
) -> Sequence[Seen[Any]]:
    """Return up to `limit` rows of cases that the caller sees, newest case and row first."""
    statement = _of_cases(reader_of(caller), model)
    given = {"case_ids": list(case_ids), "after": after or AFTER_ALL, "limit": limit}
    return [Seen(*row) for row in (await tx.execute(statement, given))]


@kept
def _of_cases(reader: Organisation, model: Any) -> Select[Any]:
    after = bindparam("after", type_=CaseFile.id.type)
    asked = bindparam("case_ids", type_=CaseFile.id.type, expanding=True)
    return (
        _visible(reader, model, and_(model.case_id.in_(asked), model.id < after))
        .order_by(model.case_id.desc(), model.id.desc())
        .limit(bindparam("limit", type_=Integer))
    )


def _visible(caller: Reader, model: Any, which: ColumnElement[bool]) -> Select[Any]:
    seen = sql.lateral(row_mask(caller, model))
    return (
        select(model, seen.c.mask, CaseFile.person_id)
        .join(CaseFile, CaseFile.id == model.case_id)
        .join(seen, true())
        .where(which, shows_row(seen.c.mask, model))
    )
