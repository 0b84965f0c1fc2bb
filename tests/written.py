"""Where a run writes things down beside its databases: logs, traces, metrics and the event log.

`Heard` notes what partners say of persons, so that any run can look for it there afterwards.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from careloop import postgres as embedded
from careloop.partner import Partner
from careloop.services import EVENTS
from tests.world import Platform

ABOUT_PERSONS = (
    *("/v1/persons", "/v1/cases", "/v1/tasks", "/v1/referrals", "/v1/documents", "/v1/consents"),
    *("/v1/emergency-accesses", "/v1/grants"),
)
# values of one word that are no codes
NAMES = {"family_name", "given_name", "phone", "email", "number", "member_number", "line", "worker"}
_READ_WITHIN_S = 60


class Record(NamedTuple):
    """One event as the log holds it: `head` is its key and headers."""

    topic: str
    head: bytes
    value: bytes


def files(platform: Platform) -> Iterator[tuple[str, str]]:
    """Every log and every trace of every process, by name."""
    paths = [path for path in (platform.data_dir / "logs").iterdir() if path.is_file()]
    for path in (*paths, platform.data_dir / "up.log"):
        yield path.name, path.read_text(errors="replace")


def metrics(platform: Platform) -> Iterator[tuple[str, str]]:
    """What every service counts, by service."""
    for name, entry in platform.run_file()["processes"].items():
        yield name, platform.http.get(f"http://127.0.0.1:{entry['port']}/metrics").text


def records(platform: Platform) -> list[Record]:
    """Every record of every topic from the beginning, on whichever event log the platform runs."""
    url = platform.event_log or ""
    if url.startswith("kafka://"):
        return asyncio.run(_some_on_kafka(url.removeprefix("kafka://").partition("?")[0]))
    return asyncio.run(_on_postgres(platform))


async def _on_postgres(platform: Platform) -> list[Record]:
    server = embedded.attach(platform.data_dir, platform.run_file()["postgres"]["port"])
    connection = await asyncpg.connect(server.database_url(EVENTS))
    try:
        rows = await connection.fetch(
            "SELECT name, key, headers::text AS headers, value"
            " FROM log_record JOIN log_topic ON log_topic.id = topic_id"
        )
    finally:
        await connection.close()
    return [
        Record(row["name"], (row["key"] or b"") + row["headers"].encode(), row["value"] or b"")
        for row in rows
    ]


async def _some_on_kafka(servers: str) -> list[Record]:
    """A client that has just met its broker may be told of nothing; a platform has always written."""
    async with asyncio.timeout(_READ_WITHIN_S):
        while not (found := await _on_kafka(servers)):
            await asyncio.sleep(0.2)
        return found


async def _on_kafka(servers: str) -> list[Record]:
    """Every partition of every topic there is, the broker's own included, to its present end."""
    client = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await client.start()
    try:
        cluster = await client._client.fetch_all_metadata()
        partitions = [
            TopicPartition(topic, number)
            for topic in cluster.topics(exclude_internal_topics=False)
            for number in cluster.partitions_for_topic(topic)
        ]
        client.assign(partitions)
        ends = await client.end_offsets(partitions)
        await client.seek_to_beginning(*partitions)
        return await asyncio.wait_for(_read(client, ends), _READ_WITHIN_S)
    finally:
        await client.stop()


async def _read(client: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> list[Record]:
    found = []
    while [at for at, end in ends.items() if await client.position(at) < end]:
        for batch in (await client.getmany(timeout_ms=200)).values():
            for one in batch:
                headers = b"".join(name.encode() + value for name, value in one.headers)
                found.append(Record(one.topic, (one.key or b"") + headers, one.value or b""))
    return found


@dataclass
class Heard:
    """What partners of this process said of persons in words of their own: text, never codes."""

    texts: set[str] = field(default_factory=set)

    def listen(self, patch: Any) -> None:
        """Hear every request that any partner sends from here on; `patch` undoes it."""
        send = Partner._send

        def heard(partner: Partner, method: str, path: str, **request: Any) -> Any:
            if path.startswith(ABOUT_PERSONS):
                self._note(request.get("json"))
            return send(partner, method, path, **request)

        patch.setattr(Partner, "_send", heard)

    def _note(self, value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self._note(inner, key)
        elif isinstance(value, list):
            for inner in value:
                self._note(inner, name)
        elif isinstance(value, str) and len(value) > 4 and (" " in value or name in NAMES):
            self.texts.add(value)

    def found(self, platform: Platform) -> list[str]:
        """The places where any of it is written down."""
        places = [*files(platform)]
        # running is enough: one that is not ready for a moment has written no less
        if platform.supervisor and platform.supervisor.poll() is None:
            places += metrics(platform)
            places += (
                (one.topic, (one.head + one.value).decode(errors="replace"))
                for one in records(platform)
            )
        written = [(text, json.dumps(text)[1:-1]) for text in self.texts]
        return [
            place
            for place, text in places
            if any(plain in text or quoted in text for plain, quoted in written)
        ]
