"""The path with one guard taken away, and the fault that must then show in the histories.

Each change is made in the process of a part, before it runs; the product knows nothing of it. The
ids of the inbox and the check of versions both drop what was seen: `dedupe` takes away both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos import plan, scenes

PATH = plan.PATH
SENDING = {**plan.PARTNERS, **PATH, "consume": 1, "relay": 1}
# nobody writes but the scene, and one sender at a time is started by it
ONE_BY_ONE = {**SENDING, "notify-deliver": 1, "write": 0}
STOPS_ANSWERED, STOPS_CLAIMED = "deliver.answered=1:stop", "deliver.claimed=1:stop"


@dataclass(frozen=True)
class Mutant:
    """`apply` takes the guard away; `act` and `armed` are the fault; `shows` is what must be found."""

    apply: Callable[[str], None]
    shows: str
    act: Callable = None
    roles: Mapping[str, int] = field(default_factory=lambda: PATH)
    armed: Mapping[str, str] = field(default_factory=dict)
    behaviours: Sequence[str] = ("200",)


def _dedupe(_):
    from svckit import inbox

    async def all_fresh(tx, reader, events, verdicts):
        return {event.id for _, event in events}

    judge = inbox.judge

    def judged(events, versions, blocks):
        return [
            inbox.Verdict.APPLY if verdict is inbox.Verdict.DROP else verdict
            for verdict in judge(events, versions, blocks)
        ]

    inbox._fresh, inbox.judge = all_fresh, judged


def _version_check(_):
    from svckit import inbox

    def judged(events, versions, blocks):
        return [inbox.Verdict.APPLY for _ in events]

    inbox.judge = judged


def _fence(_):
    from svckit import inbox

    async def unfenced(tx, consumer, partitions, log_ids):
        return dict.fromkeys(partitions, 0)

    inbox.fences = unfenced


def _lease(role):
    from svckit.leases import Leases

    async def all_of_it(self):
        self.held = self._numbers
        return self.held

    if role in {"relay", "write"}:
        Leases.refresh = all_of_it


def _delete_after_ack(_):
    from svckit.failpoints import failpoint
    from svckit.relay import Relay

    async def send(self, leases, producer, rows, stop):
        await self._delete(leases, [row["seq"] for row in rows])
        failpoint("relay.deleted")
        await self._within_deadline(producer, [self._record(row) for row in rows], stop)

    Relay._send = send


def _token(_):
    from notify_svc.models import Delivery, Message
    from notify_svc.queries import claims
    from sqlalchemy import select

    held = claims.held

    async def anyone(tx, given):
        found = await held(tx, given)
        rows = await tx.execute(
            select(Delivery.id, Delivery.step, Delivery.order_key, Message.expires_at)
            .join(Message, Message.id == Delivery.message_id)
            .where(Delivery.id.in_([claim.delivery_id for claim in given]))
        )
        sent = {row.id: claims.Sent(*row) for row in rows}
        return found._replace(deliveries={claim.token: sent[claim.delivery_id] for claim in given})

    claims.held = anyone


def _write_ahead(_):
    from notify_svc.actions import attempts, results
    from sqlalchemy import text

    before, written, after = attempts._WRITE_AHEAD.text.partition(", written AS (")
    _, ending, rest = after.partition("FROM sent\n    )")
    assert written
    assert ending
    attempts._WRITE_AHEAD = text(before + rest)
    settle = results.settle
    late = text(
        "INSERT INTO delivery_attempt (id, delivery_id, number, started_at, outcome)"
        " VALUES (:id, :delivery, 1, clock_timestamp(), 'unknown')"
    )

    async def settled(tx, given, settings):
        for result in given:
            about = {"id": result.claim.token, "delivery": result.claim.delivery_id}
            await tx.execute(late, about)
        return await settle(tx, given, settings)

    results.settle = settled


def _stale_claim(_):
    from notify_svc.deliver import loop

    attempt = loop.Loop._attempt

    async def whenever(self, claim, claimed, until):
        await attempt(self, claim, claimed, float("inf"))

    loop.Loop._attempt = whenever


def _nothing(_):
    """Every guard stands."""


WITH_ALL_GUARDS = {
    "the path": Mutant(
        _nothing,
        "",
        scenes.all_of_the_path,
        armed={"consume-0": "consume.fetched=20:stop", "relay-0": "relay.deleted=20"},
    ),
    "no fault at all": Mutant(_nothing, "", scenes.some_seconds),
    "token": Mutant(
        _nothing, "", scenes.late_answer, ONE_BY_ONE, {scenes.SENDER: STOPS_ANSWERED}, ["flaky"]
    ),
    "stale claim": Mutant(
        _nothing, "", scenes.late_request, ONE_BY_ONE, {scenes.SENDER: STOPS_CLAIMED}
    ),
    "write-ahead": Mutant(
        _nothing, "", scenes.struck, SENDING, {"notify-deliver-0": "deliver.answered=3"}
    ),
}


MUTANTS = {
    "dedupe": Mutant(_dedupe, "I4", scenes.repeated),
    "version check": Mutant(_version_check, "I3", scenes.late_version),
    "fence": Mutant(_fence, "fence", scenes.struck, armed={"consume-0": "consume.fetched=20:stop"}),
    "lease": Mutant(_lease, "I6", scenes.sent_twice),
    "delete after ack": Mutant(
        _delete_after_ack, "I1", scenes.struck, armed={"relay-0": "relay.deleted=20"}
    ),
    "token": Mutant(
        _token, "end", scenes.late_answer, ONE_BY_ONE, {scenes.SENDER: STOPS_ANSWERED}, ["flaky"]
    ),
    "write-ahead": Mutant(
        _write_ahead, "I8", scenes.struck, SENDING, {"notify-deliver-0": "deliver.answered=3"}
    ),
    "stale claim": Mutant(
        _stale_claim, "I9", scenes.late_request, ONE_BY_ONE, {scenes.SENDER: STOPS_CLAIMED}
    ),
}
