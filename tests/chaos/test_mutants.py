"""Each guard taken away in turn: the histories of the same path must show it."""

import pytest

from tests.chaos.mutants import MUTANTS, PATH, WITH_ALL_GUARDS
from tests.chaos.run import scenario

pytestmark = pytest.mark.timeout(600)  # half a minute each, on a machine of their own
# of the sender's guards the one whose absence showed every time; the others: docs/reliability.md
FOUND = [*(name for name, mutant in MUTANTS.items() if mutant.roles is PATH), "write-ahead"]


@pytest.mark.parametrize("name", FOUND)
async def test_without_a_guard_the_checker_finds_it(name, postgres, tmp_path):
    mutant = MUTANTS[name]
    found = await scenario(tmp_path, mutant, name, postgres)
    assert mutant.shows in found.counts, found.words


async def test_with_all_guards_a_run_without_faults_shows_nothing(postgres, tmp_path):
    found = await scenario(tmp_path, WITH_ALL_GUARDS["no fault at all"], None, postgres)
    assert found.words == []
