"""A read that passes without a task, as most do: asked at once, answered in the turn it came back.

What it sent beside its request line is a `Head`, checked and put in order for the service. A partner
sends the same fields again and again: the protocol keeps the last head of each connection, and a
request whose fields are those, byte for byte, needs no parsing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from gateway import proxy
from gateway.domain import Route
from gateway.pool import Pool
from gateway.tokens import Session, digest_of
from gateway.upstream import Connection

Fields = list[tuple[bytes, bytes]]
METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
# in a request's scope: whether it gets a span, absent when nobody has asked yet
SAMPLED = "careloop.sampled"
# fields that ask for more than a read: a body, a proof, another protocol
_ASKS_MORE = frozenset(
    {b"content-length", b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"dpop"}
)
_BEARER = b"bearer "


class Head:
    """The fields of a plain read, and what follows from them alone."""

    __slots__ = ("fields", "host", "lines", "parent", "token")

    def __init__(self, fields: Fields, said: dict[bytes, bytes], token: bytes) -> None:
        self.fields = fields
        self.host = said.get(b"host", b"")
        self.parent = said.get(b"traceparent", b"")
        self.token = digest_of(token.decode("latin-1"))
        self.lines = proxy.forwarded(fields)[0]

    @classmethod
    def of(cls, fields: Fields) -> "Head | None":
        """Return the head of a plain read, None when the fields ask for more."""
        said = dict(fields)
        value = said.get(b"authorization", b"")
        if not _ASKS_MORE.isdisjoint(said) or value[:7].lower() != _BEARER:
            return None
        kept = all(v.lower() == b"keep-alive" for name, v in fields if name == b"connection")
        return cls(fields, said, value[7:].strip()) if kept else None


@dataclass(frozen=True, slots=True)
class Answered:
    """A service's answer whose first byte has not left: whose, to what, and what it discloses."""

    session: Session
    route: Route
    method: str
    status: int
    # the answer's `careloop-` headers in lower case, which no partner gets
    internal: Mapping[bytes, bytes]
    trace_id: str


class Wire(Protocol):
    """The partner's connection."""

    @property
    def held_up(self) -> bool:
        """Whether the partner does not take what was written: who sends more has to wait."""

    def answer(self, read: "Read", status: int, fields: Iterable[Any], body: bytes) -> None:
        """Write a whole answer, the read's end."""

    def run(self, read: "Read", app: Callable[..., Awaitable[None]]) -> None:
        """Let an ASGI application answer the read, in a task."""


class Door(Protocol):
    """The application, which takes plain reads without a task."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def quick(self, read: "Read") -> bool:
        """Ask for the read and tell whether it is taken; one that is not is untouched."""


class Read:
    """One read on its way; what is declared here is set when it is taken."""

    __slots__ = (
        "connection", "data", "extra", "head", "keep_alive", "method", "organisation_id", "path",
        "pool", "query", "resource", "route", "sampled", "service", "session", "started", "status",
        "trace", "wire",
    )  # fmt: skip
    session: Session
    route: Route
    pool: Pool
    connection: Connection
    # what is sent to the service, and the traceparent of whatever is asked on the read's behalf
    data: bytes
    trace: bytes
    # fields of the answer that are the door's
    extra: Fields
    # as they are told of
    resource: str
    service: str
    organisation_id: str

    def __init__(self, wire: Wire, method: str, path: bytes, query: bytes, head: Head) -> None:
        self.wire = wire
        self.method = method
        self.path = path
        self.query = query
        self.head = head
        self.keep_alive = True
        self.sampled = False
        self.status = 0
        self.started = perf_counter()

    def take(self, session: Session, route: Route, pool: Pool, connection: Connection) -> None:
        self.session = session
        self.route = route
        self.pool = pool
        self.connection = connection
        self.resource = f"/v1/{route.resource}"
        self.service = pool.service
        self.organisation_id = session.caller.organisation_id

    def answered(self, internal: Mapping[bytes, bytes]) -> Answered:
        trace_id = self.trace[3:35].decode("ascii")
        return Answered(self.session, self.route, self.method, self.status, internal, trace_id)
