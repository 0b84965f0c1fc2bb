"""Commands over a real database: once, in one commit, before the answer."""

import asyncio
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Response
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select
from svckit import problems, tables
from svckit.db import Database
from svckit.http import In
from svckit.idempotency import Act, Change, Create, Reply, check_version
from svckit.identity import Caller
from svckit.testing import client_for

metadata = MetaData()
thing = Table("thing", metadata, Column("name", Text), Column("size", Integer))


class ThingIn(In):
    name: str
    size: int = 1


async def somebody() -> Caller:
    return Caller("org_a", "clinic", "cli_a", "cli_a", "TREAT", frozenset(), "t")


async def shown(tx, caller, row) -> Reply:
    if row["name"] == "unspeakable":
        raise RuntimeError("cannot be shown")
    return Reply(row, 201, 1, "/things/1")


def app(db: Database) -> FastAPI:
    made = FastAPI()
    made.state.db = db
    problems.install(made)
    Me = Annotated[Caller, Depends(somebody)]  # noqa: N806  # an alias of a type

    @made.post("/things")
    async def add(body: ThingIn, caller: Me, cmd: Create) -> Response:
        async def action(tx):
            await tx.execute(insert(thing).values(name=body.name, size=body.size))
            if body.name == "slow":
                await asyncio.sleep(0.3)
            return {"name": body.name}

        return await cmd.run(caller, action, shown)

    @made.post("/things/1/grow")
    async def grow(caller: Me, cmd: Act) -> Response:
        async def action(tx):
            check_version(3, cmd.expected)
            return {"name": "grown"}

        return await cmd.run(caller, action, shown)

    @made.patch("/things/1")
    async def change(body: ThingIn, caller: Me, cmd: Change) -> Response:
        async def action(tx):
            check_version(3, cmd.expected)
            return {"name": body.name}

        return await cmd.run(caller, action, shown)

    return made


@pytest.fixture
async def db(empty_database):
    found = Database(empty_database(), 4)
    async with found.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
        await connection.run_sync(metadata.create_all)
    yield found
    await found.dispose()


@pytest.fixture
async def client(db):
    async with client_for(app(db)) as found:
        yield found


async def count(db) -> int:
    async with db.read() as session:
        return await session.scalar(select(func.count()).select_from(thing))


async def test_a_repeat_gets_the_same_answer_and_acts_once(client, db):
    first = await client.post("/things", json={"name": "a"}, headers={"Idempotency-Key": '"k1"'})
    again = await client.post("/things", json={"name": "a"}, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["etag"] == first.headers["etag"] == '"1"'
    assert again.headers["location"] == "/things/1"
    assert await count(db) == 1


async def test_the_same_key_with_another_body_is_refused_and_changes_nothing(client, db):
    await client.post("/things", json={"name": "a"}, headers={"Idempotency-Key": "k"})
    other = await client.post("/things", json={"name": "b"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert await count(db) == 1


async def test_a_repeat_while_the_first_runs_is_409(client, db):
    headers = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(client.post("/things", json={"name": "slow"}, headers=headers) for _ in range(3))
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409]
    assert await count(db) == 1


async def test_a_reply_that_cannot_be_built_rolls_the_action_back_and_frees_the_key(client, db):
    headers = {"Idempotency-Key": "k"}
    broken = await client.post("/things", json={"name": "unspeakable"}, headers=headers)
    assert broken.status_code == 500
    assert await count(db) == 0
    good = await client.post("/things", json={"name": "fine"}, headers=headers)
    assert good.status_code == 201


@pytest.mark.parametrize("key", [None, "", "x" * 256, "a\tb"])
async def test_a_missing_or_odd_key_is_400(client, db, key):
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await client.post("/things", json={"name": "a"}, headers=headers)
    assert answer.status_code == 400
    assert await count(db) == 0


@pytest.mark.parametrize(
    ("match", "status"),
    [(None, 428), ('"3"', 201), ('"2"', 412), ('W/"3"', 412), ("3", 412), ('"x"', 412), ("*", 412)],
)
async def test_a_command_needs_the_current_etag(client, match, status):
    headers = {"Idempotency-Key": f"k{match}"} | ({"If-Match": match} if match else {})
    assert (await client.post("/things/1/grow", headers=headers)).status_code == status
    change = {"If-Match": match} if match else {}
    answer = await client.patch("/things/1", json={"name": "b"}, headers=change)
    assert answer.status_code == status


async def test_text_the_database_cannot_hold_is_422(client, db):
    answer = await client.post("/things", json={"name": "a\x00b"}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unstorable-value")
    assert await count(db) == 0
