"""What became of a token: introspection (RFC 7662) and revocation (RFC 7009)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from svckit.errors import Unauthenticated

from gateway import jose
from gateway.assertion import Login
from gateway.domain import OAuthError
from gateway.oauth.form import NO_STORE, answer, answers, described, login, read, refusal, tokens_of
from gateway.queries import identity
from gateway.tokens import JKT, Session, details_of

router = APIRouter()


@router.post(
    "/introspect", responses=answers("The token's state"), openapi_extra=described("token")
)
async def introspect(request: Request) -> Response:
    """Tell a client about its own organisation's token; any other is inactive."""
    try:
        form = await read(request)
        session = _own(request, await login(request, form), form)
    except OAuthError as error:
        return refusal(error)
    if session is None:
        return answer(200, {"active": False})
    caller, binding = session.caller, session.binding
    issuer = request.app.state.settings.issuer
    body = {
        "active": True,
        "scope": " ".join(sorted(caller.scopes)),
        "client_id": caller.client_id,
        "sub": caller.actor if session.act else caller.client_id,
        "iss": issuer,
        "aud": issuer,
        "iat": int(session.issued_at),
        "exp": int(session.expires_at),
        "jti": caller.token_id,
        "token_type": "DPoP" if binding and binding.method == JKT else "Bearer",
        "org": caller.organisation_id,
        "purpose": caller.purpose,
        "authorization_details": [details_of(caller.purpose)],
        **({"cnf": {binding.method: binding.thumbprint}} if binding else {}),
        **({"act": session.act} if session.act else {}),
    }
    return answer(200, body)


@router.post("/revoke", responses=answers("Revoked"), openapi_extra=described("token"))
async def revoke(request: Request) -> Response:
    """End a token of the client's own organisation; any other token is no error (RFC 7009 s2.2)."""
    try:
        form = await read(request)
        session = _own(request, await login(request, form), form)
    except OAuthError as error:
        return refusal(error)
    if session is not None:
        until = datetime.fromtimestamp(session.expires_at, UTC)
        async with request.app.state.db.begin() as tx:
            await identity.revoke_token(tx, session.caller.token_id, until)
        tokens_of(request).revoked.tokens |= {session.caller.token_id}
    return Response(status_code=200, headers=NO_STORE)


def _own(request: Request, who: Login, form: Mapping[str, str]) -> Session | None:
    """Return the session of the organisation's own token, None for any other text."""
    raw = form.get("token")
    if not raw:
        raise OAuthError("invalid_request", "token is missing.")
    if len(raw) > jose.MAX_TOKEN or not raw.isascii():
        return None
    try:
        session = tokens_of(request).check(raw)
    except Unauthenticated:
        return None
    return session if session.caller.organisation_id == who.organisation.id else None
