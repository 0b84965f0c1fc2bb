"""One end of the event path as a process of its own: `relay` or `consume`, to be killed."""

import asyncio
import signal
import sys
from pathlib import Path

from sqlalchemy import text
from svckit import contracts
from svckit.consume import Consumer
from svckit.db import Database
from svckit.eventlog import connect
from svckit.relay import Relay

THING = "org.careloop.thing.changed.v1"


async def note(tx, event):
    """An effect that shows when it happens twice, or not at all."""
    await tx.execute(
        text("INSERT INTO ledger (subject, version) VALUES (:s, :v)"),
        {"s": event.subject, "v": event.version},
    )


async def main(role, database_url, log_url, topic, folder):
    contracts.use(Path(folder))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = await connect(log_url)
    if role == "relay":
        await Relay(database_url, log, topic, deadline_s=5).run(stop)
    else:
        db = Database(database_url, 4)
        await Consumer(db, log, "chaos", [topic], {THING: note}).run(stop)
        await db.dispose()


asyncio.run(main(*sys.argv[1:]))
