"""What one provision reaches: its criteria all at once, of several values of one any."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Literal

from sharing import confidentiality as ranks
from sharing.classes import ALL, DataClass, UnknownClass, class_of, names_of
from sharing.purposes import CODES

from gateway.fhir import codes
from gateway.fhir.directive import Directive
from gateway.fhir.reading import Node, coded, codings, period

Decision = Literal["permit", "deny"]
# a reference, the role of its actor -> organisation
Organisation = Callable[[Node, str], str | None]
# a reference -> case
Case = Callable[[Node], str | None]


@dataclass(frozen=True)
class Reach:
    """A region of requests; None is whoever or whatever.

    A type of resource is kept both ways: as what a permit of it opens and what a deny of it closes.
    """

    recipients: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    opens: DataClass | None = None
    closes: DataClass | None = None
    labels: frozenset[str] | None = None
    cases: frozenset[str] | None = None
    confidentiality: int = ranks.HIGHEST
    starts: datetime | None = None
    ends: datetime | None = None

    def within(self, other: "Reach") -> "Reach | None":
        """Return what both reach, None for nothing."""
        both = Reach(
            recipients=_common(self.recipients, other.recipients),
            purposes=_common(self.purposes, other.purposes),
            opens=_shared(self.opens, other.opens),
            closes=_shared(self.closes, other.closes),
            labels=_common(self.labels, other.labels),
            cases=_common(self.cases, other.cases),
            confidentiality=min(self.confidentiality, other.confidentiality),
            starts=max(filter(None, (self.starts, other.starts)), default=None),
            ends=min(filter(None, (self.ends, other.ends)), default=None),
        )
        listed = (both.recipients, both.purposes, both.labels, both.cases)
        empty = frozenset() in listed or both.closes == 0
        over = both.starts and both.ends and both.ends <= both.starts
        return None if empty or over else both

    def classes(self, kind: Decision) -> DataClass:
        """Return the classes a directive about this is for: down for a permit, up for a deny."""
        if self.labels is not None:
            return _of_labels(self.labels)
        if kind == "permit":
            return codes.UNNAMED if self.opens is None else self.opens
        return ALL if self.closes is None else self.closes

    def may_permit(self) -> bool:
        """Tell whether a permit of this opens no more than is said: all of a label, of any class."""
        return self.labels is None or (self.opens is None and codes.is_whole(self.labels))

    def directives(self, kind: Decision, depth: int, classes: DataClass) -> Iterator[Directive]:
        """Return one directive for each recipient and case."""
        purposes = tuple(codes.top_purposes(self.purposes or frozenset(CODES)))
        for recipient, case_id in product(_each(self.recipients), _each(self.cases)):
            yield Directive(
                decision=kind,
                depth=depth,
                recipient_id=recipient,
                purposes=purposes,
                classes=tuple(names_of(classes)),
                confidentiality=self.confidentiality,
                valid_from=self.starts,
                valid_to=self.ends,
                case_id=case_id,
            )


def _each(named: frozenset[str] | None) -> Sequence[str | None]:
    return (None,) if named is None else sorted(named)


EVERYTHING = Reach()


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one if other is None else one & other


def _shared(one: DataClass | None, other: DataClass | None) -> DataClass | None:
    return other if one is None else one if other is None else one & other


def _of_labels(labels: frozenset[str]) -> DataClass:
    found = DataClass.ENVELOPE
    for label in labels:
        found |= codes.class_of_label(label) or DataClass.ENVELOPE
    return found


def reaches_of(
    node: Node, kind: Decision, organisation: Organisation, case: Case
) -> Iterator[Reach]:
    """Read a provision's own criteria; labels of confidentiality and of sensitivity are two regions."""
    starts, ends = period(node.take("period"))
    opens, closes = _classes(node)
    own = Reach(
        recipients=_recipients(node, organisation),
        purposes=_purposes(node),
        opens=opens,
        closes=closes,
        cases=_cases(node, kind, case),
        starts=starts,
        ends=ends,
    )
    _actions(node, kind)
    highest, labels = _labels(node)
    if highest is not None:
        yield replace(own, confidentiality=highest)
    if labels:
        yield replace(own, labels=labels)
    if highest is None and not labels:
        yield own


def _recipients(node: Node, organisation: Organisation) -> frozenset[str] | None:
    found: set[str] = set()
    for actor in node.each("actor"):
        role, named = actor.take("role"), actor.take("reference")
        if role is None or named is None:
            actor.fault("missing", "An actor needs its role and its reference.")
            continue
        given = {code for system, code, _ in codings(role) if system == codes.PARTICIPATION}
        if given & codes.RECIPIENTS:
            who = organisation(named, "recipient")
            if who:
                found.add(who)
        elif codes.CUSTODIAN in given:
            organisation(named, codes.CUSTODIAN)
        else:
            role.fault("unsupported", "Only recipients (PRCP, IRCP) and custodians (CST) are kept.")
        actor.finish("id")
    return frozenset(found) or None


def _cases(node: Node, kind: Decision, case: Case) -> frozenset[str] | None:
    """A deny of the case alone closes all that is under it; a permit of it would open more."""
    found: set[str] = set()
    given = False
    for item in node.each("data"):
        given = True
        meaning, reference = item.text("meaning"), item.take("reference")
        if meaning not in codes.MEANINGS or reference is None:
            item.fault("malformed", "Data needs its meaning and its reference.")
            continue
        if meaning == "authoredby" or (kind == "permit" and meaning not in codes.RELATED):
            item.fault("unsupported", "Only a case with all that is under it can be told apart.")
            continue
        item.finish("id")
        if named := case(reference):
            found.add(named)
    return frozenset(found) if given else None


def _actions(node: Node, kind: Decision) -> None:
    """A deny of reading takes writing with it; a permit of writing is nothing a consent can give."""
    given: set[str] = set()
    for action in node.each("action"):
        for system, code, coding in codings(action):
            known = system == codes.ACTION and code in codes.ACTIONS | codes.WRITES
            if not known or (kind == "permit" and code in codes.WRITES):
                coding.fault("unsupported", "Only access, use and disclose can be decided here.")
            given.add(code)
    if given and not given & codes.READS:
        node.fault("unsupported", "A provision that is not about access or disclose.")


def _purposes(node: Node) -> frozenset[str] | None:
    found: frozenset[str] = frozenset()
    for item in node.each("purpose"):
        for system, code, coding in coded(item):
            if system != codes.ACT_REASON or code not in CODES:
                coding.fault("unsupported", "No purpose of use that Careloop knows.")
            else:
                found |= codes.purposes_under(code)
    return found or None


def _classes(node: Node) -> tuple[DataClass | None, DataClass | None]:
    opens = closes = DataClass.ENVELOPE
    given = False
    for item in node.each("class"):
        given = True
        for system, code, coding in coded(item):
            meant = _meant(system, code)
            if meant is None:
                coding.fault("unsupported", "No class of data that Careloop can tell apart.")
                continue
            opens, closes = opens | meant[0], closes | meant[1]
    return (opens, closes) if given else (None, None)


def _meant(system: str, code: str) -> tuple[DataClass, DataClass] | None:
    if system == codes.DATA_CLASS:
        try:
            found = class_of(code)
        except UnknownClass:
            return None
        return (found, found) if found else None
    if system == codes.RESOURCE_TYPE:
        return codes.classes_of_type(code)
    if system == codes.URI and code.startswith(codes.PROFILE):
        return codes.classes_of_type(code.removeprefix(codes.PROFILE))
    return None


def _labels(node: Node) -> tuple[int | None, frozenset[str]]:
    highest: int | None = None
    labels: frozenset[str] = frozenset()
    for item in node.each("securityLabel"):
        for system, code, coding in coded(item):
            if system == codes.CONFIDENTIALITY and code in ranks.CODES:
                highest = max(highest or 0, ranks.rank(code))
            elif system == codes.ACT_CODE and codes.class_of_label(code) is not None:
                labels |= codes.labels_under(code)
            else:
                coding.fault("unsupported", "No label whose data Careloop can tell apart.")
    return highest, labels
