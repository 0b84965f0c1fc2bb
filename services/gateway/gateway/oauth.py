"""OAuth 2.0 endpoints: token (RFC 6749), introspection (RFC 7662), revocation (RFC 7009).

Only `client_credentials`. The purpose of use is decided here, once, and travels inside the token.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from sharing import policy, purposes
from svckit.errors import Unauthenticated
from svckit.identity import Caller

from gateway import assertion, jose, queries
from gateway.assertion import Login, authenticate
from gateway.domain import OAuthError, granted_scopes, purpose_code
from gateway.tokens import LIFETIME_S, Session, Tokens, new_token_id

router = APIRouter(prefix="/oauth", tags=["oauth"])
FORM = "application/x-www-form-urlencoded"
_MAX_FORM = 16 * 1024
_MAX_FIELDS = 32
_MAX_DETAILS = 4096
_PURPOSE_TYPE = "careloop_purpose"
_STRINGS = {"type": "string"}


def _form(*required: str) -> dict[str, Any]:
    names = {
        "client_assertion_type": {"type": "string", "const": assertion.ASSERTION_TYPE},
        "client_assertion": _STRINGS,
        "client_id": _STRINGS,
        "client_secret": {"type": "string", "description": "sandbox clients only"},
    }
    schema = {
        "type": "object",
        "properties": {**names, **dict.fromkeys(required, _STRINGS)},
        "required": list(required),
    }
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


def _answers(description: str) -> dict[int | str, dict[str, Any]]:
    error = {"schema": {"type": "object", "required": ["error"], "properties": {"error": _STRINGS}}}
    refusal = {"description": "RFC 6749 s5.2", "content": {"application/json": error}}
    return {200: {"description": description}, 400: refusal, 401: refusal, 413: refusal}


@router.post(
    "/token", responses=_answers("An access token"), openapi_extra=_form("grant_type", "scope")
)
async def token(request: Request) -> Response:
    """Give an access token to a client that proves its key."""
    try:
        form = await _read(request)
        login = await _login(request, form)
        _check_grant(form)
        caller = _caller(login, form)
    except OAuthError as error:
        return _refusal(error)
    body = {
        "access_token": _tokens(request).issue(caller),
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
        "scope": " ".join(sorted(caller.scopes)),
        "authorization_details": [{"type": _PURPOSE_TYPE, "purpose": caller.purpose}],
    }
    return _json(200, body)


@router.post("/introspect", responses=_answers("The token's state"), openapi_extra=_form("token"))
async def introspect(request: Request) -> Response:
    """Tell a client about its own organisation's token; any other is inactive."""
    try:
        form = await _read(request)
        login = await _login(request, form)
        session = _own(request, login, form)
    except OAuthError as error:
        return _refusal(error)
    if session is None:
        return _json(200, {"active": False})
    caller = session.caller
    body = {
        "active": True,
        "scope": " ".join(sorted(caller.scopes)),
        "client_id": caller.client_id,
        "sub": caller.client_id,
        "iss": request.app.state.settings.issuer,
        "exp": int(session.expires_at),
        "jti": caller.token_id,
        "token_type": "Bearer",
        "org": caller.organisation_id,
        "purpose": caller.purpose,
    }
    return _json(200, body)


@router.post("/revoke", responses=_answers("Revoked"), openapi_extra=_form("token"))
async def revoke(request: Request) -> Response:
    """End a token of the client's own organisation; any other token is no error (RFC 7009 s2.2)."""
    try:
        form = await _read(request)
        login = await _login(request, form)
        session = _own(request, login, form)
    except OAuthError as error:
        return _refusal(error)
    if session is not None:
        until = datetime.fromtimestamp(session.expires_at, UTC)
        async with request.app.state.db.begin() as tx:
            await queries.revoke_token(tx, session.caller.token_id, until)
        _tokens(request).revoked.tokens |= {session.caller.token_id}
    return Response(status_code=200, headers=_NO_STORE)


_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def _tokens(request: Request) -> Tokens:
    found: Tokens = request.app.state.verify
    return found


async def _read(request: Request) -> dict[str, str]:
    """Return the form. Raises OAuthError: wrong type, too large, a parameter twice or in the query."""
    if request.url.query:
        raise OAuthError("invalid_request", "Parameters belong into the body.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"Send {FORM}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise OAuthError("invalid_request", "The request is too large.", 413)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "The form is malformed.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is repeated.")
    return form


async def _login(request: Request, form: Mapping[str, str]) -> Login:
    settings = request.app.state.settings
    async with request.app.state.db.begin() as tx:
        return await authenticate(
            tx,
            form,
            request.headers.get("authorization"),
            audiences=frozenset({settings.issuer, settings.token_endpoint}),
            keys=_tokens(request).keys,
        )


def _check_grant(form: Mapping[str, str]) -> None:
    if "grant_type" not in form:
        raise OAuthError("invalid_request", "grant_type is missing.")
    if form["grant_type"] != "client_credentials":
        raise OAuthError("unsupported_grant_type", "Only client_credentials is supported.")


def _caller(login: Login, form: Mapping[str, str]) -> Caller:
    client, owner = login.client, login.organisation
    return Caller(
        organisation_id=owner.id,
        kind=owner.kind.value,
        client_id=client.id,
        actor=client.id,
        purpose=_purpose(login, form),
        scopes=granted_scopes(form.get("scope"), frozenset(client.scopes), owner.kind),
        token_id=new_token_id(),
    )


def _purpose(login: Login, form: Mapping[str, str]) -> str:
    """Return the one purpose of the token: asked for and registered, or the registered default."""
    details = form.get("authorization_details")
    asked = {*_claimed(login.claims), *(_detailed(details) if details is not None else ())}
    error = "invalid_authorization_details" if details is not None else "invalid_request"
    if len(asked) > 1:
        raise OAuthError(error, "A token has one purpose.")
    purpose = next(iter(asked), login.client.purposes[0])
    if purpose not in purposes.CODES:
        raise OAuthError(error, "The purpose of use is not known.")
    allowed = policy.current().ceiling(login.organisation.kind, purpose)
    if purpose not in login.client.purposes or not allowed:
        raise OAuthError(error, "The client may not act for this purpose.")
    return purpose


def _claimed(claims: Mapping[str, Any]) -> list[str]:
    """Return the purposes of the assertion's `extensions.hl7-b2b` (UDAP)."""
    extensions = claims.get("extensions", {})
    extension = extensions.get("hl7-b2b", {}) if isinstance(extensions, dict) else None
    if not isinstance(extension, dict):
        raise OAuthError("invalid_request", "extensions.hl7-b2b is malformed.")
    asked = extension.get("purpose_of_use", [])
    asked = [asked] if isinstance(asked, str) else asked
    if not isinstance(asked, list) or not all(isinstance(code, str) for code in asked):
        raise OAuthError("invalid_request", "purpose_of_use is malformed.")
    return [purpose_code(code) for code in asked]


def _detailed(details: str) -> list[str]:
    """Return the purposes of `authorization_details` (RFC 9396 s2)."""
    malformed = OAuthError("invalid_authorization_details", "authorization_details is malformed.")
    if len(details) > _MAX_DETAILS:
        raise malformed
    try:
        found = orjson.loads(details)
    except orjson.JSONDecodeError as error:
        raise malformed from error
    if not isinstance(found, list) or not found:
        raise malformed
    for entry in found:
        if not isinstance(entry, dict) or entry.keys() != {"type", "purpose"}:
            raise malformed
        if entry["type"] != _PURPOSE_TYPE or not isinstance(entry["purpose"], str):
            raise malformed
    return [purpose_code(entry["purpose"]) for entry in found]


def _own(request: Request, login: Login, form: Mapping[str, str]) -> Session | None:
    """Return the session of the organisation's own token, None for any other text."""
    raw = form.get("token")
    if not raw:
        raise OAuthError("invalid_request", "token is missing.")
    if len(raw) > jose.MAX_TOKEN or not raw.isascii():
        return None
    try:
        session = _tokens(request).check(raw)
    except Unauthenticated:
        return None
    return session if session.caller.organisation_id == login.organisation.id else None


def _refusal(error: OAuthError) -> Response:
    body = {"error": error.error, "error_description": error.description}
    headers = {"WWW-Authenticate": 'Basic realm="careloop"'} if error.status == 401 else {}  # noqa: PLR2004  # RFC 6749 s5.2
    return _json(error.status, body, headers)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Response:
    return Response(orjson.dumps(body), status, {**_NO_STORE, **headers}, "application/json")
