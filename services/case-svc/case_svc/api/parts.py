"""What routes share: who may call, identifiers in paths, a page of a case's rows."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.identity import Caller, requires
from svckit.ids import PATTERN
from svckit.paging import Page

from case_svc import reply
from case_svc.models.base import InCase
from case_svc.queries import rows
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
    *which: ColumnElement[bool],
) -> Response:
    """Return a page of the case's rows that the caller sees."""
    found = await rows.list_rows(
        tx,
        caller,
        model,
        case_id,
        after=last(page, caller),
        limit=page.limit + 1,
        which=which,
    )
    return page.reply(
        caller.organisation_id,
        found,
        key=lambda seen: [seen.row.id],
        present=await reply.presenter(tx, caller, found),
    )


async def one_of(
    tx: AsyncSession, caller: Caller, model: type[InCase], case_id: str, row_id: str
) -> Response:
    """Return one row of the case with its ETag."""
    seen: Any = await rows.get_row(tx, caller, model, case_id, row_id)
    present = await reply.presenter(tx, caller, [seen])
    return reply.tagged(present(seen), seen.row.version)
