"""One rule, three readings: compiled SQL, the evaluator and the oracle agree on every cell."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharing import evaluate, mask_of, names_of, replica, rule, sql, tables
from sqlalchemy import Column, Integer, MetaData, Table, Text, delete, insert, select
from svckit.db import Database

from tests.unit.sharing import matrix, oracle, worlds

probe = Table(
    "probe",
    MetaData(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("custodian_id", Text(collation="C")),
    Column("person_id", Text(collation="C")),
    Column("case_id", Text(collation="C")),
    Column("required", Integer, nullable=False),
)


@pytest.fixture(scope="module")
def url(empty_database):
    return empty_database()


@pytest.fixture
async def db(url) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2)
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.create_all)
        await connection.run_sync(probe.metadata.create_all)
    yield database
    await database.dispose()


async def load(tx, world):
    for table in (tables.agreement, tables.grant, tables.consent, probe):
        await tx.execute(delete(table))
    for table, records in (
        (tables.agreement, world.agreements),
        (tables.grant, world.grants),
        (tables.consent, world.consents),
    ):
        if records:
            await tx.execute(insert(table), [worlds.coded(record) for record in records])
    rows = [
        {name: row[name] for name in ("id", "custodian_id", "person_id", "case_id")}
        | {"required": int(mask_of(matrix.required_of(row)))}
        for row in world.rows
    ]
    await tx.execute(insert(probe), rows)


async def seen_in_sql(tx, world, reader, with_rule=None):
    """{row id: (mask, visible, visible by any class)} as the compiled rule has it."""
    found = {}
    own_records = [row["id"] for row in world.rows if row["about_person"]]
    for case, here in (
        (probe.c.case_id, probe.c.id.not_in(own_records)),
        (None, probe.c.id.in_(own_records)),
    ):
        mask = sql.shared(
            worlds.as_reader(reader),
            custodian=probe.c.custodian_id,
            person=probe.c.person_id,
            case=case,
            at=worlds.NOW,
            rule=with_rule,
        )
        inner = select(probe.c.id, probe.c.required, mask.label("mask")).where(here).subquery()
        outer = select(
            inner.c.id,
            inner.c.mask,
            sql.may_see(inner.c.mask, inner.c.required),
            sql.may_see_any(inner.c.mask, inner.c.required),
        )
        for row_id, seen, visible, by_any in await tx.execute(outer):
            found[row_id] = (seen, visible, by_any)
    return found


def expected(world, reader):
    agreements = {one["id"]: one for one in world.agreements}
    for row, facts in world.scenarios():
        seen = oracle.sees(
            reader, row, agreements, facts["grants"], facts["consents"], now=worlds.NOW
        )
        needed = set(matrix.required_of(row))
        yield row, facts, seen, bool(seen) and needed <= seen, bool(needed & seen)


async def compare(tx, world):
    """Compare all readings on all cells; return how many cells there were, and show something."""
    await load(tx, world)
    agreed = worlds.as_facts(world.agreements, [], []).agreements
    cells = shown = 0
    for reader in matrix.READERS:
        in_sql = await seen_in_sql(tx, world, reader)
        for row, facts, seen, visible, by_any in expected(world, reader):
            cell = (reader, row, facts)
            mask, *visibility = in_sql[row["id"]]
            assert set(names_of(mask)) == seen, cell
            assert visibility == [visible, by_any], cell
            own = worlds.as_facts([], facts["grants"], facts["consents"])
            decision = evaluate(
                dataclasses.replace(own, agreements=agreed),
                worlds.as_reader(reader),
                worlds.as_row(row),
                at=worlds.NOW,
            )
            assert decision.mask == mask, cell
            cells += 1
            shown += bool(seen)
    return cells, shown


async def test_sql_evaluator_and_oracle_agree_on_the_matrix(db):
    async with db.begin() as tx:
        cells, shown = await compare(tx, matrix.build())
    print(f"{cells} cells, {shown} of them show something")
    assert cells >= 10_000
    assert cells * 0.05 < shown < cells * 0.5, "a matrix that nearly always says one thing is weak"


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(seed=st.integers(0, 2**32))
async def test_they_agree_on_worlds_drawn_at_random(db, seed):
    print(f"seed {seed}")
    async with db.begin() as tx:
        await compare(tx, matrix.at_random(seed, count=60))


def _without_each_part():
    whole = rule.current()
    for part in ("clauses", "directives", "factors"):
        kept = getattr(whole, part)
        for left_out in kept:
            rest = tuple(one for one in kept if one is not left_out)
            yield pytest.param(dataclasses.replace(whole, **{part: rest}), id=left_out.name)


@pytest.mark.parametrize("weaker", list(_without_each_part()))
async def test_the_matrix_notices_when_a_part_of_the_rule_is_missing(db, weaker):
    async with db.begin() as tx:
        world = matrix.build()
        if (await tx.execute(select(probe.c.id).limit(1))).first() is None:
            await load(tx, world)
        for reader in matrix.READERS:
            if reader["purpose"] in {"TREAT", "COC", "HPAYMT", "HOPERAT"}:
                in_sql = await seen_in_sql(tx, world, reader, with_rule=weaker)
                for row, _, seen, *_ in expected(world, reader):
                    if set(names_of(in_sql[row["id"]][0])) != seen:
                        return
    pytest.fail("no cell of the matrix depends on it")
