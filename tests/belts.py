"""What the tests of every service ask of its seat-belt.

They read behind it by bare statements, without the rule: whatever comes back, the belt let through.
"""

import contextlib

from sqlalchemy import select, text
from svckit.db import ORGANISATION
from svckit.errors import NotFound

from tests.statements import collected

_COVERED = """
    SELECT c.relname, pg_get_expr(p.polqual, p.polrelid) AS rows
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE p.polname = 'partner'
"""


async def covered(db):
    """Return the condition that each table's rows must meet to be read by a partner."""
    async with db.read() as session:
        return dict((await session.execute(text(_COVERED))).all())


async def rows(session, tables):
    """Return how many rows of each table a bare SELECT finds."""
    counts = ", ".join(f'(SELECT count(*) FROM "{table}") AS "{table}"' for table in tables)
    return (await session.execute(text(f"SELECT {counts}"))).mappings().one()


async def is_outside(db, organisation, *, filled, public=frozenset()):
    """Demand that the organisation reads no row of a table with a condition, of which some are `filled`.

    Neither does a connection that was never told for whom it reads. `public` have rows for all.
    """
    conditions = await covered(db)
    closed = [one for one in conditions if conditions[one] != "true" and one not in public]
    async with db.read() as session:
        kept = await rows(session, closed)
    assert set(filled) - {table for table, count in kept.items() if count} == set()
    async with db.read_as(organisation) as session:
        assert await session.scalar(text(f"SELECT current_setting('{ORGANISATION}')"))
        shown = await rows(session, closed)
    assert {table: count for table, count in shown.items() if count} == {}
    await db.partner.dispose()
    async with db.partner.connect() as untold:
        shown = await rows(untold, closed)
    assert {table: count for table, count in shown.items() if count} == {}


async def same_with_and_without(db, reads, readers):
    """Demand that each reader reads the same behind the belt; return how many rows that were.

    `reads` are functions of a session and a caller that return a list.
    """
    found = 0
    for caller in readers:
        for read in reads:
            async with db.read() as session:
                expected = await read(session, caller)
            async with db.read_as(caller.organisation_id) as session:
                assert await read(session, caller) == expected, (read, caller)
            found += len(expected)
    return found


async def by_id(db, model, get, newest=10):
    """Return a read of the newest rows one by one, whoever may see them."""
    async with db.read() as session:
        ids = list(await session.scalars(select(model.id).order_by(model.id.desc()).limit(newest)))

    async def read(session, caller):
        found = []
        for row_id in ids:
            with contextlib.suppress(NotFound):
                found.append((row_id, (await get(session, caller, row_id))[1]))
        return found

    return read


async def wears_it(db, client, paths):
    """Demand that what these paths show is read behind the belt, and nothing of it beside."""
    with collected(db, partner=False) as loose, collected(db) as asked:
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
    assert len(asked) - len(loose) >= len(paths)
    # that bytes leave is written down
    assert [one for one in loose if not one.startswith("INSERT INTO audit")] == []
