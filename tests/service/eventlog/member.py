"""One group member as a process of its own, to be killed: prints how many partitions it holds."""

import asyncio
import sys

from svckit.eventlog import connect


async def main(url, group, topic):
    log = await connect(url)
    member = await log.consumer(group, [topic])
    while True:
        for at in member.unplaced():
            await member.place(at, 0)
        async with member.batches(limit=1, wait_s=0.1) as batches:
            print(
                len(await member.ends()), sum(len(found) for found in batches.values()), flush=True
            )


asyncio.run(main(*sys.argv[1:]))
