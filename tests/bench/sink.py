"""Partners' receivers in a process of their own: answer 204 and remember when.

    python -m tests.bench.sink PORT

`POST /black` names the paths that hold their requests for ever, `POST /log` gives and forgets what
came as `[webhook-id, path, time]`, `POST /trust` gives `[path, secret]`. Only a handshake is verified.
"""

import asyncio
import sys
import time

import orjson
from aiohttp import web

from careloop.verifying import fault_of

_FOREVER_S = 3600


class Sink:
    def __init__(self):
        self.came, self.black, self.secrets = [], set(), {}

    async def handle(self, request):
        body = await request.read()
        if request.path == "/black":
            self.black = set(orjson.loads(body))
            return web.Response(status=204)
        if request.path == "/log":
            came, self.came = self.came, []
            return web.Response(body=orjson.dumps(came))
        if request.path == "/trust":
            path, secret = orjson.loads(body)
            self.secrets[path] = secret
            return web.Response(status=204)
        if request.path in self.black:
            await asyncio.sleep(_FOREVER_S)
        if b'"webhook.verification"' in body:
            headers = {name.lower(): value for name, value in request.headers.items()}
            if fault_of([self.secrets.get(request.path, "")], headers, body, at=time.time()):
                return web.Response(status=401)
            return web.json_response({"challenge": orjson.loads(body)["data"]["challenge"]})
        self.came.append((request.headers["webhook-id"], request.path, time.time()))
        return web.Response(status=204)


async def main(port):
    server = web.Server(Sink().handle, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), backlog=512).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
