"""CloudEvents 1.0.2, Kafka protocol binding, binary mode: attributes as `ce_` headers, data as value.

Attributes are routed and logged, so they hold ids and codes only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from svckit.clock import wire
from svckit.eventlog import Stored


class Unreadable(Exception):
    """The record is no CloudEvent of ours; trying again cannot help."""


@dataclass(frozen=True, slots=True)
class Received:
    """An event as a handler sees it. `version` counts the events of its `subject` from 1."""

    id: str
    type: str
    source: str
    subject: str
    version: int
    key: str
    time: datetime
    data: Mapping[str, Any]
    traceparent: str = ""
    # the organisation whose call it was; empty when time or another event was the cause
    caused_by: str = ""


def headers(
    *,
    event_id: str,
    kind: str,
    subject: str,
    version: int,
    key: str,
    time: datetime,
    dataschema: str,
    traceparent: str,
    caused_by: str = "",
) -> dict[str, str]:
    """Return the headers of an event, but `ce_source`, which its relay knows."""
    found = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_type": kind,
        "ce_time": wire(time),
        "ce_subject": subject,
        "ce_partitionkey": key,
        "ce_aggregateversion": str(version),
        "ce_dataschema": dataschema,
        "ce_dataclassification": "phi",
        "content-type": "application/json",
    }
    optional = {"ce_traceparent": traceparent, "ce_causedby": caused_by}
    return found | {name: value for name, value in optional.items() if value}


def parse(record: Stored) -> Received:
    """Return the event of a record. Raises Unreadable."""
    try:
        head = {name: value.decode() for name, value in record.headers.items()}
        if head["ce_specversion"] != "1.0" or record.value is None:
            raise Unreadable("not a CloudEvent 1.0 with data")
        data = orjson.loads(record.value)
        if not isinstance(data, dict):
            raise Unreadable("the data is not an object")
        return Received(
            id=head["ce_id"],
            type=head["ce_type"],
            source=head["ce_source"],
            subject=head["ce_subject"],
            version=_version(head["ce_aggregateversion"]),
            key=head["ce_partitionkey"],
            time=datetime.fromisoformat(head["ce_time"]),
            data=data,
            traceparent=head.get("ce_traceparent", ""),
            caused_by=head.get("ce_causedby", ""),
        )
    except KeyError as error:
        raise Unreadable(f"no header {error}") from None
    except (ValueError, UnicodeDecodeError) as error:
        # The type only: the message of a parser repeats the value.
        raise Unreadable(type(error).__name__) from None


def _version(text: str) -> int:
    number = int(text)
    if number < 1:
        raise Unreadable("the aggregate version is below 1")
    return number
