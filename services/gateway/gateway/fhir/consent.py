"""Reads a FHIR R4 Consent into directives, or refuses it with the place of what cannot be kept.

The base stance is the root provision's type, else what policyRule says, else deny. A root provision
that contradicts its policyRule is an exception to it. A provision reaches what it and all above it
reach; the deepest that reaches decides, at equal depth the deny.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from svckit.ids import is_id

from gateway import part2
from gateway.fhir import codes
from gateway.fhir.directive import Directive
from gateway.fhir.provision import EVERYTHING, Reach, reaches_of
from gateway.fhir.reading import Faults, Node, codings, instant

Decision = Literal["permit", "deny"]
_PREFIX = {"Patient": "per", "Organization": "org", "EpisodeOfCare": "cas"}
_DEEPEST = 10
_MOST = 200
# says nothing about who may see what; kept with the consent and given back
_KEPT = (
    *("resourceType", "id", "meta", "language", "text", "contained", "extension", "identifier"),
    *("category", "performer", "organization", "sourceAttachment", "sourceReference", "policy"),
    "verification",
)


@dataclass(frozen=True)
class Reference:
    """An id that a consent names, with the place where it does."""

    id: str
    pointer: str


@dataclass(frozen=True)
class Read:
    """A consent as read; the ids have still to be looked up."""

    status: str
    person: Reference
    decided_at: datetime | None
    directives: tuple[Directive, ...]
    recipients: tuple[Reference, ...]
    custodians: tuple[Reference, ...]
    cases: tuple[Reference, ...] = ()
    legal_basis: str | None = None


def read(resource: Any) -> Read:
    """Return what a FHIR R4 Consent says. Raises Inexpressible, naming every place."""
    faults = Faults()
    root = Node(resource, "#", faults)
    kind = root.text("resourceType")
    if kind != "Consent":
        root.fault("malformed", "Expected a FHIR R4 Consent.")
        faults.raise_if_any()
    status = _status(root)
    _scope(root)
    if not list(root.each("category")):
        root.fault("missing", "A Consent needs its category.")
    person = _person(root)
    decided_at = instant(root.take("dateTime"))
    found = _Compiler(faults)
    found.compile(root)
    if found.part2:
        _written_for_part2(root, found)
    root.finish(*_KEPT)
    faults.raise_if_any()
    assert person is not None
    return Read(
        status=status,
        person=person,
        decided_at=decided_at,
        directives=tuple(sorted(found.directives, key=lambda one: one.depth)),
        recipients=tuple(found.recipients),
        custodians=tuple(found.custodians),
        cases=tuple(found.cases),
        legal_basis=part2.LEGAL_BASIS if found.part2 else None,
    )


def _status(root: Node) -> str:
    status = root.text("status") or ""
    if status not in codes.STATUSES:
        root.fault("malformed", f"status must be one of: {', '.join(codes.STATUSES)}.")
    return status


def _scope(root: Node) -> None:
    scope = root.take("scope")
    if scope is None:
        root.fault("missing", "A Consent needs its scope.")
        return
    found = {(system, code) for system, code, _ in codings(scope)}
    if (codes.SCOPE, "patient-privacy") not in found:
        scope.fault("unsupported", "Only consents of scope patient-privacy say who may see data.")


def _person(root: Node) -> Reference | None:
    patient = root.take("patient")
    if patient is None:
        root.fault("missing", "A Consent of scope patient-privacy needs its patient (ppc-2).")
        return None
    found = _reference(patient, "Patient", codes.PERSON)
    return Reference(found, patient.pointer) if found else None


def _written_for_part2(root: Node, found: "_Compiler") -> None:
    """What 42 CFR 2.31(a) asks of a written consent, as far as the resource can show it."""
    if not (root.value.get("organization") or found.custodians):
        detail = "Name who may disclose: organization, or an actor CST (42 CFR 2.31)."
        root.at("#/organization").fault("part2-discloser", detail)
    verified = any(
        isinstance(each, dict) and each.get("verified") is True
        for each in _listed(root.value.get("verification"))
    )
    signatures = ("performer", "sourceAttachment", "sourceReference")
    signed = verified or any(root.value.get(name) for name in signatures)
    dated = root.value.get("dateTime") is not None
    for pointer, code, detail in part2.lacking(found.directives, dated=dated, signed=signed):
        place = {"#/decided_at": "#/dateTime", "#/signed_by": "#/performer"}
        root.at(place.get(pointer, "#/provision")).fault(code, detail)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _reference(node: Node, kind: str, system: str) -> str | None:
    """Return our id that a Reference names, by `kind/id` or by an identifier of our system."""
    literal, identifier = node.text("reference"), node.take("identifier")
    found = None
    if literal is not None:
        found = literal.removeprefix(f"{kind}/") if literal.startswith(f"{kind}/") else None
    elif identifier is not None:
        named = identifier.text("system") == system
        value = identifier.text("value")
        found = value if named else None
        identifier.finish("use", "type", "period", "assigner", "id")
    node.take("type")
    node.finish("display", "id")
    if found is None or not is_id(found, _PREFIX[kind]):
        node.fault("unknown-reference", f"Expected {kind}/<id>, or an identifier of {system}.")
        return None
    return found


class _Compiler:
    """One walk over the provisions of one consent."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.directives: list[Directive] = []
        self.recipients: list[Reference] = []
        self.custodians: list[Reference] = []
        self.cases: list[Reference] = []
        self.part2 = False

    def compile(self, root: Node) -> None:
        stance = self._stance(root)
        provision = root.take("provision")
        if stance is None and root.take("policyRule") is None and root.take("policy") is None:
            root.fault("missing", "A Consent needs its policy or policyRule (ppc-1).")
        kind = self._type(provision) if provision else None
        if provision is None:
            self._say(root, stance or "deny", 0, [EVERYTHING])
        elif stance and kind and stance != kind:
            self._say(root, stance, 0, [EVERYTHING])
            self._walk(provision, kind, 1, [EVERYTHING])
        else:
            self._walk(provision, kind or stance or "deny", 0, [EVERYTHING])
        self._check_cases(provision or root)

    def _stance(self, root: Node) -> Decision | None:
        rule = root.take("policyRule")
        if rule is None:
            return None
        found: Decision | None = None
        for system, code, coding in codings(rule):
            if system == codes.ACT_CODE and code in codes.STANCES:
                found = "permit" if codes.STANCES[code] == "permit" else "deny"
                if code == "EMRGONLY":
                    self._say(rule, "permit", 1, [Reach(purposes=codes.purposes_under("ETREAT"))])
            elif system == codes.ACT_CODE and code == part2.LEGAL_BASIS:
                self.part2 = True
            elif system == codes.ACT_CODE:
                coding.fault("unsupported", "The base stance of this policy is not defined.")
        return found

    def _type(self, provision: Node) -> Decision | None:
        kind = provision.text("type")
        if kind not in (None, "permit", "deny"):
            provision.fault("malformed", "type must be permit or deny.")
        return "permit" if kind == "permit" else "deny" if kind == "deny" else None

    def _walk(self, node: Node, kind: Decision, depth: int, above: list[Reach]) -> None:
        if depth > _DEEPEST:
            node.fault("too-deep", f"Provisions may be nested {_DEEPEST} deep.")
            return
        criteria = list(reaches_of(node, kind, self._organisation, self._case))
        reaches = [both for one in above for other in criteria if (both := one.within(other))]
        if not reaches:
            node.fault("never-applies", "Nothing lies within this provision and those above it.")
        if len(reaches) > _MOST:
            node.fault("too-many", f"The consent comes to more than {_MOST} directives.")
            return
        self._say(node, kind, depth, reaches)
        for nested in node.each("provision"):
            inner = self._type(nested)
            if inner is None:
                nested.fault("missing", "A nested provision needs its type.")
                continue
            self._walk(nested, inner, depth + 1, reaches)
        node.finish("id")

    def _organisation(self, named: Node, role: str) -> str | None:
        found = _reference(named, "Organization", codes.ORGANISATION)
        if found:
            known = self.custodians if role == codes.CUSTODIAN else self.recipients
            known.append(Reference(found, named.pointer))
        return found

    def _case(self, named: Node) -> str | None:
        found = _reference(named, "EpisodeOfCare", codes.CASE)
        if found:
            self.cases.append(Reference(found, named.pointer))
        return found

    def _check_cases(self, place: Node) -> None:
        """A recipient is granted one case or all of them, by one consent."""
        permits = [one for one in self.directives if one.decision == "permit" and one.recipient_id]
        for recipient_id in {one.recipient_id for one in permits}:
            if len({one.case_id for one in permits if one.recipient_id == recipient_id}) > 1:
                place.fault("unsupported", "Permit a recipient one case by one consent, or all.")

    def _say(self, node: Node, kind: Decision, depth: int, reaches: list[Reach]) -> None:
        for reach in reaches:
            classes = reach.classes(kind)
            if not classes:
                node.fault("never-applies", "No data is meant by this provision.")
            if kind == "permit" and not reach.may_permit():
                node.fault(
                    "unsupported", "A permit of some data of a label opens more than it says."
                )
            for one in reach.directives(kind, depth, classes):
                if one not in self.directives:
                    self.directives.append(one)
                if len(self.directives) > _MOST:
                    node.fault("too-many", f"The consent comes to more than {_MOST} directives.")
                    return


def decided(read_consent: Read, at: datetime) -> datetime:
    """Return when the person decided; a consent without a dateTime was decided now."""
    return (read_consent.decided_at or at).astimezone(UTC)


def named_recipients(directives: Iterable[Directive]) -> list[str]:
    """Return whom some permit names, each once."""
    found = (one.recipient_id for one in directives if one.decision == "permit")
    return sorted({one for one in found if one})
