"""A page of a list costs the page, not the table: read off PostgreSQL's own plans."""

import json
from collections.abc import AsyncIterator

import pytest
from sharing import Organisation, mask_of, purposes, replica, sql
from sqlalchemy import Column, MetaData, Table, Text, select, text, true
from svckit import testing
from svckit.db import Database

ROWS = 100_000
metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("custodian_id", Text(collation="C"), nullable=False),
    Column("person_id", Text(collation="C"), nullable=False),
)
thing_reader = Table(
    "thing_reader",
    metadata,
    Column("organisation_id", Text(collation="C"), primary_key=True),
    Column("thing_id", Text(collation="C"), primary_key=True),
)
FILL = """
INSERT INTO thing SELECT 'thg_' || lpad(n::text, 8, '0'), 'org_clinic', 'per_' || n / 2
  FROM generate_series(1, :rows) n;
INSERT INTO thing_reader SELECT 'org_clinic', id FROM thing;
INSERT INTO thing_reader SELECT 'org_partner', id FROM thing WHERE right(id, 1) IN ('0', '5');
INSERT INTO sharing_agreement VALUES
  ('agr', 'org_clinic', 'org_partner', NULL, :purposes, :classes, 0, 30, now(), NULL);
INSERT INTO sharing_grant SELECT 'grt_' || n, 'org_clinic', 'org_partner', 'per_' || n / 2, NULL,
    'agr', :classes, :purposes, 'care-team', 'bas_' || n, now(), NULL
  FROM generate_series(5, :rows, 5) n;
INSERT INTO sharing_consent SELECT 'con_' || n, 'per_' || n, NULL, 'permit', :classes, :purposes,
    now(), NULL, now(), true
  FROM generate_series(1, :rows / 2, 3) n;
INSERT INTO sharing_seal SELECT id, custodian_id, now(), NULL FROM thing WHERE right(id, 2) = '10';
"""


async def fill(url):
    statements = FILL.replace(":rows", str(ROWS))
    statements = statements.replace(":classes", str(int(mask_of(["coordination", "needs"]))))
    statements = statements.replace(":purposes", str(purposes.mask_of(["TREAT"])))
    database = Database(url, pool_size=1)
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.create_all)
        await connection.run_sync(metadata.create_all)
        for statement in statements.split(";")[:-1]:
            await connection.execute(text(statement))
        for table in (*metadata.tables, *replica.metadata.tables):
            await connection.execute(text(f"ANALYZE {table}"))
    await database.dispose()


@pytest.fixture(scope="module")
def filled(empty_database):
    url = empty_database()
    testing.apart(fill(url))
    return url


@pytest.fixture
async def db(filled) -> AsyncIterator[Database]:
    database = Database(filled, pool_size=1)
    yield database
    await database.dispose()


def page(organisation, kind, purpose, after):
    reader = Organisation(organisation, kind, purpose)
    seen = sql.seen(
        reader, custodian=thing.c.custodian_id, person=thing.c.person_id, case=thing.c.id
    )
    return (
        select(thing, seen.c.mask)
        .select_from(thing_reader)
        .join(thing, sql.looked_up(thing.c.id, thing_reader.c.thing_id))
        .join(seen, true())
        .where(thing_reader.c.organisation_id == organisation, thing_reader.c.thing_id < after)
        .where(sql.may_see_any(seen.c.mask, mask_of(["coordination", "needs"])))
        .order_by(thing_reader.c.thing_id.desc())
        .limit(51)
    )


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def explained(tx, statement):
    compiled = statement.compile(
        dialect=(await tx.connection()).dialect, compile_kwargs={"literal_binds": True}
    )
    explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}".replace(":", r"\:"))
    answer = (await tx.execute(explain)).scalar_one()
    return (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]


# a network has few of either
SMALL = {"sharing_agreement", "sharing_organisation"}
READERS = [("org_clinic", "clinic", "TREAT"), ("org_partner", "social-service", "COC")]


@pytest.mark.parametrize("reader", READERS, ids=["the custodian", "a partner"])
@pytest.mark.parametrize("after", ["thg_99999999", "thg_00040000"], ids=["first", "deep"])
async def test_a_page_of_fifty_reads_no_table_as_a_whole(db, reader, after):
    async with db.begin() as tx:
        plan = await explained(tx, page(*reader, after))
        rows = (await tx.execute(page(*reader, after))).all()
    assert len(rows) == 51
    scanned = [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert not set(scanned) - SMALL, "an index is missing"
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 4_000


async def test_a_deep_page_touches_no_more_than_the_first(db):
    async with db.begin() as tx:
        first, deep = [
            await explained(tx, page(*READERS[1], after))
            for after in ("thg_99999999", "thg_00040000")
        ]
    touched = [plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in (first, deep)]
    assert max(touched) <= 2 * min(touched)
