"""The development receiver: takes what is genuine, answers a handshake, misbehaves when asked to."""

import asyncio
import json
import time

import aiohttp
import pytest
from notify_svc.domain import signing

from careloop.errors import Refused
from careloop.listening import Listener
from careloop.misbehaving import Fault

SECRET = signing.new_secret()
EVENT = b'{"type":"org.careloop.case.opened.v1","data":{"href":"/v1/cases/1"}}'
HANDSHAKE = b'{"type":"webhook.verification","data":{"challenge":"c-1"}}'
SOON = aiohttp.ClientTimeout(total=0.4)


def headers(body, secret=SECRET, message_id="evt_1"):
    at = int(time.time())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signing.header([secret], message_id, at, body),
    }


class Sender:
    """Posts to a listener that runs; `told` is what it has shown."""

    def __init__(self, fault=None, every=1):
        self.told = []
        self.listener = Listener(self.told.append, Fault.parse(fault) if fault else None, every)

    async def __aenter__(self):
        self._serving = self.listener.serving("127.0.0.1", 0)
        await self._serving.__aenter__()
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *error):
        await self._session.close()
        await self._serving.__aexit__(*error)

    async def post(self, body=EVENT, given=None, timeout=None):
        url = f"http://127.0.0.1:{self.listener.port}/careloop"
        sending = self._session.post(
            url,
            data=body,
            headers=given or headers(body),
            allow_redirects=False,
            timeout=timeout or aiohttp.ClientTimeout(total=20),
        )
        async with sending as answer:
            return answer.status, dict(answer.headers), await answer.read()


async def test_it_takes_what_is_genuine_and_counts_what_comes_again():
    async with Sender() as sender:
        sender.listener.trust(SECRET)
        statuses = [(await sender.post())[0] for _ in range(2)]
        refused, _, _ = await sender.post(given=headers(EVENT, signing.new_secret()))
    assert (statuses, refused) == ([204, 204], 401)
    assert [one.times for one in sender.told] == [1, 2, 1]
    assert "another secret" in sender.told[2].refused
    assert sender.told[2].message is None


async def test_a_handshake_that_comes_before_the_secret_is_answered_and_its_forged_half_refused():
    async with Sender(fault="500") as sender:
        early = asyncio.create_task(sender.post(HANDSHAKE))
        await asyncio.sleep(0.05)
        assert not early.done()
        sender.listener.trust(SECRET)
        status, _, body = await early
        forged, _, _ = await sender.post(HANDSHAKE, headers(HANDSHAKE, signing.new_secret()))
    assert (status, json.loads(body), forged) == (200, {"challenge": "c-1"}, 401)
    assert "forged half" in sender.told[1].refused


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        ("500", 500, {}),
        ("410", 410, {}),
        ("301", 301, {"Location": "/moved"}),
        ("429:5", 429, {"Retry-After": "5"}),
        ("503:1.5", 503, {"Retry-After": "1.5"}),
        ("slow:0.05", 204, {}),
    ],
)
async def test_it_answers_as_it_was_told(fault, status, header):
    async with Sender(fault) as sender:
        sender.listener.trust(SECRET)
        found, given, _ = await sender.post()
    assert (found, header.items() <= given.items()) == (status, True)
    assert sender.told[0].played == fault


@pytest.mark.parametrize("fault", ["hang", "drip:0.05", "late", "endless", "slow:5"])
async def test_it_keeps_a_sender_waiting(fault):
    async with Sender(fault) as sender:
        sender.listener.trust(SECRET)
        with pytest.raises(TimeoutError):
            await sender.post(timeout=SOON)


async def test_it_resets_the_connection():
    async with Sender("reset") as sender:
        sender.listener.trust(SECRET)
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await sender.post()


async def test_it_misbehaves_on_every_nth_delivery_only():
    async with Sender("500", every=3) as sender:
        sender.listener.trust(SECRET)
        found = [(await sender.post(given=headers(EVENT, message_id=f"e{n}")))[0] for n in range(6)]
    assert found == [204, 204, 500, 204, 204, 500]


@pytest.mark.parametrize("text", ["", "burn", "99", "600", "429:soon", "slow:"])
def test_a_fault_that_is_none_is_refused(text):
    with pytest.raises(Refused):
        Fault.parse(text)


async def test_a_port_that_is_taken_is_named():
    async with Sender() as sender:
        with pytest.raises(Refused, match="is taken"):
            async with Listener(print).serving("127.0.0.1", sender.listener.port):
                raise AssertionError("two listen on one port")
