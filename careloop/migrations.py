"""Brings every service's database to its newest revision before the services start.

Each by `python -m <service> migrate`, forked: to import a service takes 2 s of a core, the
migration itself less than one.
"""

import asyncio
import re
from pathlib import Path

import asyncpg

from careloop import nursery
from careloop.errors import StartFailure
from careloop.services import PARTS, Machine, Part, migrations

_ASSIGNED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


def head(folder: Path) -> str | None:
    """Return the newest revision, read from the files: importing Alembic costs half a second."""
    revisions: set[str] = set()
    replaced: set[str] = set()
    for path in folder.glob("versions/*.py"):
        for name, value in _ASSIGNED.findall(path.read_text()):
            (revisions if name == "revision" else replaced).add(value)
    newest = revisions - replaced
    return newest.pop() if len(newest) == 1 else None


def upgrade(machine: Machine) -> list[str]:
    """Migrate the databases that are behind; return the services migrated.

    Raises:
        StartFailure: a migration failed; its last lines are in the message.
    """
    behind = asyncio.run(_behind(machine))
    if not behind:
        return []
    work = [
        nursery.start(part, ["migrate"], machine.environment(part), machine.layout.log("migrate"))
        for part in behind
    ]
    for process in work:
        process.join()
    if any(process.exitcode for process in work):
        raise StartFailure(f"the databases do not migrate:\n{machine.layout.tail('migrate')}")
    return [part.name for part in behind]


async def _behind(machine: Machine) -> list[Part]:
    found = await asyncio.gather(*(_revision(machine, part) for part in PARTS))
    return [
        part
        for part, revision in zip(PARTS, found, strict=True)
        if revision is None or revision != head(migrations(part))
    ]


async def _revision(machine: Machine, part: Part) -> str | None:
    connection = await asyncpg.connect(machine.database_url(part.database))
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    return revision
