"""Who has to do with the case: hand-over, parties, care team, everybody's numbers."""

import asyncio
from datetime import date
from time import monotonic

from sharing import DataClass
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import Conflict, FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import (
    in_case,
    require_author,
    require_contributor,
    require_custodian,
    touch,
)
from case_svc.domain.cases import require_open
from case_svc.models import CaseFile, ExternalNumber, Party, TeamMember
from case_svc.queries import cases, people, rows
from case_svc.schemas.cases import HandOverIn
from case_svc.schemas.people import MemberIn, NumberIn, PartyIn


async def hand_over(
    tx: AsyncSession, caller: Caller, case_id: str, body: HandOverIn, expected: int
) -> CaseFile:
    """Name who answers for the case from now on, with a brief.

    Raises NotFound, PreconditionFailed, CaseClosed, Conflict when the organisation is not in the
    care team.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    check_version(file.version, expected)
    require_open(file.status)
    to = body.organisation_id or file.responsible_id
    if to != file.custodian_id and not await people.is_in_team(tx, file.id, to):
        raise Conflict(
            "The organisation is not in the care team.",
            code="not-in-care-team",
            errors=[FieldError("#/organisation_id", "not-in-care-team", "Let it join first.")],
        )
    file.responsible_id, file.worker, file.brief = to, body.worker, body.brief
    touch(file)
    change = {"command": "hand-over", "responsible_id": to}
    await events.of_case(tx, caller, file, "case.changed", change)
    return file


async def add_party(tx: AsyncSession, caller: Caller, case_id: str, body: PartyIn) -> Party:
    """Give somebody a role in the case. Raises NotFound, CaseClosed."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    require_open(file.status)
    fields = body.model_dump(exclude={"valid_from"})
    party = Party(
        **in_case("ptm", caller, file, DataClass.COORDINATION),
        **fields,
        valid_from=body.valid_from or now().date(),
    )
    tx.add(party)
    change = {"role": party.role, "organisation_id": party.organisation_id}
    await events.of_row(tx, caller, file, "party.added", party, change)
    return party


async def end_party(
    tx: AsyncSession, caller: Caller, case_id: str, party_id: str, on: date | None, *, expected: int
) -> Party:
    """End a role on a day, today unless given. Raises NotFound, PreconditionFailed, Invalid."""
    file = (await cases.lock_case(tx, caller, case_id)).row
    party = (await rows.row_of(tx, caller, Party, file, party_id)).row
    require_author(party, file, caller)
    check_version(party.version, expected)
    party.valid_to = on or now().date()
    if party.valid_to < party.valid_from:
        raise Invalid(
            "A role does not end before it begins.",
            errors=[FieldError("#/on", "too-early", "Before valid_from.")],
        )
    touch(party)
    await events.of_row(tx, caller, file, "party.ended", party, {"role": party.role})
    return party


async def join(
    tx: AsyncSession, caller: Caller, case_id: str, body: MemberIn, wait_s: float
) -> TeamMember:
    """Let an organisation into the care team; one just registered is waited for.

    Raises NotFound, CaseClosed, Conflict, Invalid.
    """
    known = await _becomes_known(tx, body.organisation_id, wait_s)
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    require_open(file.status)
    if file.sealed:
        raise Conflict("A sealed case has no care team.", code="case-sealed")
    if not known:
        raise Invalid(
            "There is no such organisation in the network.",
            code="unknown-organisation",
            errors=[FieldError("#/organisation_id", "unknown-organisation", "Not known.")],
        )
    if await people.is_in_team(tx, file.id, body.organisation_id):
        raise Conflict("The organisation is in the care team already.", code="in-care-team")
    member = TeamMember(
        **in_case("ptm", caller, file, DataClass.COORDINATION),
        **body.model_dump(),
        joined_on=now().date(),
    )
    tx.add(member)
    await events.of_row(
        tx,
        caller,
        file,
        "care-team.joined",
        member,
        _member(member),
        parties=[body.organisation_id],
    )
    return member


async def leave(
    tx: AsyncSession, caller: Caller, case_id: str, member_id: str, expected: int
) -> TeamMember:
    """Take an organisation out of the care team: its custodian may, or the member itself.

    Raises NotFound, PreconditionFailed, Conflict.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    member = (await rows.row_of(tx, caller, TeamMember, file, member_id)).row
    if caller.organisation_id != member.organisation_id:
        require_author(member, file, caller)
    check_version(member.version, expected)
    if member.left_on is not None:
        raise Conflict("The organisation has left the care team.", code="left-care-team")
    member.left_on = now().date()
    if file.responsible_id == member.organisation_id != file.custodian_id:
        raise Conflict("The organisation answers for the case; hand it over first.")
    touch(member)
    await events.of_row(
        tx,
        caller,
        file,
        "care-team.left",
        member,
        _member(member),
        parties=[member.organisation_id],
    )
    return member


async def number_case(
    tx: AsyncSession, caller: Caller, case_id: str, body: NumberIn
) -> ExternalNumber:
    """Record the caller's own number of the case. Raises NotFound, Conflict."""
    seen = await cases.lock_case(tx, caller, case_id)
    require_contributor(seen, caller)
    return await add_number(tx, caller, seen.row, body)


async def add_number(
    tx: AsyncSession, caller: Caller, file: CaseFile, body: NumberIn
) -> ExternalNumber:
    """Record a number on a case at hand. Raises Conflict when it is recorded already."""
    number = ExternalNumber(
        **in_case("num", caller, file, DataClass.COORDINATION), **body.model_dump()
    )
    tx.add(number)
    try:
        await tx.flush()
    except IntegrityError as error:
        raise Conflict("This number is recorded already.", code="number-taken") from error
    await events.of_row(tx, caller, file, "number.added", number, {})
    return number


async def _becomes_known(tx: AsyncSession, organisation_id: str, wait_s: float) -> bool:
    """Tell whether the network's event of the organisation has come, before anything is locked."""
    deadline = monotonic() + wait_s
    while not await people.is_known(tx, organisation_id):
        if monotonic() >= deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def _member(member: TeamMember) -> dict[str, object]:
    return {"organisation_id": member.organisation_id, "role": member.role}
