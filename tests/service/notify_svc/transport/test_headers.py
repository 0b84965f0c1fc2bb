"""Headers of one's own are sent and never shown."""

import pytest

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.transport.stage import attempted

PATH = "/v1/webhook-endpoints"


async def test_headers_of_ones_own_are_sent_and_never_shown(world, clinic, receiver):
    headers = {"X-Api-Key": "s3cr3t-value", "Authorization": "Basic czNjcjN0"}
    made = await world.endpoint(clinic, receiver.url, transport={"headers": headers})
    assert made["transport"]["headers"] == ["x-api-key", "authorization"]
    client = world.client(clinic)
    for answer in (await client.get(f"{PATH}/{made['id']}"), await client.get(PATH)):
        assert "s3cr3t" not in answer.text
        assert "czNjcjN0" not in answer.text
    assert (await attempted(world, clinic))["outcome"] == "delivered"
    [got] = receiver.got
    assert (got.headers["x-api-key"], got.headers["authorization"]) == tuple(headers.values())


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"content-length": "1"},
        {"Webhook-Signature": "v1,x"},
        {"Connection": "close"},
        {"Transfer-Encoding": "chunked"},
        {"Host": "elsewhere.example"},
        {"Proxy-Authorization": "x"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Traceparent": "00"},
        {"X A": "x"},
        {"X-A": "x\r\nX-B: y"},
        {"X-A": "x", "x-a": "y"},
        {"X-A": ""},
        {"": "x"},
        {f"X-{number}": "x" for number in range(11)},
    ],
)
async def test_a_header_that_is_not_free_is_refused_and_nothing_is_registered(
    world, clinic, receiver, headers
):
    client = world.client(clinic)
    body = {"url": receiver.url, "transport": {"headers": headers}}
    answer = await client.post(PATH, json=body, headers=key())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/transport/headers"
    assert (await client.get(PATH)).json()["items"] == []
