"""Brings every service's database to its newest revision before the services start.

One child process migrates them all: each `python -m <service> migrate` would first import a whole
service, 2 s of a core, where the migration itself takes 0.3 s.
"""

import asyncio
import json
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
    """Migrate the databases that are behind; return the services migrated.

    Raises:
        StartFailure: a migration failed; its last lines are in the message.
    """
    behind = asyncio.run(_behind(machine))
    if not behind:
        return []
    work = {
        part.name: [str(migrations(part).parent), machine.database_url(part.database)]
        for part in behind
    }
    done = subprocess.run(
        [sys.executable, "-m", "careloop.migrations"],
        input=json.dumps(work),  # not an argument: others can read those, and it holds passwords
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=dies_with_parent(),
    )
    machine.layout.log("migrate").write_text(done.stdout)
    if done.returncode != 0:
        raise StartFailure(f"the databases do not migrate:\n{done.stdout.strip()[-1500:]}")
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


def _work() -> None:
    """Be the child: read which package goes to which database from standard input."""
    from svckit import migrate  # noqa: PLC0415 - Alembic, which the parent does not need

    for name, (package, url) in json.load(sys.stdin).items():
        sys.stdout.write(f"{name}\n")
        migrate.upgrade(Path(package), url)


if __name__ == "__main__":
    _work()
