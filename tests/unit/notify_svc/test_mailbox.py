"""When a worker is written to."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from notify_svc.domain.mailbox import (
    SCHEDULE_S,
    Answer,
    Hours,
    MailStatus,
    day_of,
    is_zone,
    judge,
    next_digest,
    quiet_until,
)

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]
)
INSTANTS = st.datetimes(
    min_value=datetime.fromisoformat("2024-01-01"),
    max_value=datetime.fromisoformat("2030-01-01"),
    timezones=st.just(UTC),
)
CLOCKS = st.builds(time, st.integers(0, 23), st.integers(0, 59))


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@given(zone=ZONES, hour=st.integers(0, 23), now=INSTANTS)
# summer time begins: the hour from 2 to 3 is not there
@example(zone="Europe/Berlin", hour=2, now=at("2026-03-28T23:30"))
def test_the_next_digest_is_within_a_day_or_so_at_its_hour(zone, hour, now):
    found = next_digest(Hours(zone, hour), now)
    assert now < found <= now + timedelta(hours=26)
    local = found.astimezone(ZoneInfo(zone))
    swallowed = not _exists(local.replace(hour=hour, minute=0), zone)
    assert local.hour == hour or swallowed


def _exists(local, zone):
    naive = local.replace(tzinfo=None)
    back = naive.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
    return back.replace(tzinfo=None) == naive


@given(zone=ZONES, hour=st.integers(0, 23), now=INSTANTS)
def test_there_is_one_digest_in_each_of_the_workers_days(zone, hour, now):
    hours = Hours(zone, hour)
    first = next_digest(hours, now)
    assert day_of(hours, next_digest(hours, first)) > day_of(hours, first)


@given(zone=ZONES, begin=CLOCKS, end=CLOCKS, now=INSTANTS)
@example(zone="Europe/Berlin", begin=time(1), end=time(2, 30), now=at("2026-03-29T00:15"))
@example(zone="Europe/Berlin", begin=time(2), end=time(2, 30), now=at("2026-10-25T01:15"))
def test_quiet_hours_end_and_then_mails_go_out(zone, begin, end, now):
    hours = Hours(zone, 7, begin, end)
    until = quiet_until(hours, now)
    if until is None:
        return
    assert now < until <= now + timedelta(hours=26)
    assert quiet_until(hours, until) is None or quiet_until(hours, until) > until


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-05-04T19:59", None),
        ("2026-05-04T20:00", "2026-05-05T07:00"),
        ("2026-05-05T00:30", "2026-05-05T07:00"),
        ("2026-05-05T06:59", "2026-05-05T07:00"),
        ("2026-05-05T07:00", None),
    ],
)
def test_a_quiet_night_goes_over_midnight(now, until):
    hours = Hours("America/New_York", 7, time(20), time(7))
    expected = at(until, "America/New_York") if until else None
    assert quiet_until(hours, at(now, "America/New_York")) == expected


def test_no_hours_or_none_between_are_no_quiet():
    assert quiet_until(Hours("UTC", 7), at("2026-05-05T00:30")) is None
    assert quiet_until(Hours("UTC", 7, time(9), time(9)), at("2026-05-05T09:00")) is None


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC"])
def test_a_zone_is_one_of_the_database(name):
    assert is_zone(name)


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "", "/etc/localtime", "x\x00y"])
def test_what_is_no_zone_is_none(name):
    assert not is_zone(name)


def test_a_mail_is_tried_as_often_as_the_schedule_says():
    step, seen = 0, []
    while True:
        verdict = judge(Answer(code=451), step, 0.999, SCHEDULE_S)
        seen.append(verdict.status)
        if verdict.status is MailStatus.FAILED:
            break
        assert SCHEDULE_S[verdict.step] / 2 <= verdict.wait_s <= SCHEDULE_S[verdict.step]
        step = verdict.step
    assert len(seen) == len(SCHEDULE_S)
    assert verdict.reason == "status-451"


def test_a_final_refusal_is_final_and_a_broken_line_is_not():
    assert judge(Answer(code=550), 0, 0.5, SCHEDULE_S).status is MailStatus.FAILED
    assert judge(Answer(error="timeout"), 0, 0.5, SCHEDULE_S).status is MailStatus.PENDING
    assert judge(Answer(code=250), 3, 0.5, SCHEDULE_S).status is MailStatus.SENT
