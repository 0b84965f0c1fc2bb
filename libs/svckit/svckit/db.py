"""The service's database: typed declarative base, one transaction per command, read sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request
from sqlalchemy import DateTime, Enum, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

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


class Database:
    """Owns the pool. `begin` is the unit of work: nobody else commits."""

    def __init__(self, url: str, pool_size: int = 16) -> None:
        self.url = url
        self.engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=pool_size,
            max_overflow=4,
            pool_timeout=10,
            pool_pre_ping=False,
            connect_args={"server_settings": {"timezone": "UTC"}},
        )
        self._write = async_sessionmaker(self.engine, expire_on_commit=False)
        self._read = async_sessionmaker(
            self.engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False
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

    async def dispose(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def taken_back(tx: AsyncSession) -> AsyncIterator[None]:
    """Run the block in a savepoint and undo it, however it ends: to see what would happen."""
    attempt = await tx.begin_nested()
    try:
        yield
    finally:
        await attempt.rollback()


async def _read(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.db.read() as session:
        yield session


# scope="function": closed before the response starts, as FastAPI's default scope is not
Read = Annotated[AsyncSession, Depends(_read, scope="function")]
