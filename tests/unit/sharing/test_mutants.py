"""What `make prove` leaves out of the compiler is in the compiler."""

import pytest

from tests.prove import mutants


@pytest.mark.parametrize("name", mutants.COMPILED)
def test_the_line_that_is_left_out_is_there_once(name):
    assert mutants.rewritten(name)
