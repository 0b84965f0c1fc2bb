"""Sends a service's outbox to the event log: every row at least once, each key in order.

A relay scans the unsent rows of the slots it holds, sends them in order and deletes what the log
acknowledged. There is no cursor: a cursor loses rows that commit late. Several relays share the
slots; one that was thought dead can only repeat what its successor sends too, in the same order.

Where readers must know how old what they know is, the relay marks its topic every second with the
instant before which nothing is left unsent, by any relay.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from svckit import outbox, telemetry, turns
from svckit.eventlog import EventLog, LogError, Producer, Record
from svckit.failpoints import failpoint
from svckit.leases import Leases

_log = structlog.get_logger("relay")
_SENT = Counter("careloop_outbox_sent_total", "Events the log acknowledged", ["topic"])
_FAILED = Counter("careloop_outbox_failed_total", "Sends given up and repeated", ["topic"])
_WAITING = Gauge("careloop_outbox_waiting", "Events not yet sent", ["topic"])
_AGE = Gauge("careloop_outbox_age_seconds", "Age of the oldest event not yet sent", ["topic"])

_BATCH = 500
_BUSY_S, _IDLE_S = 0.005, 0.25
_BACKOFF_MAX_S = 6.4
_REFRESH_S = 1.0
_OBSERVE_S = 5.0
_TRIM_S = 3600.0
# Less than the 10 s a process has to end.
_LAST_SEND_S = 5.0

_SCAN = """
SELECT seq, key, type, headers, value FROM outbox
WHERE slot = ANY($1::smallint[]) ORDER BY seq LIMIT $2
"""
_DELETE = "DELETE FROM outbox WHERE seq = ANY($1::bigint[])"
# now() is taken before the snapshot: what commits later is later, what is left began to wait later.
_MARK = "SELECT coalesce(min(created_at), now()) FROM outbox"
_STATE = "SELECT count(*) AS n, extract(epoch FROM clock_timestamp() - min(created_at)) FROM outbox"


class Relay:
    """`source` is the CloudEvents source of all events of this outbox."""

    def __init__(
        self,
        database_url: str,
        log: EventLog,
        source_topic: str,
        *,
        source: str | None = None,
        deadline_s: float = 15.0,
        marks: bool = False,
        keep: timedelta | None = None,
    ) -> None:
        """`marks` lets readers learn how old what they know is; `keep` trims the topic."""
        self._url = database_url
        self._log = log
        self._topic = source_topic
        self._source = source or f"careloop/{source_topic.partition('.')[0]}-svc"
        self._deadline_s = deadline_s
        self._marks, self._keep = marks, keep
        self._refreshed_at = self._observed_at = 0.0
        self._trimmed_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`; survive every outage of database and log."""
        hint = outbox.woken()
        failures = 0
        while not stop.is_set():
            started = time.monotonic()
            try:
                await self._session(stop, hint)
            except Exception as error:  # noqa: BLE001  # the relay outlives whatever happens to it
                failures = 1 if time.monotonic() - started > self._deadline_s else failures + 1
                _FAILED.labels(self._topic).inc()
                _log.warning("relay starts anew", topic=self._topic, reason=_name(error))
                await turns.pause(stop, turns.backoff(failures, _BACKOFF_MAX_S))

    async def _session(self, stop: asyncio.Event, hint: asyncio.Event) -> None:
        """Hold leases and one producer until something fails."""
        await self._log.ensure([self._topic])
        leases = await Leases.join(self._url, f"outbox {self._topic}", range(outbox.SLOTS))
        try:
            producer = await self._log.producer()
            try:
                await self._pump(leases, producer, stop, hint)
            finally:
                await producer.close()
        finally:
            await leases.close()

    async def _pump(
        self, leases: Leases, producer: Producer, stop: asyncio.Event, hint: asyncio.Event
    ) -> None:
        wait_s = _BUSY_S
        self._refreshed_at = 0.0
        while not stop.is_set():
            hint.clear()
            await self._refresh(leases, producer)
            rows = await self._scan(leases)
            if rows:
                failpoint("relay.scanned")
                await self._send(leases, producer, rows, stop)
                wait_s = _BUSY_S
            else:
                await turns.pause(stop, wait_s, hint)
                wait_s = min(wait_s * 2, _IDLE_S)

    async def _refresh(self, leases: Leases, producer: Producer) -> None:
        now = time.monotonic()
        if now - self._refreshed_at >= _REFRESH_S:
            await leases.refresh()
            self._refreshed_at = now
            if 0 in leases.held:  # one of all relays
                await self._tend(leases, producer, now)
        if now - self._observed_at >= _OBSERVE_S:
            await self._observe(leases)
            self._observed_at = now

    async def _tend(self, leases: Leases, producer: Producer, now: float) -> None:
        if self._marks:
            async with leases.connection() as connection:
                at = await connection.fetchval(_MARK)
            try:
                await asyncio.wait_for(producer.mark(self._topic, at), self._deadline_s)
            except TimeoutError:
                raise LogError("no acknowledgement within the deadline") from None
        if self._keep and now - self._trimmed_at >= _TRIM_S:
            self._trimmed_at = now
            await self._log.trim(self._topic, self._keep)

    async def _observe(self, leases: Leases) -> None:
        async with leases.connection() as connection:
            waiting, age = await connection.fetchrow(_STATE)
        _WAITING.labels(self._topic).set(waiting)
        _AGE.labels(self._topic).set(age or 0)

    async def _scan(self, leases: Leases) -> Sequence[Any]:
        async with leases.connection() as connection:
            rows: Sequence[Any] = await connection.fetch(_SCAN, list(leases.held), _BATCH)
        return rows

    async def _send(
        self, leases: Leases, producer: Producer, rows: Sequence[Any], stop: asyncio.Event
    ) -> None:
        """Send the rows and delete the acknowledged ones. Raises LogError if some were not."""
        acks = await self._within_deadline(producer, [self._record(row) for row in rows], stop)
        failpoint("relay.acked")
        done = in_order(rows, acks)
        await self._delete(leases, done)
        failpoint("relay.deleted")
        _SENT.labels(self._topic).inc(len(done))
        if len(done) < len(rows):
            raise LogError(f"{len(rows) - len(done)} events were not acknowledged")

    async def _within_deadline(
        self, producer: Producer, records: Sequence[Record], stop: asyncio.Event
    ) -> list[bool]:
        """Send; an idempotent Kafka producer by itself would wait for its broker without end."""
        sending = asyncio.create_task(producer.send(records))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                {sending, stopping},
                timeout=self._deadline_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not sending.done() and stop.is_set():
                await asyncio.wait({sending}, timeout=_LAST_SEND_S)
            if not sending.done():
                raise LogError("no acknowledgement within the deadline")
            return await sending
        finally:
            sending.cancel()
            stopping.cancel()
            await asyncio.gather(sending, stopping, return_exceptions=True)

    async def _delete(self, leases: Leases, done: Sequence[int]) -> None:
        async with leases.connection() as connection:
            await connection.execute(_DELETE, done)

    def _record(self, row: Any) -> Record:
        headers = orjson.loads(row["headers"]) | {"ce_source": self._source}
        sent = telemetry.outgoing(
            f"send {row['type']}",
            headers.get("ce_traceparent", ""),
            kind=SpanKind.PRODUCER,
            event_id=headers["ce_id"],
        )
        headers["ce_traceparent"] = telemetry.traceparent_of(sent)
        sent.end()
        return Record(self._topic, row["key"], headers, row["value"])


def in_order(rows: Sequence[Any], acks: Sequence[bool]) -> list[int]:
    """Return the numbers of the acknowledged rows that no failed row of their key precedes."""
    done: list[int] = []
    failed: set[str] = set()
    for row, acknowledged in zip(rows, acks, strict=True):
        if acknowledged and row["key"] not in failed:
            done.append(row["seq"])
        else:
            failed.add(row["key"])
    return done


def _name(error: BaseException) -> str:
    return (
        f"{type(error).__name__}: {error}" if isinstance(error, LogError) else type(error).__name__
    )
