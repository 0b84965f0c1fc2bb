"""What an answer discloses of other organisations' persons, told to the gateway with the answer.

Whoever presents a row notes it; the notes leave in one internal response header, which the gateway
enters into the ledger and takes away. Rows of one custodian, person, kind and mask are one note
with a count, so a page of 200 rows is at most 200 notes of some 30 bytes.

    @9f3c…;case|org_01…|4c|01aa…,01bb…*3;!document|org_02…|0|01aa…

`@` names the version of the rules that decided, for all that follows in the line.
A refused request is noted as well (`!`): whose row it was where there is one, in any case that
somebody asked, so that a refusal costs the same whether or not there is anything.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svckit.errors import Invalid
from svckit.faults import AWAY
from svckit.ids import PATTERN
from svckit.problems import render

HEADER = b"careloop-disclosed"
# proxies commonly take 8 kB a line and 64 kB of lines
_LINE = 7_000
_LINES = 8
_PERSONS_A_GROUP = 150
_ID = re.compile(PATTERN)
_REFUSED = frozenset({403, 404})
_log = structlog.get_logger("disclosure")


class Disclosed(NamedTuple):
    """Rows of one kind of one custodian about one person, or the refusal of them."""

    kind: str
    custodian_id: str | None
    person_id: str | None
    classes: int
    rows: int = 1
    denied: bool = False
    # the version of the rules that decided, where some did
    rules: str = ""


class Owner(NamedTuple):
    """Whose row an id names, and about whom."""

    kind: str
    custodian_id: str
    person_id: str | None


OwnerOf = Callable[[AsyncSession, str], Awaitable[Owner | None]]


@dataclass
class _Notes:
    """The notes of one request; `reader` is who asks, once that is known."""

    reader: str | None = None
    counts: dict[Disclosed, int] = field(default_factory=dict)
    rules: Callable[[], str] = str


_current: ContextVar[_Notes | None] = ContextVar("disclosure", default=None)


def bind(organisation_id: str) -> None:
    """Tell who reads: its own rows are nothing disclosed."""
    if notes := _current.get():
        notes.reader = organisation_id


def note(*, kind: str, custodian_id: str | None, person_id: str | None, classes: int) -> None:
    """Note that the answer shows these classes of one more row; no custodian: of all of them."""
    notes = _current.get()
    if notes and custodian_id != notes.reader:
        key = Disclosed(kind, custodian_id, person_id, classes)
        notes.counts[key] = notes.counts.get(key, 0) + 1


def header_of_notes() -> dict[str, str]:
    """Return the header of the notes so far, for an answer that is stored to be repeated."""
    notes = _current.get()
    lines = encode(_counted(notes), notes.rules()) if notes else []
    return {HEADER.decode(): lines[0].decode()} if lines else {}


def taken() -> list[bytes]:
    """Return the lines of the notes so far and forget them: of one part of an answer without end."""
    notes = _current.get()
    if notes is None:
        return []
    lines = encode(_counted(notes), notes.rules())
    notes.counts.clear()
    return lines


def _counted(notes: _Notes) -> list[Disclosed]:
    return [key if count == 1 else key._replace(rows=count) for key, count in notes.counts.items()]


def encode(found: Iterable[Disclosed], rules: str = "") -> list[bytes]:
    """Return the header's lines. Raises Invalid when the answer is about too many persons."""
    groups: dict[str, list[str]] = {}
    for each in found:
        flag = "!" if each.denied else ""
        head = f"{flag}{each.kind}|{each.custodian_id or ''}|{each.classes:x}"
        person = (each.person_id or "").removeprefix("per_")
        groups.setdefault(head, []).append(person if each.rows == 1 else f"{person}*{each.rows}")
    first = f"@{rules}".encode("ascii") if rules else b""
    lines = [first]
    for head, persons in groups.items():
        for start in range(0, len(persons), _PERSONS_A_GROUP):
            some = ",".join(persons[start : start + _PERSONS_A_GROUP])
            text = f"{head}|{some}".encode("ascii")
            if lines[-1] and len(lines[-1]) + len(text) >= _LINE:
                lines.append(first)
            lines[-1] += b";" + text if lines[-1] else text
    if len(lines) > _LINES:
        raise Invalid("The answer is about too many persons; ask for less.", code="page-too-wide")
    return lines if groups else []


def decode(lines: Iterable[bytes]) -> Iterator[Disclosed]:
    """Yield what the lines say. Raises ValueError when they are not as `encode` writes them."""
    rules = ""
    for line in lines:
        # lines that a proxy joined are parted by ", " (RFC 9110 s5.3), persons by "," alone
        for group in line.decode("ascii").replace(", ", ";").split(";"):
            if group.startswith("@"):
                rules = group[1:]
                continue
            flagged, custodian, mask, persons = group.split("|")
            kind, denied = flagged.removeprefix("!"), flagged.startswith("!")
            classes = int(mask, 16)
            for person in persons.split(","):
                found, _, count = person.partition("*")
                whom = f"per_{found}" if found else None
                rows = int(count) if count else 1
                yield Disclosed(kind, custodian or None, whom, classes, rows, denied, rules)


class Disclosing:
    """Collects the notes of each request and sends them along with the answer's head."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        owner_of: OwnerOf | None,
        db: Any,
        rules: Callable[[], str] = str,
    ) -> None:
        """`rules` returns the version of the rules that this task decided by."""
        self._app = app
        self._owner_of = owner_of
        self._db = db
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        notes, refused = _Notes(rules=self._rules), False

        async def tell(message: Message) -> None:
            nonlocal refused
            if message["type"] != "http.response.start":
                if not refused:
                    await send(message)
                return
            found = _counted(notes)
            if message["status"] in _REFUSED and notes.reader:
                found = await self._denied(scope, notes.reader)
            try:
                told = [(HEADER, line) for line in encode(found, self._rules())]
            except Invalid as error:
                refused = True
                await render(error)(scope, receive, send)
                return
            await send({**message, "headers": [*message.get("headers", ()), *told]})

        token = _current.set(notes)
        try:
            await self._app(scope, receive, tell)
        finally:
            _current.reset(token)

    async def _denied(self, scope: Scope, reader: str) -> list[Disclosed]:
        """Return the refusal of what the path names; nothing for the reader's own rows."""
        ids = [part for part in scope["path"].split("/") if _ID.match(part)]
        if not ids:
            return [Disclosed("-", None, None, 0, denied=True)]
        # all of them, found or not: a refusal takes the same time whether or not there is a row
        owners = [await self._owner(each) for each in dict.fromkeys((ids[-1], ids[0]))]
        owner = next((each for each in owners if each), None)
        if owner is None:
            return [Disclosed(ids[-1][:3], None, None, 0, denied=True)]
        if owner.custodian_id == reader:
            return []
        return [Disclosed(owner.kind, owner.custodian_id, owner.person_id, 0, denied=True)]

    async def _owner(self, row_id: str) -> Owner | None:
        if self._owner_of is None:
            return None
        try:
            async with self._db.read() as session:
                return await self._owner_of(session, row_id)
        except AWAY as error:
            _log.warning("an owner cannot be looked up", error=type(error).__name__)
            return None
