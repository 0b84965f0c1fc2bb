"""Case types: drafted, published, retired; an edition is never changed."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import Conflict
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from case_svc.domain import cases as rules
from case_svc.models import CaseType
from case_svc.queries import types
from case_svc.schemas.cases import CaseTypeIn


async def draft(tx: AsyncSession, caller: Caller, body: CaseTypeIn) -> CaseType:
    """Add the next edition of the organisation's case type of this code. Raises Conflict."""
    at = now()
    found = CaseType(
        **body.model_dump(),
        id=new_id("cty"),
        version=1,
        organisation_id=caller.organisation_id,
        edition=await types.last_edition(tx, caller, body.code) + 1,
        created_at=at,
        updated_at=at,
    )
    tx.add(found)
    try:
        await tx.flush()
    except IntegrityError as error:
        raise Conflict("Another edition was added just now.", code="edition-taken") from error
    await audit.record(tx, caller, action="case-type.draft", resource=found.id, version=1)
    return found


async def move(
    tx: AsyncSession, caller: Caller, type_id: str, command: str, expected: int
) -> CaseType:
    """Publish or retire an edition. Raises NotFound, PreconditionFailed, InvalidTransition."""
    found = await types.lock_type(tx, caller, type_id)
    check_version(found.version, expected)
    found.status = rules.move_type(found.status, command)
    found.version += 1
    found.updated_at = now()
    await audit.record(
        tx, caller, action=f"case-type.{command}", resource=found.id, version=found.version
    )
    return found
