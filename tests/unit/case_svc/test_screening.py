"""The rules of the instruments, one answer at a time and under arbitrary answers."""

import pytest
from case_svc.domain.screening import INSTRUMENTS, Answer, Change, Finding, compare, screen
from case_svc.domain.screening.instruments import HITS_QUESTIONS, PHQ2_QUESTIONS
from hypothesis import given
from hypothesis import strategies as st
from sharing.labels import Label
from svckit.errors import Invalid


def found(instrument, *answers):
    result = screen(instrument, [Answer(*each) for each in answers])
    return {each.code: each for each in result.findings}


def positives(instrument, *answers):
    return {code for code, each in found(instrument, *answers).items() if each.positive}


# standards digest 6.1-6.3: the answers in bold, and the domain each belongs to
POSITIVE = [
    ("ahc-hrsn", "71802-3", "LA31994-9", "housing-instability"),
    ("ahc-hrsn", "71802-3", "LA31995-6", "homelessness"),
    *(
        ("ahc-hrsn", "96778-6", answer, "inadequate-housing")
        for answer in (
            "LA31996-4",
            "LA28580-1",
            "LA31997-2",
            "LA31998-0",
            "LA31999-8",
            "LA32000-4",
            "LA32001-2",
        )
    ),
    *(
        (instrument, question, answer, "food-insecurity")
        for instrument in ("ahc-hrsn", "hunger-vital-sign")
        for question in ("88122-7", "88123-5")
        for answer in ("LA28397-0", "LA6729-3")
    ),
    ("hunger-vital-sign", "88124-3", "LA19952-3", "food-insecurity"),
    ("ahc-hrsn", "93030-5", "LA33-6", "transportation-insecurity"),
    ("ahc-hrsn", "96779-4", "LA33-6", "utility-insecurity"),
    ("ahc-hrsn", "96779-4", "LA32002-0", "utility-insecurity"),
    ("prapare", "71802-3", "LA30190-5", "homelessness"),
    ("prapare", "93033-9", "LA33-6", "housing-instability"),
    ("prapare", "93031-3", "LA30125-1", "food-insecurity"),
    ("prapare", "93031-3", "LA30126-9", "material-hardship"),
    ("prapare", "93031-3", "LA30124-4", "utility-insecurity"),
    ("prapare", "93031-3", "LA30127-7", "material-hardship"),
    ("prapare", "93031-3", "LA30128-5", "medical-cost-burden"),
    ("prapare", "93031-3", "LA30129-3", "digital-access"),
    ("prapare", "93030-5", "LA30133-5", "transportation-insecurity"),
    ("prapare", "93030-5", "LA30134-3", "transportation-insecurity"),
    ("prapare", "93029-7", "LA27722-0", "social-connection"),
    ("prapare", "93029-7", "LA30130-1", "social-connection"),
    ("prapare", "93038-8", "LA13902-4", "stress"),
    ("prapare", "93038-8", "LA13914-9", "stress"),
    ("prapare", "76501-6", "LA33-6", "intimate-partner-violence"),
    ("prapare", "67875-5", "LA17956-6", "employment-status"),
    ("prapare", "76437-3", "LA30194-7", "health-insurance-coverage-status"),
]
NEGATIVE = [
    ("ahc-hrsn", "71802-3", "LA31993-1", "homelessness"),
    ("ahc-hrsn", "96778-6", "LA9-3", "inadequate-housing"),
    ("ahc-hrsn", "88122-7", "LA28398-8", "food-insecurity"),
    ("ahc-hrsn", "93030-5", "LA32-8", "transportation-insecurity"),
    ("prapare", "71802-3", "LA30189-7", "homelessness"),
    ("prapare", "93038-8", "LA13909-9", "stress"),
    ("prapare", "93029-7", "LA30131-9", "social-connection"),
    ("hunger-vital-sign", "88124-3", "LA19983-8", "food-insecurity"),
]


@pytest.mark.parametrize(("instrument", "question", "answer", "need"), POSITIVE)
def test_a_positive_answer_finds_its_need_and_no_other(instrument, question, answer, need):
    assert positives(instrument, (question, answer)) == {need}


@pytest.mark.parametrize(("instrument", "question", "answer", "need"), NEGATIVE)
def test_a_negative_answer_denies_its_need(instrument, question, answer, need):
    assert found(instrument, (question, answer))[need].positive is False


def test_one_question_has_other_answers_in_another_instrument():
    with pytest.raises(Invalid):
        screen("prapare", [Answer("71802-3", "LA31995-6")])
    with pytest.raises(Invalid):
        screen("ahc-hrsn", [Answer("71802-3", "LA30190-5")])


@pytest.mark.parametrize(
    ("points", "positive"),
    [
        (["LA10082-8", "LA10082-8", "LA10066-1", "LA10066-1"], False),  # 3 + 3 + 2 + 2 = 10
        (["LA10082-8", "LA10082-8", "LA10082-8", "LA10066-1"], True),  # 3 + 3 + 3 + 2 = 11
    ],
)
def test_the_safety_sum_is_positive_above_ten(points, positive):
    answers = zip(HITS_QUESTIONS, points, strict=True)
    finding = found("ahc-hrsn", *answers)["intimate-partner-violence"]
    assert (finding.positive, finding.label) == (positive, Label.SDV)
    assert finding.score == (11 if positive else 10)


def test_an_incomplete_sum_is_unknown_unless_it_is_high_enough_already():
    def safety(*answers):
        given_answers = zip(HITS_QUESTIONS, answers, strict=False)
        return found("ahc-hrsn", *given_answers)["intimate-partner-violence"]

    assert safety("LA6270-8").positive is None
    assert safety("LA6482-9", "LA6482-9", "LA6270-8").positive is True
    assert safety("LA6482-9").score is None


def test_two_answers_of_three_points_call_for_a_further_assessment_and_open_no_need():
    answers = [(PHQ2_QUESTIONS[0], "LA6570-1"), (PHQ2_QUESTIONS[1], "LA6569-3")]
    finding = found("ahc-hrsn", *answers)["depression-screen"]
    assert (finding.positive, finding.need, finding.label) == (True, None, Label.MH)


def test_safety_substance_and_mental_answers_are_labelled_when_they_come_in():
    result = screen(
        "ahc-hrsn",
        [
            Answer("95618-5", "LA6270-8"),
            Answer("68517-2", "LA6270-8"),
            Answer("44250-9", "LA6568-5"),
            Answer("93030-5", "LA32-8"),
        ],
    )
    assert [each.label for each in result.answers] == [Label.SDV, Label.SUD, Label.MH, None]
    unsafe = screen("prapare", [Answer("93026-3", "LA32-8")])
    assert unsafe.answers[0].label is Label.SDV
    assert [each.label for each in unsafe.needs()] == [Label.SDV]


def test_declining_to_answer_tells_nothing():
    assert found("prapare", ("71802-3", "LA30122-8"))["homelessness"].positive is None
    assert found("hunger-vital-sign", ("88122-7", "LA15775-2"))["food-insecurity"].positive is None


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([("88122-7", "LA28397-0"), ("88122-7", "LA28398-8")], "answered-twice"),
        ([("96778-6", "LA28580-1"), ("96778-6", "LA28580-1")], "answered-twice"),
        ([("96778-6", "LA28580-1"), ("96778-6", "LA9-3")], "contradictory-answer"),
        ([("96778-6", "LA9-3"), ("96778-6", "LA28580-1")], "contradictory-answer"),
        ([("88122-7", "LA28397-0"), ("0-0", "LA33-6")], "unknown-question"),
        ([("88122-7", "LA28397-0"), ("93030-5", "LA30133-5")], "unknown-answer"),
    ],
)
def test_answers_that_cannot_be_are_refused_by_their_place(answers, code):
    with pytest.raises(Invalid) as refused:
        screen("ahc-hrsn", [Answer(*each) for each in answers])
    (fault,) = refused.value.errors
    assert fault.pointer.startswith("#/answers/1/")
    assert fault.code == code


def test_screenings_are_compared_by_finding():
    def one(positive):
        return [Finding("food-insecurity", None, positive, None)]

    table = {
        (None, True): Change.NEW,
        (False, True): Change.NEW,
        (True, True): Change.CONTINUING,
        (True, False): Change.RESOLVED,
        (False, False): Change.ABSENT,
        (None, False): Change.ABSENT,
        (True, None): Change.UNKNOWN,
    }
    for (before, after), change in table.items():
        assert compare(one(before), one(after)) == {"food-insecurity": change}
    assert compare([], one(True)) == {"food-insecurity": Change.NEW}


@st.composite
def answered(draw):
    """An instrument with some of its questions answered in a way it allows."""
    instrument = draw(st.sampled_from(sorted(INSTRUMENTS)))
    questions = INSTRUMENTS[instrument].questions
    chosen = draw(st.lists(st.sampled_from(sorted(questions)), unique=True, max_size=12))
    answers = []
    for code in chosen:
        if options := sorted(questions[code].answers):
            answers.append(Answer(code, draw(st.sampled_from(options))))
    return instrument, answers


@given(answered())
def test_every_instrument_always_makes_the_same_findings_in_the_same_order(case):
    instrument, answers = case
    assert [each.code for each in screen(instrument, answers).findings] == [
        each.code for each in screen(instrument, []).findings
    ]


@given(answered(), st.randoms())
def test_the_order_of_answers_does_not_matter(case, random):
    instrument, answers = case
    shuffled = list(answers)
    random.shuffle(shuffled)
    assert screen(instrument, answers).findings == screen(instrument, shuffled).findings


@given(answered())
def test_a_further_answer_never_takes_a_finding_back(case):
    instrument, answers = case
    for count in range(len(answers)):
        before = screen(instrument, answers[:count]).findings
        after = {each.code: each.positive for each in screen(instrument, answers).findings}
        assert all(after[each.code] for each in before if each.positive)


@given(answered())
def test_without_an_answer_nothing_is_known(case):
    instrument, _ = case
    assert {each.positive for each in screen(instrument, []).findings} == {None}


@given(answered())
def test_a_sensitive_finding_always_has_its_label(case):
    for finding in screen(*case).findings:
        if finding.need in ("intimate-partner-violence", "elder-abuse"):
            assert finding.label is Label.SDV
