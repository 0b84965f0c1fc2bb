"""Enters what webhooks and mails tell, from notify-svc's word of it, with the event in one commit.

Consumers take turns in one segment of their own: its end is in the table, not in a process.
"""

from typing import Any

import asyncpg
from sharing import mask_of
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import now
from svckit.cloudevents import Received
from svckit.disclosure import Disclosed
from svckit.merkle import leaf_hash

from gateway.entries import EVENTS_SEGMENT, MAIL, WEBHOOK, Answer, Chain, Told, place
from gateway.queries import ledger as queries
from gateway.queries.ledger import Known, Subject

_TURN = 7_412_103
KIND = "org.careloop.disclosure.made.v1"
MAILED = "org.careloop.disclosure.mailed.v1"


async def disclosure_made(tx: AsyncSession, received: Received) -> None:
    """Append what the attempts tell."""
    await queries.await_turn(tx, _TURN)
    connection = await _driver(tx)
    custodian_id = received.data["custodian_id"]
    items = received.data["change"]["items"]
    rules = received.data["change"].get("policy", "")
    subjects = {
        Subject(custodian_id, each["organisation_id"], each["person_id"])
        for each in items
        if each["person_id"]
    }
    known = await queries.known(connection, sorted(subjects), received.time) if subjects else {}
    chain = await _chain(tx, connection)
    told = []
    for each in items:
        classes = int(mask_of(each["classes"]))
        item = Disclosed("event", custodian_id, each["person_id"], classes, rules=rules)
        subject = Subject(custodian_id, each["organisation_id"], each["person_id"])
        bases, _ = known.get(subject, Known()).bases(each["purpose"], item.classes)
        answer = _answer(each, item, received.traceparent or "")
        told.append(Told(answer, item, bases))
    await queries.append(connection, chain.add(told, received.time))


def _answer(told: dict[str, Any], item: Disclosed, traceparent: str) -> Answer:
    is_mail = "mailbox_id" in told
    return Answer(
        told["organisation_id"],
        told["mailbox_id" if is_mail else "endpoint_id"],
        told["attempt_id"],
        told["purpose"],
        MAIL if is_mail else WEBHOOK,
        "MAIL" if is_mail else "POST",
        0,
        traceparent.split("-")[1] if traceparent else "",
        (item,),
    )


async def _chain(tx: AsyncSession, connection: asyncpg.Connection) -> Chain:
    last = await queries.last_of(tx, EVENTS_SEGMENT)
    if last is None:
        await queries.open_segment(connection, EVENTS_SEGMENT, now())
        return Chain(EVENTS_SEGMENT)
    _, seq = place(last.id)
    return Chain(EVENTS_SEGMENT, seq, leaf_hash(last.body.encode()).hex())


async def _driver(tx: AsyncSession) -> asyncpg.Connection:
    """Return the driver's connection of the transaction, which has begun."""
    raw = await (await tx.connection()).get_raw_connection()
    assert isinstance(raw.driver_connection, asyncpg.Connection)
    return raw.driver_connection
