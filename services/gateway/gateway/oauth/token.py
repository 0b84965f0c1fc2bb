"""The token endpoint (RFC 6749 s3.2): a client proves its key and gets a token of 300 s."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from svckit.identity import Caller

from gateway import dpop, jose
from gateway.assertion import Login
from gateway.domain import OAuthError, SenderConstraint, granted_scopes
from gateway.oauth import purpose
from gateway.oauth.form import answer, answers, described, login, read, refusal, tokens_of
from gateway.possession import Possession
from gateway.tokens import JKT, LIFETIME_S, Binding, details_of, new_token_id

router = APIRouter()
CLIENT_CREDENTIALS = "client_credentials"


@router.post(
    "/token",
    responses=answers("An access token"),
    openapi_extra=described("grant_type", "scope"),
)
async def token(request: Request) -> Response:
    """Give an access token to a client that proves its key."""
    possession = Possession(request.app.state.db, request.app.state.settings, tokens_of(request))
    try:
        form = await read(request)
        who = await login(request, form)
        _check_grant(form)
        caller = _caller(who, form)
        binding = await _binding(request, possession, who)
    except OAuthError as error:
        return refusal(error)
    issued = tokens_of(request).issue(caller, client_version=who.client.version, binding=binding)
    by_key = binding is not None and binding.method == JKT
    body = {
        "access_token": issued,
        "token_type": "DPoP" if by_key else "Bearer",
        "expires_in": LIFETIME_S,
        "scope": " ".join(sorted(caller.scopes)),
        "authorization_details": [details_of(caller.purpose)],
    }
    return answer(200, body, possession.nonce() if by_key else {})


def _check_grant(form: Mapping[str, str]) -> None:
    if "grant_type" not in form:
        raise OAuthError("invalid_request", "grant_type is missing.")
    if form["grant_type"] != CLIENT_CREDENTIALS:
        raise OAuthError("unsupported_grant_type", "This grant is not supported.")


def _caller(who: Login, form: Mapping[str, str]) -> Caller:
    client, owner = who.client, who.organisation
    return Caller(
        organisation_id=owner.id,
        kind=owner.kind.value,
        client_id=client.id,
        actor=client.id,
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
