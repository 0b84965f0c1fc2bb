"""Nothing differs: the evaluator, compiled SQL, the decider, Cedar and the oracle on every cell.

One cell is one class of one decision. PROVE_ONE_IN=n proves one scenario in n; PROVE_SEED draws
others. Both are printed.
"""

import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
from sharing import sql
from svckit import testing
from svckit.db import Database

from tests.prove import cedar, compare, in_sql, mutants, space
from tests.service.sharing import probe

ONE_IN = int(os.environ.get("PROVE_ONE_IN", "1"))
SEED = int(os.environ.get("PROVE_SEED", "20260601"))
CORES = min(2, os.cpu_count() or 1)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def report(capsys):
    def tell(what, count, seconds):
        with capsys.disabled():
            share = 100 * count.shown / count.cells
            print(
                f"\n{what}: {count.cells:,} cells, {share:.1f} % shown, "
                f"{len(count.differences)} mismatches, {seconds:.0f} s, seed {SEED}"
            )
        assert not count.differences, "\n".join(count.differences)
        assert 1 < share < 60, "a matrix that nearly always says one thing is weak"

    return tell


def at_least(cells, wanted):
    """The sizes that the whole proof promises; a part of it promises its part."""
    assert cells >= wanted // ONE_IN


def spread(work, numbers):
    """Do the work on all cores, in chunks; return the counts as one."""
    size = max(1, min(600, len(numbers) // (4 * CORES)))
    chunks = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    total = compare.NOTHING
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        for count in pool.map(work, chunks):
            total = total.plus(count)
    return total


def test_the_evaluator_and_the_oracle_agree_on_the_whole_space(report):
    numbers = list(range(space.SCENARIOS))
    random.Random(SEED).shuffle(numbers)
    started = time.monotonic()
    count = spread(compare.scenarios, numbers[:: max(1, ONE_IN)])
    report("evaluator and oracle", count, time.monotonic() - started)
    at_least(count.cells, 10_000_000)


def test_they_agree_on_several_grants_and_directives_at_once(report):
    started = time.monotonic()
    count = spread(partial(compare.mixtures, SEED), range(4_000 // ONE_IN))
    report("mixtures", count, time.monotonic() - started)


def test_the_decider_and_the_evaluator_agree(report):
    started = time.monotonic()
    count = compare.decider(SEED, 2_000 // ONE_IN)
    report("decider", count, time.monotonic() - started)


async def fill(url, known):
    database = Database(url, pool_size=1)
    await probe.create(database)
    async with database.begin() as tx:
        await probe.load(tx, known[0])
        await probe.analyze(tx)
    await database.dispose()


async def ask(url, known, **more):
    database = Database(url, pool_size=1)
    try:
        async with database.read() as tx:
            return await in_sql.compared(tx, known, **more)
    finally:
        await database.dispose()


def test_compiled_sql_and_the_oracle_agree_on_postgresql(empty_database, report):
    started = time.monotonic()
    known = in_sql.world(SEED, max(100, 1_000 // ONE_IN))
    url = empty_database()
    testing.apart(fill(url, known))
    count = testing.apart(ask(url, known))
    report("compiled SQL and oracle", count, time.monotonic() - started)
    at_least(count.cells, 1_000_000)


def test_cedar_and_the_oracle_agree(report):
    started = time.monotonic()
    count = spread(cedar.compared, space.drawn(SEED, max(20, 200 // ONE_IN)))
    report("Cedar and oracle", count, time.monotonic() - started)
    at_least(count.cells, 100_000)


@pytest.fixture(scope="module")
def sampled(empty_database):
    """A sample of the space on PostgreSQL, and a way to ask a weaker rule or compiler about it."""
    readers = [one for one in space.READERS if one["purpose"] in {"TREAT", "COC", "BTG", "HOPERAT"}]
    known = in_sql.world(SEED, 500)
    url = empty_database()
    testing.apart(fill(url, known))

    def differs(rule=None):
        asked = ask(url, known, readers=readers, rule=rule, enough=1)
        return bool(testing.apart(asked).differences)

    return differs


def test_the_rule_without_any_one_part_is_noticed(sampled, capsys):
    """A sample of the space through compiled SQL: every clause, factor and branch counts."""
    assert not sampled()
    tried = {name: sampled(rule) for name, rule in mutants.weaker()}
    missed = [name for name, noticed in tried.items() if not noticed]
    with capsys.disabled():
        print(
            f"\nmutants: {len(tried)} weaker rules, {len(tried) - len(missed)} noticed, seed {SEED}"
        )
        for name in missed:
            print(f"  not to be told from the rule: {name}: {mutants.EQUIVALENT.get(name, '?')}")
    assert missed == list(mutants.EQUIVALENT)


def test_the_compiler_without_any_one_line_is_noticed(sampled, monkeypatch, capsys):
    """What no clause says and the compiler decides: order, periods, subsumption, custodian, party."""
    missed = []
    for name, (module, _, _) in mutants.COMPILED.items():
        with monkeypatch.context() as patch:
            made = mutants.rewritten(name)
            if module is sql:
                patch.setattr(sql, "shared", made.shared)
                patch.setattr(sql, "may_see", made.may_see)
            else:
                patch.setattr(sql, "Compiler", made.Compiler)
            if not sampled():
                missed.append(name)
    with capsys.disabled():
        tried = len(mutants.COMPILED)
        print(f"\nmutants: {tried} weaker compilers, {tried - len(missed)} noticed, seed {SEED}")
    assert missed == []
