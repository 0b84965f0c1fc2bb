"""The one outward form of an event: thin, the same bytes for feed, webhook and every attempt.

notify-svc publishes nothing into the log; what it publishes goes to partners.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from svckit.clock import wire


def body(event_type: str, occurred_at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return `{type, timestamp, data}`: ids, version and link; the partner reads the rest."""
    thin = {name: data.get(name) for name in ("id", "version", "href", "case_id")}
    return orjson.dumps({"type": event_type, "timestamp": wire(occurred_at), "data": thin})
