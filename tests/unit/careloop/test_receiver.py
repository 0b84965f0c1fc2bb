"""Our receiver verifies exactly what the reference library signs."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from standardwebhooks import Webhook
from svckit.clock import now

from careloop.demo.receiver import Receiver
from careloop.verifying import fault_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"org.careloop.case.opened.v1","data":{"id":"cas_1"}}'


def headers(secret: str = SECRET, *, age_s: int = 0, body: bytes = BODY) -> dict[str, str]:
    at = now() - timedelta(seconds=age_s)
    signature = Webhook(secret).sign("evt_1", at, body.decode())
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def verify(secret: str, given: dict[str, str], body: bytes) -> bool:
    return fault_of([secret], given, body, at=now().timestamp()) is None


def test_what_the_reference_library_signs_is_genuine():
    assert verify(SECRET, headers(), BODY)


def test_one_good_signature_among_several_is_enough():
    good = headers()
    assert verify(
        SECRET, good | {"webhook-signature": f"v1,AAAA {good['webhook-signature']}"}, BODY
    )


@pytest.mark.parametrize(
    "forge",
    [
        lambda: headers("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        lambda: headers(age_s=600),
        lambda: headers(age_s=-600),
        lambda: headers() | {"webhook-id": "evt_2"},
        lambda: headers() | {"webhook-timestamp": "soon"},
        dict,
    ],
    ids=["other secret", "old", "from the future", "other id", "no time", "nothing"],
)
def test_anything_else_is_refused(forge: Callable[[], dict[str, str]]):
    # made when the test runs: minutes may pass after the tests were collected
    assert not verify(SECRET, forge(), BODY)


def test_a_changed_body_is_refused():
    assert not verify(SECRET, headers(), BODY + b" ")


def test_the_server_keeps_genuine_messages_once_and_refuses_the_rest():
    with Receiver() as receiver:
        receiver.expect("/clinic", SECRET)
        url = receiver.url("/clinic")
        with httpx.Client(trust_env=False, timeout=30) as client:
            statuses = [
                client.post(url, content=BODY, headers=each).status_code
                for each in (headers(), headers(), headers("whsec_AAAA"))
            ]
            unknown = client.post(receiver.url("/other"), content=BODY, headers=headers())
    assert statuses == [204, 204, 401]
    assert unknown.status_code == 401
    assert (len(receiver.messages["/clinic"]), receiver.repeated, receiver.refused) == (1, 1, 2)
