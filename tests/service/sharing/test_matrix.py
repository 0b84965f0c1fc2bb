"""One rule, three readings: compiled SQL, the evaluator and the oracle agree on every cell."""

import dataclasses
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharing import ALL, Organisation, evaluate, names_of, policy, rule, sql
from sqlalchemy import case, delete, insert, select, true
from svckit.db import Database

from tests.service.sharing.probe import create, expected, load, probe, seen_in_sql
from tests.unit.sharing import matrix, worlds

LIMITS = [
    {
        "name": "by basis",
        "classes": ["behavioral", "notes"],
        "only_when": {
            "any": [
                {"one_of": ["grant.basis", ["emergency"]]},
                {"equal": ["grant.case_id", "row.case_id"]},
                {"all": [{"under": "HPAYMT"}, {"missing": "row.referral_id"}]},
            ]
        },
    },
    {
        "name": "by rank",
        "classes": ["outcome"],
        "only_when": {"at_most": ["row.confidentiality", "agreement.confidentiality"]},
    },
    {"name": "own record", "classes": ["identity"], "only_when": {"holds": "row.about_person"}},
]


@pytest.fixture(scope="module")
def url(empty_database):
    return empty_database()


@pytest.fixture
async def db(url) -> AsyncIterator[Database]:
    database = Database(url, pool_size=2)
    await create(database)
    yield database
    await database.dispose()


async def compare(tx, world):
    """Compare all readings on all cells; return how many cells there were, and show something."""
    await load(tx, world)
    agreed = worlds.as_facts(world.agreements, [], []).agreements
    known = {
        row["id"]: dataclasses.replace(
            worlds.as_facts([], facts["grants"], facts["consents"], facts["seals"]),
            agreements=agreed,
        )
        for row, facts in world.scenarios()
    }
    cells = shown = 0
    for reader in matrix.READERS:
        in_sql = await seen_in_sql(tx, world, reader)
        for row, facts, seen, visible, by_any in expected(world, reader):
            cell = (reader, row, facts)
            mask, *visibility = in_sql[row["id"]]
            assert set(names_of(mask)) == seen, cell
            assert visibility == [visible, by_any], cell
            decision = evaluate(
                known[row["id"]], worlds.as_reader(reader), worlds.as_row(row), at=worlds.NOW
            )
            assert decision.mask == mask, cell
            cells += 1
            shown += bool(seen)
    return cells, shown


async def test_sql_evaluator_and_oracle_agree_on_the_matrix(db):
    async with db.begin() as tx:
        cells, shown = await compare(tx, matrix.build(every=3))
    print(f"{cells} cells, {shown} of them show something")
    assert cells >= 10_000
    assert cells * 0.05 < shown < cells * 0.5, "a matrix that nearly always says one thing is weak"


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(seed=st.integers(0, 2**32))
async def test_they_agree_on_worlds_drawn_at_random(db, seed):
    print(f"seed {seed}")
    async with db.begin() as tx:
        await compare(tx, matrix.at_random(seed, count=60))


async def test_sql_and_evaluator_agree_under_a_policy_with_limits(db):
    written = policy.current().model_dump(mode="json") | {"limits": LIMITS}
    limited = rule.under(policy.parse(json.dumps(written)))
    world = matrix.at_random(seed=11, count=80)
    agreed = worlds.as_facts(world.agreements, [], []).agreements
    narrowed = 0
    async with db.begin() as tx:
        await load(tx, world)
        for reader in matrix.READERS:
            in_sql = await seen_in_sql(tx, world, reader, with_rule=limited)
            for row, known in world.scenarios():
                records = worlds.as_facts([], known["grants"], known["consents"], known["seals"])
                facts = dataclasses.replace(records, agreements=agreed)
                asked = worlds.as_reader(reader), worlds.as_row(row)
                mask = evaluate(facts, *asked, at=worlds.NOW, rule=limited).mask
                assert in_sql[row["id"]][0] == mask, (reader, row)
                narrowed += mask != evaluate(facts, *asked, at=worlds.NOW).mask
    assert narrowed, "limits that never narrow prove nothing"


async def test_a_lateral_gives_every_row_its_own_mask_and_once(db):
    own = {"required": 0, "person_id": "p", "case_id": "c", "confidentiality": "N"}
    rows = [{"id": f"row_{n}", "custodian_id": f"org_{n}", **own} for n in range(3)]
    asking = Organisation("org_1", "payer", "HOPERAT")
    seen = sql.seen(asking, custodian=probe.c.custodian_id, person=probe.c.person_id)
    foreign = probe.c.custodian_id != "org_2"
    made_of_it = sql.lateral(case((foreign, seen.c.mask), else_=7))
    async with db.begin() as tx:
        await tx.execute(delete(probe))
        await tx.execute(insert(probe), rows)
        statement = select(probe.c.id, seen.c.mask, made_of_it.c.mask)
        statement = (
            statement.select_from(probe)
            .join(seen, true())
            .join(made_of_it, true())
            .order_by(probe.c.id)
        )
        found = [tuple(row) for row in await tx.execute(statement)]
    assert found == [("row_0", 0, 0), ("row_1", int(ALL), int(ALL)), ("row_2", 0, 7)]
