"""The token endpoint (RFC 6749 s3.2): a client proves its key and gets a token of 300 s."""

import time
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from svckit.identity import Caller

from gateway import delegation, dpop, jose
from gateway.assertion import Login
from gateway.domain import OAuthError, SenderConstraint, granted_scopes
from gateway.ledger.recording import refused_token
from gateway.oauth import purpose
from gateway.oauth.form import answer, answers, described, desk_of, login, read, refusal, tokens_of
from gateway.possession import Possession
from gateway.tokens import JKT, LIFETIME_S, Binding, details_of, new_token_id

router = APIRouter()
CLIENT_CREDENTIALS = "client_credentials"


_OPTIONAL = {
    "scope": "what is registered when left out",
    "authorization_details": "RFC 9396: the purpose of use",
    "subject_token": "RFC 8693: a token of the organisation's own identity provider",
    "subject_token_type": "RFC 8693: what kind of token that is",
}


@router.post(
    "/token",
    responses=answers("An access token"),
    openapi_extra=described("grant_type", optional=_OPTIONAL),
)
async def token(request: Request) -> Response:
    """Give an access token to a client that proves its key, or for a worker of its organisation."""
    tokens = tokens_of(request)
    possession: Possession = request.app.state.possession
    try:
        form = await read(request)
        who = await login(request, form)
        await request.app.state.rights.learn()
        worker = await _worker(request, who, form)
        caller = await _granted(request, who, form, worker.actor if worker else who.client.id)
        binding = await _binding(request, possession, who)
    except OAuthError as error:
        return refusal(error)
    lives_s = min(LIFETIME_S, int(worker.expires_at - time.time())) if worker else LIFETIME_S
    issued = tokens.issue(
        caller,
        client_version=who.client.version,
        binding=binding,
        act=worker.act if worker else None,
        lives_s=max(1, lives_s),
    )
    by_key = binding is not None and binding.method == JKT
    body = {
        "access_token": issued,
        "token_type": "DPoP" if by_key else "Bearer",
        "expires_in": max(1, lives_s),
        "scope": " ".join(sorted(caller.scopes)),
        "authorization_details": [details_of(caller.purpose)],
        **({"issued_token_type": delegation.ACCESS_TOKEN} if worker else {}),
    }
    return answer(200, body, possession.nonce() if by_key else {})


async def _worker(
    request: Request, who: Login, form: Mapping[str, str]
) -> delegation.Worker | None:
    """Return whom the client acts for, None when for itself. Raises OAuthError."""
    if "grant_type" not in form:
        raise OAuthError("invalid_request", "grant_type is missing.")
    if form["grant_type"] == delegation.GRANT:
        issuer = request.app.state.settings.issuer
        return await delegation.worker(desk_of(request), who, form, issuer=issuer)
    if form["grant_type"] != CLIENT_CREDENTIALS:
        raise OAuthError("unsupported_grant_type", "This grant is not supported.")
    return None


async def _granted(request: Request, who: Login, form: Mapping[str, str], actor: str) -> Caller:
    """Return whom the token names. Raises OAuthError, once the refusal stands in the ledger."""
    try:
        return _caller(who, form, actor)
    except OAuthError as error:
        whose = who.organisation.id, who.client.id, actor
        await request.app.state.ledger.record(refused_token(*whose, status=error.status))
        raise


def _caller(who: Login, form: Mapping[str, str], actor: str) -> Caller:
    client, owner = who.client, who.organisation
    return Caller(
        organisation_id=owner.id,
        kind=owner.kind.value,
        client_id=client.id,
        actor=actor,
        purpose=purpose.of(who, form),
        scopes=granted_scopes(form.get("scope"), frozenset(client.scopes), owner.kind),
        token_id=new_token_id(),
    )


async def _binding(request: Request, possession: Possession, who: Login) -> Binding | None:
    """Return what the token will be bound to: as registered, or to a key shown unasked."""
    demanded = who.client.sender_constraint
    if demanded == SenderConstraint.MTLS:
        found = possession.presented(request.scope)
        if found is None:
            raise OAuthError("invalid_request", "The client must show its certificate.")
        return found
    if demanded == SenderConstraint.NONE and "dpop" not in request.headers:
        return None
    try:
        return await possession.demonstrated(request.scope, None)
    except dpop.NonceNeeded:
        raise OAuthError(
            "use_dpop_nonce", "The proof needs our nonce.", headers=possession.nonce()
        ) from None
    except jose.Refused as error:
        raise OAuthError("invalid_dpop_proof", "The DPoP proof is not acceptable.") from error
