"""What a row is, told to the gateway alone, which explains who sees it: no text, no content."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from svckit.db import Database
from svckit.errors import NotFound
from svckit.identity import Caller, requires

# the gateway asks with it in its own name; no partner's token holds it
SCOPE = "internal.describe"
PATH = "/internal/rows/"
Describe = Callable[[AsyncSession, str], Awaitable[BaseModel | None]]
router = APIRouter(include_in_schema=False)


@router.get(PATH + "{row_id}")
async def describe_row(
    request: Request,
    row_id: Annotated[str, Path(max_length=64)],
    _: Annotated[Caller, Depends(requires(SCOPE))],
) -> Response:
    """Describe a row of this service, whoever may see it."""
    describe: Describe = request.app.state.running.service.describe
    db: Database = request.app.state.db
    async with db.read() as session:
        found = await describe(session, row_id)
    if found is None:
        raise NotFound
    return Response(
        found.model_dump_json(),
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )
