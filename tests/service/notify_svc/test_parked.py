"""An event of one case cannot be applied: that case is closed to others, and everything else flows."""

import contextlib

import orjson
import pytest
from notify_svc.actions import kept_back
from notify_svc.app import SERVICE
from sqlalchemy import func
from svckit import cloudevents, repair
from svckit.clock import now
from svckit.eventlog import Record, connect
from svckit.ids import new_id
from svckit.service import reader_of

from tests.service.eventlog.world import consuming, send, until

ASKED, SEALED, LATER = "referral.requested", "case.sealed", "need.identified"
CASES = "case.v1"
WHO = {"actor": "operator"}


class Stage:
    """Two cases with a partner's webhook, a consumer on a real log, and an event that cannot be applied."""

    def __init__(self, world, receiver, log):
        self.world, self.receiver, self.log = world, receiver, log
        self.bad, self.good = world.case, new_id("cas")
        # what the consumer runs; a handler that fails takes the place of one that works
        self.handlers = dict(SERVICE.handlers)
        self._versions = {}

    async def set_up(self):
        self.clinic = await self.world.organisation()
        self.pantry = await self.world.organisation("social-service")
        await self.world.endpoint(self.pantry, self.receiver.url)
        self.grant = await self.world.grant(self.clinic, self.pantry, ["coordination"])
        return self

    def fails_on(self, kind):
        async def fails(tx, event):
            raise ValueError

        self.handlers[f"org.careloop.{kind}.v1"] = fails

    @contextlib.asynccontextmanager
    async def consumer(self):
        await self.log.ensure(SERVICE.topics)
        running = consuming(
            self.world.db,
            self.log,
            SERVICE.name,
            SERVICE.topics,
            self.handlers,
            rights_from=SERVICE.rights_from,
            rights_by_key=SERVICE.rights_by_key,
            freed=SERVICE.freed,
        )
        async with running:
            await self.marked()
            yield

    async def marked(self):
        """Let everything up to now have arrived, as far as anything holds it up: tell whether."""
        producer = await self.log.producer()
        for topic in SERVICE.rights_from:
            await producer.mark(topic, now())
        await producer.close()

    async def send(self, topic, kind, case, *, subject=None, value=None, **more):
        subject = subject or new_id("ref")
        data = {
            "custodian_id": self.clinic,
            "person_id": self.world.person,
            "case_id": case,
            "classes": ["coordination"],
            **more,
        }
        version = self._versions[subject] = self._versions.get(subject, 0) + 1
        body = {"id": subject, "version": version, "href": f"/v1/x/{subject}", "parties": []}
        head = cloudevents.headers(
            event_id=new_id("evt"),
            kind=f"org.careloop.{kind}.v1",
            subject=subject,
            version=version,
            key=case if topic == CASES else subject,
            time=now(),
            dataschema="urn:x",
            traceparent="",
        )
        content = orjson.dumps({**body, **data, "change": {}}) if value is None else value
        key = case if topic == CASES else subject
        await send(self.log, [Record(topic, key, head | {"ce_source": "careloop/x"}, content)])

    async def poison(self, **more):
        """A seal of the bad case that cannot be applied, and what happens in it afterwards."""
        await self.send(CASES, SEALED, self.bad, subject=self.bad, **more)
        await until(self.is_blocked)

    async def is_blocked(self):
        async with self.world.db.begin() as tx:
            return [(one.topic, one.key) for one in await repair.blocked_keys(tx, SERVICE.name)]

    async def cases_told(self, organisation):
        items = (await self.world.feed(organisation, limit=200))["items"]
        return [(item["type"].split(".", 2)[2][:-3], item["data"]["case_id"]) for item in items]

    async def happened_in_both(self, topic=CASES, kind=LATER):
        """Something in either case; returns when that in the good one is told."""
        before = len(await self.cases_told(self.clinic))
        for case in (self.bad, self.good):
            await self.send(topic, kind, case)
        await until(lambda: self._told_more(before))

    async def _told_more(self, before):
        return len(await self.cases_told(self.clinic)) > before

    async def replay(self):
        return await repair.replay(self.world.db, reader_of(SERVICE), CASES, self.bad, **WHO)

    def sent(self):
        return [orjson.loads(each.body)["data"]["case_id"] for each in self.receiver.got]


@pytest.fixture
async def stage(world, receiver, empty_database):
    log = await connect(empty_database())
    yield await Stage(world, receiver, log).set_up()
    await log.close()


async def is_fresh(stage):
    """Whether the rights are younger now than what was marked; asked of the database."""
    await stage.marked()
    return await stage.world.app.state.rights.age() < 3


async def test_a_parked_event_of_a_case_closes_that_case_and_nothing_else(stage):
    stage.fails_on(SEALED)
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad)
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison()
        for topic, kind in (
            (CASES, LATER),
            ("referral.v1", ASKED),
            ("document.v1", "document.added"),
        ):
            await stage.happened_in_both(topic, kind)
        await until(lambda: is_fresh(stage))
        # what was told before, what was parked behind it, and what other topics say of the case
        assert {case for _, case in await stage.cases_told(stage.pantry)} == {stage.good}
        assert len(await stage.cases_told(stage.pantry)) == 3
        await stage.world.deliver()
        assert stage.sent() == [stage.good] * 3
    waiting = await stage.world.deliveries(stage.pantry, status="pending")
    assert [one["reason"] for one in waiting] == ["case-undecided"]


async def _told(stage, organisation, count):
    return len(await stage.cases_told(organisation)) == count


async def test_what_was_kept_back_goes_out_when_the_event_is_given_up(stage):
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad)
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison(value=b'{"n": ')
        await stage.happened_in_both()
        await stage.happened_in_both("referral.v1", ASKED)
        await stage.world.deliver()
        assert stage.sent() == [stage.good] * 2
        async with stage.world.db.begin() as tx:
            [blocked] = await repair.blocked_keys(tx, SERVICE.name)
            assert await repair.skip(tx, reader_of(SERVICE), blocked.first_id, **WHO)
        assert (await stage.replay()).stopped_by == ""
        await stage.world.deliver()
    assert sorted(stage.sent()) == sorted([stage.good] * 2 + [stage.bad] * 3)
    told = await stage.cases_told(stage.pantry)
    assert [kind for kind, case in told if case == stage.bad] == [ASKED, LATER, ASKED]
    assert len({each.headers["webhook-id"] for each in stage.receiver.got}) == 5


async def test_what_was_kept_back_never_goes_out_when_it_was_a_seal(stage):
    stage.fails_on(SEALED)
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad)
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison()
        await stage.happened_in_both("referral.v1", ASKED)
        await stage.world.look_who_sees()
        assert "access.ended" not in await stage.world.told(stage.pantry)
        assert (await stage.replay()).stopped_by == ""
        await stage.world.deliver()
    assert stage.sent() == [stage.good]
    assert {case for _, case in await stage.cases_told(stage.pantry)} == {stage.good}
    await stage.world.look_who_sees()
    assert [kind for kind, _ in await stage.cases_told(stage.pantry)] == [ASKED, "access.ended"]


async def test_parties_wait_as_well_and_the_custodian_reads_on(stage):
    stage.fails_on(SEALED)
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad, parties=[stage.pantry], classes=["notes"])
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison()
        assert await stage.cases_told(stage.pantry) == []
        assert await stage.cases_told(stage.clinic) == [(ASKED, stage.bad)]


async def test_who_got_a_grant_meanwhile_is_told_when_the_case_is_free(stage):
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad)
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison(value=b"junk")
        late = await stage.world.organisation("social-service")
        await stage.world.grant(stage.clinic, late, ["coordination"])
        assert await stage.cases_told(late) == []
        async with stage.world.db.begin() as tx:
            assert await repair.skip_key(tx, reader_of(SERVICE), CASES, stage.bad, **WHO) == 1
    assert await stage.cases_told(late) == [(ASKED, stage.bad)]


async def test_a_delivery_that_nobody_brings_back_is_looked_at_again(stage, monkeypatch):
    monkeypatch.setattr(kept_back, "_AGAIN", func.clock_timestamp())
    stage.fails_on(SEALED)
    async with stage.consumer():
        await stage.send("referral.v1", ASKED, stage.bad)
        await until(lambda: _told(stage, stage.pantry, 1))
        await stage.poison()
        async with stage.world.sender() as loop:
            assert await loop.step()
            await stage.world.sql("DELETE FROM blocked_key")
            assert await loop.step()
            await loop.idle()
    assert stage.sent() == [stage.bad]
