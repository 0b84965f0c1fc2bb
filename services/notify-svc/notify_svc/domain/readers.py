"""For what purpose an organisation is told when nobody is asking: at fan-out and at sending."""

from collections.abc import Mapping
from types import MappingProxyType

# v3-ActReason, by kind of organisation; a kind without one is told of nothing shared with it
PURPOSES: Mapping[str, str] = MappingProxyType(
    {"clinic": "TREAT", "social-service": "COC", "payer": "HOPERAT", "coordinator": "COC"}
)


def default_purpose(kind: str) -> str:
    """Return the purpose, or an empty string, which no grant covers."""
    return PURPOSES.get(kind, "")
