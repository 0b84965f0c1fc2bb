"""How far an endpoint is from being disabled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.standing import LEVELS, State, failing_percent, state_of

THREE_DAYS = 72 * 3600


@pytest.mark.parametrize(
    ("messages", "hours", "percent"),
    [
        (10, 72, 100),
        (10, 71, 75),
        (9, 500, 75),
        (500, 54, 75),
        (8, 54, 75),
        (7, 54, 50),
        (5, 36, 50),
        (4, 500, 0),
        (500, 35, 0),
        (0, 0, 0),
    ],
)
def test_both_have_to_reach_a_level(messages, hours, percent):
    found = failing_percent(failed_messages=messages, silent_s=hours * 3600, limit_s=THREE_DAYS)
    assert found == percent


@given(
    st.integers(0, 30), st.floats(0, 10 * THREE_DAYS), st.integers(0, 5), st.floats(0, THREE_DAYS)
)
def test_it_never_falls_as_long_as_it_fails(messages, silent_s, more, later_s):
    def at(messages, silent_s):
        return failing_percent(failed_messages=messages, silent_s=silent_s, limit_s=THREE_DAYS)

    assert at(messages, silent_s) in {0, *LEVELS}
    assert at(messages + more, silent_s + later_s) >= at(messages, silent_s)


def test_a_state_is_one_of_three():
    assert state_of(enabled=True, is_asked=False) is State.ENABLED
    assert state_of(enabled=False, is_asked=True) is State.PENDING_VERIFICATION
    assert state_of(enabled=False, is_asked=False) is State.DISABLED
