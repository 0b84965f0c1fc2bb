"""What one answer does to a delivery: examples as the specification, properties for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.attempts import (
    Answer,
    DeliveryInProgress,
    EndpointDisabled,
    MessageExpired,
    Outcome,
    Standing,
    Status,
    judge,
    require_redeliverable,
)
from notify_svc.domain.schedule import SCHEDULE_S

FRESH = Standing(step=0, enabled=True, expired=False, window=4)

answers = st.builds(
    Answer,
    status=st.none() | st.integers(100, 599),
    error=st.none() | st.sampled_from(["timeout", "connection", "tls", "redirect"]),
    retry_after_s=st.none() | st.floats(0, 3600),
)
standings = st.builds(
    Standing,
    step=st.integers(0, 20),
    enabled=st.booleans(),
    expired=st.booleans(),
    window=st.integers(1, 16),
)


def judged(answer, at=FRESH):
    return judge(answer, at, SCHEDULE_S, 0.5)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_2xx_delivers(status):
    assert judged(Answer(status)).status is Status.DELIVERED


@pytest.mark.parametrize("status", [100, 199, 301, 302, 307, 308, 400, 401, 404, 500, 503])
def test_anything_else_is_a_failure_and_is_tried_again(status):
    verdict = judged(Answer(status))
    assert (verdict.status, verdict.outcome, verdict.step) == (Status.PENDING, Outcome.FAILED, 1)
    assert 2.5 <= verdict.wait_s <= 5


def test_the_eleventh_failure_exhausts_the_delivery():
    last = Standing(step=10, enabled=True, expired=False, window=4)
    assert judged(Answer(500), last).status is Status.EXHAUSTED


def test_410_disables_the_endpoint_and_holds_the_delivery():
    verdict = judged(Answer(410))
    assert (verdict.status, verdict.disable) == (Status.HELD, "gone")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_of_a_busy_receiver_is_honoured_and_consumes_no_attempt(status):
    verdict = judged(Answer(status, retry_after_s=42))
    assert (verdict.outcome, verdict.step, verdict.wait_s) == (Outcome.DEFERRED, 0, 42)


def test_retry_after_of_another_failure_is_ignored():
    assert judged(Answer(500, retry_after_s=42)).step == 1


def test_a_failure_of_a_disabled_endpoint_is_held_not_retried():
    assert judged(Answer(500), Standing(0, False, False, 4)).status is Status.HELD


def test_a_busy_receiver_cannot_keep_an_expired_message_alive():
    verdict = judged(Answer(503, retry_after_s=1), Standing(0, True, True, 4))
    assert (verdict.status, verdict.reason) == (Status.EXPIRED, "expired")


def test_timeouts_halve_the_window_and_successes_open_it_again():
    slow = judged(Answer(error="timeout"))
    assert slow.window == 2
    assert judged(Answer(200), Standing(0, True, False, slow.window)).window == 3


def test_above_its_first_size_a_window_grows_by_one_in_a_round_of_it():
    at = Standing(0, True, False, 8)
    grown = [judge(Answer(200), at, SCHEDULE_S, chance / 80).window for chance in range(80)]
    assert (grown.count(9), grown.count(8)) == (10, 70)
    assert judge(Answer(200), Standing(0, True, False, 16), SCHEDULE_S, 0).window == 16


@pytest.mark.parametrize("error", ["egress-proxy", "secret-unavailable"])
def test_a_fault_of_ours_is_charged_to_nobody(error):
    verdict = judged(Answer(error=error))
    assert (verdict.outcome, verdict.status, verdict.step) == (Outcome.DEFERRED, Status.PENDING, 0)
    assert 5 <= verdict.wait_s <= 10


@given(answers, standings)
def test_only_a_2xx_ever_delivers(answer, at):
    assert (judged(answer, at).status is Status.DELIVERED) == answer.is_success


@given(answers, standings)
def test_a_window_stays_between_one_and_sixteen_and_steps_never_fall(answer, at):
    verdict = judged(answer, at)
    assert 1 <= verdict.window <= 16
    assert at.step <= verdict.step <= at.step + 1


@given(answers, standings)
def test_a_disabled_endpoint_never_gets_another_attempt(answer, at):
    if not at.enabled:
        assert judged(answer, at).status in {Status.DELIVERED, Status.HELD}


@pytest.mark.parametrize("status", [Status.PENDING, Status.SENDING])
def test_what_is_under_way_cannot_be_redelivered(status):
    with pytest.raises(DeliveryInProgress):
        require_redeliverable(status, enabled=True, expired=False)


def test_redelivery_needs_an_enabled_endpoint_and_a_message_in_its_time():
    require_redeliverable(Status.DELIVERED, enabled=True, expired=False)
    with pytest.raises(EndpointDisabled):
        require_redeliverable(Status.EXHAUSTED, enabled=False, expired=False)
    with pytest.raises(MessageExpired):
        require_redeliverable(Status.EXHAUSTED, enabled=True, expired=True)
