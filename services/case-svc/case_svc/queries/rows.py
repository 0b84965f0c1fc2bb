"""Rows of one case: a page, one of them, one of them to be changed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sharing import Reader, sql
from sharing.kept import AFTER_ALL, at_least, given, kept
from sqlalchemy import Select, Text, any_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from svckit.errors import NotFound
from svckit.identity import Caller

from case_svc.models import CaseFile, TimelineEntry
from case_svc.models.base import InCase
from case_svc.queries.visible import Seen, case_seen, found, row_mask, shows_case, shows_row

Row = TypeVar("Row", bound=InCase | TimelineEntry)


async def list_rows(
    tx: AsyncSession,
    caller: Caller,
    model: type[Row],
    case_id: str,
    *,
    after: str | None,
    limit: int,
    which: Mapping[str, object],
) -> Sequence[Seen[Row]]:
    """Return a page of the case's rows that the caller sees, newest first. Raises NotFound.

    `which` holds what columns must be; None does not narrow.
    """
    wanted = {name: value for name, value in which.items() if value is not None}
    values = {"case_id": case_id, **wanted, **({"after": after} if after else {})}
    names = frozenset(values) - {"case_id"}
    rows = await _page.rows(tx, caller, values, model, names, at_least(limit))
    return _shown(rows)[:limit]


async def get_row(
    tx: AsyncSession, caller: Caller, model: type[Row], case_id: str, row_id: str
) -> Seen[Row]:
    """Return one row of a case. Raises NotFound."""
    values = {"case_id": case_id, "id": row_id}
    shown = _shown(await _page.rows(tx, caller, values, model, frozenset({"id"}), 1))
    return found(shown[0] if shown else None)


async def row_of(
    tx: AsyncSession, caller: Caller, model: type[Row], file: CaseFile, row_id: str
) -> Seen[Row]:
    """Return one row of a case at hand, to be changed while the case is locked. Raises NotFound."""
    values = {"case_id": file.id, "id": row_id}
    return Seen(*found(await _one.locked(tx, caller, values, model)))


async def list_timeline(
    tx: AsyncSession,
    caller: Caller,
    case_id: str,
    *,
    after: str | None,
    limit: int,
    as_of: datetime | None = None,
) -> Sequence[Seen[TimelineEntry]]:
    """Return a page of what happened (until then) that the caller may learn of, newest first.

    The order is the place in the case; a cursor holds an id, because places count hidden entries.
    """
    values: dict[str, object] = {"case_id": case_id, **({"after": after} if after else {})}
    if as_of:
        values["as_of"] = as_of
    names = frozenset(values) - {"case_id"}
    shown = await _page.rows(tx, caller, values, TimelineEntry, names, at_least(limit))
    return _shown(shown)[:limit]


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
    values = {"case_ids": list(case_ids), "after": after or AFTER_ALL}
    shown = await _of_cases.rows(tx, caller, values, model, at_least(limit))
    return [Seen(*row) for row in shown[:limit]]


@kept
def _of_cases(reader: Reader, model: Any, limit: int) -> Select[Any]:
    these = given("case_ids", ARRAY(Text))
    return (
        _visible(reader, model)
        .where(model.case_id == any_(these), model.id < given("after"))
        .order_by(model.case_id.desc(), model.id.desc())
        .limit(limit)
    )


def _shown(rows: Sequence[tuple[Any, ...]]) -> list[Seen[Any]]:
    """A case that is seen is one row at least, with nothing in it. Raises NotFound."""
    if not rows:
        raise NotFound
    return [Seen(*row) for row in rows if row[0] is not None]


@kept
def _page(reader: Reader, model: Any, names: frozenset[str], limit: int) -> Select[Any]:
    """The case and beside it its rows: one statement tells whether there is such a case."""
    of_case, seen = case_seen(reader), sql.lateral(row_mask(reader, model))
    order = _order(model)
    inside = (
        select(model, seen.c.mask)
        .select_from(model)
        .join(seen, true())
        .where(model.case_id == CaseFile.id, shows_row(seen.c.mask, model))
        .where(*(_narrowed(model, name) for name in sorted(names)))
        .order_by(order.desc())
        .limit(limit)
        .correlate(CaseFile)
        .lateral("shown")
    )
    row = aliased(model, inside)
    return (
        select(row, inside.c.mask, CaseFile.person_id, CaseFile.confidentiality)
        .select_from(CaseFile)
        .join(of_case, true())
        .outerjoin(inside, true())
        .where(CaseFile.id == given("case_id"), shows_case(of_case.c.mask))
        .order_by(inside.c[order.key].desc())
    )


def _order(model: Any) -> Any:
    return TimelineEntry.place if model is TimelineEntry else model.id


def _narrowed(model: Any, name: str) -> Any:
    if name == "as_of":
        return model.at <= given("as_of")
    if name != "after":
        column = getattr(model, name)
        return column == given(name)
    last = given("after", model.id.type)
    if model is not TimelineEntry:
        return model.id < last
    place = select(TimelineEntry.place).where(
        TimelineEntry.case_id == CaseFile.id, TimelineEntry.id == last
    )
    return TimelineEntry.place < place.correlate(CaseFile).scalar_subquery()


@kept
def _one(reader: Reader, model: Any) -> Select[Any]:
    return _visible(reader, model).where(model.case_id == given("case_id"), model.id == given("id"))


def _visible(reader: Reader, model: Any) -> Select[Any]:
    seen = sql.lateral(row_mask(reader, model))
    return (
        select(model, seen.c.mask, CaseFile.person_id, CaseFile.confidentiality)
        .join(CaseFile, CaseFile.id == model.case_id)
        .join(seen, true())
        .where(shows_row(seen.c.mask, model))
    )
