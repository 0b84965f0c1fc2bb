"""What the endpoints have in common: the form, who sends it, and how a refusal looks."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import Request, Response
from svckit.problems import PROBLEMS

from gateway import assertion
from gateway.assertion import Login
from gateway.domain import OAuthError
from gateway.tokens import Tokens

FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
STRING = {"type": "string"}
_MAX_FORM = 16 * 1024
_MAX_FIELDS = 32


def described(*required: str, optional: Mapping[str, str] = {}) -> dict[str, Any]:
    """Return the OpenAPI of a form: client authentication, and these fields."""
    names = {
        "client_assertion_type": {"type": "string", "const": assertion.ASSERTION_TYPE},
        "client_assertion": STRING,
        "client_id": STRING,
        "client_secret": {"type": "string", "description": "sandbox clients only"},
        **{name: {"type": "string", "description": text} for name, text in optional.items()},
    }
    schema = {
        "type": "object",
        "properties": {**names, **dict.fromkeys(required, STRING)},
        "required": list(required),
    }
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


def answers(description: str, status: int = 200, *more: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI of what an endpoint answers, and of what the edge refuses before it."""
    error = {"schema": {"type": "object", "required": ["error"], "properties": {"error": STRING}}}
    found: dict[int | str, dict[str, Any]] = {
        code: PROBLEMS[code] for code in (404, 415, 429, 503, *more)
    }
    for code in (400, 401, 413):
        content = {"application/json": error, **PROBLEMS[code]["content"]}
        found[code] = {"description": "RFC 6749 s5.2, or a problem", "content": content}
    return {status: {"description": description}, **found}


def tokens_of(request: Request) -> Tokens:
    found: Tokens = request.app.state.verify
    return found


async def read(request: Request) -> dict[str, str]:
    """Return the form. Raises OAuthError: wrong type, too large, a parameter twice or in the query."""
    if request.url.query:
        raise OAuthError("invalid_request", "Parameters belong into the body.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"Send {FORM}.")
    body = await body_of(request)
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


async def body_of(request: Request) -> bytes:
    """Return the body. Raises OAuthError when it is larger than such a request ever is."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise OAuthError("invalid_request", "The request is too large.", 413)
    return bytes(body)


def desk_of(request: Request) -> assertion.Desk:
    state = request.app.state
    audiences = frozenset({state.settings.issuer, state.settings.token_endpoint})
    return assertion.Desk(state.db, tokens_of(request).keys, state.remote_keys, audiences)


async def login(request: Request, form: Mapping[str, str]) -> Login:
    """Return who sends the form. Raises OAuthError."""
    authorization = request.headers.get("authorization")
    return await assertion.authenticate(desk_of(request), form, authorization)


def refusal(error: OAuthError) -> Response:
    """Return the answer of RFC 6749 s5.2."""
    body = {"error": error.error, "error_description": error.description}
    headers = {"WWW-Authenticate": 'Basic realm="careloop"'} if error.status == 401 else {}  # noqa: PLR2004  # RFC 6749 s5.2
    return answer(error.status, body, {**headers, **error.headers})


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Response:
    """Return JSON that nobody may store."""
    return Response(orjson.dumps(body), status, {**NO_STORE, **headers}, "application/json")
