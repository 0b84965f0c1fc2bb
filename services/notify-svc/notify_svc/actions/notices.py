"""What this service itself tells an organisation: an entry of its feed, and a webhook."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.ids import new_id
from svckit.telemetry import traceparent

from notify_svc import events
from notify_svc.actions.fanout import hand_out
from notify_svc.domain.kinds import full, short
from notify_svc.domain.schedule import KEEP_DAYS
from notify_svc.models import Endpoint, Message
from notify_svc.queries import audience


def about(endpoint: Endpoint, event_type: str, at: datetime) -> Message:
    """Return a message about an endpoint, for its owner alone."""
    told = {
        "id": endpoint.id,
        "version": endpoint.version,
        "href": f"/v1/webhook-endpoints/{endpoint.id}",
    }
    return Message(
        id=new_id("evt"),
        type=event_type,
        kind=short(event_type),
        subject=endpoint.id,
        version=endpoint.version,
        custodian_id=endpoint.organisation_id,
        parties=[],
        classes=0,
        body=events.body(event_type, at, told),
        occurred_at=at,
        expires_at=at + timedelta(days=KEEP_DAYS),
    )


async def tell_owner(tx: AsyncSession, endpoint: Endpoint, kind: str, at: datetime) -> None:
    """Tell the owner about an endpoint: in its feed, and at every other endpoint that wants it."""
    await audience.serialise(tx)
    message = about(endpoint, full(kind), at)
    tx.add(message)
    await tx.flush()
    owner = [endpoint.organisation_id]
    await hand_out(tx, message, owner, parent=traceparent(), but=endpoint.id)
