"""What aiohttp alone can do: post signed bodies from a file, so many at once (more make it slower).

    python -m tests.bench.bare FILE CONCURRENCY

The file holds `[url, headers, body]` per line. Prints seconds of wall clock and of CPU.
"""

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import orjson
import uvloop


async def main(file, concurrency):
    requests = [orjson.loads(line) for line in Path(file).read_bytes().splitlines()]
    waiting = iter(requests)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def work():
            for url, headers, body in waiting:
                async with session.post(url, data=body.encode(), headers=headers) as answer:
                    await answer.read()
                    assert answer.status == 204

        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(int(concurrency))))
        print(time.monotonic() - began, time.process_time() - cpu)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
