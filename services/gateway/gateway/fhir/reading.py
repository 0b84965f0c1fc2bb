"""Walks a JSON document and remembers where each thing stood, so that every refusal names its place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from svckit.errors import FieldError, Invalid

_DATE_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))?)?)?"
)


class Inexpressible(Invalid):
    """The consent says something that Careloop could only keep by changing or dropping it."""

    code = "consent-inexpressible"


@dataclass
class Faults:
    """What is wrong with a document, each with its JSON pointer."""

    found: list[FieldError] = field(default_factory=list)

    def raise_if_any(self) -> None:
        """Raises Inexpressible."""
        if self.found:
            raise Inexpressible("The consent cannot be kept as it is.", errors=self.found)


@dataclass
class Node:
    """A value at its place. Names that nobody took are refused by `finish`."""

    value: Any
    pointer: str
    faults: Faults
    _taken: set[str] = field(default_factory=set)

    def fault(self, code: str, detail: str) -> None:
        self.faults.found.append(FieldError(self.pointer, code, detail))

    def take(self, name: str) -> "Node | None":
        """Return the member of an object, None where there is none."""
        self._taken.add(name)
        if not isinstance(self.value, dict) or name not in self.value:
            return None
        return Node(self.value[name], f"{self.pointer}/{name}", self.faults)

    def each(self, name: str) -> Iterator["Node"]:
        """Walk the list under the name; what is no list, or empty, is a fault (FHIR has neither)."""
        found = self.take(name)
        if found is None:
            return
        if not isinstance(found.value, list) or not found.value:
            found.fault("malformed", "Expected a list with at least one item.")
            return
        for place, item in enumerate(found.value):
            yield Node(item, f"{found.pointer}/{place}", self.faults)

    def text(self, name: str) -> str | None:
        """Return the text under the name; anything but text is a fault."""
        found = self.take(name)
        if found is None:
            return None
        if not isinstance(found.value, str) or not found.value:
            found.fault("malformed", "Expected a text.")
            return None
        return found.value

    def at(self, pointer: str) -> "Node":
        """Return the same at another place, to find fault with what is missing there."""
        return Node(None, pointer, self.faults)

    def finish(self, *kept: str) -> None:
        """Refuse every member that was neither taken nor is among the kept ones."""
        if not isinstance(self.value, dict):
            self.fault("malformed", "Expected an object.")
            return
        for name in self.value:
            if name not in self._taken and name not in kept:
                place = Node(self.value[name], f"{self.pointer}/{_escaped(name)}", self.faults)
                place.fault("unsupported", "This cannot be kept without changing what it means.")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def codings(node: Node) -> Iterator[tuple[str, str, Node]]:
    """Walk system and code of a CodeableConcept's codings; a text alone is a fault."""
    found = False
    for coding in node.each("coding"):
        found = True
        yield from coded(coding)
    if not found:
        node.fault("uncoded", "A text without a code cannot be evaluated.")
    node.finish("text", "id")


def coded(node: Node) -> Iterator[tuple[str, str, Node]]:
    """Return system and code of a Coding."""
    system, code = node.text("system"), node.text("code")
    if system is None or code is None:
        node.fault("uncoded", "A coding needs its system and its code.")
    else:
        yield system, code, node
    node.finish("version", "display", "userSelected", "id")


def instant(node: Node | None, *, ends: bool = False) -> datetime | None:
    """Return the beginning of a FHIR dateTime, or with `ends` the first instant after it.

    A year, a month or a day is taken as a whole, in UTC.
    """
    if node is None:
        return None
    match = _DATE_TIME.fullmatch(node.value) if isinstance(node.value, str) else None
    try:
        if match and "T" in match[0]:
            return datetime.fromisoformat(match[0]).astimezone(UTC)
        if match:
            first = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=UTC)
            return _after(first, *match.groups()) if ends else first
    except (ValueError, OverflowError):
        pass
    node.fault("malformed", "Expected a FHIR dateTime; with a time of day it needs an offset.")
    return None


def _after(first: datetime, _year: str, month: str | None, day: str | None) -> datetime:
    if month is None:
        return first.replace(year=first.year + 1)
    if day is None:
        # no month has more days
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=1)


def period(node: Node | None) -> tuple[datetime | None, datetime | None]:
    """Return the half-open period; a day that ends it is still within."""
    if node is None:
        return None, None
    starts, ends = instant(node.take("start")), instant(node.take("end"), ends=True)
    node.finish("id")
    if starts and ends and ends <= starts:
        node.fault("malformed", "The period ends before it begins.")
    return starts, ends
