"""Phases of a case: entered at will, every stay kept with its cycle."""

from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.idempotency import check_version
from svckit.identity import Caller

from case_svc import events
from case_svc.actions.authority import require_custodian, touch
from case_svc.domain import cases as rules
from case_svc.domain.cases import Phase
from case_svc.models import CaseFile, CasePhase, CaseType
from case_svc.queries import cases


async def enter(
    tx: AsyncSession, caller: Caller, case_id: str, phase: Phase, expected: int
) -> CaseFile:
    """Enter a phase, again or for the first time, leaving the current one.

    Raises NotFound, PreconditionFailed, InvalidTransition, PhaseOutOfOrder, Invalid.
    """
    file = (await cases.lock_case(tx, caller, case_id)).row
    require_custodian(file, caller)
    check_version(file.version, expected)
    case_type = await tx.get_one(CaseType, file.type_id)  # unscoped: of a case already seen
    rules.may_enter(file.status, case_type.mode, case_type.phases, file.phase, phase)
    stays = await leave(tx, file)
    again = [each for each in stays if (each.phase, each.cycle) == (phase, file.cycle)]
    stay = CasePhase(
        case_id=file.id,
        place=len(stays) + 1,
        phase=phase,
        cycle=file.cycle,
        round=len(again) + 1,
        entered_at=now(),
    )
    tx.add(stay)
    file.phase = phase
    touch(file)
    change = {"command": "enter-phase", "phase": phase, "cycle": file.cycle, "round": stay.round}
    await events.of_case(tx, caller, file, "case.changed", change)
    return file


async def leave(tx: AsyncSession, file: CaseFile) -> list[CasePhase]:
    """End the current stay, if any, and return all stays so far."""
    stays = list(await cases.list_phases(tx, file.id))
    if stays and stays[-1].left_at is None:
        stays[-1].left_at = now()
    return stays
