"""Write routes: one transaction around idempotency record, state, event, audit row and answer.

draft-ietf-httpapi-idempotency-key-header: the key is scoped by client, method and path; the body
is fingerprinted. RFC 9110 s13.1.1 If-Match with strong ETags; RFC 6585 s3 for 428.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import orjson
from fastapi import Depends, Header, Request, Response
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from svckit import disclosure
from svckit.clock import now
from svckit.db import Database
from svckit.errors import BadRequest, Conflict, Invalid, PreconditionFailed, PreconditionRequired
from svckit.identity import Caller
from svckit.tables import idempotency

T = TypeVar("T")
# a resource's version, or to who sees a part of it a digest of that part
Tag = int | str


class Keeper(Protocol):
    """Keeps answers that hold secrets so that the database does not: `app.state.keeper`."""

    def seal(self, secret: str, row: str) -> str: ...
    def open(self, sealed: str, row: str) -> str: ...


_KEY_LIMIT = 255
# digits that fit the column, or 15 bytes of a digest
_TAG = re.compile(r'"(?:(\d{1,9})|([\w-]{20}))"', re.ASCII)


@dataclass(frozen=True)
class Reply:
    """What a command answers; `version` becomes the ETag, `location` the Location header."""

    body: dict[str, Any] | None
    status: int = 200
    version: Tag | None = None
    location: str | None = None
    media_type: str = "application/json"

    def response(self) -> Response:
        return _response(self.status, self.headers(), self.encoded())

    def headers(self) -> dict[str, str]:
        found = {} if self.body is None else {"Content-Type": self.media_type}
        if self.version is not None:
            found["ETag"] = f'"{self.version}"'
        if self.location:
            found["Location"] = self.location
        return found

    def encoded(self) -> bytes:
        return b"" if self.body is None else orjson.dumps(self.body)


def _response(status: int, headers: dict[str, str], body: bytes) -> Response:
    return Response(body, status, {**headers, "Cache-Control": "no-store"})


def check_version(actual: Tag, expected: Tag) -> None:
    """Raise PreconditionFailed unless the caller's version is the current one.

    To who sees a part of the resource, `actual` is its digest: the refusal tells no number.
    """
    if actual != expected:
        told = {"current_version": actual} if isinstance(actual, int) else {}
        raise PreconditionFailed("The resource has changed since it was read.", extra=told)


class Command:
    """One write request. `expected` is the version of If-Match, where the route demands it.

    `tag` is the same where who sees a part of the resource may write to it.
    """

    def __init__(self, request: Request, key: str | None, expected: Tag | None) -> None:
        self._request = request
        self._key = key
        self._expected = expected

    @property
    def expected(self) -> int:
        if isinstance(self.tag, str):
            raise _unknown_tag()
        return self.tag

    @property
    def tag(self) -> Tag:
        if self._expected is None:
            raise PreconditionRequired("Send If-Match with the ETag of what you read.")
        return self._expected

    async def run(
        self,
        caller: Caller,
        action: Callable[[AsyncSession], Awaitable[T]],
        reply: Callable[[AsyncSession, Caller, T], Awaitable[Reply]],
    ) -> Response:
        """Act once, answer, commit, and only then respond; a repeat gets the stored answer.

        Raises Invalid (key used for another body), Conflict (the first is still running) and
        whatever the action raises; then nothing is stored and the key stays free.
        """
        db: Database = self._request.app.state.db
        async with db.begin() as tx:
            if self._key is None:
                return (await reply(tx, caller, await action(tx))).response()
            stored = await self._claim(tx, caller, self._key)
            if stored:
                return stored
            answer = await reply(tx, caller, await action(tx))
            # a repeat discloses the same again
            headers = answer.headers() | disclosure.header_of_notes()
            await tx.execute(
                update(idempotency)
                .where(*self._where(caller, self._key))
                .values(
                    status=answer.status, headers=headers, body=self._kept(caller, answer.encoded())
                )
            )
        return answer.response()

    def _keeper(self) -> Keeper | None:
        keeper: Keeper | None = getattr(self._request.app.state, "keeper", None)
        return keeper

    def _kept(self, caller: Caller, body: bytes) -> bytes:
        keeper = self._keeper()
        return keeper.seal(body.decode(), self._row(caller)).encode() if keeper else body

    def _shown(self, caller: Caller, kept: bytes) -> bytes:
        keeper = self._keeper()
        return keeper.open(kept.decode(), self._row(caller)).encode() if keeper else kept

    def _row(self, caller: Caller) -> str:
        return f"answer {caller.client_id} {self._key}"

    def _where(self, caller: Caller, key: str) -> tuple[Any, ...]:
        return (
            idempotency.c.client_id == caller.client_id,
            idempotency.c.key == key,
            idempotency.c.method == self._request.method,
            idempotency.c.path == self._request.url.path,
        )

    async def _claim(self, tx: AsyncSession, caller: Caller, key: str) -> Response | None:
        method, path = self._request.method, self._request.url.path
        lock = f"{caller.client_id}\n{key}\n{method}\n{path}"
        if not await tx.scalar(
            select(func.pg_try_advisory_xact_lock(func.hashtextextended(lock, 0)))
        ):
            raise Conflict("The first request is still running.", code="idempotency-in-progress")
        fingerprint = hashlib.sha256(await self._request.body()).hexdigest()
        claimed = await tx.execute(
            insert(idempotency)
            .values(
                client_id=caller.client_id,
                key=key,
                method=method,
                path=path,
                fingerprint=fingerprint,
                created_at=now(),
            )
            .on_conflict_do_nothing()
            .returning(idempotency.c.key)
        )
        if claimed.first():
            return None
        row = (await tx.execute(select(idempotency).where(*self._where(caller, key)))).one()
        if row.fingerprint != fingerprint:
            raise Invalid(
                "This Idempotency-Key was used for another body.", code="idempotency-key-reused"
            )
        headers = {**row.headers, "Idempotency-Replayed": "true"}
        return _response(row.status, headers, self._shown(caller, row.body))


def _key(raw: str | None) -> str:
    key = (raw or "").strip().strip('"')
    if not key:
        raise BadRequest("Send an Idempotency-Key.", code="idempotency-key-missing")
    if len(key) > _KEY_LIMIT or not key.isprintable():
        raise BadRequest("The Idempotency-Key is not acceptable.", code="idempotency-key-invalid")
    return key


def _version(raw: str | None) -> Tag:
    if not raw:
        raise PreconditionRequired("Send If-Match with the ETag of what you read.")
    found = _TAG.fullmatch(raw.strip())
    if found is None:
        raise _unknown_tag()
    number, digest = found.groups()
    return int(number) if number else str(digest)


def _unknown_tag() -> PreconditionFailed:
    return PreconditionFailed("If-Match holds no strong ETag of this resource.")


_Key = Annotated[str | None, Header(alias="Idempotency-Key", description="Unique per command")]
_Match = Annotated[str | None, Header(alias="If-Match", description='ETag as read, such as "3"')]


async def _create(request: Request, idempotency_key: _Key = None) -> Command:
    return Command(request, _key(idempotency_key), None)


async def _act(request: Request, idempotency_key: _Key = None, if_match: _Match = None) -> Command:
    return Command(request, _key(idempotency_key), _version(if_match))


async def _change(request: Request, if_match: _Match = None) -> Command:
    return Command(request, None, _version(if_match))


Create = Annotated[Command, Depends(_create)]
Act = Annotated[Command, Depends(_act)]
Change = Annotated[Command, Depends(_change)]
