"""Organisations of the network, registered by the coordinator."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, queries
from gateway.models import Organisation
from gateway.schemas import OrganisationIn, OrganisationPatch


async def register(tx: AsyncSession, caller: Caller, body: OrganisationIn) -> Organisation:
    """Take an organisation into the network."""
    row = Organisation(
        id=new_id("org"),
        kind=body.kind,
        name=body.name,
        part2_program=body.part2_program,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    await events.organisation(tx, "registered", row, caller)
    await audit.record(tx, caller, action="organisation.register", resource=row.id, version=1)
    return row


async def change(
    tx: AsyncSession, caller: Caller, organisation_id: str, expected: int, body: OrganisationPatch
) -> Organisation:
    """Rename an organisation, or say whether it is a Part 2 program. Raises NotFound, PreconditionFailed."""
    row = await queries.get_organisation(tx, organisation_id, lock=True)
    check_version(row.version, expected)
    for name, value in body.model_dump(exclude_none=True).items():
        setattr(row, name, value)
    row.version += 1
    await tx.flush()
    await events.organisation(tx, "changed", row, caller)
    await audit.record(
        tx, caller, action="organisation.change", resource=row.id, version=row.version
    )
    return row
