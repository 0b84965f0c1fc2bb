"""The matrix notices: without any one part of the rule, SQL and the oracle come apart."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from sharing import names_of, rule
from svckit import testing
from svckit.db import Database

from tests.service.sharing.probe import create, expected, load, seen_in_sql
from tests.unit.sharing import matrix

WORLD = matrix.build(every=3)
READERS = [
    reader
    for reader in matrix.READERS
    if reader["purpose"] in {"TREAT", "COC", "BTG", "HPAYMT", "HOPERAT"}
]


async def fill(url):
    database = Database(url, pool_size=1)
    await create(database)
    async with database.begin() as tx:
        await load(tx, WORLD)
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


async def differences(db, some_rule, enough):
    """Up to `enough` cells in which SQL by this rule and the oracle differ."""
    found = []
    async with db.read() as tx:
        for reader in READERS:
            in_sql = await seen_in_sql(tx, WORLD, reader, with_rule=some_rule)
            for row, _, seen, *_ in expected(WORLD, reader):
                if set(names_of(in_sql[row["id"]][0])) != seen:
                    found.append((reader, row["id"]))
                    if len(found) == enough:
                        return found
    return found


def _without_each_part():
    whole = rule.current()
    for part in ("clauses", "directives", "factors", "seals", "barriers"):
        kept = getattr(whole, part)
        for left_out in kept:
            rest = tuple(one for one in kept if one is not left_out)
            yield pytest.param(dataclasses.replace(whole, **{part: rest}), id=left_out.name)


async def test_the_whole_rule_differs_nowhere(db):
    assert await differences(db, rule.current(), enough=1) == []


@pytest.mark.parametrize("weaker", list(_without_each_part()))
async def test_the_matrix_notices_when_a_part_of_the_rule_is_missing(db, weaker):
    assert await differences(db, weaker, enough=1)
