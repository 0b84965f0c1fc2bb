"""Two logs behind one port: every test that takes `log` runs on both."""

import json
import uuid

import pytest
from svckit import contracts, tables
from svckit.db import Database
from svckit.eventlog import connect

THING = "org.careloop.thing.changed.v1"


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request):
    if request.param == "kafka":
        return request.getfixturevalue("kafka_broker").url
    return request.getfixturevalue("empty_database")()


@pytest.fixture
async def log(log_url):
    opened = await connect(log_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_log(empty_database):
    opened = await connect(empty_database())
    yield opened
    await opened.close()


@pytest.fixture
async def topic(log):
    """A topic of this test alone, on the log under test."""
    name = f"thing-{uuid.uuid4().hex[:8]}.v1"
    await log.ensure([name])
    return name


@pytest.fixture
def group():
    return f"group-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def db(empty_database):
    """A service's database with the platform tables and a ledger for effects."""
    found = Database(empty_database(), 8)
    async with found.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
        await connection.exec_driver_sql(
            "CREATE TABLE ledger (n bigint GENERATED ALWAYS AS IDENTITY, subject text, version int)"
        )
    yield found
    await found.dispose()


@pytest.fixture
def thing_contract(tmp_path):
    """A contract for events of tests."""
    (tmp_path / "events").mkdir()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:careloop:event:thing.changed.v1",
        "type": "object",
        "properties": {"n": {"type": "integer"}, "on": {"type": "string", "format": "date"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    (tmp_path / "events" / "thing.changed.v1.schema.json").write_text(json.dumps(schema))
    contracts.use(tmp_path)
    yield THING
    contracts.use(None)
