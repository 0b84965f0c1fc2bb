"""Events leave a service through its outbox: written in the transaction of the change itself.

Order per key holds only if writers of one aggregate serialise before `record`: lock the case (or
referral) row first, take the new version from the locked row, then record the event.
"""

import asyncio
import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from svckit import cloudevents, telemetry
from svckit.clock import now
from svckit.contracts import schema_of
from svckit.contracts import use as schemas_in
from svckit.failpoints import failpoint
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.tables import outbox

__all__ = ["SLOTS", "Event", "InvalidEvent", "record", "schemas_in", "woken"]

SLOTS = 64
# CloudEvents 1.0 s5.2: intermediaries forward 64 KiB.
MAX_BYTES = 64 * 1024
_INSERT = outbox.insert().inline()
_RECORDED = "outbox"


class InvalidEvent(Exception):
    """The event breaks its contract: a mistake in the service, so the command fails as a whole."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one aggregate. `key` keeps order: the case (or referral) it belongs to."""

    type: str
    subject: str
    version: int
    key: str
    data: Mapping[str, Any]


async def record(tx: AsyncSession, event: Event, *, caller: Caller | None = None) -> str:
    """Store the event with the change that caused it and return the event's id.

    Raises InvalidEvent: the relay must never meet a record that no retry can send.
    """
    value = _serialised(event)
    event_id = new_id("evt")
    head = cloudevents.headers(
        event_id=event_id,
        kind=event.type,
        subject=event.subject,
        version=event.version,
        key=event.key,
        time=now(),
        dataschema=schema_of(event.type).id,
        traceparent=telemetry.traceparent(),
        caused_by=caller.organisation_id if caller else "",
    )
    row = {
        "slot": zlib.crc32(event.key.encode()) % SLOTS,
        "event_id": event_id,
        "type": event.type,
        "subject": event.subject,
        "version": event.version,
        "key": event.key,
        "headers": head,
        "value": value,
    }
    await tx.execute(_INSERT, row)
    tx.info[_RECORDED] = True
    return event_id


def _serialised(event: Event) -> bytes:
    value = orjson.dumps(dict(event.data))
    if event.version < 1 or not event.key or not event.subject:
        raise InvalidEvent(f"{event.type}: subject, key and a version from 1 are needed")
    if len(value) > MAX_BYTES:
        raise InvalidEvent(f"{event.type}: {len(value)} bytes, {MAX_BYTES} are allowed")
    # Validated as it will be read: dates and enums are text by now.
    if fault := schema_of(event.type).fault(orjson.loads(value)):
        raise InvalidEvent(f"{event.type}: {fault}")
    return value


# Relays of this process, woken at commit; one elsewhere finds the row by polling.
_relays: "weakref.WeakSet[asyncio.Event]" = weakref.WeakSet()


def woken() -> asyncio.Event:
    """Return an event that is set after a commit of this process recorded something."""
    hint = asyncio.Event()
    _relays.add(hint)
    return hint


# one listener for all sessions: to add one to each takes as long as the insert
@sa_event.listens_for(Session, "after_commit")
def _wake(session: Session) -> None:
    # a savepoint's release is told as a commit too
    if session.in_nested_transaction() or not session.info.pop(_RECORDED, False):
        return
    if _relays:
        failpoint("outbox.committed")
        for hint in list(_relays):
            hint.set()
