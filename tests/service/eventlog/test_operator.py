"""`careloop events`: what an operator sees of all services at once, and does about it."""

import asyncio
import json

import pytest
from sqlalchemy import text
from svckit.consume import Consumer
from svckit.db import Database
from svckit.outbox import Event, record
from typer.testing import CliRunner

from careloop.__main__ import app
from careloop.services import PARTS
from tests.service.eventlog.world import running, scalar, send, thing, until
from tests.service.test_golden_events import golden

OPENED = "org.careloop.case.opened.v1"
SPOIL = text("UPDATE parked_message SET value = 'no JSON'::bytea")
ACTIONS = "SELECT string_agg(action || ' ' || actor, ', ' ORDER BY id) FROM audit"


# what is read of a shared broker's topic is every test's; what these do is not the log's concern
alone = pytest.mark.parametrize("log_url", ["postgres"], indirect=True)


class Operator:
    """Runs the commands against databases that the environment names."""

    def __init__(self, monkeypatch, urls, log_url):
        for part in PARTS:
            monkeypatch.setenv(f"{part.prefix}_DATABASE_URL", urls[part.name])
            monkeypatch.setenv(f"{part.prefix}_EVENT_LOG_URL", log_url)

    async def __call__(self, *arguments, code=0):
        """What a command prints; in a thread, as it runs a loop of its own."""
        command = ["events", *arguments, "--from-environment"]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    async def json(self, *arguments):
        return json.loads(await self(*arguments, "--json"))


@pytest.fixture
def urls(database_for):
    return {part.name: database_for(part.package) for part in PARTS}


@pytest.fixture
async def referral(urls):
    db = Database(urls["referral-svc"], 4)
    yield db
    await db.dispose()


@pytest.fixture
def operator(monkeypatch, urls, log_url):
    return Operator(monkeypatch, urls, log_url)


async def fail(tx, event):
    raise ValueError("cannot be applied")


async def parked(db, count):
    return await scalar(db, "SELECT count(*) FROM parked_message") == count


@pytest.fixture
async def stuck(log, referral):
    """Three events of one key, parked by referral-svc; one of another key that it never read."""
    await log.ensure(["case.v1", "sharing.v1", "referral.v1", "document.v1"])
    data = golden(OPENED)
    events = [thing("case.v1", data["id"], v, kind=OPENED, data=data) for v in (1, 2, 3)]
    await send(log, events)
    consumer = Consumer(referral, log, "referral-svc", ["case.v1"], {OPENED: fail})
    async with running(consumer.run):
        await until(lambda: parked(referral, 3), 60)
    await send(log, [thing("case.v1", "other", 1)])
    return data["id"]


def behind(picture, consumer):
    lags = [lag for lag in picture["lags"] if lag["consumer"] == consumer]
    return sum(lag["behind"] for lag in lags if lag["topic"] == "case.v1")


async def test_lag_shows_every_reader_backlog_and_what_is_parked(operator, stuck, urls):
    case = Database(urls["case-svc"], 2)
    data = golden(OPENED)
    async with case.begin() as tx:
        await record(tx, Event(OPENED, data["id"], 1, data["id"], data))
    await case.dispose()
    picture = await operator.json("lag")
    assert behind(picture, "referral-svc") == 1
    assert behind(picture, "notify-svc") == 4
    waiting = {each["service"]: each["waiting"] for each in picture["backlogs"]}
    assert waiting["case-svc"] == 1
    assert [each["key"]["key"] for each in picture["parked"]] == [stuck]
    shown = await operator("lag")
    assert "never read" in shown
    assert f"referral-svc case.v1 {stuck}: 3 events since" in shown


@alone
async def test_parked_events_are_replayed_in_order_and_each_is_audited(operator, stuck, referral):
    listed = await operator("parked")
    assert "ValueError" in listed
    said = await operator("replay", "referral-svc", "--actor", "op")
    assert said == f"case.v1 {stuck}: 3 applied; the key is free\n"
    assert await scalar(referral, ACTIONS) == ", ".join(["event.replay op"] * 3)
    last = "SELECT last_version FROM aggregate_version WHERE consumer = 'referral-svc'"
    assert await scalar(referral, f"{last} AND subject = :s", s=stuck) == 3
    assert await operator("parked") == "nothing is parked\n"
    assert await operator("replay", "referral-svc") == "nothing is parked\n"


@alone
async def test_one_event_or_the_whole_key_is_given_up_by_name(operator, stuck, referral):
    [found] = await operator.json("parked", "--service", "referral-svc")
    first = str(found["key"]["first_id"])
    key = ("--topic", "case.v1", "--key", stuck)
    assert await operator("skip", "referral-svc", first, "--actor", "op") == "skipped\n"
    assert "no parked message" in await operator("skip", "referral-svc", first, code=1)
    said = await operator("skip", "referral-svc", *key, "--actor", "op")
    assert said == "2 skipped; the key is free\n"
    assert await scalar(referral, ACTIONS) == ", ".join(["event.skip op"] * 3)


@alone
async def test_what_still_fails_stays_and_says_so(operator, stuck, referral):
    # no handler of ours would take this: the record is spoiled as it lies
    async with referral.begin() as tx:
        await tx.execute(SPOIL)
    key = ("--topic", "case.v1", "--key", stuck)
    said = await operator("replay", "referral-svc", *key, code=1)
    assert said == f"case.v1 {stuck}: 0 applied; Unreadable\n"
    assert await parked(referral, 3)
    assert "no service is called" in await operator("replay", "nobody", code=1)
