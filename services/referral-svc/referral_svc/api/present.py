"""Rows as the caller may see them: what the mask does not show is absent, not null."""

from typing import Any

from sharing import ALL, project
from sharing.fields import classes_in
from sharing.kept import columns
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import disclosure
from svckit.clock import now
from svckit.idempotency import Reply
from svckit.identity import Caller

from referral_svc.domain.referral import is_overdue
from referral_svc.models import (
    Capacity,
    Classification,
    Language,
    Message,
    Referral,
    Schedule,
    Service,
    ServiceArea,
    Transition,
)
from referral_svc.queries import directory
from referral_svc.schemas.directory import LocationOut, ServiceDetail, ServiceOut
from referral_svc.schemas.referrals import (
    ActivityOut,
    MessageOut,
    OutcomeOut,
    ReferralOut,
    TransitionOut,
)


def referral(row: Referral, mask: int) -> dict[str, Any]:
    _disclose("referral", row, row.custodian_id, mask & classes_in(ReferralOut))
    out = ReferralOut.model_validate(columns(row), from_attributes=True)
    late = is_overdue(row.status, row.accept_by, row.start_by, now())
    return project(out.model_copy(update={"overdue": late, "outcome": _outcome(row)}), mask)


def _outcome(row: Referral) -> OutcomeOut | None:
    if not (row.outcome_activity or row.outcome_text or row.need_met or row.outcome_code):
        return None
    activity = row.outcome_activity
    return OutcomeOut(
        activity=ActivityOut(**activity) if activity else None,
        text=row.outcome_text,
        need_met=row.need_met,
        code=row.outcome_code,
    )


def transition(of: Referral, row: Transition, mask: int) -> dict[str, Any]:
    _disclose("referral", of, of.custodian_id, mask & classes_in(TransitionOut))
    return project(TransitionOut.model_validate(columns(row)), mask)


def message(of: Referral, row: Message, mask: int) -> dict[str, Any]:
    # who wrote it tells it
    _disclose("message", of, row.sender_id, mask & classes_in(MessageOut))
    return project(MessageOut.model_validate(columns(row)), mask)


def service(row: Service) -> dict[str, Any]:
    return project(ServiceOut.model_validate(row), ALL)


async def service_detail(session: AsyncSession, row: Service) -> dict[str, Any]:
    """Return the service with its sites and parts; a fixed number of statements."""
    sites = await directory.sites_of(session, row.id)
    parents = [row.id, *(site.id for site, _ in sites), *(place.id for _, place in sites)]
    parts = await directory.parts_of(session, parents)
    plain = ServiceOut.model_validate(row).model_dump()
    detail = ServiceDetail(
        **plain,
        locations=[
            LocationOut(
                id=place.id,
                hsds_id=place.hsds_id,
                location_type=place.location_type,
                name=place.name,
                latitude=place.latitude,
                longitude=place.longitude,
                hsds=place.document,
            )
            for _, place in sites
        ],
        schedules=parts[Schedule],
        language_details=parts[Language],
        service_areas=parts[ServiceArea],
        capacities=parts[Capacity],
        taxonomy_terms=parts[Classification],
        hsds=row.document,
    )
    return project(detail, ALL)


async def created(_: AsyncSession, __: Caller, row: Referral) -> Reply:
    """Answer a party, who sees all of its referral."""
    location = f"/v1/referrals/{row.id}"
    return Reply(referral(row, ALL), status=201, version=row.version, location=location)


async def moved(_: AsyncSession, __: Caller, row: Referral) -> Reply:
    return Reply(referral(row, ALL), version=row.version)


async def sent(_: AsyncSession, __: Caller, row: Message) -> Reply:
    """Answer the sender with its own message: nothing of anybody else's."""
    body = project(MessageOut.model_validate(row), ALL)
    return Reply(body, status=201, version=row.version)


def _disclose(kind: str, of: Referral, custodian_id: str, classes: int) -> None:
    disclosure.note(
        kind=kind, custodian_id=custodian_id, person_id=of.person_id, classes=int(classes)
    )


async def declared(_: AsyncSession, __: Caller, row: Service) -> Reply:
    return Reply(service(row), version=row.version)
