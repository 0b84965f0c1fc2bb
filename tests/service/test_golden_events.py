"""Every consumer takes every golden event: as it is published, and with its required fields alone.

What a type may gain is optional, so the second form is what an older producer, a record still on
the log or a parked one looks like.
"""

from importlib import import_module

import orjson
import pytest
from svckit import cloudevents, contracts, inbox
from svckit.clock import now
from svckit.db import Database
from svckit.eventlog import Stored, TopicPartition
from svckit.ids import new_id
from svckit.inbox import Reader
from svckit.service import rights_of

PACKAGES = ("gateway", "case_svc", "referral_svc", "document_svc", "notify_svc")
AT = TopicPartition("golden.v1", 0)


def golden(kind):
    name = kind.removeprefix(contracts.PREFIX)
    return orjson.loads((contracts.events_dir() / f"{name}.example.json").read_bytes())


def least(schema, data):
    """The data without what its schema does not require."""
    if not isinstance(data, dict) or "properties" not in schema:
        return data
    required = schema.get("required", ())
    return {name: least(schema["properties"][name], data[name]) for name in required}


def record(kind, data, offset, versions):
    version = versions[data["id"]] = versions.get(data["id"], 0) + 1
    head = cloudevents.headers(
        event_id=new_id("evt"),
        kind=kind,
        subject=data["id"],
        version=version,
        key=data["id"],
        time=now(),
        dataschema=contracts.schema_of(kind).id,
        traceparent="",
    )
    headers = {name: value.encode() for name, value in head.items()}
    source = {"ce_source": b"careloop/golden"}
    return Stored(*AT, offset, data["id"].encode(), headers | source, orjson.dumps(data))


def history():
    """Every type in both forms, in an order in which an aggregate is made before it changes."""
    versions, offset = {}, 0
    for kind, schema in sorted(contracts.schemas().items()):
        whole = golden(kind)
        for data in (least(schema.document, whole), whole):
            assert schema.fault(data) is None, kind
            yield kind, record(kind, data, offset, versions)
            offset += 1


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_consumer_applies_what_it_handles_and_counts_the_rest_as_ignored(
    package, database_for
):
    service = import_module(f"{package}.app").SERVICE
    db = Database(database_for(package), 2)
    reader = Reader(service.name, service.handlers, service.upcasters)
    try:
        await rights_of(service, db).learn()
        async with db.begin() as tx:
            await inbox.position(tx, service.name, AT, "golden")
        kinds, records = zip(*history(), strict=True)
        async with db.begin() as tx:
            done = await inbox.apply(tx, reader, {AT.topic: "golden"}, {AT: records})
        assert done.outcomes == [
            (kind, "applied" if kind in service.handlers else "ignored") for kind in kinds
        ]
    finally:
        await db.dispose()
