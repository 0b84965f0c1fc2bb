"""Where and when a worker is written to, and whom operations of an organisation's webhooks reach."""

from datetime import time

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.errors import NotFound
from svckit.idempotency import Create
from svckit.problems import PROBLEMS

from notify_svc.actions import mailboxes as actions
from notify_svc.actions.mailboxes import Wish
from notify_svc.api import shown
from notify_svc.api.parts import Config, MayManage
from notify_svc.api.seat import MayMark, MayRead, Worker, whose
from notify_svc.domain.inbox import OPERATIONS
from notify_svc.queries import mails
from notify_svc.schemas.inbox import CodeIn, ContactIn, MailboxOut, PreferencesIn, PreferencesOut

router = APIRouter(prefix="/v1/inbox", tags=["inbox"], responses=PROBLEMS)


@router.get("/preferences", response_model=PreferencesOut)
async def get_preferences(caller: MayRead, session: Read, worker: Worker = None) -> Response:
    """Show where and when the worker is written to; 404 before it was said."""
    box = await mails.mailbox(session, caller.organisation_id, whose(caller, worker))
    if box is None:
        raise NotFound
    return (await shown.preferences(session, caller, box)).response()


@router.put("/preferences", response_model=PreferencesOut)
async def put_preferences(
    body: PreferencesIn, caller: MayMark, cmd: Create, worker: Worker = None
) -> Response:
    """Say it; another address gets a mail with a code first, and nothing else until it came back."""
    wish = Wish(
        body.email,
        body.kinds,
        body.time_zone,
        body.digest_hour,
        _clock(body.quiet_from),
        _clock(body.quiet_to),
    )
    mine = whose(caller, worker)
    return await cmd.run(caller, lambda tx: actions.put(tx, caller, mine, wish), shown.preferences)


@router.post("/preferences/verify", response_model=PreferencesOut)
async def verify_preferences(
    body: CodeIn, caller: MayMark, cmd: Create, settings: Config, worker: Worker = None
) -> Response:
    """Give back the code that the first mail said: from now on the address is written to."""
    mine = whose(caller, worker)
    return await cmd.run(
        caller,
        lambda tx: actions.verify(tx, caller, mine, body.code, settings),
        shown.preferences,
    )


@router.get("/operations-contact", response_model=MailboxOut)
async def get_operations_contact(caller: MayManage, session: Read) -> Response:
    """Show who is told of failing webhook endpoints; 404 before it was said."""
    box = await mails.mailbox(session, caller.organisation_id, OPERATIONS)
    if box is None:
        raise NotFound
    return (await shown.contact(session, caller, box)).response()


@router.put("/operations-contact", response_model=MailboxOut)
async def put_operations_contact(body: ContactIn, caller: MayManage, cmd: Create) -> Response:
    """Say who is told when an endpoint keeps failing or was disabled."""
    quiet = _clock(body.quiet_from), _clock(body.quiet_to)
    wish = Wish(body.email, {}, body.time_zone, quiet_from=quiet[0], quiet_to=quiet[1])
    return await cmd.run(
        caller, lambda tx: actions.put(tx, caller, OPERATIONS, wish), shown.contact
    )


@router.post("/operations-contact/verify", response_model=MailboxOut)
async def verify_operations_contact(
    body: CodeIn, caller: MayManage, cmd: Create, settings: Config
) -> Response:
    """Give back the code that the first mail said."""
    return await cmd.run(
        caller,
        lambda tx: actions.verify(tx, caller, OPERATIONS, body.code, settings),
        shown.contact,
    )


def _clock(text: str | None) -> time | None:
    return time.fromisoformat(text) if text else None
