"""/v1/agreements."""

from fastapi import APIRouter, Response
from svckit.db import Read
from svckit.idempotency import Act, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import agreements
from gateway.api.common import Admin, MayRead, after_of, changed, created, paged, shown
from gateway.schemas import AgreementIn, AgreementOut, PageOut

router = APIRouter(prefix="/v1/agreements", tags=["agreements"])


@router.post("", status_code=201, response_model=AgreementOut, responses=PROBLEMS)
async def publish_agreement(body: AgreementIn, caller: Admin, cmd: Create) -> Response:
    """Put an agreement in force; what lets somebody see more needs the difference that was seen."""
    return await cmd.run(
        caller,
        lambda tx: agreements.publish_at_once(tx, caller, body, body.diff),
        created("agreements"),
    )


@router.get("", response_model=PageOut[AgreementOut], responses=PROBLEMS)
async def list_agreements(caller: MayRead, session: Read, page: Paging) -> Response:
    """List the agreements one is a party of; the coordinator lists all."""
    rows = await queries.list_agreements(session, caller, after_of(page, caller), page.limit)
    return paged(page, caller, rows)


@router.get("/{agreement_id}", response_model=AgreementOut, responses=PROBLEMS)
async def get_agreement(agreement_id: str, caller: MayRead, session: Read) -> Response:
    """Read an agreement."""
    return shown(await queries.get_agreement(session, caller, agreement_id))


@router.post("/{agreement_id}/end", response_model=AgreementOut, responses=PROBLEMS)
async def end_agreement(agreement_id: str, caller: Admin, cmd: Act) -> Response:
    """End an agreement now."""
    return await cmd.run(
        caller, lambda tx: agreements.end(tx, caller, agreement_id, cmd.expected), changed
    )
