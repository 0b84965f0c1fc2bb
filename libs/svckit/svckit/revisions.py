"""Where a database stands and where the code needs it, told without Alembic.

Every process of a service asks at its start; importing Alembic for it would cost 0.2 s of a core.
"""

import re
from pathlib import Path

from sqlalchemy import text

from svckit.db import Database

_ASSIGNED = re.compile(r"""^(revision|down_revision)\b[^=\n]*=\s*["']([^"']+)["']""", re.MULTILINE)


def head(package: Path) -> str:
    """Return the newest revision of the service's migrations; empty without exactly one."""
    revisions: set[str] = set()
    replaced: set[str] = set()
    for path in (package / "migrations" / "versions").glob("*.py"):
        for name, value in _ASSIGNED.findall(path.read_text()):
            (revisions if name == "revision" else replaced).add(value)
    newest = revisions - replaced
    return newest.pop() if len(newest) == 1 else ""


async def current(db: Database) -> str:
    """Return the database's revision, empty for a database without one."""
    async with db.read() as session:
        if await session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return ""
        return str(await session.scalar(text("SELECT version_num FROM alembic_version")) or "")
