"""The vectors of contracts/sharing through compiled SQL."""

from collections.abc import AsyncIterator

import pytest
from sharing import names_of, replica, sql, tables
from sqlalchemy import insert, literal, select
from svckit.db import Database, Id

from tests.unit.sharing import worlds
from tests.unit.sharing.vectors import NAMES, VECTORS


@pytest.fixture(scope="module")
def url(empty_database):
    return empty_database()


@pytest.fixture
async def db(url) -> AsyncIterator[Database]:
    database = Database(url, pool_size=1)
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.create_all)
    yield database
    await database.dispose()


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
async def test_sql_sees_what_the_vector_says(db, vector):
    row = vector["row"]
    async with db.engine.connect() as connection:  # never committed: each vector stands alone
        for name in ("agreement", "grant", "consent"):
            for record in vector[f"{name}s"]:
                await connection.execute(insert(getattr(tables, name)).values(worlds.coded(record)))
        for program in vector.get("programs", []):
            known = {"id": program, "kind": "clinic", "name": "A program", "part2_program": True}
            await connection.execute(insert(tables.organisation).values(known))
        for record in vector.get("seals", []):
            await connection.execute(insert(tables.seal).values(record))
        confidentiality = row.get("confidentiality")
        mask = sql.shared(
            worlds.as_reader(vector["reader"]),
            custodian=literal(row["custodian_id"], Id),
            person=literal(row["person_id"], Id),
            case=None if row["about_person"] else literal(row["case_id"], Id),
            parties=[literal(party, Id) for party in row.get("parties", [])],
            referral=literal(row.get("referral_id"), Id),
            confidentiality=literal(confidentiality, Id) if confidentiality else None,
            at=vector["at"],
        )
        assert names_of(await connection.scalar(select(mask))) == vector["sees"]
