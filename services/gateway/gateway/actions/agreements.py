"""Agreements: the ceiling of what one custodian shares with others."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import events, queries
from gateway.actions import grants
from gateway.domain import AgreementEnded
from gateway.models import Agreement
from gateway.schemas import AgreementIn


async def publish(tx: AsyncSession, caller: Caller, body: AgreementIn) -> Agreement:
    """Put an agreement in force; what stands between its parties is opened under it, too.

    Raises Invalid for an organisation that is not there.
    """
    for field in ("custodian_id", "recipient_id"):
        named = getattr(body, field)
        if named and await queries.find_organisation(tx, named) is None:
            fault = FieldError(f"#/{field}", "unknown-organisation", "No such organisation.")
            raise Invalid("The agreement names an unknown organisation.", errors=[fault])
    at = now()
    starts = body.valid_from or at
    if body.valid_to and body.valid_to <= starts:
        fault = FieldError("#/valid_to", "period", "The agreement would be over already.")
        raise Invalid("The agreement has no period.", errors=[fault])
    row = Agreement(
        id=new_id("agr"),
        custodian_id=body.custodian_id,
        recipient_id=body.recipient_id,
        recipient_kind=body.recipient_kind,
        purposes=body.purposes,
        classes=body.classes,
        consent_classes=body.consent_classes,
        legal_basis=body.legal_basis,
        retention_days=body.retention_days,
        valid_from=starts,
        valid_to=body.valid_to,
        ended_at=None,
        version=1,
        created_at=at,
    )
    tx.add(row)
    await tx.flush()
    await events.agreement(tx, "published", row, caller)
    await grants.renew(tx, row, at)
    await audit.record(tx, caller, action="agreement.publish", resource=row.id, version=1)
    return row


async def end(tx: AsyncSession, caller: Caller, agreement_id: str, expected: int) -> Agreement:
    """End an agreement now; every grant under it stops with it.

    Raises NotFound, PreconditionFailed, AgreementEnded.
    """
    row = await queries.get_agreement(tx, caller, agreement_id, lock=True)
    check_version(row.version, expected)
    if row.ended_at is not None:
        raise AgreementEnded("The agreement has ended already.")
    row.ended_at = now()
    # one that has not begun keeps a period, of one microsecond
    row.valid_to = max(row.ended_at, row.valid_from + timedelta(microseconds=1))
    row.version += 1
    await tx.flush()
    await events.agreement(tx, "ended", row, caller)
    await audit.record(tx, caller, action="agreement.end", resource=row.id, version=row.version)
    return row
