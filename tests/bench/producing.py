"""A service that records events at a steady rate, one commit each, and relays them: a process.

On uvloop and as `svckit.audit` writes, like every service.

    python -m tests.bench.producing DATABASE_URL LOG_URL ORGANISATION...

Reads `RATE SECONDS` lines and answers each with the number of events recorded.
"""

import asyncio
import signal
import sys

import orjson
import uvloop
from svckit import contracts, tables
from svckit.clock import now
from svckit.db import Database
from svckit.eventlog import connect
from svckit.ids import new_id
from svckit.outbox import Event, record
from svckit.relay import Relay

NOTE = "org.careloop.note.added.v1"
CASES_EACH = 10
AT_ONCE = 8
_AUDIT = tables.audit.insert().inline()


class Producer:
    def __init__(self, db, organisations):
        self._db = db
        self._example = orjson.loads(
            (contracts.events_dir() / "note.added.v1.example.json").read_bytes()
        )
        self._cases = [(one, new_id("cas")) for _ in range(CASES_EACH) for one in organisations]
        self._count = 0

    async def one(self):
        """A change as a service commits it: the event and its audit row."""
        organisation, case = self._cases[self._count % len(self._cases)]
        self._count += 1
        note = new_id("not")
        data = {
            **self._example,
            "id": note,
            "custodian_id": organisation,
            "case_id": case,
            "href": f"/v1/cases/{case}/notes/{note}",
        }
        async with self._db.begin() as tx:
            event_id = await record(tx, Event(NOTE, note, 1, case, data))
            row = {"id": new_id("aud"), "at": now(), "action": "note.add", "resource": event_id}
            await tx.execute(_AUDIT, row)

    async def run(self, rate, seconds):
        """Keep to the clock: who falls behind makes up for it."""
        loop = asyncio.get_running_loop()
        turn, began = asyncio.Semaphore(AT_ONCE), loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                await turn.acquire()
                tasks.create_task(self.one()).add_done_callback(lambda _: turn.release())
        return int(rate * seconds)


async def main(database_url, log_url, *organisations):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    db, log = Database(database_url, AT_ONCE), await connect(log_url)
    relaying = asyncio.create_task(Relay(database_url, log, "case.v1").run(stop))
    producer = Producer(db, organisations)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        rate, seconds = line.split()
        print(await producer.run(float(rate), float(seconds)), flush=True)
    stop.set()
    await relaying
    await db.dispose()
    await log.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
