"""Brings every service's database to its newest revision before the services start."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg

from careloop.errors import StartFailure
from careloop.process import dies_with_parent
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
    """Migrate the databases that are behind, all at once; return the services migrated.

    Raises:
        StartFailure: a migration failed; its last lines are in the message.
    """
    behind = asyncio.run(_behind(machine))
    running = [
        (
            part,
            subprocess.Popen(
                [sys.executable, "-m", part.package, "migrate"],
                env={**os.environ, **machine.environment(part)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 - prctl only, no locks taken
            ),
        )
        for part in behind
    ]
    failures = []
    for part, process in running:
        output, _ = process.communicate()
        (machine.layout.logs / f"{part.name}.migrate.log").write_text(output)
        if process.returncode != 0:
            failures.append(f"{part.name} does not migrate: {output.strip()[-800:]}")
    if failures:
        raise StartFailure("\n".join(failures))
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
