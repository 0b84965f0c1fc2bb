"""What the owner of a directory service declares here, beside what an import brings."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.idempotency import check_version
from svckit.identity import Caller

from referral_svc import events
from referral_svc.domain import rows
from referral_svc.models import Service
from referral_svc.queries import directory
from referral_svc.schemas.directory import ServiceChange


async def declare(
    tx: AsyncSession, caller: Caller, service_id: str, body: ServiceChange, *, expected: int
) -> Service:
    """Set need categories and capacity of the caller's own service.

    Raises:
        NotFound: there is no such service of the caller's.
        PreconditionFailed: the service changed since it was read.
    """
    service = await directory.get_own_for_update(tx, caller.organisation_id, service_id)
    check_version(service.version, expected)
    given = body.model_fields_set
    if "need_categories" in given:
        declared = body.need_categories
        codes = None if declared is None else sorted({need.value for need in declared})
        service.declared_categories = codes
        service.need_categories = rows.need_categories(service.document, codes)
    if "capacity_status" in given:
        service.capacity_status = body.capacity_status
    if "capacity_notes" in given:
        service.capacity_notes = body.capacity_notes
    if not given:
        return service
    service.version += 1
    service.updated_at = now()
    await tx.flush()
    await events.service_told(tx, caller, service)
    await audit.record(
        tx, caller, action="service.declare", resource=service.id, version=service.version
    )
    return service
