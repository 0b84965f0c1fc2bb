"""A holder of leases to be stopped: prints how many it has, and when it lost them."""

import asyncio
import sys

from svckit.faults import DRIVER_AWAY
from svckit.leases import Leases


async def main(url):
    leases = await Leases.join(url, "x", range(64), 1.5)
    print(len(await leases.refresh()), flush=True)
    while True:
        await asyncio.sleep(0.1)
        try:
            await leases.refresh()
        except DRIVER_AWAY:
            print("lost", flush=True)
            return


asyncio.run(main(*sys.argv[1:]))
