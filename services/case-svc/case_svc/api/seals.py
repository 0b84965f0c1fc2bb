"""Closing a case to everybody but its custodian, and opening it again."""

from fastapi import APIRouter, Response
from svckit.idempotency import Act
from svckit.problems import PROBLEMS

from case_svc import reply
from case_svc.actions import seals
from case_svc.api.parts import IdPath, MayWrite
from case_svc.schemas.cases import CaseOut, SealIn

router = APIRouter(prefix="/v1/cases", tags=["cases"], responses=PROBLEMS)


@router.post("/{case_id}/seal", response_model=CaseOut)
async def seal_case(case_id: IdPath, body: SealIn, caller: MayWrite, cmd: Act) -> Response:
    """Close the case, and all that is under it, to everybody but its custodian."""
    return await cmd.run(
        caller,
        lambda tx: seals.seal(tx, caller, case_id, body.reason, cmd.expected),
        reply.of_case,
    )


@router.post("/{case_id}/unseal", response_model=CaseOut)
async def unseal_case(case_id: IdPath, body: SealIn, caller: MayWrite, cmd: Act) -> Response:
    """Open the case again to whom agreements and grants open it."""
    return await cmd.run(
        caller,
        lambda tx: seals.unseal(tx, caller, case_id, body.reason, cmd.expected),
        reply.of_case,
    )
