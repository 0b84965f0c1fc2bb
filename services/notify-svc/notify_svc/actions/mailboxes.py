"""Where and when a worker is written to: said by the worker, verified by a code in a first mail."""

import hmac
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.errors import FieldError
from svckit.identity import Caller
from svckit.ids import new_id

from notify_svc.actions import codes, mails
from notify_svc.domain.inbox import OPERATIONS, Kind
from notify_svc.domain.mailbox import (
    ASKS_A_DAY,
    DEFAULT_MODES,
    VERIFY_WITHIN,
    CodeWrong,
    MailKind,
    Mode,
    NoAddress,
    TooManyAsked,
    next_digest,
)
from notify_svc.models.inbox import Mailbox
from notify_svc.queries import claims, feed
from notify_svc.queries import mails as queries
from notify_svc.settings import Settings

DIGEST_HOUR = 7


@dataclass(frozen=True)
class Wish:
    """All that a worker says of the own mailbox; what is not said is as it would be at first."""

    email: str | None
    modes: dict[Kind, Mode]
    time_zone: str = "UTC"
    digest_hour: int = DIGEST_HOUR
    quiet_from: time | None = None
    quiet_to: time | None = None


async def put(tx: AsyncSession, caller: Caller, whose: str, wish: Wish) -> Mailbox:
    """Write the mailbox; another address is written to only after it was verified.

    Raises TooManyAsked.
    """
    box = await _present(tx, caller, whose)
    now = await claims.database_now(tx)
    is_new = wish.email is not None and wish.email != box.email
    box.email = wish.email
    box.modes = {kind.value: mode.value for kind, mode in ({**DEFAULT_MODES, **wish.modes}).items()}
    box.time_zone, box.digest_hour = wish.time_zone, wish.digest_hour
    box.quiet_from, box.quiet_to = wish.quiet_from, wish.quiet_to
    if is_new or wish.email is None:
        box.verified_at = None
    await tx.flush()
    if is_new:
        if await queries.asked(tx, box.id) >= ASKS_A_DAY:
            raise TooManyAsked("Too many addresses were to be verified today.")
        box.asked_at = now
        await mails.queue(tx, box.id, MailKind.VERIFY, codes.cause_of(box))
    box.digest_at = _digest_at(box, now)
    box.version += 1
    box.updated_at = now
    await tx.flush()
    await audit.record(tx, caller, action="mailbox.put", resource=box.id, version=box.version)
    return box


async def verify(
    tx: AsyncSession, caller: Caller, whose: str, code: str, settings: Settings
) -> Mailbox:
    """Begin to write to the address; again changes nothing. Raises NoAddress, CodeWrong."""
    box = await queries.mailbox(tx, caller.organisation_id, whose, lock=True)
    if box is None or box.email is None or box.asked_at is None:
        raise NoAddress("There is no address to verify.")
    now = await claims.database_now(tx)
    right = hmac.compare_digest(codes.code_of(box, settings).encode(), code.lower().encode())
    if not right or now > box.asked_at + VERIFY_WITHIN:
        wrong = FieldError("#/code", "wrong", "Not the code that was sent, or one of yesterday.")
        raise CodeWrong("The address cannot be verified by this code.", errors=[wrong])
    if box.verified_at is None:
        box.verified_at = now
        box.digest_at = _digest_at(box, now)
        # what happened before is not told late
        box.seen_seq = (await feed.head(tx, caller.organisation_id)).seq
        box.version += 1
        box.updated_at = now
        await tx.flush()
        await audit.record(
            tx, caller, action="mailbox.verify", resource=box.id, version=box.version
        )
    return box


async def _present(tx: AsyncSession, caller: Caller, whose: str) -> Mailbox:
    """Return the mailbox, locked; made now if there was none."""
    now = await claims.database_now(tx)
    first: dict[str, Any] = {
        "id": new_id("mbx"),
        "organisation_id": caller.organisation_id,
        "whose": whose,
        "version": 0,
        "modes": {},
        "time_zone": "UTC",
        "digest_hour": DIGEST_HOUR,
        "seen_seq": 0,
        "created_at": now,
        "updated_at": now,
    }
    await tx.execute(upsert(Mailbox).values(first).on_conflict_do_nothing())
    found = await queries.mailbox(tx, caller.organisation_id, whose, lock=True)
    assert found is not None
    return found


def _digest_at(box: Mailbox, now: datetime) -> datetime | None:
    wants = box.whose != OPERATIONS and Mode.DIGEST in box.modes.values()
    return next_digest(mails.hours_of(box), now) if box.verified_at and wants else None
