"""Which events are told outward, and how a partner's filter names them."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NewType

OrganisationId = NewType("OrganisationId", str)
EndpointId = NewType("EndpointId", str)
DeliveryId = NewType("DeliveryId", str)

PREFIX = "org.careloop."
PING = f"{PREFIX}webhook.ping.v1"
# ours: of what an organisation was told it may see nothing any more
ACCESS_ENDED = f"{PREFIX}access.ended.v1"

_VERBS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "case.v1": {
            "person": "registered changed",
            "case": "opened changed closed reopened sealed unsealed",
            "care-team": "joined left",
            "need": "identified changed",
            "assessment": "completed",
            "goal": "set changed",
            "activity": "planned changed",
            "task": "created changed",
            "note": "added labelled",
            "decision": "recorded",
            "number": "added",
            "party": "added ended",
        },
        "referral.v1": {
            "service": "published changed",
            "referral": "drafted changed resumed requested accepted rejected cancelled started held failed completed voided",
            "message": "sent",
        },
        "document.v1": {"document": "added revised attached withdrawn"},
        "sharing.v1": {"emergency-access": "opened ended reviewed"},
    }
)

# topic -> the kinds told outward, as filters name them: "referral.accepted"
TOLD: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        topic: tuple(f"{noun}.{verb}" for noun, verbs in nouns.items() for verb in verbs.split())
        for topic, nouns in _VERBS.items()
    }
)
# told by this service itself, to the organisation whose endpoint it is
WARNED, DISABLED = "webhook.endpoint.warned", "webhook.endpoint.disabled"
OURS = frozenset({WARNED, DISABLED, "access.ended"})
KINDS = frozenset(kind for kinds in TOLD.values() for kind in kinds) | OURS
NOUNS = frozenset(kind.split(".")[0] for kind in KINDS)

_VERSION = re.compile(r"\.v[0-9]+$")


def full(kind: str) -> str:
    """Return the CloudEvents type of a kind, in its first major version."""
    return f"{PREFIX}{kind}.v1"


def short(event_type: str) -> str:
    """Return the kind of a CloudEvents type, whatever its major version."""
    return _VERSION.sub("", event_type.removeprefix(PREFIX))


def is_filter(pattern: str) -> bool:
    """Tell whether a partner may ask for this: a kind, its full type, or a whole noun (`case.*`)."""
    kind = short(pattern)
    return kind in KINDS or (kind.endswith(".*") and kind.removesuffix(".*") in NOUNS)


def is_sent(pattern: str) -> bool:
    """Tell whether a delivery may be of this: what is told, or a ping."""
    return is_filter(pattern) or short(pattern) == short(PING)


def normalise(patterns: Iterable[str]) -> list[str]:
    """Return filters in their short form, each once, in order."""
    return sorted({short(pattern) for pattern in patterns})


def patterns_of(event_type: str) -> list[str]:
    """Return every filter that matches an event: its kind, and its noun's."""
    kind = short(event_type)
    return [kind, f"{kind.split('.')[0]}.*"]
