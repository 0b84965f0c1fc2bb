"""The event path as its operator sees it: how far each reader is, what waits, what is parked."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any

from pydantic_settings import BaseSettings
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from svckit import repair
from svckit.db import Database
from svckit.eventlog import LogError, TopicPartition, connect
from svckit.parked_cli import replayed, skipped, skipped_key
from svckit.service import Service

from careloop.errors import NotRunning, Refused
from careloop.layout import Layout
from careloop.services import PARTS, Machine, Part
from careloop.settings import OperatorSettings

_OFFSETS = text(
    "SELECT topic, partition, next_offset, log_id, updated_at FROM consumer_offset"
    " WHERE consumer = :consumer"
)
_OUTBOX = text(
    "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)"
    " FROM outbox"
)


class _Addresses(BaseSettings):
    database_url: str
    event_log_url: str


@dataclass(frozen=True)
class Places:
    """Where the services' databases and the event log are."""

    databases: Mapping[str, str]
    event_log: str

    @classmethod
    def of(cls, layout: Layout) -> "Places":
        """Return those of the Careloop that runs on the data directory. Raises NotRunning."""
        run = layout.held()
        machine = Machine.running(layout, run, OperatorSettings().database_url)
        urls = {part.name: machine.database_url(part.database) for part in PARTS}
        return cls(urls, machine.event_log())

    @classmethod
    def of_environment(cls) -> "Places":
        """Return what the services themselves are given: `CASE_DATABASE_URL` … Raises NotRunning."""
        try:
            found = {part.name: _Addresses(_env_prefix=f"{part.prefix}_") for part in PARTS}
        except ValueError as error:
            raise NotRunning("the environment lacks a service's addresses") from error
        urls = {name: each.database_url for name, each in found.items()}
        return cls(urls, next(iter(found.values())).event_log_url)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[Database]:
        """Yield the service's database. Raises Refused: no such service, or it cannot be asked."""
        if service not in self.databases:
            raise Refused(f"no service is called {service!r}: {', '.join(self.databases)}")
        db = Database(self.databases[service], 2)
        try:
            yield db
        except (SQLAlchemyError, OSError) as error:
            raise Refused(f"{service}: its database cannot be asked") from error
        finally:
            await db.dispose()


def service_of(part: Part) -> Service:
    """Return what the service declares, its handlers and topics among it."""
    found: Service = import_module(f"{part.package}.app").SERVICE
    return found


def named(name: str) -> Service:
    """Return the service of that name. Raises Refused."""
    for part in PARTS:
        if part.name == name:
            return service_of(part)
    raise Refused(f"no service is called {name!r}: {', '.join(part.name for part in PARTS)}")


@dataclass(frozen=True)
class Lag:
    """How far one reader is behind in one partition; `note` says when its place means nothing."""

    consumer: str
    topic: str
    partition: int
    behind: int
    moved_at: datetime | None
    note: str = ""


@dataclass(frozen=True)
class Backlog:
    """What a service has committed and not yet sent, and how long the oldest waits."""

    service: str
    topic: str
    waiting: int
    oldest_s: float


@dataclass(frozen=True)
class Parked:
    service: str
    key: repair.BlockedKey


@dataclass(frozen=True)
class Picture:
    lags: Sequence[Lag]
    backlogs: Sequence[Backlog]
    parked: Sequence[Parked]


async def look(places: Places) -> Picture:
    """Return how the whole event path stands. Raises Refused."""
    services = [service_of(part) for part in PARTS]
    topics = sorted({topic for service in services for topic in service.topics})
    log = await connect(places.event_log)
    try:
        ends = await log.ends(topics)
        ids = {topic: await log.identity(topic) for topic in {at.topic for at in ends}}
    except LogError as error:
        raise Refused(f"the event log cannot be asked: {error}") from error
    finally:
        await log.close()
    lags: list[Lag] = []
    backlogs: list[Backlog] = []
    for service in services:
        async with places.database(service.name) as db, db.begin() as tx:
            rows = (await tx.execute(_OFFSETS, {"consumer": service.name})).all()
            lags += _lags(service, rows, ends, ids)
            if service.publishes:
                waiting, oldest_s = (await tx.execute(_OUTBOX)).one()
                backlogs.append(Backlog(service.name, service.publishes, waiting, float(oldest_s)))
    return Picture(lags, backlogs, await parked(places))


def _lags(
    service: Service,
    rows: Sequence[Any],
    ends: Mapping[TopicPartition, int],
    ids: Mapping[str, str],
) -> list[Lag]:
    """Return one entry per partition of the topics that the service reads."""
    known = {TopicPartition(row.topic, row.partition): row for row in rows}
    found = []
    for at in sorted(ends):
        if at.topic not in service.topics:
            continue
        end, row = ends[at], known.get(at)
        if row is None:
            found.append(Lag(service.name, *at, end, None, "never read"))
        elif row.log_id != ids[at.topic]:
            found.append(Lag(service.name, *at, end, row.updated_at, "another log"))
        else:
            found.append(Lag(service.name, *at, max(0, end - row.next_offset), row.updated_at))
    return found


async def parked(places: Places, only: str | None = None) -> list[Parked]:
    """Return the keys that wait for an operator, by service. Raises Refused."""
    found: list[Parked] = []
    for name in [only] if only else list(places.databases):
        async with places.database(name) as db, db.begin() as tx:
            found += [Parked(name, key) for key in await repair.blocked_keys(tx, name)]
    return found


async def replay(
    places: Places, name: str, which: tuple[str, str] | None, *, accept_gaps: bool, actor: str
) -> dict[tuple[str, str], repair.Replayed]:
    """Apply one key's parked events in order, or every key's, the longest waiting first.

    Raises Refused.
    """
    service = named(name)
    keys = (
        [which] if which else [(one.key.topic, one.key.key) for one in await parked(places, name)]
    )
    async with places.database(name) as db:
        done = await replayed(service, db, keys, accept_gaps=accept_gaps, actor=actor)
    return dict(zip(keys, done, strict=True))


async def skip(places: Places, name: str, message_id: int, *, actor: str) -> None:
    """Give up one parked event, so that those behind it can be replayed. Raises Refused."""
    async with places.database(name) as db:
        if not await skipped(named(name), db, message_id, actor=actor):
            raise Refused(f"{name} has no parked message {message_id}")


async def skip_key(places: Places, name: str, topic: str, key: str, *, actor: str) -> str:
    """Give up all parked events of a key, free it, and return how many they were, in words."""
    async with places.database(name) as db:
        return await skipped_key(named(name), db, topic, key, actor=actor)
