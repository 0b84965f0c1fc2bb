"""What routes share: who may call, identifiers in paths, a page of a case's rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.http import Instant
from svckit.identity import Caller, requires
from svckit.ids import PATTERN
from svckit.paging import Page

from case_svc import reply
from case_svc.models.base import InCase
from case_svc.queries import history, rows
from case_svc.queries.visible import Seen
from case_svc.settings import Settings

MayRead = Annotated[Caller, Depends(requires("cases.read"))]
MayWrite = Annotated[Caller, Depends(requires("cases.write"))]
MayReadPersons = Annotated[Caller, Depends(requires("persons.read"))]
MayWritePersons = Annotated[Caller, Depends(requires("persons.write"))]

Text = Annotated[str | None, Query(min_length=1, max_length=200)]
IdQuery = Annotated[str | None, Query(pattern=PATTERN)]
IdPath = Annotated[str, Path(max_length=64)]


async def _settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


Config = Annotated[Settings, Depends(_settings)]


async def _as_of(as_of: Annotated[Instant | None, Query()] = None) -> datetime | None:
    """A moment: the answer is as it was then, of what the caller may see today."""
    if as_of is not None and as_of > now():
        fault = FieldError("#/query/as_of", "as-of-in-future", "Not later than now.")
        raise Invalid("Nobody knows yet how it will be.", code="as-of-in-future", errors=[fault])
    return as_of


AsOf = Annotated[datetime | None, Depends(_as_of)]


def last(page: Page, caller: Caller) -> str | None:
    """Return the id that the page continues after."""
    after = page.after(caller.organisation_id)
    return str(after[0]) if after else None


async def page_of(
    tx: AsyncSession,
    caller: Caller,
    page: Page,
    model: type[InCase],
    case_id: str,
    *,
    as_of: datetime | None,
    **wanted: str | None,
) -> Response:
    """Return a page of the case's rows that the caller sees, as they were then."""
    after, limit = last(page, caller), page.limit + 1
    which = {name: value for name, value in wanted.items() if value is not None}
    found: Sequence[Seen[Any]]
    if as_of:
        found = await history.list_rows(
            tx, caller, model, case_id, as_of, after=after, limit=limit, which=which
        )
    else:
        found = await rows.list_rows(
            tx, caller, model, case_id, after=after, limit=limit, which=which
        )
    return page.reply(
        caller.organisation_id,
        found,
        key=lambda seen: [seen.row.id],
        present=await reply.presenter(tx, caller, found),
    )


async def one_of(
    tx: AsyncSession,
    caller: Caller,
    model: type[InCase],
    case_id: str,
    row_id: str,
    *,
    as_of: datetime | None,
) -> Response:
    """Return one row of the case with its ETag, or as it was then without."""
    if as_of:
        then: Any = await history.get_row(tx, caller, model, case_id, row_id, as_of)
        return reply.plain((await reply.presenter(tx, caller, [then]))(then))
    seen: Any = await rows.get_row(tx, caller, model, case_id, row_id)
    present = await reply.presenter(tx, caller, [seen])
    return reply.tagged(present(seen), seen.row.version)
