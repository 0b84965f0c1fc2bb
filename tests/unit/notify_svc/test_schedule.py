from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.schedule import SCHEDULE_S, retry_after_s, wait_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@given(step=st.integers(0, 10), chance=st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_in_the_upper_half_of_its_step(step, chance):
    assert SCHEDULE_S[step] / 2 <= wait_s(SCHEDULE_S, step, chance) <= SCHEDULE_S[step]


def test_the_schedule_has_eleven_attempts_and_then_ends():
    assert wait_s(SCHEDULE_S, 10, 0.5) is not None
    assert wait_s(SCHEDULE_S, 11, 0.5) is None
    assert 72 * 3600 < sum(SCHEDULE_S) < 80 * 3600


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 30 ", 30),
        ("999999999999999999999", 3600),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2099 12:02:00 GMT", 3600),
        ("Sun, 01 Mar 2026 11:59:00 GMT", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date_and_never_beyond_an_hour(header, seconds):
    assert retry_after_s(header, NOW) == seconds
