"""Alembic, run from code: migrations live inside the service's package, forward only.

Services refuse to start behind the schema they need, and never migrate themselves.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from svckit import revisions
from svckit.db import ORGANISATION, Database

_LOCK = 7_412_001  # any constant of ours: one migration of a database at a time


def _config(package: Path, url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(package / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "file_template", "%%(year)d%%(month).2d%%(day).2d%%(hour).2d%%(minute).2d_%%(slug)s"
    )
    config.attributes["url"] = url
    return config


def run_env(*metadatas: MetaData) -> None:
    """Be the whole of a service's `migrations/env.py`."""
    asyncio.run(_online(metadatas))


async def _online(metadatas: Sequence[MetaData]) -> None:
    url = context.config.attributes["url"]
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadatas)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadatas: Sequence[MetaData]) -> None:
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    context.configure(
        connection=connection,
        target_metadata=list(metadatas),
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def upgrade(package: Path, url: str) -> None:
    """Bring the database to the newest revision; at head already, one query and no lock."""
    if asyncio.run(_at_head(package, url)):
        return
    command.upgrade(_config(package, url), "head")


def revision(package: Path, url: str, message: str) -> None:
    """Write a new revision from the difference between the tables and the database."""
    command.revision(_config(package, url), message, autogenerate=True)


async def _at_head(package: Path, url: str) -> bool:
    db = Database(url, 1)
    try:
        return await revisions.current(db) == revisions.head(package)
    finally:
        await db.dispose()


# asked once for a statement, not once a row; never set is null, which no row equals
READER = f"(SELECT current_setting('{ORGANISATION}', true))"
_ROLE = """
DO $belt$
DECLARE owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class
                       WHERE oid = to_regclass('alembic_version'));
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
            CREATE ROLE {role} NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN  -- another database was first
    END;
    IF NOT pg_has_role(owner, '{role}', 'MEMBER') THEN
        EXECUTE format('GRANT {role} TO %I', owner);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = format(
        'as an administrator, run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO %I', owner);
END $belt$
"""
_BELT = """
DO $belt$
DECLARE owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class
                       WHERE oid = to_regclass('{table}'));
BEGIN
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS owner ON {table};
    DROP POLICY IF EXISTS partner ON {table};
    EXECUTE format('CREATE POLICY owner ON {table} TO %I USING (true)', owner);
    CREATE POLICY partner ON {table} FOR SELECT TO {role} USING ({rows});
    GRANT SELECT ON {table} TO {role};
END $belt$
"""


def belt(role: str, rows: Mapping[str, str]) -> None:
    """In a revision: let `role` read these tables, of each the rows that meet its condition.

    A condition is true of every row that the rule could show the organisation `READER`, and may be
    true of more. A table that is not named stays closed. The role can neither write nor log in; it
    is made where the migration may make roles. Repeatable, to change a condition.
    """
    op.execute(_ROLE.format(role=role))
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    for table, condition in rows.items():
        op.execute(_BELT.format(table=table, role=role, rows=condition))
