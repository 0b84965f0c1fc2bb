"""What waits for a commit is committed together, and what cannot be committed is told to be so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from gateway.batches import Batches
from gateway.queries.identity import Use, use_proofs
from svckit.clock import now
from svckit.errors import Unavailable


def away() -> Unavailable:
    return Unavailable("not noted")


def use(jti: str, key: str = "a") -> Use:
    return Use(key, jti, now() + timedelta(minutes=1))


@pytest.fixture(scope="module")
def url(database_for: Callable[[str], str]) -> str:
    return database_for("gateway")


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Any]:
    found = await asyncpg.connect(url)
    yield found
    await found.close()


@pytest.fixture
def uses(url: str) -> Batches[Use, bool]:
    return Batches("proofs", url, use_proofs, away)


async def test_of_the_same_proof_in_one_statement_the_first_counts(connection: Any) -> None:
    found = await use_proofs(connection, [use("same"), use("other"), use("same"), use("same", "b")])
    assert found == [True, True, False, True]
    assert await use_proofs(connection, [use("new"), use("same")]) == [True, False]


async def test_many_that_wait_share_commits_and_each_gets_its_own_word(
    uses: Batches[Use, bool], connection: Any
) -> None:
    async with uses.running():
        waiting = [uses.add(use(f"many-{n % 100}")) for n in range(300)]
        found = await asyncio.gather(*waiting)
    assert [found[n::100].count(True) for n in range(100)] == [1] * 100
    count = "SELECT count(*), count(DISTINCT xmin::text) FROM proof_use WHERE jti LIKE 'many-%'"
    rows, commits = await connection.fetchrow(count)
    assert rows == 100
    assert commits < 10


async def test_where_items_come_upon_one_another_commits_keep_a_distance(
    url: str, connection: Any
) -> None:
    uses = Batches("proofs", url, use_proofs, away, apart_s=0.5)
    async with uses.running():
        await asyncio.gather(*(uses.add(use(f"crowd-{n}")) for n in range(2)))
        waiting = []
        for n in range(2, 22):
            waiting.append(uses.add(use(f"crowd-{n}")))
            # long enough for a commit
            await connection.execute("SELECT pg_sleep(0.005)")
        assert all(await asyncio.gather(*waiting))
    count = "SELECT count(DISTINCT xmin::text) FROM proof_use WHERE jti LIKE 'crowd-%'"
    assert await connection.fetchval(count) < 5


async def test_what_comes_alone_does_not_wait(url: str) -> None:
    uses = Batches("proofs", url, use_proofs, away, apart_s=60)
    async with uses.running():
        for n in range(3):
            assert await asyncio.wait_for(uses.add(use(f"alone-{n}")), 20)


async def test_a_use_is_committed_when_it_is_told(
    uses: Batches[Use, bool], connection: Any
) -> None:
    async with uses.running():
        assert await uses.add(use("told"))
        assert await connection.fetchval("SELECT count(*) FROM proof_use WHERE jti = 'told'") == 1


async def test_two_processes_never_both_have_it_first(url: str) -> None:
    both = [Batches("proofs", url, use_proofs, away) for _ in range(2)]
    async with both[0].running(), both[1].running():
        # in opposite orders: neither may wait for what the other waits for
        orders = [range(200), reversed(range(200))]
        waiting = [
            each.add(use(f"both-{n}"))
            for each, order in zip(both, orders, strict=True)
            for n in order
        ]
        found = await asyncio.gather(*waiting)
    assert [found[n] + found[399 - n] for n in range(200)] == [1] * 200


async def test_a_database_that_went_is_told_and_the_next_batch_is_tried_anew(
    uses: Batches[Use, bool], connection: Any
) -> None:
    async with uses.running():
        assert await uses.add(use("before"))
        async with connection.transaction():
            await connection.execute("LOCK TABLE proof_use IN ACCESS EXCLUSIVE MODE")
            held = uses.add(use("during"))
            while not await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
                " WHERE relation = 'proof_use'::regclass AND NOT granted"
            ):
                await asyncio.sleep(0.02)
        with pytest.raises(Unavailable):
            await held
        assert await uses.add(use("after"))


async def test_before_it_runs_nothing_is_taken(uses: Batches[Use, bool]) -> None:
    with pytest.raises(Unavailable):
        uses.add(use("early"))
