"""One database and one login role per service; a role can connect to its own database only."""

import contextlib
from dataclasses import dataclass

import asyncpg

from careloop.postgres import Postgres


@dataclass(frozen=True)
class Place:
    """A database and its owner of the same name.

    `partner` is a role the owner may read by, which nobody can log in as: see `svckit.migrate.belt`.
    """

    name: str
    password: str
    partner: str | None = None


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


async def provide(postgres: Postgres, places: list[Place]) -> None:
    """Create what is missing of roles and databases, and set the passwords; repeatable."""
    connection = await asyncpg.connect(postgres.url)
    try:
        databases = {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
        roles = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for place in places:
            name = quoted(place.name)
            if place.name not in roles:
                with contextlib.suppress(asyncpg.DuplicateObjectError):
                    await connection.execute(
                        f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
                    )
                    # the owner of a database must be grantable by whoever creates it
                    await connection.execute(f"GRANT {name} TO CURRENT_USER")
            await connection.execute(f"ALTER ROLE {name} PASSWORD '{_literal(place.password)}'")
            if place.partner:
                partner = quoted(place.partner)
                if place.partner not in roles:
                    with contextlib.suppress(asyncpg.DuplicateObjectError):
                        await connection.execute(f"CREATE ROLE {partner} NOLOGIN")
                await connection.execute(f"GRANT {partner} TO {name}")
            if place.name not in databases:
                await connection.execute(
                    f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 "
                    "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' STRATEGY file_copy"
                )
                await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        for shared in {"postgres", "template1"} & databases if postgres.pid else ():
            await connection.execute(f"REVOKE CONNECT ON DATABASE {shared} FROM PUBLIC")
    finally:
        await connection.close()


def _literal(text: str) -> str:
    return text.replace("'", "''")
