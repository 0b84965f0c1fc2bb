"""Webhooks leave by the proxy where there is one."""

from aiohttp import web

from tests.service.notify_svc.transport.stage import attempted, serving

PATH = "/v1/webhook-endpoints"


class Proxy:
    """A proxy for plain requests: it notes what it is asked for and answers itself."""

    def __init__(self):
        self.asked = []

    async def handle(self, request):
        self.asked.append(str(request.url))
        return web.Response(status=204)


async def test_webhooks_leave_by_the_proxy_where_there_is_one(world, clinic):
    proxy = Proxy()
    await world.endpoint(clinic, "http://partner.example/hook")
    async with serving(proxy.handle) as url:
        found = await attempted(world, clinic, egress_proxy=url)
    assert found["outcome"] == "delivered"
    assert proxy.asked == ["http://partner.example/hook"]


async def test_a_proxy_that_is_down_is_not_charged_to_the_endpoint(world, clinic, receiver):
    made = await world.endpoint(clinic, receiver.url)
    found = await attempted(world, clinic, egress_proxy="http://127.0.0.1:9")
    assert (found["outcome"], found["error"]) == ("deferred", "egress-proxy")
    step = await world.sql("SELECT step FROM delivery")
    assert step.scalar_one() == 0
    shown = await world.client(clinic).get(f"{PATH}/{made['id']}")
    assert (shown.json()["breaker"], shown.json()["p95_ms"]) == ("closed", None)
    await world.sql("UPDATE delivery SET next_at = now()")
    await world.deliver()
    assert len(receiver.got) == 1
