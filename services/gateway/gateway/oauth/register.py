"""Dynamic registration (RFC 7591) and its management (RFC 7592)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway import jose
from gateway.actions import registration
from gateway.domain import OAuthError, SenderConstraint
from gateway.models import Client
from gateway.oauth.form import NO_STORE, STRING, answer, answers, body_of, refusal, tokens_of

router = APIRouter()
_ONE = "/register/{client_id}"
_METADATA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["client_name"],
                    "properties": {
                        "client_name": STRING,
                        "jwks": {"type": "object"},
                        "jwks_uri": STRING,
                        "scope": STRING,
                        "grant_types": {"type": "array", "items": STRING},
                        "token_endpoint_auth_method": STRING,
                        "token_endpoint_auth_signing_alg": STRING,
                        "dpop_bound_access_tokens": {"type": "boolean"},
                        "tls_client_certificate_bound_access_tokens": {"type": "boolean"},
                    },
                }
            }
        },
    }
}
_BEARER = {"WWW-Authenticate": 'Bearer realm="careloop", error="invalid_token"'}
_SHOWN = answers("The registration", 200, 422)


@router.post(
    "/register",
    status_code=201,
    responses=answers("The registration", 201),
    openapi_extra=_METADATA,
)
async def register(request: Request) -> Response:
    """Register a client with the token that an administrator gave for it."""
    ring, settings = tokens_of(request).keys, request.app.state.settings
    try:
        token, given = _bearer(request), await _json(request)
        async with request.app.state.db.begin() as tx:
            row, secret = await registration.register(
                tx, token, given, ring, allow_private=settings.allow_private_jwks
            )
            body = _shown(request, row, secret)
    except OAuthError as error:
        return _refused(error)
    return answer(201, body)


@router.get(_ONE, responses=_SHOWN)
async def read(request: Request, client_id: str) -> Response:
    """Read a registration with the token that manages it."""
    try:
        token = _bearer(request)
        async with request.app.state.db.begin() as tx:
            row = await registration.find(tx, client_id, token, tokens_of(request).keys)
            body = _shown(request, row, token)
    except OAuthError as error:
        return _refused(error)
    return answer(200, body)


@router.put(_ONE, responses=_SHOWN, openapi_extra=_METADATA)
async def replace(request: Request, client_id: str) -> Response:
    """Replace a registration; the answer holds the token that manages it from now on."""
    ring, settings = tokens_of(request).keys, request.app.state.settings
    try:
        token, given = _bearer(request), await _json(request)
        async with request.app.state.db.begin() as tx:
            row = await registration.find(tx, client_id, token, ring)
            secret = await registration.replace(
                tx, row, given, ring, allow_private=settings.allow_private_jwks
            )
            body = _shown(request, row, secret)
    except OAuthError as error:
        return _refused(error)
    return answer(200, body)


@router.delete(_ONE, status_code=204, responses=answers("The client has ended", 204, 422))
async def end(request: Request, client_id: str) -> Response:
    """End a client that registered itself, with its tokens."""
    try:
        token = _bearer(request)
        async with request.app.state.db.begin() as tx:
            row = await registration.find(tx, client_id, token, tokens_of(request).keys)
            await registration.end(tx, row)
    except OAuthError as error:
        return _refused(error)
    return Response(status_code=204, headers=NO_STORE)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise registration.invalid_token()
    return token.strip()


async def _json(request: Request) -> Any:
    """Return the body as strictly read JSON: no member twice, no number beyond JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.url.query or kind != "application/json":
        raise OAuthError("invalid_client_metadata", "Send application/json.")
    try:
        return jose.object_of(await body_of(request))
    except jose.Refused as error:
        raise OAuthError("invalid_client_metadata", "The JSON is malformed.") from error


def _refused(error: OAuthError) -> Response:
    found = refusal(error)
    if error.error == "invalid_token":
        found.headers.update(_BEARER)
    return found


def _shown(request: Request, row: Client, secret: str) -> dict[str, Any]:
    base = request.app.state.settings.issuer.rstrip("/")
    keys = {"jwks_uri": row.jwks_uri} if row.jwks_uri else {"jwks": row.jwks}
    one = len(row.algorithms) == 1
    return {
        "client_id": row.id,
        "client_id_issued_at": int(row.created_at.timestamp()),
        "client_name": row.name,
        **keys,
        "token_endpoint_auth_method": "private_key_jwt",
        **({"token_endpoint_auth_signing_alg": row.algorithms[0]} if one else {}),
        "grant_types": ["client_credentials"],
        "response_types": [],
        "scope": " ".join(row.scopes),
        "dpop_bound_access_tokens": row.sender_constraint == SenderConstraint.DPOP,
        "tls_client_certificate_bound_access_tokens": row.sender_constraint
        == SenderConstraint.MTLS,
        "registration_access_token": secret,
        "registration_client_uri": f"{base}/oauth/register/{row.id}",
    }
