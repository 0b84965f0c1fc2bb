"""Events taken in one batch leave the same as one by one, also where rights change in between."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import orjson
import pytest
from notify_svc import consumer
from notify_svc.consumer import HANDLERS
from sharing import following
from sqlalchemy import text
from svckit import cloudevents, inbox
from svckit.clock import now, wire
from svckit.db import Database
from svckit.eventlog import Stored, TopicPartition
from svckit.ids import new_id
from svckit.inbox import Reader

from tests.service.notify_svc.conftest import PURPOSE
from tests.statements import collected

AT = TopicPartition("case.v1", 0)
READER = Reader("notify-svc", HANDLERS)
LEFT = {
    "message": "id, kind, subject, case_id, classes, confidentiality",
    "feed_item": "organisation_id, seq, message_id",
    "feed_head": "organisation_id, seq",
    "access": "organisation_id, subject, case_id, referral_id, party, times, ended_at",
    "delivery": "rank() OVER (ORDER BY seq), endpoint_id, message_id, asked_classes, order_key,"
    " status, reason",
    "inbox_item": "organisation_id, worker_key, subject, kind, about, cause, withdrawn_at IS NULL",
    "inbox_duty": "subject, about, organisation_id, worker_key, cause, due_at",
    "contact_ban": "source_id, person_id",
    "sharing_protection": "case_id, confidentiality",
    "sharing_seal": "case_id, valid_to IS NULL",
}
FILTERS = (
    {},
    {"kinds": ["note.*"]},
    {"kinds": ["referral.requested"], "need_categories": ["food-insecurity"]},
    {"transitions": ["accepted", "ready"]},
    {"enabled": False},
)


async def taken(db, events, cuts=()):
    """Apply them as the consumer does, in one batch but for the cuts."""
    records = [stored(event, offset) for offset, event in enumerate(events)]
    edges = [0, *cuts, len(records)]
    async with db.begin() as tx:
        await following.of_replica().read(tx)
        await inbox.position(tx, READER.consumer, AT, "log")
    for begin, end in pairwise(edges):
        if begin < end:
            async with db.begin() as tx:
                await inbox.apply(tx, READER, {AT.topic: "log"}, {AT: records[begin:end]})


def stored(event, offset):
    head = cloudevents.headers(
        event_id=event.id,
        kind=event.type,
        subject=event.subject,
        version=event.version,
        key="all",
        time=event.time,
        dataschema="x",
        traceparent=event.traceparent,
        caused_by=event.caused_by,
    ) | {"ce_source": "careloop/test"}
    headers = {name: value.encode() for name, value in head.items()}
    return Stored(*AT, offset, b"all", headers, orjson.dumps(event.data))


async def left(db):
    async with db.begin() as tx:
        return {
            table: sorted(
                map(tuple, await tx.execute(text(f"SELECT {columns} FROM {table}"))), key=repr
            )
            for table, columns in LEFT.items()
        }


class Network:
    """A clinic with two cases, three others that may be told, and what may happen."""

    def __init__(self, world, chance):
        self.world, self.chance, self.events = world, chance, []
        self.cases = [new_id("cas"), new_id("cas")]
        self.grants, self.notes, self.referrals, self.tasks, self.consents = [], [], [], [], []
        self.organisations = {
            new_id("org"): kind for kind in ("clinic", "social-service", "social-service", "payer")
        }
        self.clinic, self.agency, self.other, self.payer = self.organisations
        world.kinds |= self.organisations
        for one, kind in self.organisations.items():
            self.happens("organisation.registered", one, {"kind": kind, "name": "A partner"})
        self.agreements = {one: self.agree(one) for one in (self.agency, self.other, self.payer)}

    def happens(self, kind, subject, change=None, **data):
        event = self.world.event(kind, subject, change, **data)
        parent = f"00-{self.chance.getrandbits(128):032x}-{self.chance.getrandbits(64):016x}-01"
        self.events.append(replace(event, traceparent=parent))

    def told(self, kind, subject, change=None, *, classes=("coordination",), **more):
        about = {"custodian_id": self.clinic, "person_id": self.world.person, **more}
        about.setdefault("case_id", self.chance.choice(self.cases))
        self.happens(kind, subject, change, classes=list(classes), **about)

    def terms(self, recipient):
        return {
            "recipient_id": recipient,
            "purposes": [PURPOSE[self.organisations[recipient]]],
            "valid_from": (now() - timedelta(minutes=1)).isoformat(),
            "valid_to": None,
        }

    def agree(self, recipient):
        agreement, every = new_id("agr"), ["coordination", "notes", "outcome", "needs"]
        more = {"recipient_kind": None, "consent_classes": [], "retention_days": 30}
        change = self.terms(recipient) | more | {"classes": every}
        self.happens("agreement.published", agreement, change, custodian_id=self.clinic)
        return agreement

    def grant(self):
        recipient, grant = self.chance.choice([self.agency, self.other, self.payer]), new_id("grt")
        classes = self.chance.sample(["coordination", "notes", "outcome", "needs"], 3)
        basis = {
            "agreement_id": self.agreements[recipient],
            "basis": "consent",
            "basis_id": new_id("con"),
        }
        about = {"custodian_id": self.clinic, "person_id": self.world.person}
        about["case_id"] = self.chance.choice([None, *self.cases])
        change = self.terms(recipient) | basis | {"classes": classes}
        self.happens("grant.opened", grant, change, **about)
        self.grants.append((grant, about | {"classes": classes}))

    def end_grant(self):
        if self.grants:
            grant, about = self.grants.pop(self.chance.randrange(len(self.grants)))
            self.happens("grant.ended", grant, **about)

    def refuse(self):
        consent = new_id("con")
        self.consents.append(consent)
        change = {
            "decision": "deny",
            "purposes": [],
            "recipient_id": self.chance.choice([None, self.agency]),
            "classes": ["notes"],
            "valid_from": (now() - timedelta(minutes=1)).isoformat(),
            "decided_at": wire(now()),
        }
        self.happens("consent.recorded", consent, change, person_id=self.world.person)

    def withdraw(self):
        if self.consents:
            consent = self.consents.pop()
            self.happens("consent.withdrawn", consent, person_id=self.world.person)

    def note(self):
        note, case = new_id("not"), self.chance.choice(self.cases)
        self.notes.append((note, case))
        self.told("note.added", note, classes=["notes"], case_id=case)

    def label(self):
        if self.notes:
            note, case = self.chance.choice(self.notes)
            classes = self.chance.choice([["notes"], ["notes", "behavioral"]])
            self.told("note.labelled", note, classes=classes, case_id=case)

    def case(self):
        case, code = self.chance.choice(self.cases), self.chance.choice("NRV")
        kind, change = "changed", {"fields": ["confidentiality"], "status": "active"}
        if self.chance.random() < 0.4:
            kind, change = self.chance.choice(["sealed", "unsealed"]), {}
        self.told(f"case.{kind}", case, change, case_id=case, confidentiality=code)

    def referral(self):
        if not self.referrals or self.chance.random() < 0.4:
            self.referrals.append((new_id("ref"), self.chance.choice(self.cases)))
        referral, case = self.chance.choice(self.referrals)
        verb = self.chance.choice(["requested", "accepted", "started", "completed", "rejected"])
        change = {
            "recipient_id": self.agency,
            "accept_by": wire(now() + timedelta(days=3)),
            "start_by": wire(now() + timedelta(days=5)),
            "status": verb,
            "need_category": "food-insecurity",
            "contacting_subject_prohibited": self.chance.random() < 0.3,
        }
        parties = [self.clinic, self.agency]
        self.told(f"referral.{verb}", referral, change, parties=parties, case_id=case)

    def task(self):
        if not self.tasks or self.chance.random() < 0.4:
            self.tasks.append((new_id("tsk"), self.chance.choice(self.cases)))
        task, case = self.chance.choice(self.tasks)
        change = {
            "status": self.chance.choice(["ready", "ready", "completed"]),
            "organisation_id": self.agency,
            "worker_key": self.chance.choice([None, "wrk_a", "wrk_b"]),
            "due_at": wire(now() + timedelta(days=2)),
        }
        self.told("task.changed", task, change, case_id=case)

    def person(self):
        change = {"record_id": new_id("rec"), "contact_prohibited": True}
        about = {"case_id": None, "classes": ["identity"]}
        self.told("person.changed", self.world.person, change, **about)

    def happen(self, times):
        often = [self.note, self.note, self.referral, self.task, self.case, self.label]
        seldom = [self.grant, self.end_grant, self.refuse, self.withdraw, self.person]
        self.grant()
        for _ in range(times):
            self.chance.choice(often + often + seldom)()

    async def listen(self, *databases):
        """Endpoints of every organisation, under the same ids everywhere."""
        rows = [
            {
                "id": new_id("whk"),
                "organisation_id": one,
                "enabled": filters.get("enabled", True),
                **{
                    name: filters.get(name, [])
                    for name in ("kinds", "need_categories", "transitions")
                },
            }
            for one in self.organisations
            for filters in FILTERS
        ]
        for db in databases:
            async with db.begin() as tx:
                await tx.execute(_ENDPOINT, rows)


_ENDPOINT = text(
    "INSERT INTO webhook_endpoint (id, organisation_id, enabled, kinds, need_categories,"
    ' transitions, version, url, description, signature, "window", failed_messages, created_at,'
    " updated_at) VALUES (:id, :organisation_id, :enabled, :kinds, :need_categories, :transitions,"
    " 1, 'https://x', '', 'v1', 4, 0, now(), now())"
)


@pytest.fixture
async def beside(database_for):
    """Another database of the service, for the same events taken otherwise."""
    found = Database(database_for("notify_svc"), 2)
    yield found
    await found.dispose()


async def one_by_one(db, events):
    async with db.begin() as tx:
        await following.of_replica().read(tx)
    for event in events:
        async with db.begin() as tx:
            await HANDLERS[event.type](tx, event)


@pytest.mark.parametrize("seed", range(2))
async def test_a_batch_leaves_what_its_events_leave_one_by_one(world, beside, seed):
    chance = random.Random(seed)
    network = Network(world, chance)
    await network.listen(world.db, beside)
    network.happen(60)
    await one_by_one(world.db, network.events)
    cuts = sorted(chance.sample(range(len(network.events)), chance.randrange(3)))
    await taken(beside, network.events, cuts)
    expected, found = await left(world.db), await left(beside)
    assert expected["delivery"]
    assert expected["inbox_item"]
    for table in LEFT:
        assert found[table] == expected[table], table
    await taken(beside, network.events)
    assert await left(beside) == found


def happened(world, network, *kinds):
    """A note each, of one case, but for what is named otherwise."""
    case, note = network.cases[0], new_id("not")
    for kind in kinds:
        subject = {"case": case, "note.labelled": note}.get(kind.split(".")[0]) or note
        subject = new_id("not") if kind == "note.added" else subject
        more = {"confidentiality": "R"} if kind == "case.changed" else {}
        change = {"fields": ["confidentiality"]} if more else {}
        network.told(kind, subject, change, classes=["notes"], case_id=case, **more)


async def feed(db, organisation):
    async with db.begin() as tx:
        rows = await tx.execute(
            text(
                "SELECT m.kind FROM feed_item i JOIN message m ON m.id = i.message_id"
                " WHERE i.organisation_id = :one ORDER BY i.seq"
            ),
            {"one": organisation},
        )
        return list(rows.scalars())


@pytest.mark.parametrize("change", ["case.changed", "case.sealed"])
async def test_what_a_case_says_midway_holds_for_what_comes_after(world, change):
    network = Network(world, random.Random(0))
    network.chance = Always()
    network.grant()
    happened(world, network, "note.added", "note.added", change, "note.added")
    await taken(world.db, network.events)
    assert await feed(world.db, network.agency) == ["note.added", "note.added"]
    kinds = ["note.added", "note.added", change, "note.added"]
    assert await feed(world.db, network.clinic) == kinds


async def test_a_grant_that_ends_midway_shows_nothing_of_what_comes_after(world):
    network = Network(world, random.Random(0))
    network.chance = Always()
    network.grant()
    happened(world, network, "note.added")
    network.end_grant()
    happened(world, network, "note.added")
    await taken(world.db, network.events)
    assert await feed(world.db, network.agency) == ["note.added"]


class Always(random.Random):
    """Chooses the first, and all classes."""

    def choice(self, seq):
        return seq[0]

    def sample(self, population, _):
        return population


async def test_a_label_midway_protects_what_was_told_before_and_nothing_after(world):
    network = Network(world, random.Random(0))
    case, note = network.cases[0], new_id("not")
    for kind, classes in (
        ("note.added", ["notes"]),
        ("note.labelled", ["notes", "behavioral"]),
        ("note.labelled", ["notes"]),
        ("note.labelled", ["notes", "sexual"]),
    ):
        network.told(kind, note, classes=classes, case_id=case)
    await taken(world.db, network.events)
    rows = await world.sql("SELECT DISTINCT classes FROM message WHERE subject = :id", id=note)
    assert len(rows.all()) == 1


async def test_each_webhook_goes_on_with_the_trace_of_its_own_event(world):
    network = Network(world, random.Random(0))
    await network.listen(world.db)
    happened(world, network, *["note.added"] * 5)
    await taken(world.db, network.events)
    rows = await world.sql("SELECT message_id, traceparent FROM delivery")
    traces = {event.id: event.traceparent.split("-")[1] for event in network.events}
    found = {(message_id, parent.split("-")[1]) for message_id, parent in rows}
    assert found == {(event.id, traces[event.id]) for event in network.events[-5:]}


async def test_statements_do_not_grow_with_the_batch(world):
    network = Network(world, random.Random(0))
    network.chance = Always()
    network.grant()
    await network.listen(world.db)
    await taken(world.db, network.events)
    counts = []
    for many in (2, 40):
        before = len(network.events)
        happened(world, network, *["note.added"] * many)
        records = [stored(event, n) for n, event in enumerate(network.events)][before:]
        with collected(world.db) as sent:
            async with world.db.begin() as tx:
                await inbox.apply(tx, READER, {AT.topic: "log"}, {AT: records})
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 16


def test_events_are_together_until_one_changes_what_another_is_decided_by(world):
    network = Network(world, random.Random(0))
    begun = len(network.events)
    happened(
        world,
        network,
        *("note.added", "note.added", "case.changed", "note.added", "case.changed"),
        *("note.labelled", "note.added", "note.labelled"),
    )
    found = [len(run) for run in consumer.runs(network.events[begun:])]
    assert found == [2, 2, 3, 1]
