"""Writes aggregates as services do: lock the row, take its version, record the event, commit.

The journal row of the same commit is what the checker compares everything with. Some transactions
are rolled back on purpose, some change several aggregates; a few keys get most of the changes.
"""

import asyncio
import os
import random
import shutil
from pathlib import Path

import orjson
from sqlalchemy import text
from svckit import contracts
from svckit.db import Database
from svckit.outbox import Event, record

from tests.chaos import plan

# in one order: transactions that change the same aggregates never wait in a circle
_NEXT = text(
    "WITH locked AS (SELECT id FROM thing WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id"
    " FOR UPDATE)"
    " UPDATE thing t SET version = t.version + 1 FROM locked WHERE t.id = locked.id"
    " RETURNING t.id, t.version"
)
_JOURNAL = text(
    "INSERT INTO journal (subject, version, event_id, amount, kind) SELECT * FROM unnest("
    "CAST(:subjects AS text[]), CAST(:versions AS int[]), CAST(:event_ids AS text[]),"
    " CAST(:amounts AS bigint[]), CAST(:kinds AS text[]))"
)
_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:careloop:event:thing.changed.v1",
    "type": "object",
    "properties": {"n": {"type": "integer"}, "amount": {"type": "integer"}},
    "required": ["n", "amount"],
    "additionalProperties": False,
}


def case_id(number):
    return f"cas_{number:026d}"


def subjects(hot):
    return [
        *(f"hot-{n}" for n in range(hot)),
        *(f"cold-{n}" for n in range(plan.COLD)),
        *(case_id(n) for n in range(plan.CASES)),
    ]


def contracts_in(folder):
    """Beside the real contracts, one for what only the ledger is told."""
    theirs, ours = contracts.events_dir(), Path(folder) / "contracts" / "events"
    if not ours.exists():
        shutil.copytree(theirs, ours)
        (ours / "thing.changed.v1.schema.json").write_bytes(orjson.dumps(_SCHEMA))
    contracts.use(ours.parent)


class Changes:
    """Changes aggregates of the source; the example of the real contract is the case's body."""

    def __init__(self, world):
        contracts_in(world.folder)
        example = contracts.events_dir() / "case.changed.v1.example.json"
        self._example = orjson.loads(example.read_bytes())
        self._world = world

    async def change(self, tx, chosen, dice):
        """Change each of the aggregates once and return the ids of the events."""
        rows = []
        for subject, version in (await tx.execute(_NEXT, {"ids": chosen})).all():
            amount = version
            if subject.startswith("cas_"):
                data, kind = self._case(subject, version), plan.CASE
            else:
                amount = dice.randrange(1000)
                data, kind = {"n": version, "amount": amount}, plan.THING
            event_id = await record(tx, Event(kind, subject, version, subject, data))
            rows.append((subject, version, event_id, amount, kind))
        names = ("subjects", "versions", "event_ids", "amounts", "kinds")
        columns = zip(names, map(list, zip(*rows, strict=True)), strict=True)
        await tx.execute(_JOURNAL, dict(columns))
        return [event_id for _, _, event_id, _, _ in rows]

    def _case(self, subject, version):
        custodian, *parties = audience(self._world, subject)
        return {
            **self._example,
            "id": subject,
            "version": version,
            "custodian_id": custodian,
            "case_id": subject,
            "parties": parties,
        }


def audience(world, subject):
    """Who is told of a case: its custodian, and a party of every second one.

    One case in ten is known to somebody whose receiver answers badly.
    """
    number = int(subject[-6:])
    custodian = world.organisations[number % len(world.organisations)]
    if number % 2:
        return [custodian]
    if number % 10 == 0 and world.rare:
        return [custodian, world.rare[(number // 10) % len(world.rare)]]
    return [custodian, world.organisations[(number + 1) % len(world.organisations)]]


def pick(dice, hot):
    draw = dice.random()
    if draw < plan.CASE_SHARE:
        return case_id(dice.randrange(plan.CASES))
    if draw < plan.CASE_SHARE + 0.5:
        return f"hot-{dice.randrange(hot)}"
    return f"cold-{dice.randrange(plan.COLD)}"


async def _writer(world, db, changes, stop, *, dice, every_s):
    loop = asyncio.get_running_loop()
    turn = loop.time() + dice.random() * every_s
    pause, behind = world.path / "pause", world.path / "behind"
    rolled_back = world.path / "rolled-back"
    while not stop.is_set():
        turn = max(turn + every_s, loop.time() - 1)
        await asyncio.sleep(max(0.0, turn - loop.time()))
        if pause.exists() or behind.exists():
            await asyncio.sleep(0.1)
            continue
        several = dice.random() < world.made_of.several
        count = dice.randint(2, world.made_of.most) if several else 1
        chosen = sorted({pick(dice, world.made_of.hot) for _ in range(count)})
        try:
            async with db.begin() as tx:
                ids = await changes.change(tx, chosen, dice)
                if dice.random() < plan.ROLLED_BACK:
                    await tx.rollback()
                    with rolled_back.open("a") as history:
                        history.write("".join(f"{event_id}\n" for event_id in ids))
        except Exception:  # the database is away: what was not acknowledged may have been committed
            await asyncio.sleep(0.2)


async def write(world, number, stopping, writers=4):
    """Write until stopped, with a relay in the same process as services have it."""
    from svckit.eventlog import connect
    from svckit.relay import Relay

    stop = stopping()
    changes = Changes(world)
    db = Database(world.source_url, writers)
    log = await connect(world.log_url)
    relaying = asyncio.create_task(
        Relay(world.source_url, log, plan.TOPIC, deadline_s=5, marks=True).run(stop)
    )
    every_s = writers / world.rate if world.rate else 0.0
    await asyncio.gather(
        *(
            _writer(
                *(world, db, changes, stop),
                dice=random.Random(f"{world.seed}-{os.getpid()}-{n}"),
                every_s=every_s,
            )
            for n in range(writers)
        )
    )
    await relaying
    await db.dispose()
    await log.close()
