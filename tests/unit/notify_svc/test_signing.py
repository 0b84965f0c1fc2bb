"""The vectors of Standard Webhooks 1.0.0, and its reference library as the witness."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain import signing
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svckit.clock import now

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
MESSAGE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')


def test_the_symmetric_vector_is_reproduced():
    assert signing.header([SECRET], *MESSAGE) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_asymmetric_vector_is_reproduced():
    assert signing.header([PRIVATE], *MESSAGE) == (
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    )
    assert signing.public_key(PRIVATE) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


@given(body=st.binary(max_size=200).map(base64.b64encode))
def test_the_reference_library_verifies_whatever_we_sign(body):
    secret, at = signing.new_secret(), int(now().timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signing.header([secret], "evt_1", at, body),
    }
    Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers, json_parse=False)


def test_during_a_rotation_the_old_and_the_new_secret_both_verify():
    old, new = signing.new_secret(), signing.new_secret()
    at = int(now().timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signing.header([new, old], "evt_1", at, b"{}"),
    }
    for secret in (old, new):
        Webhook(secret).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(b"{}", headers)


def test_a_private_key_signs_what_its_public_key_verifies():
    private = signing.new_private_key()
    signature = base64.b64decode(signing.header([private], "evt_1", 7, b"{}").removeprefix("v1a,"))
    public = base64.b64decode(signing.public_key(private).removeprefix("whpk_"))
    verify = Ed25519PublicKey.from_public_bytes(public).verify
    verify(signature, b"evt_1.7.{}")
    with pytest.raises(InvalidSignature):
        verify(signature, b"evt_1.8.{}")
