"""The feed as server-sent events (WHATWG HTML s9.2): one connection, the feed's numbers as ids.

Every batch is read, and so decided, when it is about to be sent, and at least at every heartbeat it
is looked whether rights are fresh. What a batch tells of whom goes ahead of it as a comment, which
the gateway enters into the ledger and takes away. Nothing is read ahead of a reader that is slow.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Any

import orjson
from prometheus_client import Gauge
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from svckit import disclosure
from svckit.errors import CareloopError, TooManyRequests
from svckit.faults import AWAY
from svckit.identity import Caller
from svckit.problems import of_database
from svckit.rights import Rights, RightsStale

from notify_svc.domain.filters import Wanted
from notify_svc.feed import Feed
from notify_svc.queries.feed import FeedRow
from notify_svc.settings import Settings

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1_000
_A_BATCH = 50
_open = Gauge("careloop_feed_streams", "Streams of the feed that are open")
Present = Callable[[FeedRow], dict[str, Any]]


class Streams:
    """The open streams of one process; none is opened beyond its numbers."""

    def __init__(self, feed: Feed, rights: Rights, settings: Settings, stop: asyncio.Event) -> None:
        self._feed, self._rights, self._settings, self._stop = feed, rights, settings, stop
        self._now: Counter[str] = Counter()

    async def open(
        self, caller: Caller, *, after: int, wanted: Wanted, present: Present
    ) -> StreamingResponse:
        """Return the answer that goes on with what comes after a number.

        Raises TooManyRequests, RightsStale, FeedPositionExpired.
        """
        if not await self._rights.look():
            raise RightsStale
        organisation_id = caller.organisation_id
        settings = self._settings
        if (
            self._now[organisation_id] >= settings.feed_streams_per_organisation
            or self._now.total() >= settings.feed_streams
        ):
            raise TooManyRequests(
                "As many streams are open as may be; read page by page, or come back later.",
                code="too-many-streams",
                headers={"Retry-After": "5"},
            )
        # a position that is gone is refused as it is for a page, not after the head
        await self._feed.look(caller, after, 1, wanted)
        self._now[organisation_id] += 1
        _open.inc()
        return _Stream(self._parts(caller, after, wanted, present), lambda: self._left(caller))

    def _left(self, caller: Caller) -> None:
        self._now -= Counter([caller.organisation_id])
        _open.dec()

    async def _parts(
        self, caller: Caller, after: int, wanted: Wanted, present: Present
    ) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        try:
            async for part in self._batches(caller, after, wanted, present):
                yield part
        except CareloopError as error:
            yield farewell(error.code)
        except AWAY as error:
            yield farewell(of_database(error).code)

    async def _batches(
        self, caller: Caller, after: int, wanted: Wanted, present: Present
    ) -> AsyncIterator[bytes]:
        until = monotonic() + self._settings.feed_stream_s
        while not self._stop.is_set():
            if not await self._rights.look():
                raise RightsStale
            page = await self._feed.look(caller, after, _A_BATCH, wanted)
            if page.rows:
                yield batch([present(row) for row in page.rows])
                after = page.rows[-1].seq
            # what was passed over need not be passed over again
            moved = page.next_after > after
            yield b"id: %d\n\n" % page.next_after if moved else b":\n\n"
            after = page.next_after
            if monotonic() >= until:
                yield farewell("time-over")
                return
            if not page.more:
                await self._wait(caller, after, until)
        yield farewell("restarting")

    async def _wait(self, caller: Caller, after: int, until: float) -> None:
        """Wait for news, but no longer than until it is time to say that we are there."""
        beat = min(monotonic() + self._settings.feed_heartbeat_s, until)
        waiting = {
            asyncio.create_task(self._feed.news(caller.organisation_id, after, beat)),
            asyncio.create_task(self._stop.wait()),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


class _Stream(StreamingResponse):
    """Says once when it is over, however it ends."""

    def __init__(self, parts: AsyncIterator[bytes], left: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(parts, headers=headers, media_type=MEDIA_TYPE)
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


def batch(items: Sequence[dict[str, Any]]) -> bytes:
    """Return events as they go out, behind the note of what they tell of whom."""
    notes = [b":%b %b\n" % (disclosure.HEADER, line) for line in disclosure.taken()]
    told = [b"id: %d\ndata: %b\n\n" % (item["seq"], orjson.dumps(item)) for item in items]
    return b"".join(notes + told)


def farewell(code: str) -> bytes:
    """Return the last words of a stream; its reader comes back after `retry`."""
    return f": {code}\nretry: {RETRY_MS}\n\n".encode()
