"""One relay as a process of its own, to be killed."""

import asyncio
import signal
import sys
from pathlib import Path

from svckit import contracts
from svckit.eventlog import connect
from svckit.relay import Relay


async def main(database_url, log_url, folder):
    contracts.use(Path(folder))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = await connect(log_url)
    print("relaying", flush=True)
    await Relay(database_url, log, "t.v1").run(stop)


asyncio.run(main(*sys.argv[1:]))
