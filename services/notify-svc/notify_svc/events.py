"""What leaves: the one outward form of an event for partners, and the word to the ledger.

The outward form is thin, the same bytes for feed, webhook and every attempt. Into the log goes only
that something was disclosed by webhook, for the gateway's ledger.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sharing import ALL, names_of, policy
from sharing.part2 import notice_of
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.clock import wire
from svckit.ids import new_id
from svckit.outbox import Event, record

from notify_svc.domain.kinds import full
from notify_svc.domain.readers import default_purpose
from notify_svc.domain.verification import VERIFICATION

if TYPE_CHECKING:
    from notify_svc.queries.claims import Telling

TOPIC = "notify.v1"
PUBLISHES = ("disclosure.made", "disclosure.mailed")
# what of an event's data goes out
THIN = ("id", "version", "href", "case_id")
# an event stays well below what the log takes
TELLINGS = 100


def body(event_type: str, occurred_at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return `{type, timestamp, data}`: ids, version and link; the partner reads the rest.

    What is told of a Part 2 record says so: even that it exists is a disclosure.
    """
    thin = {name: data.get(name) for name in THIN}
    # a ping is about nobody: it names no classes
    notice = notice_of(data.get("classes", ()))
    told = {**thin, "redisclosure_notice": notice} if notice else thin
    return orjson.dumps({"type": event_type, "timestamp": wire(occurred_at), "data": told})


def challenge(endpoint_id: str, version: int, at: datetime, given: str) -> bytes:
    """Return what a receiver is asked with before it is sent anything: it gives `challenge` back."""
    href = f"/v1/webhook-endpoints/{endpoint_id}"
    data = {"id": endpoint_id, "version": version, "href": href, "challenge": given}
    return orjson.dumps({"type": VERIFICATION, "timestamp": wire(at), "data": data})


async def disclosed(
    tx: AsyncSession, custodian_id: str, told: "Sequence[Telling]", *, by_mail: bool = False
) -> None:
    """Record that attempts tell of one custodian's persons: to endpoints, or to mailboxes."""
    what, where = ("mail_id", "mailbox_id") if by_mail else ("delivery_id", "endpoint_id")
    found = new_id("dsc")
    data = {
        "id": found,
        "version": 1,
        "custodian_id": custodian_id,
        "person_id": None,
        "case_id": None,
        "parties": [],
        "classes": [],
        "href": "/v1/inbox" if by_mail else "/v1/deliveries",
        "change": {
            "policy": policy.in_force().version,
            "items": [
                {
                    "attempt_id": each.token,
                    what: each.delivery_id,
                    where: each.endpoint_id,
                    "organisation_id": each.organisation_id,
                    "purpose": default_purpose(each.kind),
                    "person_id": each.person_id,
                    "classes": names_of(int(ALL) & each.classes),
                }
                for each in told
            ],
        },
    }
    kind = full("disclosure.mailed" if by_mail else "disclosure.made")
    await record(tx, Event(type=kind, subject=found, version=1, key=custodian_id, data=data))
