"""The gateway's events make the replica; what the replica says decides."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sharing import Organisation, evaluate, mask_of, names_of, purposes, replica, sql, tables
from sharing.classes import NAMES, UnknownClass
from sharing.model import Row
from sqlalchemy import delete, func, literal, select
from svckit.clock import now, wire
from svckit.cloudevents import Received
from svckit.db import Database, Id

START = now() - timedelta(days=1)
FOOD = Organisation("org_food", "social-service", "COC")


@pytest.fixture(scope="module")
def url(empty_database):
    return empty_database()


@pytest.fixture
async def tx(url) -> AsyncIterator:
    database = Database(url, pool_size=1)
    async with database.engine.begin() as connection:
        await connection.run_sync(replica.metadata.create_all)
    async with database.begin() as session:
        for table in reversed(replica.metadata.sorted_tables):
            await session.execute(delete(table))
        yield session
    await database.dispose()


def received(noun_verb, subject, change, *, time=None, **more):
    data = {
        "id": subject,
        "version": 1,
        "custodian_id": "org_clinic",
        "person_id": None,
        "case_id": None,
        "parties": [],
        "classes": [],
        "href": "/v1/x",
        "change": change,
        **more,
    }
    return Received(
        id=f"evt_{subject}",
        type=f"org.careloop.{noun_verb}.v1",
        source="careloop/gateway",
        subject=subject,
        version=1,
        key=subject,
        time=time or now(),
        data=data,
    )


def agreed(**more):
    change = {
        "recipient_id": "org_food",
        "recipient_kind": None,
        "purposes": ["TREAT"],
        "classes": ["coordination", "needs", "notes"],
        "consent_classes": ["notes"],
        "retention_days": 30,
        "valid_from": wire(START),
        "valid_to": wire(START + timedelta(days=365)),
        **more,
    }
    return received("agreement.published", "agr_1", change)


def granted(verb="opened", **more):
    change = {
        "custodian_id": "org_clinic",
        "recipient_id": "org_food",
        "person_id": "per_1",
        "case_id": "cas_1",
        "agreement_id": "agr_1",
        "classes": ["coordination", "notes"],
        "purposes": ["COC"],
        "basis": "referral",
        "basis_id": "ref_1",
        "valid_from": wire(START),
        "valid_to": None,
        **more,
    }
    return received(f"grant.{verb}", "grt_1", change, person_id="per_1", case_id="cas_1")


def said(verb="recorded", **more):
    change = {
        "person_id": "per_1",
        "recipient_id": None,
        "decision": "permit",
        "classes": ["notes"],
        "purposes": ["TREAT"],
        "valid_from": wire(START),
        "valid_to": None,
        "decided_at": wire(START),
        **more,
    }
    return received(f"consent.{verb}", "con_1", change, person_id="per_1")


async def take(tx, *events, on_grant=None):
    handlers = replica.handlers(on_grant)
    for event in events:
        await handlers[event.type](tx, event)


async def seen(tx, reader=FOOD, case="cas_1"):
    """What the reader sees, by SQL and in process alike."""
    mask = sql.shared(
        reader,
        custodian=literal("org_clinic", Id),
        person=literal("per_1", Id),
        case=literal(case, Id),
        at=now(),
    )
    names = names_of(await tx.scalar(select(mask)))
    facts = await replica.facts(tx, person_id="per_1", custodian_id="org_clinic", case_id=case)
    decision = evaluate(facts, reader, Row("org_clinic", "per_1", case), at=now())
    assert names == names_of(decision.mask)
    return names


async def test_events_of_the_gateway_open_and_close_what_is_seen(tx):
    await take(tx, agreed(), granted())
    assert await seen(tx) == ["coordination"]
    await take(tx, said())
    assert await seen(tx) == ["coordination", "notes"]
    await take(tx, said("withdrawn"))
    assert await seen(tx) == ["coordination"]
    await take(tx, granted("changed", classes=["coordination", "needs"]))
    assert await seen(tx) == ["coordination", "needs"]
    await take(tx, granted("ended"))
    assert await seen(tx) == []


async def test_a_grant_that_ends_later_is_seen_until_then(tx):
    later = granted("ended", valid_to=wire(now() + timedelta(days=30)))
    await take(tx, agreed(), granted(), later)
    assert await seen(tx) == ["coordination"]


async def test_an_agreement_that_has_ended_closes_every_grant_under_it(tx):
    await take(tx, agreed(), granted())
    ended = received("agreement.ended", "agr_1", agreed().data["change"])
    await take(tx, ended)
    assert await seen(tx) == []


async def test_an_event_taken_twice_changes_nothing(tx):
    await take(tx, agreed(), granted(), agreed(), granted())
    assert await tx.scalar(select(func.count()).select_from(tables.grant)) == 1
    assert await seen(tx) == ["coordination"]


async def test_a_deny_without_classes_or_purposes_denies_everything(tx):
    await take(tx, agreed(), granted(), said(decision="deny", classes=[], purposes=[]))
    assert await seen(tx) == []


async def test_a_permit_without_classes_permits_nothing(tx):
    await take(tx, agreed(), granted(), said(classes=[], purposes=[]))
    assert await seen(tx) == ["coordination"]


async def test_an_unknown_class_is_refused(tx):
    with pytest.raises(UnknownClass):
        await take(tx, granted(classes=["coordination", "tomorrow"]))


async def test_a_service_is_told_of_every_change_of_a_grant(tx):
    told = []

    async def note(session, grant):
        assert session is tx
        told.append((grant.recipient_id, grant.valid_to is None, grant.classes))

    await take(tx, agreed(), granted(), granted("ended"), said(), on_grant=note)
    classes = int(mask_of(["coordination", "notes"]))
    assert told == [("org_food", True, classes), ("org_food", False, classes)]


async def test_candidates_of_an_event_are_those_some_grant_names(tx):
    for name, kind in (("org_food", "social-service"), ("org_plan", "payer")):
        await take(tx, received("organisation.registered", name, {"kind": kind, "name": name}))
    await take(tx, agreed(), granted())
    found = await replica.recipients(tx, person_id="per_1", custodian_id="org_clinic")
    assert found == [Organisation("org_food", "social-service")]
    assert await replica.recipients(tx, person_id="per_2", custodian_id="org_clinic") == []


async def test_the_agreement_in_force_is_the_one_that_names_the_recipient(tx):
    await take(
        tx,
        received("organisation.registered", "org_food", {"kind": "social-service", "name": "F"}),
        agreed(recipient_id=None, recipient_kind="social-service"),
    )
    parties = {"custodian_id": "org_clinic", "recipient_id": "org_food"}
    with_the_kind = await replica.agreement_in_force(tx, **parties)
    assert with_the_kind is not None
    assert with_the_kind.purposes == purposes.mask_of(["TREAT"])
    named = received("agreement.published", "agr_0", agreed().data["change"])
    await take(tx, named)
    assert (await replica.agreement_in_force(tx, **parties)).id == "agr_0"
    ended = [
        received("agreement.ended", which, {}, time=now() - timedelta(hours=1))
        for which in ("agr_0", "agr_1")
    ]
    await take(tx, *ended)
    assert await replica.agreement_in_force(tx, **parties) is None
    assert (
        await replica.agreement_in_force(tx, custodian_id="org_x", recipient_id="org_food") is None
    )


async def test_records_can_be_written_where_they_are_owned(tx):
    await take(tx, agreed(), granted())
    facts = await replica.facts(
        tx,
        person_id="per_1",
        custodian_id="org_clinic",
        case_id="cas_1",
        recipient_id="org_food",
    )
    await tx.execute(delete(tables.grant))
    assert await seen(tx) == []
    await replica.put(tx, *facts.agreements.values(), *facts.grants)
    assert await seen(tx) == ["coordination"]


async def test_a_sealed_case_vanishes_until_the_seal_is_taken_off(tx):
    sealed, unsealed = (
        received(f"case.{verb}", "cas_1", {}, time=now(), case_id="cas_1")
        for verb in ("sealed", "unsealed")
    )
    await take(tx, agreed(), granted())
    assert await seen(tx) == ["coordination"]
    await take(tx, sealed, sealed)
    assert await seen(tx) == []
    assert await seen(tx, Organisation("org_clinic", "clinic", "TREAT")) == names_of(~0)
    await take(tx, unsealed)
    assert await seen(tx) == ["coordination"]
    await take(tx, received("case.sealed", "cas_1", {}, time=now(), case_id="cas_1"))
    assert await seen(tx) == []


async def test_what_an_agreement_says_of_confidentiality_and_version_is_kept(tx):
    change = {"confidentiality": "R", "legal_basis": "164.506", "version": "sha256:ab"}
    await take(tx, agreed(**change), granted(version=7), said())
    facts = await replica.facts(tx, person_id="per_1", custodian_id="org_clinic", case_id=None)
    agreement = facts.agreements["agr_1"]
    assert (agreement.confidentiality, agreement.legal_basis) == (4, "164.506")
    assert agreement.version == "sha256:ab"
    assert [one.version for one in (*facts.grants, *facts.consents)] == ["7", "1"]


def nested(decision, depth, classes):
    return {
        "decision": decision,
        "depth": depth,
        "recipient_id": None,
        "purposes": ["TREAT"],
        "classes": classes,
        "confidentiality": "V",
        "valid_from": wire(START),
        "valid_to": None,
    }


def directed(verb, *directives):
    first = {name: value for name, value in directives[0].items() if name != "depth"}
    change = {**first, "decided_at": wire(START), "active": True, "directives": list(directives)}
    return received(f"consent.{verb}", "con_n", change, person_id="per_1")


async def test_a_consent_of_several_directives_comes_and_goes_as_one(tx):
    everything = granted(classes=["coordination", "needs", "notes"])
    await take(tx, agreed(), everything)
    assert await seen(tx) == ["coordination", "needs"]
    base, exception = nested("deny", 0, list(NAMES)), nested("permit", 1, ["needs", "notes"])
    await take(tx, directed("recorded", base, exception, nested("deny", 2, ["needs"])))
    assert await seen(tx) == ["notes"]
    await take(tx, directed("recorded", base, exception))
    assert await seen(tx) == ["needs", "notes"]
    await take(tx, directed("withdrawn", base, exception))
    assert await seen(tx) == ["coordination", "needs"]
    kept = await tx.execute(select(tables.consent.c.id, tables.consent.c.active))
    assert {tuple(row) for row in kept} == {("con_n", False), ("con_n.1", False)}
