"""Apache Kafka as the event log: topics, producer; the group member is in `kafka_consumer`."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as Partition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from svckit.clock import wire
from svckit.eventlog import PARTITIONS, LogError, LogUrl, Record, TopicPartition
from svckit.eventlog.kafka_consumer import MARK, KafkaConsumer, told
from svckit.eventlog.kafka_metadata import TopicIdentity, TopicIdRequest
from svckit.failpoints import failpoint

_log = structlog.get_logger("eventlog")
_REQUEST_MS = 10_000
_TOPIC_EXISTS = 36


class KafkaLog:
    """`kafka://host:port,…?partitions=8&replicas=3&instance=0`.

    `instance` names this process among its group (KIP-345), so that a restart takes its partitions
    back at once instead of after the session timeout.
    """

    def __init__(self, url: LogUrl) -> None:
        self._servers = url.address
        self._partitions = int(url.options.get("partitions", PARTITIONS))
        self._replicas = int(url.options.get("replicas", 1))
        self._instance = url.options.get("instance")

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=_REQUEST_MS)
        try:
            with told():
                await admin.start()
                yield admin
        finally:
            with told():
                await admin.close()

    async def ensure(self, topics: Iterable[str]) -> None:
        wanted = [NewTopic(name, self._partitions, self._replicas) for name in topics]
        async with self._admin() as admin:
            answer: Any = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            if code not in {0, _TOPIC_EXISTS}:
                raise LogError(f"topic {name} could not be created: error {code}")
            if code == 0:
                await self._await_topic(name)

    async def _await_topic(self, name: str) -> None:
        """Wait until brokers know the topic just created: they learn of it a moment later."""
        deadline = time.monotonic() + _REQUEST_MS / 1000
        while (await self._ask(name)).error_code:
            if time.monotonic() > deadline:
                raise LogError(f"topic {name} was created, but no broker knows it")
            await asyncio.sleep(0.05)

    async def identity(self, topic: str) -> str:
        found = await self._ask(topic)
        if found.error_code:
            raise LogError(f"no topic {topic}: error {found.error_code}")
        return found.identity

    async def _ask(self, topic: str) -> TopicIdentity:
        async with self._admin() as admin:
            # The client has no public way to send a request of ours.
            return TopicIdentity.of(await admin._send_request(TopicIdRequest(topic)))  # noqa: SLF001

    async def ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        async with self._admin() as admin:
            found: Any = await admin.describe_topics(list(topics))
        wanted = [
            Partition(topic["topic"], each["partition"])
            for topic in found
            for each in topic["partitions"]
        ]
        client = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            request_timeout_ms=_REQUEST_MS,
        )
        with told():
            try:
                await client.start()
                ends = await client.end_offsets(wanted) if wanted else {}
            finally:
                await client.stop()
        return {TopicPartition(*at): end for at, end in ends.items()}

    async def producer(self) -> "KafkaProducer":
        client = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=64 * 1024,
            compression_type="lz4",
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=250,
        )
        producer = KafkaProducer(client)
        try:
            with told():
                await client.start()
        except BaseException:
            await producer.close()
            raise
        return producer

    async def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        for topic in topics:
            await self.identity(topic)
        instance = f"{group}-{self._instance}" if self._instance else None
        return await KafkaConsumer.open(self._servers, group, topics, instance)

    async def trim(self, topic: str, keep: timedelta) -> int:
        """Do nothing: the broker keeps to the topic's own retention."""
        del topic, keep
        return 0

    async def close(self) -> None:
        """Nothing is shared: producers and consumers own their connections."""


class KafkaProducer:
    """Idempotent, so one producer keeps order through retries.

    It waits for a broker without end, so the caller brings the deadline.
    """

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client

    async def send(self, records: Sequence[Record]) -> list[bool]:
        acks: list[asyncio.Future[Any]] = []
        try:
            with told():
                for record in records:
                    ack = await self._client.send(**_fields(record))
                    acks.append(ack)
                    failpoint("log.sending")
        except LogError as error:
            _log.info("not all of a batch could be sent", reason=str(error))
        failpoint("log.sent")
        await _settled(acks)
        done = [not ack.cancelled() and ack.exception() is None for ack in acks]
        return done + [False] * (len(records) - len(done))

    async def mark(self, topic: str, at: datetime) -> None:
        """Send a record of one header to every partition."""
        acks = []
        with told():
            partitions = await self._client.partitions_for(topic)
            head = [(MARK, f"{wire(at)} {len(partitions)}".encode())]
            for partition in sorted(partitions):
                ack = await self._client.send(topic, value=b"", headers=head, partition=partition)
                acks.append(ack)
            await asyncio.gather(*acks)

    async def close(self) -> None:
        """End at once: what is not acknowledged is still in the outbox.

        `stop()` would first wait for the broker to take what is pending, also when it is down.
        """
        client = self._client
        client._closed = True  # noqa: SLF001  # stop() without its flush
        try:
            with told():
                if client._sender.sender_task is not None:  # noqa: SLF001
                    await client._sender.close()  # noqa: SLF001
                await client.client.close()
        except LogError as error:
            _log.info("the producer was closed without a word", reason=str(error))


def _fields(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "key": record.key.encode(),
        "value": record.value,
        "headers": [(name, value.encode()) for name, value in record.headers.items()],
    }


async def _settled(acks: Sequence["asyncio.Future[Any]"]) -> None:
    if acks:
        await asyncio.wait(acks)
