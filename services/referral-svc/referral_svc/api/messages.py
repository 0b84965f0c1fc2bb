"""Messages between the two parties of a referral."""

from fastapi import APIRouter, Response
from sharing.fields import may_show
from svckit.db import Read
from svckit.errors import NotFound
from svckit.idempotency import Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from referral_svc.actions import messages
from referral_svc.api import present
from referral_svc.api.callers import MayRead, MayWrite
from referral_svc.queries import referrals as queries
from referral_svc.queries.owners import MESSAGE_SHOWS
from referral_svc.schemas.referrals import MessageIn, MessageOut, MessagePage

router = APIRouter(prefix="/v1/referrals", tags=["messages"], responses=PROBLEMS)


@router.post("/{referral_id}/messages", status_code=201, response_model=MessageOut)
async def send(referral_id: str, body: MessageIn, caller: MayWrite, cmd: Create) -> Response:
    """Write to the other side."""
    return await cmd.run(
        caller,
        lambda tx: messages.send(tx, caller, referral_id, body.text),
        present.sent,
    )


@router.get("/{referral_id}/messages", response_model=MessagePage)
async def list_messages(referral_id: str, caller: MayRead, session: Read, page: Paging) -> Response:
    """List the messages, newest first."""
    row, mask = await queries.get_referral(session, caller, referral_id)
    if not may_show(mask, MESSAGE_SHOWS):
        raise NotFound
    after = page.after(caller.organisation_id)
    rows = await queries.list_messages(
        session, row.id, limit=page.limit + 1, after=after[0] if after else None
    )
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda message: [message.id],
        present=lambda message: present.message(row, message, mask),
    )
