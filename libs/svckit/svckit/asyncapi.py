"""AsyncAPI 3.0.0 from what services declare: the types they publish and their handlers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svckit.contracts import PREFIX
from svckit.eventlog import PARTITIONS

# https://www.asyncapi.com/docs/reference/specification/v3.0.0, Kafka bindings 0.5.0
_KAFKA_BINDING = "0.5.0"
_HEADERS: Mapping[str, tuple[str, str]] = {
    "ce_specversion": ("string", "CloudEvents version, always 1.0"),
    "ce_id": ("string", "evt_…, the same on every repetition; unique within ce_source"),
    "ce_source": ("string", "the service, such as careloop/case-svc"),
    "ce_type": ("string", "org.careloop.<noun>.<verb>.v<major>"),
    "ce_time": ("string", "when it was recorded, RFC 3339"),
    "ce_subject": ("string", "id of the resource that changed"),
    "ce_partitionkey": ("string", "what keeps order: the record's key"),
    "ce_aggregateversion": ("string", "the subject's version: 1, then one more with each event"),
    "ce_dataschema": ("string", "identifier of the payload's JSON Schema"),
    "ce_dataclassification": ("string", "phi: ids that relate to a person"),
    "ce_traceparent": ("string", "W3C Trace Context of the cause, if traced"),
    "ce_causedby": ("string", "the organisation whose call it was, if one was the cause"),
    "content-type": ("string", "application/json"),
}
_OPTIONAL = {"ce_traceparent", "ce_causedby"}


@dataclass(frozen=True)
class Contract:
    """One event type: its schema, and an example of its data."""

    kind: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any]


@dataclass(frozen=True)
class Party:
    """A service as the log sees it: what it sends to its topic, and what it handles of others'."""

    name: str
    topic: str | None
    publishes: Sequence[str]
    reads: Sequence[str]
    handles: Sequence[str]


def document(parties: Sequence[Party], contracts: Iterable[Contract]) -> dict[str, Any]:
    """Return the document. Raises KeyError for a type without a contract or without a sender."""
    known = {contract.kind: contract for contract in contracts}
    sent = {kind: party.topic for party in parties for kind in party.publishes}
    topics = sorted({party.topic for party in parties if party.topic})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Careloop events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0.2 in the Kafka binding's binary mode: attributes as ce_ headers, "
                "data as value. Generated from the handler registries; do not edit."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            topic: _channel(topic, sorted(kind for kind in sent if sent[kind] == topic))
            for topic in topics
        },
        "operations": dict(_operations(parties, sent)),
        "components": {
            "messages": {_short(kind): _message(known[kind]) for kind in sorted(sent)},
            "schemas": {"headers": _headers()},
        },
    }


def _short(kind: str) -> str:
    return kind.removeprefix(PREFIX)


def _channel(topic: str, kinds: Sequence[str]) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {
            _short(kind): {"$ref": f"#/components/messages/{_short(kind)}"} for kind in kinds
        },
        "bindings": {
            "kafka": {"partitions": PARTITIONS, "bindingVersion": _KAFKA_BINDING},
        },
    }


def _operations(
    parties: Sequence[Party], sent: Mapping[str, str | None]
) -> Iterable[tuple[str, dict[str, Any]]]:
    for party in sorted(parties, key=lambda each: each.name):
        if party.topic:
            yield _operation(party.name, "send", party.topic, sorted(party.publishes))
        for topic in sorted(party.reads):
            kinds = sorted(kind for kind in party.handles if sent[kind] == topic)
            yield _operation(party.name, "receive", topic, kinds)


def _operation(
    name: str, action: str, topic: str, kinds: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    channel = f"#/channels/{topic}"
    found: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{_short(kind)}"} for kind in kinds],
        "tags": [{"name": name}],
    }
    if action == "receive":
        group = {"type": "string", "enum": [name]}
        found["bindings"] = {"kafka": {"groupId": group, "bindingVersion": _KAFKA_BINDING}}
    return f"{name}.{action}.{topic}", found


def _message(contract: Contract) -> dict[str, Any]:
    found = {
        "name": contract.kind,
        "title": _short(contract.kind),
        "summary": str(contract.schema.get("description", "")),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": _payload(contract.schema),
        "examples": [{"payload": dict(contract.example)}],
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _KAFKA_BINDING}},
    }
    return found if found["summary"] else {k: v for k, v in found.items() if k != "summary"}


def _payload(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without what names its dialect and place: the document has its own."""
    return {name: part for name, part in schema.items() if not re.fullmatch(r"\$(schema|id)", name)}


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name for name in _HEADERS if name not in _OPTIONAL],
        "properties": {
            name: {"type": kind, "description": meaning}
            for name, (kind, meaning) in _HEADERS.items()
        },
    }
