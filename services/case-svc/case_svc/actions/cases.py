"""Opening a case and everything that moves it."""

from sharing import DataClass
from sharing.fields import told_by
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.errors import FieldError, Invalid, NotFound
from svckit.identity import Caller

from case_svc import events
from case_svc.actions import needs, people, phases, readers, seals
from case_svc.actions.authority import authored, own, touch
from case_svc.domain import cases as rules
from case_svc.domain.cases import CaseStatus, Command, TypeStatus
from case_svc.models import CaseFile, CaseNumber, CaseType
from case_svc.queries import persons, types
from case_svc.schemas.cases import CaseIn, CaseOut, CasePatch, CloseIn


async def open_case(tx: AsyncSession, caller: Caller, body: CaseIn) -> CaseFile:
    """Open a case in intake for a person the caller knows. Raises Invalid."""
    person = await persons.lock_person(tx, body.person_id)
    if person is None or not await persons.knows_person(tx, caller, body.person_id):
        raise _unknown("person_id", "unknown-person", "There is no such person.")
    case_type = await _type(tx, caller, body.type_id)
    fields = body.model_dump(exclude={"type_id", "needs", "numbers"})
    file = CaseFile(
        **authored("cas", caller),
        **fields,
        type_id=case_type.id,
        number=await _next_number(tx, caller),
        status=CaseStatus.INTAKE,
        responsible_id=caller.organisation_id,
        opened_at=now(),
        cycle=1,
        entries=0,
    )
    tx.add(file)
    await tx.flush()
    await readers.of_case(tx, file)
    if file.sealed:
        # before anything else is told of it: nobody else ever learns that it was opened
        await seals.put_on(tx, caller, file, {})
        touch(file)
    change = {"status": file.status, "type_id": file.type_id, "cycle": file.cycle}
    await events.of_case(tx, caller, file, "case.opened", change)
    for need in body.needs:
        await needs.add(tx, caller, file, need)
    for number in body.numbers:
        await people.add_number(tx, caller, file, number)
    return file


async def change(
    tx: AsyncSession, caller: Caller, case_id: str, body: CasePatch, expected: int
) -> CaseFile:
    """Change what describes the case. Raises NotFound, PreconditionFailed."""
    file = await own(tx, caller, case_id, expected)
    changed = body.model_dump(exclude_unset=True)
    for name, value in changed.items():
        setattr(file, name, value)
    touch(file)
    told = told_by(CaseOut, changed, DataClass.COORDINATION)
    fields = {"fields": sorted(changed)}
    await events.of_case(tx, caller, file, "case.changed", fields, classes=told)
    return file


async def move(
    tx: AsyncSession,
    caller: Caller,
    case_id: str,
    command: Command,
    *,
    expected: int,
    reason: str | None = None,
) -> CaseFile:
    """Activate, suspend, resume or reopen. Raises NotFound, PreconditionFailed, InvalidTransition."""
    file = await own(tx, caller, case_id, expected)
    file.status = rules.move(file.status, command)
    file.cycle = rules.next_cycle(file.cycle, command)
    file.status_reason = reason
    # a step of coordination that changes the status
    happened, classes = "case.changed", DataClass.COORDINATION | DataClass.OUTCOME
    if command is Command.REOPEN:
        happened, classes = "case.reopened", DataClass.OUTCOME
        file.phase = file.closed_at = file.outcome_code = file.outcome_note = None
    touch(file)
    change = {"command": command, "status": file.status, "cycle": file.cycle}
    await events.of_case(tx, caller, file, happened, change, classes=classes)
    return file


async def close(
    tx: AsyncSession, caller: Caller, case_id: str, body: CloseIn, expected: int
) -> CaseFile:
    """Close with an outcome of the case's type.

    Raises NotFound, PreconditionFailed, InvalidTransition, UnknownOutcome.
    """
    file = await own(tx, caller, case_id, expected)
    status = rules.move(file.status, Command.CLOSE)
    case_type = await tx.get_one(CaseType, file.type_id)  # unscoped: of a case already seen
    rules.check_outcome(body.outcome_code, case_type.outcomes)
    file.status, file.closed_at, file.status_reason = status, now(), None
    file.outcome_code, file.outcome_note = body.outcome_code, body.note
    await phases.leave(tx, file)
    touch(file)
    change = {"status": file.status, "outcome_code": file.outcome_code, "cycle": file.cycle}
    await events.of_case(tx, caller, file, "case.closed", change, classes=DataClass.OUTCOME)
    return file


async def _type(tx: AsyncSession, caller: Caller, type_id: str | None) -> CaseType:
    try:
        found = (
            await types.get_type(tx, caller, type_id)
            if type_id
            else await types.find_default(tx, caller)
        )
    except NotFound:
        found = None
    if found is None or found.status is not TypeStatus.PUBLISHED:
        raise _unknown("type_id", "unknown-case-type", "There is no such published case type.")
    return found


async def _next_number(tx: AsyncSession, caller: Caller) -> str:
    statement = insert(CaseNumber).values(organisation_id=caller.organisation_id, last=1)
    counted = statement.on_conflict_do_update(
        index_elements=["organisation_id"], set_={"last": CaseNumber.last + 1}
    ).returning(CaseNumber.last)
    last = (await tx.execute(counted)).scalar_one()
    return f"{now().year}-{last:06d}"


def _unknown(field: str, code: str, detail: str) -> Invalid:
    return Invalid(detail, code=code, errors=[FieldError(f"#/{field}", code, detail)])
