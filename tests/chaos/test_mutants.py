"""Each guard taken away in turn: the histories of the same path must show it."""

import pytest

from tests.chaos.mutants import MUTANTS, WITH_ALL_GUARDS
from tests.chaos.run import scenario

pytestmark = pytest.mark.timeout(600)  # half a minute each, on a machine of their own


@pytest.mark.parametrize("name", list(MUTANTS))
async def test_without_a_guard_the_checker_finds_it(name, postgres, tmp_path):
    mutant = MUTANTS[name]
    found = await scenario(tmp_path, mutant, name, postgres)
    assert mutant.shows in found.counts, found.words


@pytest.mark.parametrize("name", list(WITH_ALL_GUARDS))
async def test_with_all_guards_the_same_faults_show_nothing(name, postgres, tmp_path):
    found = await scenario(tmp_path, WITH_ALL_GUARDS[name], None, postgres)
    assert found.words == []
