"""The HTTP edge of a service: body schemas, the size limit, the server span. Pure ASGI only."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Annotated, Any, ClassVar

from opentelemetry.trace import SpanKind
from prometheus_client import Histogram
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svckit.errors import PayloadTooLarge
from svckit.problems import render
from svckit.telemetry import continue_from, span

_SECONDS = Histogram(
    "careloop_http_request_seconds",
    "Time from the first byte of a request to the end of its response",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the instant has no place in the calendar in UTC") from error


# an instant of a request, in UTC: year 1 at +14:00 and its like are refused, not met later
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class In(BaseModel):
    """A request body: unknown fields are refused, text is trimmed, NUL cannot be stored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", str_strip_whitespace=True, frozen=True
    )


class Out(BaseModel):
    """A response body; what the caller may not see is absent, not null (see `sharing.project`)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(from_attributes=True)


class Telemetry:
    """One server span and one histogram sample per request, named by the route's template."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        status = 500
        started = perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = headers.get(b"traceparent", b"").decode("latin-1")
        method = scope["method"]
        with continue_from(parent), span(f"{method} request", kind=SpanKind.SERVER) as current:
            try:
                await self._app(scope, receive, watch)
            finally:
                route = route_of(scope)
                current.update_name(f"{method} {route}")
                current.set_attribute("http.route", route)
                current.set_attribute("http.response.status_code", status)
                took = perf_counter() - started
                _SECONDS.labels(self._service, method, route, str(status)).observe(took)


def route_of(scope: Scope) -> str:
    """Return the matched route's template: paths hold ids, templates do not."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


class BodyLimit:
    """Refuses a body above the limit with 413, declared or streamed, before it is read whole."""

    def __init__(self, app: ASGIApp, *, limit: int, exempt: Callable[[Scope], bool]) -> None:
        self._app = app
        self._limit = limit
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._exempt(scope):
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await render(self._error())(scope, receive, send)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._error()
            return message

        async def answer(message: Message) -> None:
            # FastAPI turns an error while it reads the body into a 400 of its own: replaced below
            nonlocal started
            if started or seen <= self._limit:
                started = True
                await send(message)

        await self._app(scope, counted, answer)
        if not started:
            await render(self._error())(scope, receive, send)

    def _error(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self._limit} bytes.")


def never(_: Any) -> bool:
    """Exempt no route."""
    return False
