"""Answers to findings, by the rules of one instrument."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sharing.labels import Label
from svckit.errors import FieldError, Invalid

from case_svc.domain.classes import SENSITIVE_NEEDS
from case_svc.domain.needs import NeedCategory
from case_svc.domain.screening.instruments import INSTRUMENTS, Instrument, Question, Sum

# answers that are no answer: declined, unable to respond, does not know
_UNANSWERED = frozenset({"LA30122-8", "LA30257-2", "LA15775-2"})


@dataclass(frozen=True)
class Answer:
    """LOINC question code and LOINC answer code."""

    question: str
    answer: str


@dataclass(frozen=True)
class Labelled:
    question: str
    answer: str
    label: Label | None


@dataclass(frozen=True)
class Finding:
    """`positive` None: not enough was answered to tell. `score` only where points are summed."""

    code: str
    need: NeedCategory | None
    positive: bool | None
    label: Label | None
    score: int | None = None


@dataclass(frozen=True)
class Screening:
    answers: tuple[Labelled, ...]
    findings: tuple[Finding, ...]

    def needs(self) -> tuple[Finding, ...]:
        """Return the findings that identify a coded need."""
        return tuple(each for each in self.findings if each.positive and each.need)


class Change(StrEnum):
    NEW = "new"
    CONTINUING = "continuing"
    RESOLVED = "resolved"
    ABSENT = "absent"
    UNKNOWN = "unknown"


def screen(instrument: str, answers: Sequence[Answer]) -> Screening:
    """Label every answer and derive every finding the instrument can make, in its own order.

    Raises Invalid with a pointer per answer that the instrument does not know.
    """
    rules = INSTRUMENTS.get(instrument)
    if rules is None:
        raise Invalid(
            "There are no rules for this instrument.",
            code="unknown-instrument",
            errors=[FieldError("#/instrument", "unknown-instrument", "No such instrument.")],
        )
    _check(rules, answers)
    given: dict[str, set[str]] = {}
    for each in answers:
        given.setdefault(each.question, set()).add(each.answer)
    findings = [*_by_answer(rules, given), *(_by_sum(each, given) for each in rules.sums)]
    return Screening(
        answers=tuple(
            Labelled(each.question, each.answer, rules.questions[each.question].label)
            for each in answers
        ),
        findings=tuple(findings),
    )


def compare(before: Iterable[Finding], after: Iterable[Finding]) -> dict[str, Change]:
    """Return, per finding of the later screening, what became of it since the earlier one."""
    earlier = {each.code: each.positive for each in before}
    return {
        each.code: _change(before=earlier.get(each.code), after=each.positive) for each in after
    }


def _change(*, before: bool | None, after: bool | None) -> Change:
    if after is None:
        return Change.UNKNOWN
    if after:
        return Change.CONTINUING if before else Change.NEW
    return Change.RESOLVED if before else Change.ABSENT


def _check(rules: Instrument, answers: Sequence[Answer]) -> None:
    errors = []
    seen: dict[str, set[str]] = {}
    for position, each in enumerate(answers):
        earlier = seen.setdefault(each.question, set())
        fault = _fault(rules.questions.get(each.question), each.answer, earlier)
        if fault:
            member, code, detail = fault
            errors.append(FieldError(f"#/answers/{position}/{member}", code, detail))
        earlier.add(each.answer)
    if errors:
        raise Invalid("Some answers do not belong to the instrument.", errors=errors)


def _fault(
    question: Question | None, answer: str, earlier: set[str]
) -> tuple[str, str, str] | None:
    if question is None:
        return "question", "unknown-question", "Not a question of this instrument."
    if answer not in question.answers and answer not in _UNANSWERED and not question.recorded:
        return "answer", "unknown-answer", "Not an answer to this question."
    if answer in earlier or (earlier and not question.multi):
        return "answer", "answered-twice", "The question has an answer already."
    if earlier and (answer in question.alone or earlier & question.alone):
        return "answer", "contradictory-answer", "This answer stands alone."
    return None


def _by_answer(rules: Instrument, given: Mapping[str, set[str]]) -> list[Finding]:
    positive: dict[NeedCategory, bool | None] = {}
    labels: dict[NeedCategory, Label | None] = {}
    for code, question in rules.questions.items():
        found = {question.answers.get(answer) for answer in given.get(code, ())}
        answered = bool(given.get(code, set()) - _UNANSWERED)
        for need in dict.fromkeys(each for each in question.answers.values() if each):
            # one finding per need: any positive answer finds it, only an answer denies it
            known = positive.get(need)
            hit = need in found
            positive[need] = True if hit or known else (False if answered else known)
            labels[need] = labels.get(need) or question.label or SENSITIVE_NEEDS.get(need)
    return [Finding(need, need, positive[need], labels[need]) for need in positive]


def _by_sum(rule: Sum, given: Mapping[str, set[str]]) -> Finding:
    points = [
        rule.points[answer]
        for question in rule.questions
        for answer in given.get(question, ())
        if answer in rule.points
    ]
    total = sum(points)
    complete = len(points) == len(rule.questions)
    positive = True if total >= rule.threshold else (False if complete else None)
    return Finding(rule.code, rule.need, positive, rule.label, total if complete else None)
