"""RFC 9457 problem documents: the one renderer of every error that leaves a service."""

from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import InterfaceError as DBAPIInterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from svckit.errors import BadRequest, CareloopError, FieldError, Invalid, NotFound, Unavailable
from svckit.faults import DRIVER_AWAY
from svckit.rights import REFUSAL, RightsStale, is_stale
from svckit.telemetry import trace_id

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Payload too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    422: "Invalid",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}
# invalid_text_representation: what a statement compiled to refuse comes to
_REFUSED = "22P02"
_log = structlog.get_logger("problems")


class ProblemError(BaseModel):
    """One offending field; `pointer` is an RFC 6901 fragment."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem; `code` is stable, `trace_id` finds the logs."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    errors: list[ProblemError] = []


def _doc(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": TITLES[status], "content": content}


# every route documents the same refusals: what a partner's client must be ready for
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _doc(status) for status in (400, 401, 403, 404, 409, 412, 413, 415, 422, 428, 429, 503)
}


def body(error: CareloopError) -> dict[str, Any]:
    """Return the problem document of an error."""
    problem: dict[str, Any] = {
        "type": f"urn:careloop:problem:{error.code}",
        "title": TITLES.get(error.status, "Error"),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "trace_id": trace_id(),
    }
    if error.errors:
        problem["errors"] = [
            {"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors
        ]
    return {**error.extra, **problem}


def render(error: CareloopError) -> Response:
    """Return the error as a response."""
    headers = {"Cache-Control": "no-store", **error.headers}
    if error.status == Unavailable.status:
        headers.setdefault("Retry-After", "1")
    return Response(orjson.dumps(body(error)), error.status, headers, MEDIA_TYPE)


def pointer(location: tuple[int | str, ...]) -> str:
    """Return pydantic's location as a fragment: ("body", "needs", 0) is `#/needs/0`."""
    where, rest = (location[0], location[1:]) if location else ("body", ())
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in rest)
    path = "".join(f"/{part}" for part in escaped)
    return f"#{path}" if where == "body" else f"#/{where}{path}"


def invalid(error: RequestValidationError) -> CareloopError:
    """Return pydantic's findings as field errors; the offending value is never repeated."""
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return BadRequest("The body is not well-formed JSON.", code="malformed-json")
    fields = [
        FieldError(pointer(tuple(e["loc"])), e["type"].replace("_", "-"), e["msg"]) for e in found
    ]
    return Invalid("Some fields are not acceptable.", errors=fields)


class _Http(CareloopError):
    def __init__(self, status: int, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail, code=TITLES.get(status, "error").lower().replace(" ", "-"))
        self.status = status  # type: ignore[misc]  # Starlette decides it per exception
        self.headers = headers


def install(app: FastAPI) -> None:
    """Answer every error as a problem."""

    @app.exception_handler(CareloopError)
    async def _known(_: Request, error: CareloopError) -> Response:
        # that nothing was found is itself decided by rights
        unknown = isinstance(error, NotFound) and is_stale()
        return render(RightsStale() if unknown else error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return render(invalid(error))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return render(_Http(error.status_code, str(error.detail), dict(error.headers or {})))

    async def _database(_: Request, error: Exception) -> Response:
        return render(of_database(error))

    for kind in (DBAPIError, PoolTimeout, *DRIVER_AWAY):
        app.add_exception_handler(kind, _database)

    @app.exception_handler(Exception)
    async def _unknown(_: Request, error: Exception) -> Response:
        _log.error("unexpected", error=type(error).__name__, exc_info=error)
        return render(CareloopError("Something went wrong; quote the trace id."))


def of_database(error: Exception) -> CareloopError:
    """Tell a refused value (SQLSTATE class 22) from a database that is away."""
    state = str(getattr(getattr(error, "orig", error), "sqlstate", "") or "")
    if state == _REFUSED and REFUSAL in str(error.__cause__ or error):
        return RightsStale()
    if state.startswith("22"):
        return Invalid("A value cannot be stored.", code="unstorable-value")
    away = state.startswith(("08", "53", "57", "40", "55")) or not isinstance(error, DBAPIError)
    # a connection that broke has no SQLSTATE
    broken = isinstance(error, DBAPIError) and error.connection_invalidated
    if away or broken or isinstance(error, OperationalError | DBAPIInterfaceError):
        _log.warning("database away", error=type(error).__name__, sqlstate=state)
        return Unavailable("The service cannot reach its data just now.")
    _log.error("unexpected database error", sqlstate=state, exc_info=error)
    return CareloopError("Something went wrong; quote the trace id.")
