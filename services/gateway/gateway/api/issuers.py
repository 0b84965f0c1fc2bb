"""/v1/trusted-issuers."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.db import Read
from svckit.idempotency import Change, Create
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from gateway.actions import issuers
from gateway.api.common import Admin, after_of, changed, created, paged, shown
from gateway.models import TrustedIssuer
from gateway.queries import identity
from gateway.schemas import PageOut
from gateway.schemas.identity import TrustedIssuerIn, TrustedIssuerOut, TrustedIssuerPatch

router = APIRouter(prefix="/v1/trusted-issuers", tags=["clients"])


@router.post("", status_code=201, response_model=TrustedIssuerOut, responses=PROBLEMS)
async def trust_issuer(
    request: Request, body: TrustedIssuerIn, caller: Admin, cmd: Create
) -> Response:
    """Let the tokens of an organisation's identity provider be exchanged for ours."""
    settings = request.app.state.settings

    async def trust(tx: AsyncSession) -> TrustedIssuer:
        allow_private = settings.allow_private_jwks
        return await issuers.trust(
            tx, caller, body, ours=settings.issuer, allow_private=allow_private
        )

    return await cmd.run(caller, trust, created("trusted-issuers"))


@router.get("", response_model=PageOut[TrustedIssuerOut], responses=PROBLEMS)
async def list_issuers(caller: Admin, session: Read, page: Paging) -> Response:
    """List the identity providers that are trusted."""
    rows = await identity.list_issuers(session, after_of(page, caller), page.limit)
    return paged(page, caller, rows)


@router.get("/{issuer_id}", response_model=TrustedIssuerOut, responses=PROBLEMS)
async def get_issuer(issuer_id: str, caller: Admin, session: Read) -> Response:  # noqa: ARG001  # the scope is asked for
    """Read a trusted identity provider."""
    return shown(await identity.get_issuer(session, issuer_id))


@router.patch("/{issuer_id}", response_model=TrustedIssuerOut, responses=PROBLEMS)
async def change_issuer(
    request: Request, issuer_id: str, body: TrustedIssuerPatch, caller: Admin, cmd: Change
) -> Response:
    """Change a provider's keys, or end the trust in it."""
    allow_private = request.app.state.settings.allow_private_jwks

    async def change(tx: AsyncSession) -> TrustedIssuer:
        return await issuers.change(
            tx, caller, issuer_id, cmd.expected, body, allow_private=allow_private
        )

    return await cmd.run(caller, change, changed)
