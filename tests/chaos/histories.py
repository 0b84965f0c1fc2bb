"""Writes what the databases and the log say after a run into the run's folder, for the checker."""

import asyncpg
import orjson
from svckit.eventlog import connect

from tests.chaos import plan

_SOURCE = {
    "journal": "SELECT subject, version, event_id, amount FROM journal ORDER BY subject, version",
}
_LEDGER = {
    "ledger": "SELECT subject, version, event_id, amount FROM ledger ORDER BY subject, n",
    "offsets-ledger": "SELECT topic, partition, old_log, old, new_log, new"
    " FROM offset_move ORDER BY n",
}
_NOTIFY = {
    "offsets-notify": _LEDGER["offsets-ledger"],
    "told": "SELECT id, subject, version FROM message WHERE kind LIKE 'case.%' ORDER BY id",
    "feed": "SELECT organisation_id, seq, message_id FROM feed_item ORDER BY 1, 2",
    "endpoints": "SELECT id, organisation_id, url, enabled::int AS enabled,"
    " (deleted_at IS NOT NULL)::int AS removed, ordering FROM webhook_endpoint",
    "secrets": "SELECT endpoint_id, value FROM webhook_secret",
    "deliveries": "SELECT id, organisation_id, endpoint_id, message_id, status, coalesce(reason, '')"
    " AS reason, extract(epoch FROM next_at - now()) AS due_in_s FROM delivery",
    "attempts": "SELECT a.id, delivery_id, endpoint_id, message_id, outcome,"
    " extract(epoch FROM started_at) AS started_at, coalesce(response_status, 0) AS response_status"
    " FROM delivery_attempt a JOIN delivery d ON d.id = a.delivery_id ORDER BY started_at",
    "moves": "SELECT delivery_id, endpoint_id, old, new, extract(epoch FROM at) AS at"
    " FROM delivery_move m JOIN delivery d ON d.id = m.delivery_id ORDER BY n",
}
_RECORDS = """
SELECT count(*) AS records, count(DISTINCT headers->>'ce_id') AS distinct FROM log_record r
JOIN log_topic t ON t.id = r.topic_id WHERE t.name = $1 AND headers ? 'ce_id'
"""


async def dump(world):
    for url, queries in (
        (world.source_url, _SOURCE),
        (world.ledger_url, _LEDGER),
        (world.notify_url, _NOTIFY if world.partners else {}),
    ):
        connection = await asyncpg.connect(url)
        try:
            for name, query in queries.items():
                target = str(world.path / f"{name}.csv")
                await connection.copy_from_query(query, output=target, format="csv", header=True)
        finally:
            await connection.close()
    records, distinct = await in_the_log(world)
    found = {"records": records, "distinct": distinct}
    (world.path / "log.json").write_bytes(orjson.dumps(found))


async def in_the_log(world):
    """How many records the topic holds, and how many events."""
    if world.log == "postgres":
        connection = await asyncpg.connect(world.log_url)
        try:
            return tuple(await connection.fetchrow(_RECORDS, plan.TOPIC))
        finally:
            await connection.close()
    return await _counted(world, _kafka_ids(world))


async def _counted(world, batches):
    """Count in a database, for there are more ids than memory should hold."""
    connection = await asyncpg.connect(world.source_url)
    try:
        await connection.execute("CREATE UNLOGGED TABLE logged (id text)")
        async for ids in batches:
            await connection.copy_records_to_table("logged", records=[(one,) for one in ids])
        count = "SELECT count(*), count(DISTINCT id) FROM logged"
        return tuple(await connection.fetchrow(count))
    finally:
        await connection.close()


async def _kafka_ids(world):
    log = await connect(world.log_url)
    member = await log.consumer("histories", [plan.TOPIC])
    quiet = 0
    while quiet < 8:
        for at in member.unplaced():
            await member.place(at, 0)
        async with member.batches(limit=5000, wait_s=0.5) as batches:
            quiet = 0 if batches else quiet + 1
            yield [
                each.headers["ce_id"].decode()
                for found in batches.values()
                for each in found
                if "ce_id" in each.headers
            ]
    await member.close()
    await log.close()
