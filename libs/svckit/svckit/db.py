"""The service's database: typed declarative base, one transaction per command, read sessions.

What a partner is shown is read behind a seat-belt: on connections of a role that may only read, and
of which PostgreSQL's row level security shows it the rows that the organisation named on the
connection may possibly see. The rule compiled into the statement decides; the belt holds if it is
ever forgotten.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request
from sqlalchemy import Connection, DateTime, Enum, Text, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Session

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# The driver prepares every statement; to plan a decision anew takes as long as to make it.
SESSION = {"timezone": "UTC", "plan_cache_mode": "force_generic_plan", "jit": "off"}

# byte order, whatever the server's locale: ids and numbers sort the same everywhere
Id = Text(collation="C")


class Base(DeclarativeBase):
    """Abstract base: aware instants, enums stored by value with a CHECK, dict and list as JSONB.

    SQLAlchemy 2.1 would otherwise make naive timestamps and store the members' names.
    """

    __abstract__ = True
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        StrEnum: Enum(
            StrEnum,
            native_enum=False,
            create_constraint=True,
            length=40,
            values_callable=lambda kind: [member.value for member in kind],
        ),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
    }


# for whom a connection reads, as the policies of row level security ask it: `svckit.migrate.belt`
ORGANISATION = "careloop.organisation"
_NAME = f"SELECT set_config('{ORGANISATION}', $1, false)"


class _Belted(Session):
    """Tells PostgreSQL for which organisation it reads, before it asks anything."""


@event.listens_for(_Belted, "after_begin")
def _fasten(session: Session, _: object, connection: Connection) -> None:
    told, organisation = connection.info, session.info[ORGANISATION]
    if told.get(ORGANISATION) == organisation:
        return
    # nobody knows what holds while the answer is on its way
    told.pop(ORGANISATION, None)
    connection.exec_driver_sql(_NAME, (organisation,))
    told[ORGANISATION] = organisation


class Database:
    """Owns the pools. `begin` is the unit of work: nobody else commits.

    `partner` is the role that `read_as` reads by; without one the service keeps no partner's rows.
    """

    def __init__(self, url: str, pool_size: int = 16, partner: str | None = None) -> None:
        self.url = url
        self.engine = _engine(url, pool_size)
        self._write = async_sessionmaker(self.engine, expire_on_commit=False)
        self._read = async_sessionmaker(_autocommit(self.engine), expire_on_commit=False)
        # connections of its own: the role of one never changes
        self.partner = _engine(url, pool_size, role=partner) if partner else None
        self._read_as = self._read
        if self.partner:
            self._read_as = async_sessionmaker(
                _autocommit(self.partner), expire_on_commit=False, sync_session_class=_Belted
            )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Yield a session in one transaction: committed at exit, rolled back on an error."""
        async with self._write.begin() as tx:
            yield tx

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading, each statement on its own (no transaction round trips)."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def read_as(self, organisation_id: str) -> AsyncIterator[AsyncSession]:
        """Yield the same for what is shown to the organisation: with the seat-belt on."""
        async with self._read_as(info={ORGANISATION: organisation_id}) as session:
            yield session

    async def dispose(self) -> None:
        await self.engine.dispose()
        if self.partner:
            await self.partner.dispose()


def _engine(url: str, pool_size: int, **server_settings: str) -> AsyncEngine:
    return create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=pool_size,
        max_overflow=4,
        pool_timeout=10,
        pool_pre_ping=False,
        connect_args={"server_settings": {**SESSION, **server_settings}},
    )


def _autocommit(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def taken_back(tx: AsyncSession) -> AsyncIterator[None]:
    """Run the block in a savepoint and undo it, however it ends: to see what would happen."""
    attempt = await tx.begin_nested()
    try:
        yield
    finally:
        await attempt.rollback()


async def _read(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.db.read_as(request.state.organisation_id) as session:
        yield session


# scope="function": closed before the response starts, as FastAPI's default scope is not
Read = Annotated[AsyncSession, Depends(_read, scope="function")]
