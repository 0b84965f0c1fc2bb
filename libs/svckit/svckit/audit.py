"""The audit row of a write: in the same transaction, so that there is none without the other."""

from sqlalchemy.ext.asyncio import AsyncSession

from svckit.clock import now
from svckit.identity import Caller
from svckit.ids import new_id
from svckit.tables import audit
from svckit.telemetry import trace_id

_INSERT = audit.insert().inline()


async def record(
    tx: AsyncSession, caller: Caller, *, action: str, resource: str, version: int | None = None
) -> None:
    """Write who did what to which resource; `action` is noun.verb such as `referral.accept`."""
    row = {
        "id": new_id("aud"),
        "at": now(),
        "organisation_id": caller.organisation_id,
        "client_id": caller.client_id,
        "actor": caller.actor,
        "purpose": caller.purpose,
        "action": action,
        "resource": resource,
        "version": version,
        "trace_id": trace_id(),
    }
    await tx.execute(_INSERT, row)
