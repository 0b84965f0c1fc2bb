"""/v1/clients."""

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.errors import Forbidden
from svckit.idempotency import Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway import queries
from gateway.actions import clients
from gateway.api.common import Admin, MayRead, OfPerson, after_of, changed, created, paged, shown
from gateway.models import Client
from gateway.schemas import ClientIn, ClientOut, ClientPatch, NewClientOut, PageOut

router = APIRouter(prefix="/v1/clients", tags=["clients"])


@router.post("", status_code=201, response_model=NewClientOut, responses=PROBLEMS)
async def register_client(request: Request, body: ClientIn, caller: Admin, cmd: Create) -> Response:
    """Register a client; a sandbox client's secret is in this answer and nowhere else."""
    fresh: list[str] = []

    async def register(tx: AsyncSession) -> Client:
        state = request.app.state
        row, secret = await clients.register(
            tx,
            caller,
            body,
            state.verify.keys,
            allow_private=state.settings.allow_private_jwks,
        )
        fresh.extend([secret] if secret else [])
        return row

    answer = await cmd.run(caller, register, created("clients"))
    # the stored answer of the idempotency record must not hold the secret: it is added on the way out
    return _with_secret(answer, fresh[0]) if fresh else answer


@router.get("", response_model=PageOut[ClientOut], responses=PROBLEMS)
async def list_clients(
    caller: MayRead, session: Read, page: Paging, organisation_id: OfPerson = None
) -> Response:
    """List one's own clients; the coordinator lists all."""
    after = after_of(page, caller)
    rows = await queries.list_clients(session, caller, organisation_id, after, page.limit)
    return paged(page, caller, rows)


@router.get("/{client_id}", response_model=ClientOut, responses=PROBLEMS)
async def get_client(client_id: str, caller: MayRead, session: Read) -> Response:
    """Read a client."""
    return shown(await queries.get_client(session, caller, client_id))


@router.patch("/{client_id}", response_model=ClientOut, responses=PROBLEMS)
async def change_client(
    request: Request, client_id: str, body: ClientPatch, caller: Admin, cmd: Change
) -> Response:
    """Change a client's keys, rights or state."""
    if body.active is False and client_id == caller.client_id:
        raise Forbidden("A client cannot switch itself off.", code="own-client")
    allow_private = request.app.state.settings.allow_private_jwks

    async def change(tx: AsyncSession) -> Client:
        return await clients.change(
            tx, caller, client_id, cmd.expected, body, allow_private=allow_private
        )

    return await cmd.run(caller, change, changed)


def _with_secret(answer: Response, secret: str) -> Response:
    body = orjson.dumps({**orjson.loads(answer.body), "client_secret": secret})
    headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
    return Response(body, answer.status_code, headers)
