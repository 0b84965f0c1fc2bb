"""A worker's inbox."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from svckit.db import Read
from svckit.errors import NotFound
from svckit.idempotency import Create
from svckit.ids import is_id
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from notify_svc.actions import inbox as actions
from notify_svc.api import shown
from notify_svc.api.seat import MayMark, MayRead, Worker, whose
from notify_svc.domain.inbox import Kind
from notify_svc.queries import inbox
from notify_svc.queries.inbox import Wanted
from notify_svc.schemas.inbox import NoticeOut, NoticePage, TotalsOut

router = APIRouter(prefix="/v1/inbox", tags=["inbox"], responses=PROBLEMS)


def _item_id(item_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(item_id, "itm"):
        raise NotFound
    return item_id


ItemId = Annotated[str, Depends(_item_id)]


@router.get("", response_model=NoticePage)
async def list_notices(  # noqa: PLR0917  # a page, whose, and its filters
    caller: MayRead,
    session: Read,
    page: Paging,
    worker: Worker = None,
    kind: Annotated[Kind | None, Query()] = None,
    unread: Annotated[bool, Query(description="Only what was not read")] = False,  # noqa: FBT002  # a query parameter
) -> Response:
    """List what a worker is told and has not done, newest first."""
    after = page.after(caller.organisation_id)
    wanted = Wanted(whose(caller, worker), kind, unread)
    rows = await inbox.list_page(
        session, caller, wanted, limit=page.limit, before=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id, rows, key=lambda row: [row.item.id], present=shown.notice
    )


@router.get("/count", response_model=TotalsOut)
async def count_notices(caller: MayRead, session: Read, worker: Worker = None) -> Response:
    """Count them, of each kind, and those not read."""
    return shown.totals(await inbox.totals(session, caller, whose(caller, worker)))


@router.post("/{item_id}/read", response_model=NoticeOut)
async def mark_read(
    item_id: ItemId, caller: MayMark, cmd: Create, worker: Worker = None
) -> Response:
    """Mark a notice read; for this worker alone."""
    mine = whose(caller, worker)
    return await cmd.run(
        caller, lambda tx: actions.mark(tx, caller, mine, item_id, done=False), shown.marked
    )


@router.post("/{item_id}/done", response_model=NoticeOut)
async def mark_done(
    item_id: ItemId, caller: MayMark, cmd: Create, worker: Worker = None
) -> Response:
    """Take a notice off the worker's list; it is no task or referral that is done by this."""
    mine = whose(caller, worker)
    return await cmd.run(
        caller, lambda tx: actions.mark(tx, caller, mine, item_id, done=True), shown.marked
    )
