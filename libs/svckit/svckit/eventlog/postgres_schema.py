"""Tables of the PostgreSQL event log, made by whoever comes first."""

from typing import Any

# Any constant of ours: one creator at a time.
_LOCK = 7_412_002

# log_append takes the partition rows in one order, so two producers never wait for each other in a
# circle; the row lock lasts to the commit, so offsets become visible without gaps and in order.
_SCHEMA = """
CREATE TABLE log_topic (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  partitions int NOT NULL CHECK (partitions > 0),
  identity uuid NOT NULL DEFAULT gen_random_uuid()
);
CREATE TABLE log_partition (
  topic_id int NOT NULL REFERENCES log_topic ON DELETE CASCADE,
  partition int NOT NULL,
  next_offset bigint NOT NULL DEFAULT 0,
  mark timestamptz,
  marked_offset bigint,
  PRIMARY KEY (topic_id, partition)
) WITH (fillfactor = 20);
CREATE TABLE log_record (
  topic_id int NOT NULL,
  partition int NOT NULL,
  position bigint NOT NULL,
  key bytea,
  headers jsonb NOT NULL,
  value bytea,
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (topic_id, partition, position),
  FOREIGN KEY (topic_id, partition) REFERENCES log_partition ON DELETE CASCADE
);
CREATE FUNCTION log_append(topics int[], parts int[], keys bytea[], headers text[], vals bytea[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE part record; base bigint;
BEGIN
  FOR part IN SELECT t, p, count(*) AS n FROM unnest(topics, parts) AS u(t, p)
              GROUP BY t, p ORDER BY t, p LOOP
    UPDATE log_partition SET next_offset = next_offset + part.n
      WHERE topic_id = part.t AND partition = part.p
      RETURNING next_offset - part.n INTO STRICT base;
    INSERT INTO log_record (topic_id, partition, position, key, headers, value)
      SELECT part.t, part.p, base - 1 + row_number() OVER (ORDER BY i), k, h::jsonb, v
      FROM unnest(topics, parts, keys, headers, vals) WITH ORDINALITY AS u(t, p, k, h, v, i)
      WHERE t = part.t AND p = part.p;
  END LOOP;
END $$;
"""
# a log made before there were marks gets their columns
_MARKS = """
ALTER TABLE log_partition ADD COLUMN IF NOT EXISTS mark timestamptz,
  ADD COLUMN IF NOT EXISTS marked_offset bigint
"""


_HAS_MARKS = """
SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_schema = current_schema()
  AND table_name = 'log_partition' AND column_name = 'marked_offset')
"""
_EXISTS = (
    "SELECT EXISTS (SELECT FROM pg_tables"
    " WHERE schemaname = current_schema() AND tablename = 'log_record')"
)


async def create(connection: Any) -> None:
    """Create the tables unless they exist; safe to run from many processes at once."""
    if await connection.fetchval(_HAS_MARKS):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        # to_regclass would answer from the session's cache of what was absent before the lock
        if not await connection.fetchval(_EXISTS):
            await connection.execute(_SCHEMA)
        await connection.execute(_MARKS)


async def create_topic(connection: Any, name: str, partitions: int) -> None:
    """Create the topic with its partitions unless it exists."""
    async with connection.transaction():
        topic_id = await connection.fetchval(
            "INSERT INTO log_topic (name, partitions) VALUES ($1, $2)"
            " ON CONFLICT (name) DO NOTHING RETURNING id",
            name,
            partitions,
        )
        if topic_id is not None:
            await connection.execute(
                "INSERT INTO log_partition (topic_id, partition)"
                " SELECT $1, n FROM generate_series(0, $2 - 1) AS n",
                topic_id,
                partitions,
            )
