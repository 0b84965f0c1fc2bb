"""Making a referral, and what each side sets on its own part of it."""

from sharing.classes import DataClass
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from referral_svc import events
from referral_svc.actions import agreements, moves
from referral_svc.domain import referral as rules
from referral_svc.domain.needs import SAFETY
from referral_svc.domain.referral import Party, Status
from referral_svc.models import Referral, Service
from referral_svc.queries import directory, network, referrals
from referral_svc.schemas.referrals import ReferralChange, ReferralIn
from referral_svc.settings import Settings


async def create(
    tx: AsyncSession, caller: Caller, body: ReferralIn, settings: Settings
) -> Referral:
    """Write a referral from the caller, as a draft or requested at once.

    Raises:
        Invalid: the case, person, service or organisation is not known to the caller.
        NoAgreement: nothing in force lets the two organisations refer.
        ServiceNotActive: the directory says the service takes nobody.
    """
    standing = await _standing(tx, caller, body, settings.replica_wait_s)
    service, owner_id = await _target(tx, caller, body)
    status = Status(body.status)
    if status is Status.REQUESTED:
        await agreements.need(tx, caller.organisation_id, owner_id, settings.replica_wait_s)
    row = _row(caller, body, owner_id, standing.custodian_id)
    row.service_id = service.id if service else None
    moves.enter(row, rules.move(None, status, Party.REQUESTER), settings)
    tx.add(row)
    await tx.flush()
    await moves.tell(tx, caller, row, before=None, party=Party.REQUESTER)
    return row


def _row(caller: Caller, body: ReferralIn, owner_id: str, custodian_id: str) -> Referral:
    at = now()
    sensitive = body.need_category in SAFETY
    return Referral(
        id=new_id("ref"),
        version=1,
        custodian_id=custodian_id,
        requester_id=caller.organisation_id,
        owner_id=owner_id,
        case_id=body.case_id,
        person_id=body.person_id,
        need_id=body.need_id,
        need_category=body.need_category,
        required_classes=int(DataClass.SAFETY) if sensitive else 0,
        priority=body.priority,
        reason=body.reason,
        requested_activity=body.requested_activity.model_dump()
        if body.requested_activity
        else None,
        contacting_subject_prohibited=body.contacting_subject_prohibited,
        requester_number=body.requester_number,
        document_ids=list(body.document_ids),
        accept_by=body.accept_by,
        start_by=body.start_by,
        created_at=at,
        updated_at=at,
    )


async def _standing(
    tx: AsyncSession, caller: Caller, body: ReferralIn, wait_s: float
) -> network.Standing:
    """Return the case's standing; "not there" and "not yours" are told the same way."""

    async def mine() -> network.Standing | None:
        found = await network.find_standing(tx, caller, body.case_id)
        return found if found and found.may_coordinate else None

    standing = await agreements.within(wait_s, mine)
    if standing is None:
        raise _unknown("case_id", "No case of yours has this id.")
    if standing.person_id != body.person_id:
        raise _unknown("person_id", "The case is about another person.")
    return standing


async def _target(tx: AsyncSession, caller: Caller, body: ReferralIn) -> tuple[Service | None, str]:
    service = None
    owner_id = body.owner_id
    if body.service_id:
        service = await directory.find_service(tx, body.service_id)
        if service is None:
            raise _unknown("service_id", "The directory has no such service.")
        if owner_id not in (None, service.organisation_id):
            raise _unknown("owner_id", "The service belongs to another organisation.")
        owner_id = service.organisation_id
        if service.status != "active":
            raise rules.ServiceNotActive(f"The service is {service.status}.")
    if owner_id is None or (service is None and not await network.is_organisation(tx, owner_id)):
        raise _unknown("owner_id", "The network has no such organisation.")
    if owner_id == caller.organisation_id:
        raise _unknown("owner_id", "A referral goes to another organisation.", code="same-party")
    return service, owner_id


def _unknown(field: str, detail: str, *, code: str = "unknown") -> Invalid:
    error = FieldError(f"#/{field}", code, detail)
    return Invalid("The referral names something that is not there.", errors=[error])


_WHOSE = {
    "requester_number": Party.REQUESTER,
    "owner_number": Party.OWNER,
    "business_status": Party.OWNER,
}


async def change(
    tx: AsyncSession, caller: Caller, referral_id: str, body: ReferralChange, *, expected: int
) -> Referral:
    """Set each side's own fields; a null clears one.

    Raises:
        NotFound, NotAParty, PreconditionFailed: as for `move`.
        WrongParty: a field belongs to the other side.
    """
    row = await referrals.get_for_update(tx, caller, referral_id)
    party = moves.party_of(row, caller)
    given = body.model_dump(exclude_unset=True)
    foreign = [name for name in given if _WHOSE[name] is not party]
    if foreign:
        errors = [FieldError(f"#/{name}", "wrong-party", "The other side's.") for name in foreign]
        raise rules.WrongParty("Each side sets its own fields.", errors=errors)
    check_version(row.version, expected)
    fields = [name for name, value in given.items() if getattr(row, name) != value]
    if not fields:
        return row
    for name in fields:
        setattr(row, name, given[name])
    row.version += 1
    row.updated_at = now()
    await tx.flush()
    await events.changed(tx, caller, row, fields)
    await audit.record(tx, caller, action="referral.change", resource=row.id, version=row.version)
    return row
