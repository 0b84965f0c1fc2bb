"""One row, or a page of rows, of any table with an id, within what the caller may see."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from svckit.errors import NotFound

from gateway.models import Base

Row = TypeVar("Row", bound=Base)


async def get(
    tx: AsyncSession,
    table: type[Row],
    row_id: str,
    *within: ColumnElement[bool],
    lock: bool = False,
) -> Row:
    """Return the row. Raises NotFound: there is none, or not within."""
    query = select(table).where(table.__table__.c.id == row_id, *within)
    found = await tx.scalar(query.with_for_update(key_share=True) if lock else query)
    if found is None:
        raise NotFound
    return found


async def page(
    tx: AsyncSession,
    table: type[Row],
    *within: ColumnElement[bool],
    after: str | None,
    limit: int,
) -> list[Row]:
    """Return rows, newest first, one more than the limit."""
    key = table.__table__.c.id
    query = select(table).where(*within).order_by(key.desc()).limit(limit + 1)
    return list(await tx.scalars(query.where(key < after) if after else query))


def same(column: InstrumentedAttribute[Any], value: object) -> ColumnElement[bool]:
    """Return whether the column holds the value; None asks for nothing."""
    return true() if value is None else column == value
