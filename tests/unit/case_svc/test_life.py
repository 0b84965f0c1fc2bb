"""Transition tables and the code that reads them agree, whatever the order of commands."""

import pytest
from case_svc.domain import cases, needs, plan, tasks
from case_svc.domain.cases import CaseStatus, Command, InvalidTransition, Mode, Phase, TypeStatus
from case_svc.domain.classes import NoteKind, of_need, of_note
from case_svc.domain.needs import NeedCommand, NeedStatus
from case_svc.domain.plan import Achievement, ActivityStatus, GoalStatus
from case_svc.domain.tasks import TaskCommand, TaskStatus
from hypothesis import given
from hypothesis import strategies as st
from sharing import DataClass
from svckit.errors import Invalid

VERBS = [
    "requested",
    "accepted",
    "rejected",
    "cancelled",
    "started",
    "held",
    "resumed",
    "failed",
    "completed",
    "voided",
]


def attempt(move, *args):
    try:
        return move(*args)
    except InvalidTransition:
        return None


@given(st.sampled_from(CaseStatus), st.sampled_from(Command))
def test_a_case_moves_as_its_table_says(status, command):
    sources, target = cases.MOVES[command]
    assert attempt(cases.move, status, command) == (target if status in sources else None)


@given(st.lists(st.sampled_from(Command), max_size=30))
def test_the_cycle_counts_the_reopenings_and_never_falls(commands):
    status, cycle, reopened = CaseStatus.INTAKE, 1, 0
    for command in commands:
        if after := attempt(cases.move, status, command):
            status, cycle = after, cases.next_cycle(cycle, command)
            reopened += command is Command.REOPEN
    assert cycle == 1 + reopened


def test_only_a_closed_case_is_reopened_and_every_open_one_can_be_closed():
    for status in CaseStatus:
        closed = status is CaseStatus.CLOSED
        assert (attempt(cases.move, status, Command.REOPEN) is not None) == closed
        assert (attempt(cases.move, status, Command.CLOSE) is not None) == (not closed)


def test_a_closed_case_takes_no_new_work():
    with pytest.raises(cases.CaseClosed):
        cases.require_open(CaseStatus.CLOSED)
    for status in set(CaseStatus) - {CaseStatus.CLOSED}:
        cases.require_open(status)


@given(st.sampled_from(CaseStatus), st.sampled_from(Phase), st.sampled_from([None, *Phase]))
def test_an_adaptive_case_enters_any_phase_again_while_it_is_active(status, to, current):
    args = (status, Mode.ADAPTIVE, [str(each) for each in Phase], current, to)
    if status is CaseStatus.ACTIVE:
        cases.may_enter(*args)
    else:
        with pytest.raises(InvalidTransition):
            cases.may_enter(*args)


@given(st.sampled_from([None, *Phase]), st.sampled_from(Phase))
def test_a_standard_case_goes_back_at_will_and_ahead_by_one(current, to):
    order = list(Phase)
    ahead = order.index(to) - (order.index(current) if current else -1)
    args = (CaseStatus.ACTIVE, Mode.STANDARD, [str(each) for each in order], current, to)
    if ahead > 1:
        with pytest.raises(cases.PhaseOutOfOrder):
            cases.may_enter(*args)
    else:
        cases.may_enter(*args)


def test_a_phase_the_type_does_not_have_is_refused():
    with pytest.raises(Invalid):
        cases.may_enter(CaseStatus.ACTIVE, Mode.ADAPTIVE, ["assessment"], None, Phase.ADVOCACY)


def test_a_case_type_is_published_once_and_never_comes_back():
    assert cases.move_type(TypeStatus.DRAFT, "publish") is TypeStatus.PUBLISHED
    for status, command in (
        (TypeStatus.PUBLISHED, "publish"),
        (TypeStatus.RETIRED, "publish"),
        (TypeStatus.RETIRED, "retire"),
    ):
        with pytest.raises(InvalidTransition):
            cases.move_type(status, command)


@given(st.sampled_from(NeedStatus), st.sampled_from(NeedCommand))
def test_a_need_moves_as_its_table_says(status, command):
    sources, target = needs.MOVES[command]
    assert attempt(needs.move, status, command) == (target if status in sources else None)


def follow(status, happened, need_met=None, *, others=False):
    return needs.after_referral(status, happened, need_met, others_under_way=others)


@given(
    st.sampled_from(NeedStatus),
    st.sampled_from(VERBS),
    st.sampled_from([None, "yes", "no", "partly"]),
    st.booleans(),
)
def test_a_referral_meets_a_need_only_when_completed_with_the_need_met(
    status, happened, need_met, others
):
    after = follow(status, happened, need_met, others=others)
    helped = happened == "completed" and need_met == "yes"
    if status in (NeedStatus.MET, NeedStatus.WITHDRAWN):
        assert after is status
    else:
        assert (after is NeedStatus.MET) == helped


@given(st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from([None, "no", "partly"]))))
def test_no_number_of_referrals_without_help_closes_a_need(history):
    status = NeedStatus.OPEN
    for happened, need_met in history:
        status = follow(status, happened, need_met)
    assert status in {NeedStatus.OPEN, NeedStatus.IN_PROGRESS}


@pytest.mark.parametrize("end", ["rejected", "cancelled", "failed", "voided", "completed"])
def test_a_referral_that_closed_without_help_leaves_the_need_open(end):
    assert follow(NeedStatus.IN_PROGRESS, end) is NeedStatus.OPEN
    assert follow(NeedStatus.IN_PROGRESS, end, others=True) is NeedStatus.IN_PROGRESS


@given(st.sampled_from(GoalStatus), st.sampled_from(GoalStatus))
def test_a_goal_moves_as_its_table_says(status, to):
    allowed = to is status or to in plan.GOAL_MOVES[status]
    assert attempt(plan.move_goal, status, to) == (to if allowed else None)


@given(st.sampled_from(ActivityStatus), st.sampled_from(ActivityStatus))
def test_an_activity_moves_as_its_table_says(status, to):
    allowed = to is status or to in plan.ACTIVITY_MOVES[status]
    assert attempt(plan.move_activity, status, to) == (to if allowed else None)


def test_entered_in_error_is_the_end_and_reached_from_everywhere():
    for kind, table in ((GoalStatus, plan.GOAL_MOVES), (ActivityStatus, plan.ACTIVITY_MOVES)):
        assert set(table) == set(kind)
        for status in kind:
            is_error = status is kind.ENTERED_IN_ERROR
            assert (kind.ENTERED_IN_ERROR in table[status]) == (not is_error)
        assert not table[kind.ENTERED_IN_ERROR]


@given(st.sampled_from([None, *Achievement]), st.booleans())
def test_help_achieves_a_goal_and_missing_it_takes_nothing_back(current, met):
    after = plan.achievement_after(current, met=met)
    if met or current is Achievement.ACHIEVED:
        assert after is Achievement.ACHIEVED
    else:
        assert after is Achievement.NOT_ACHIEVED


@given(st.sampled_from(TaskStatus), st.sampled_from(TaskCommand))
def test_a_task_moves_as_its_table_says(status, command):
    assert attempt(tasks.move, status, command) == tasks.MOVES.get((status, command))


@given(st.lists(st.sampled_from(TaskCommand), max_size=20))
def test_a_finished_task_stays_finished(commands):
    status = TaskStatus.READY
    for command in commands:
        after = attempt(tasks.move, status, command)
        assert status in tasks.OPEN or after is None
        status = after or status


@given(st.sampled_from(NoteKind), st.sets(st.sampled_from(["SUD", "MH", "SDV"])))
def test_labels_only_ever_ask_for_more(kind, labels):
    plain, labelled = of_note(kind, []), of_note(kind, labels)
    assert labelled & plain == plain
    assert labelled & DataClass.NOTES
    assert bool(labelled & DataClass.SUBSTANCE_USE) == ("SUD" in labels)


def test_violence_is_a_matter_of_safety_even_without_a_label():
    assert of_need("intimate-partner-violence") == DataClass.NEEDS | DataClass.SAFETY
    assert of_need("food-insecurity") == DataClass.NEEDS
