"""The event log as services see it: ordered records per key, kept, read from any offset.

Two logs stand behind this port and pass one conformance suite: `postgres` (embedded default) and
`kafka`. Where a consumer stands is kept in its own database, never in the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

# Fixed for the life of a topic: another count would move keys and break their order.
PARTITIONS = 8


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer sends; records of one key keep their order."""

    topic: str
    key: str
    headers: Mapping[str, str]
    value: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as read: raw, because what another program wrote may be unreadable."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Mapping[str, bytes]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a reader meets behind the records of a partition: all that came before `at` is above.

    `next_offset` is where the partition goes on, `partitions` how many the topic has.
    """

    topic: str
    partition: int
    next_offset: int
    at: datetime
    partitions: int


class LogError(Exception):
    """The log refused or could not be reached; nothing is known to be stored."""


class OffsetLost(LogError):
    """The offset asked for is no longer (or not yet) in the log."""


class Producer(Protocol):
    """Sends in order. After any error the object is spent: close it and take a fresh one."""

    async def send(self, records: Sequence[Record]) -> list[bool]:
        """Return for each record whether the log acknowledged it."""
        ...

    async def mark(self, topic: str, at: datetime) -> None:
        """Put a mark behind the last record of every partition. Raises LogError."""
        ...

    async def close(self) -> None: ...


Batches = Mapping[TopicPartition, Sequence[Stored]]


class Consumer(Protocol):
    """One member of a group. A partition gives records only after `place` said where to begin."""

    def unplaced(self) -> set[TopicPartition]:
        """Return partitions of this member that wait for `place`."""
        ...

    async def place(self, partition: TopicPartition, offset: int) -> None:
        """Read from this offset on; 0 means the oldest record kept. Raises OffsetLost."""
        ...

    def unplace(self, partition: TopicPartition) -> None:
        """Give no more records of the partition until it is placed again."""
        ...

    def batches(self, *, limit: int, wait_s: float) -> AbstractAsyncContextManager[Batches]:
        """Yield records, waiting for the first up to `wait_s`.

        The partitions stay this member's until the block ends, or until the lease runs out.
        """
        ...

    async def marks(self) -> list[Mark]:
        """Return marks whose partition has given every record before them, each once.

        Of several in a row the log may keep the newest only.
        """
        ...

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition held: one above its last record."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the log where the group stands, for lag tools only."""
        ...

    async def close(self) -> None: ...


class EventLog(Protocol):
    async def ensure(self, topics: Iterable[str]) -> None:
        """Create the topics that do not exist."""
        ...

    async def identity(self, topic: str) -> str:
        """Return what changes when the topic is lost and made anew."""
        ...

    async def ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return the end offset of every partition, for lag tools; unknown topics are left out."""
        ...

    async def producer(self) -> Producer: ...

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join the group; all its members read the same topics."""
        ...

    async def trim(self, topic: str, keep: timedelta) -> int:
        """Forget older records and return how many, where the log does not do so by itself."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class LogUrl:
    """`postgresql://…` or `kafka://host:port,host:port?partitions=8&replicas=1&instance=0`."""

    scheme: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> "LogUrl":
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return cls(parts.scheme, parts.netloc, options)


async def connect(url: str) -> EventLog:
    """Return the log of that URL. It need not be reachable yet."""
    target = LogUrl.parse(url)
    if target.scheme == "kafka":
        from svckit.eventlog.kafka import KafkaLog  # noqa: PLC0415  # aiokafka is slow to import

        return KafkaLog(target)
    if target.scheme in {"postgresql", "postgres"}:
        from svckit.eventlog.postgres import PostgresLog  # noqa: PLC0415  # only what is used

        return PostgresLog(url)
    raise ValueError(f"no event log speaks {target.scheme!r}")
