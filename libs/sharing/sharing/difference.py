"""What a change of the policy may open and close, before it is published.

`diff(old, new)` looks at the two policies alone: what each kind may at most see for each purpose,
over whatever grants and consents there are. Who really gains is for a simulation over live facts.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sharing import purposes
from sharing.classes import ENVELOPE, DataClass, names_of
from sharing.conditions import KINDS
from sharing.policy import Policy

Because = Literal["ceiling", "consent", "limit", "label"]


class Change(NamedTuple):
    """What one kind may gain and lose for one purpose, as names of classes, and by which part."""

    kind: str
    purpose: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]
    because: Because
    named: str | None = None


def diff(old: Policy, new: Policy) -> list[Change]:
    """Return every change, in the order of kinds and purposes; none for two that mean the same."""
    found = []
    for kind in KINDS:
        for purpose in purposes.CODES:
            before, after = old.ceiling(kind, purpose), new.ceiling(kind, purpose)
            for gains, loses, because, named in _parts(old, new, before, after):
                if gains or loses:
                    names = tuple(names_of(gains)), tuple(names_of(loses))
                    found.append(Change(kind, purpose, *names, because, named))
    return found


def widens(old: Policy, new: Policy) -> bool:
    """Tell whether anybody may gain anything by the change."""
    return any(change.gains for change in diff(old, new))


_Part = tuple[DataClass, DataClass, Because, str | None]


def _parts(old: Policy, new: Policy, before: DataClass, after: DataClass) -> Iterator[_Part]:
    yield after & ~before, before & ~after, "ceiling", None
    both = before & after
    freed = old.always_by_consent & ~new.always_by_consent
    bound = new.always_by_consent & ~old.always_by_consent
    yield both & freed, both & bound, "consent", None
    yield from _of_limits(old, new, both)
    yield from _of_labels(old, new, both)


def _of_limits(old: Policy, new: Policy, both: DataClass) -> Iterator[_Part]:
    """A condition that changed may open to some and close to others: both are said."""
    was, now = (
        {one.name: (one.classes, one.condition) for one in written.limits} for written in (old, new)
    )
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            loosened = both & was[name][0] if name in was else ENVELOPE
            tightened = both & now[name][0] if name in now else ENVELOPE
            yield loosened, tightened, "limit", name


def _of_labels(old: Policy, new: Policy, both: DataClass) -> Iterator[_Part]:
    """A label that demands less lets rows out with every class that may be seen of them."""
    unlisted = "a label that is not listed"
    for label in [*sorted({*old.labels, *new.labels}), unlisted]:
        was, now = old.required_by([label]), new.required_by([label])
        gains = both if was & ~now else ENVELOPE
        loses = both if now & ~was else ENVELOPE
        yield gains, loses, "label", label
