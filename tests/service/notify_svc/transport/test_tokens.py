"""Tokens that a receiver's own token endpoint gives out."""

import asyncio
import base64
from types import SimpleNamespace

import pytest
from aiohttp import web

from tests.service.notify_svc.conftest import key
from tests.service.notify_svc.transport.stage import attempted, oauth

PATH = "/v1/webhook-endpoints"


async def test_a_token_is_asked_for_once_and_sent_until_it_ends(world, clinic, receiver, tokens):
    made = await world.endpoint(clinic, receiver.url, transport=oauth(tokens, scope="hooks"))
    assert made["transport"]["oauth"] == {
        "token_url": f"{tokens.url}/token",
        "client_id": "care:loop",
        "scope": "hooks",
    }
    for _ in range(3):
        await world.happened("case.changed", clinic)
    await world.deliver()
    assert {got.headers["authorization"] for got in receiver.got} == {"Bearer token-0"}
    [(basic, form)] = tokens.asked
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"care%3Aloop:s3cr3t-value"
    assert form == {"grant_type": "client_credentials", "scope": "hooks"}


async def test_a_token_that_has_ended_is_replaced(world, clinic, receiver, tokens):
    tokens.expires_in = 0.01
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    async with world.sender() as loop:
        for _ in range(2):
            await world.happened("case.changed", clinic)
            await loop.step()
            await loop.idle()
            await asyncio.sleep(0.02)
    assert [got.headers["authorization"] for got in receiver.got] == [
        "Bearer token-0",
        "Bearer token-1",
    ]


async def test_a_token_that_is_refused_is_replaced_once_within_the_attempt(
    world, clinic, receiver, tokens
):
    receiver.will_answer((401, {}))
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["number"]) == ("delivered", 1)
    assert [got.headers["authorization"] for got in receiver.got] == [
        "Bearer token-0",
        "Bearer token-1",
    ]


async def test_a_receiver_that_refuses_every_token_is_asked_twice_and_no_more(
    world, clinic, receiver, tokens
):
    receiver.will_answer((401, {}), (401, {}))
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["response_status"]) == ("failed", 401)
    assert len(receiver.got) == len(tokens.asked) == 2


@pytest.mark.parametrize(
    "case",
    [
        (web.Response(status=401), "token-status-401"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}), "token-status-302"),
        (web.Response(text="nonsense"), "token-malformed"),
        (web.json_response({"access_token": "x"}), "token-malformed"),
        (web.json_response({"access_token": "a\nb", "token_type": "bearer"}), "token-malformed"),
        (web.Response(body=b"x" * 100_000), "token-malformed"),
    ],
    ids=["refused", "redirected", "no JSON", "no type", "no header", "too long"],
)
async def test_a_fault_of_the_token_endpoint_is_shown_as_such(
    world, clinic, receiver, tokens, case
):
    answer, error = case
    tokens.answers.append(answer)
    await world.endpoint(clinic, receiver.url, transport=oauth(tokens))
    found = await attempted(world, clinic)
    assert (found["outcome"], found["error"], found["response_status"]) == ("failed", error, None)
    assert receiver.got == []


async def test_a_token_endpoint_that_is_not_there_is_shown_as_such(world, clinic, receiver):
    nowhere = SimpleNamespace(url="http://127.0.0.1:9")
    await world.endpoint(clinic, receiver.url, transport=oauth(nowhere))
    assert (await attempted(world, clinic))["error"] == "token-connection"


async def test_a_token_endpoint_stands_behind_the_same_guard(world, clinic, tokens):
    await world.endpoint(clinic, "https://192.0.2.1/", transport=oauth(tokens))
    found = await attempted(world, clinic, allow_private_targets=False)
    assert found["error"] == "token-address-denied"
    assert tokens.asked == []


async def test_a_token_and_an_authorization_header_exclude_each_other(
    world, clinic, receiver, tokens
):
    asked = {**oauth(tokens), "headers": {"Authorization": "x"}}
    body = {"url": receiver.url, "transport": asked}
    answer = await world.client(clinic).post(PATH, json=body, headers=key())
    assert answer.json()["errors"][0]["pointer"] == "#/transport/headers"
