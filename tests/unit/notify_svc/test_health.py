"""When we stop asking an endpoint, when we ask again, and which lane it is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.attempts import Answer
from notify_svc.domain.health import Breaker, Health, after, p95_ms, pause_s
from notify_svc.domain.schedule import SCHEDULE_S

WELL = Health(Breaker.CLOSED, 0, 0, ())
DOWN, UP = Answer(error="connection"), Answer(204)


def met(health, *answers, took_s=0.01):
    for answer in answers:
        health = after(health, answer, took_s, opens_after=5)
    return health


def test_five_failures_in_a_row_open_the_breaker():
    assert met(WELL, *[DOWN] * 4).breaker is Breaker.CLOSED
    assert met(WELL, *[DOWN] * 5).breaker is Breaker.OPEN


def test_one_answer_between_them_begins_the_count_anew():
    assert met(WELL, *[DOWN] * 4, UP, *[DOWN] * 4).breaker is Breaker.CLOSED


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_an_overloaded_or_broken_receiver_counts_as_failing(status):
    assert met(WELL, *[Answer(status)] * 5).breaker is Breaker.OPEN


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 410, 422])
def test_a_receiver_that_refuses_the_message_is_there(status):
    assert met(WELL, *[Answer(status)] * 9).breaker is Breaker.CLOSED


def test_a_probe_that_fails_opens_it_again_and_one_that_succeeds_closes_it():
    probing = Health(Breaker.HALF_OPEN, 5, 1, ())
    again = met(probing, DOWN)
    assert (again.breaker, again.opened) == (Breaker.OPEN, 2)
    closed = met(probing, UP)
    assert (closed.breaker, closed.failures, closed.opened) == (Breaker.CLOSED, 0, 0)


def test_what_was_under_way_when_it_opened_does_not_lengthen_the_pause():
    assert met(WELL, *[DOWN] * 9).opened == 1


def test_the_pauses_follow_the_schedule_to_five_minutes():
    assert [pause_s(SCHEDULE_S, opened) for opened in (1, 2, 3, 4, 40)] == [5, 60, 300, 300, 300]
    assert pause_s((0.0,), 3) == 0


def test_one_slow_answer_in_twenty_is_no_slow_endpoint_and_two_are():
    quick = met(WELL, *[UP] * 19)
    assert not met(quick, UP, took_s=9).is_slow
    assert met(met(quick, UP, took_s=9), UP, took_s=9).is_slow


def test_an_endpoint_is_quick_again_after_twenty_quick_answers():
    slow = met(WELL, *[UP] * 20, took_s=6)
    assert slow.p95_ms == 6000
    assert not met(slow, *[UP] * 20).is_slow


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=40))
def test_the_percentile_is_one_of_them_and_at_most_one_in_twenty_is_greater(recent):
    found = p95_ms(recent)
    assert found in recent
    assert sum(each > found for each in recent) <= len(recent) / 20


@given(st.lists(st.sampled_from([DOWN, UP, Answer(503), Answer(404)]), max_size=40))
def test_a_sign_of_life_always_closes_and_only_failures_open(answers):
    health = met(WELL, *answers)
    if answers and answers[-1] in (UP, Answer(404)):
        assert health.breaker is Breaker.CLOSED
    if health.breaker is Breaker.OPEN:
        assert health.failures >= 5
