"""/v1/registration-tokens."""

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.idempotency import Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway.actions import registration
from gateway.api.common import Admin, after_of, created, paged
from gateway.models import RegistrationToken
from gateway.queries import identity
from gateway.schemas import PageOut
from gateway.schemas.identity import (
    NewRegistrationTokenOut,
    RegistrationTokenIn,
    RegistrationTokenOut,
)

router = APIRouter(prefix="/v1/registration-tokens", tags=["clients"])


@router.post("", status_code=201, response_model=NewRegistrationTokenOut, responses=PROBLEMS)
async def give_registration_token(
    request: Request, body: RegistrationTokenIn, caller: Admin, cmd: Create
) -> Response:
    """Permit one client to register itself; the token is in this answer and nowhere else."""
    fresh: list[str] = []

    async def give(tx: AsyncSession) -> RegistrationToken:
        row, secret = await registration.permit(tx, caller, body, request.app.state.verify.keys)
        fresh.append(secret)
        return row

    answer = await cmd.run(caller, give, created("registration-tokens"))
    if not fresh:
        return answer
    # the stored answer of the idempotency record must not hold it: it is added on the way out
    shown = orjson.dumps({**orjson.loads(answer.body), "token": fresh[0]})
    headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
    return Response(shown, answer.status_code, headers)


@router.get("", response_model=PageOut[RegistrationTokenOut], responses=PROBLEMS)
async def list_registration_tokens(caller: Admin, session: Read, page: Paging) -> Response:
    """List the permissions that were given, and what was registered with each."""
    rows = await identity.list_registration_tokens(session, after_of(page, caller), page.limit)
    return paged(page, caller, rows)
