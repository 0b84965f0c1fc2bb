"""Every (state, target state, party) against the table as the guide prints it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from referral_svc.domain.referral import (
    MOVES,
    REQUEST_STATUS,
    InvalidTransition,
    NeedMet,
    Outcome,
    OutcomeMissing,
    Party,
    ReasonMissing,
    Status,
    WrongParty,
    deadline,
    is_overdue,
    move,
)

# Gravity SDOH Clinical Care 3.0.0, SDOHCC-TaskForReferralManagement, kept apart from the code's
# own table: "from > to: who", R the requester, T the target.
PRINTED = """
- > draft: R
- > requested: R
draft > requested: R
requested > accepted: T
requested > rejected: T
requested > cancelled: R T
accepted > in-progress: T
accepted > on-hold: T
accepted > completed: T
accepted > failed: T
accepted > cancelled: R T
in-progress > on-hold: T
in-progress > completed: T
in-progress > failed: T
in-progress > cancelled: R T
on-hold > in-progress: T
on-hold > completed: T
on-hold > failed: T
on-hold > cancelled: R T
"""
WHO = {"R": Party.REQUESTER, "T": Party.OWNER}
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)
TOLD = Outcome(need_met=NeedMet.YES)

states = st.one_of(st.none(), st.sampled_from(Status))


def printed() -> set[tuple[str, str, Party]]:
    found = set()
    for line in PRINTED.strip().splitlines():
        pair, who = line.split(":")
        since, to = (part.strip() for part in pair.split(">"))
        found |= {(since, to, WHO[letter]) for letter in who.split()}
    any_state = {state.value for state in Status} - {"entered-in-error"}
    return found | {(state, "entered-in-error", Party.REQUESTER) for state in any_state}


ALLOWED = printed()


@given(states, st.sampled_from(Status), st.sampled_from(Party))
def test_code_and_printed_table_agree_on_every_triple(
    state: Status | None, to: Status, party: Party
) -> None:
    told = state.value if state else "-"
    if (told, to.value, party) in ALLOWED:
        assert move(state, to, party, reason="because", outcome=TOLD) is to
        return
    with pytest.raises((InvalidTransition, WrongParty)) as refused:
        move(state, to, party, reason="because", outcome=TOLD)
    other = Party.OWNER if party is Party.REQUESTER else Party.REQUESTER
    assert isinstance(refused.value, WrongParty) == ((told, to.value, other) in ALLOWED)


def test_the_tables_hold_the_same_moves() -> None:
    ours = {
        (since.value if since else "-", to.value, party)
        for (since, to), parties in MOVES.items()
        for party in parties
    }
    assert ours == ALLOWED


@pytest.mark.parametrize("state", ["rejected", "cancelled", "completed", "failed"])
def test_an_ended_referral_can_only_be_voided(state: str) -> None:
    assert _next(Status(state), Party.OWNER) == []
    assert _next(Status(state), Party.REQUESTER) == [Status.ENTERED_IN_ERROR]


def test_a_voided_referral_stays_voided() -> None:
    assert not _next(Status.ENTERED_IN_ERROR, Party.REQUESTER)


def _next(state: Status, party: Party) -> list[Status]:
    return [to for (since, to), setters in MOVES.items() if since is state and party in setters]


def test_an_invalid_move_tells_the_current_state() -> None:
    with pytest.raises(InvalidTransition) as refused:
        move(Status.COMPLETED, Status.ACCEPTED, Party.OWNER)
    assert refused.value.extra == {"current_status": "completed"}


@pytest.mark.parametrize(
    ("since", "to"),
    [
        ("requested", "rejected"),
        ("requested", "cancelled"),
        ("accepted", "on-hold"),
        ("in-progress", "failed"),
    ],
)
@pytest.mark.parametrize("reason", [None, "", "   "])
def test_a_negative_move_needs_a_reason(since: str, to: str, reason: str | None) -> None:
    with pytest.raises(ReasonMissing) as refused:
        move(Status(since), Status(to), Party.OWNER, reason=reason)
    assert refused.value.errors[0].pointer == "#/reason"


@pytest.mark.parametrize(
    "outcome", [None, Outcome(), Outcome(activity_system="http://snomed.info/sct")]
)
def test_a_completed_referral_needs_an_outcome(outcome: Outcome | None) -> None:
    with pytest.raises(OutcomeMissing):
        move(Status.IN_PROGRESS, Status.COMPLETED, Party.OWNER, outcome=outcome)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(activity_code="710925007"),
        Outcome(activity_text="Food parcel handed out"),
        Outcome(need_met=NeedMet.NO),
        Outcome(outcome_code="enrolled"),
    ],
)
def test_any_one_outcome_completes(outcome: Outcome) -> None:
    assert move(Status.ACCEPTED, Status.COMPLETED, Party.OWNER, outcome=outcome)


def test_the_request_follows_every_state_of_the_task() -> None:
    assert set(REQUEST_STATUS) == set(Status)
    assert REQUEST_STATUS[Status.ON_HOLD].value == "on-hold"
    assert REQUEST_STATUS[Status.CANCELLED].value == "revoked"
    assert REQUEST_STATUS[Status.COMPLETED].value == "completed"


@given(st.sampled_from(Status), st.integers(-3, 3), st.integers(-3, 3))
def test_only_a_waiting_referral_is_overdue(status: Status, accept: int, start: int) -> None:
    accept_by, start_by = NOW + timedelta(hours=accept), NOW + timedelta(hours=start)
    late = is_overdue(status, accept_by, start_by, NOW)
    assert late == (
        (status is Status.REQUESTED and accept < 0) or (status is Status.ACCEPTED and start < 0)
    )


def test_a_referral_without_deadlines_is_never_overdue() -> None:
    assert not any(is_overdue(status, None, None, NOW) for status in Status)


def test_a_deadline_asked_for_wins_over_the_default() -> None:
    asked = NOW + timedelta(hours=1)
    assert deadline(asked, NOW, 72) == asked
    assert deadline(None, NOW, 72) == NOW + timedelta(hours=72)
