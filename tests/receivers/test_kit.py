"""The receivers of the partner guide take what is genuine, once, and refuse everything else."""

import json
import subprocess
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from notify_svc.domain import signing
from standardwebhooks import Webhook

from tests.receivers.kit import (
    COMMANDS,
    NODE,
    PYTHON,
    Receiver,
    headers,
    message,
    module,
    need,
    until,
)

SECRET, OTHER = signing.new_secret(), signing.new_secret()
PRIVATE = signing.new_private_key()
BODY = message()
# Standard Webhooks 1.0.0, the examples of the specification
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
V1 = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
V1A = (
    "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
)
SLOW = {
    "python": ("    print(message", "    time.sleep(1.5)\n    print(message"),
    "node": (
        "  console.log(message",
        "  await new Promise((go) => setTimeout(go, 1500));\n  console.log(message",
    ),
}


@pytest.fixture(params=list(COMMANDS), scope="module")
def language(request):
    need(request.param)
    return request.param


@pytest.fixture(scope="module")
def receiver(language, tmp_path_factory):
    """One that trusts a secret and a public key, as during a change of either."""
    secrets = f"{SECRET} {signing.public_key(PRIVATE)}"
    found = Receiver(COMMANDS[language], tmp_path_factory.mktemp(language), secrets)
    with found.running():
        yield found


def vector(secret, signature):
    message_id, at, body = VECTOR
    given = {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}
    return secret, given, body, at


@pytest.mark.parametrize("pair", [V1, V1A], ids=["v1", "v1a"])
def test_the_vectors_of_the_specification_are_genuine_in_python(pair):
    secret, given, body, at = vector(*pair)
    verifier = module().Verifier(secret)
    assert verifier.is_genuine(given, body, at)
    assert not verifier.is_genuine(given, body + b" ", at)
    assert not verifier.is_genuine(given, body, at + 301)


@pytest.mark.parametrize("pair", [V1, V1A], ids=["v1", "v1a"])
def test_the_vectors_of_the_specification_are_genuine_in_node(pair):
    need("node")
    secret, given, body, at = vector(*pair)
    program = f"""
        import {{ verifier }} from {json.dumps(NODE.as_uri())};
        const isGenuine = verifier({json.dumps(secret)}), given = {json.dumps(given)};
        const body = Buffer.from({json.dumps(body.decode())});
        console.log(isGenuine(given, body, {at}), isGenuine(given, Buffer.concat([body, Buffer.from(" ")]), {at}),
                    isGenuine(given, body, {at + 301}));
    """
    command = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "true false false\n", done.stderr


@pytest.mark.parametrize("secret", ["", " ", "whsec_", "whsec_c2hvcnQ=", "whpk_c2hvcnQ=", "secret"])
def test_a_receiver_without_a_secret_worth_the_name_does_not_start(language, secret, tmp_path):
    done = subprocess.run(
        [*COMMANDS[language], "0"],
        env={"PATH": "/usr/bin:/bin", "WEBHOOK_SECRET": secret},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1


def test_a_message_is_worked_off_once_however_often_it_comes(receiver):
    body = message("once")
    for age_s in (0, 0, 60):
        given = headers([SECRET], body, message_id="evt_once", age_s=age_s)
        assert receiver.post(body, given) == 204
    after = message("after")
    assert receiver.post(after, headers([SECRET], after, message_id="evt_after")) == 204
    until(lambda: any("/v1/cases/after" in line for line in receiver.printed))
    assert sum("/v1/cases/once" in line for line in receiver.printed) == 1


@pytest.mark.parametrize(
    "keys", [[PRIVATE], [OTHER, SECRET], [PRIVATE, OTHER], [SECRET, PRIVATE]], ids=range(4)
)
def test_one_entry_that_fits_is_enough(receiver, keys):
    assert receiver.post(BODY, headers(keys, BODY)) == 204


@pytest.mark.parametrize(
    "forge",
    [
        lambda: headers([OTHER], BODY),
        lambda: headers([signing.new_private_key()], BODY),
        lambda: headers([SECRET], BODY, age_s=310),
        lambda: headers([SECRET], BODY, age_s=-310),
        lambda: headers([SECRET], BODY + b" "),
        lambda: headers([SECRET], BODY) | {"webhook-id": "evt_2"},
        lambda: headers([SECRET], BODY) | {"webhook-timestamp": str(int(time.time()) + 1)},
        lambda: headers([SECRET], BODY) | {"webhook-signature": "v1,"},
        lambda: headers([PRIVATE], BODY) | {"webhook-signature": "v1a,AAAA"},
        dict,
    ],
    ids=[
        "another secret",
        "another key",
        "stale",
        "from the future",
        "another body",
        "another id",
        "another time",
        "an empty signature",
        "half a signature",
        "nothing",
    ],
)
def test_what_is_wrong_or_stale_is_refused_and_not_worked_off(receiver, forge):
    # made when the test runs: minutes may pass after the tests were collected
    assert receiver.post(BODY, forge()) == 401


def test_a_handshake_is_answered_when_it_is_signed_and_refused_when_it_is_not(receiver):
    body = json.dumps(
        {
            "type": "webhook.verification",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {"challenge": "c-1"},
        }
    ).encode()
    assert receiver.post(body, headers([SECRET], body)) == 200
    assert json.loads(receiver.said) == {"challenge": "c-1"}
    assert receiver.post(body, headers([OTHER], body)) == 401
    assert b"c-1" not in receiver.said


def test_a_body_too_large_or_of_no_length_is_refused(receiver):
    large = b" " * 300_000
    assert receiver.post(large, headers([SECRET], large)) == 413


def test_it_answers_before_it_works_and_works_after_a_crash(language, tmp_path):
    source = {"python": PYTHON, "node": NODE}[language]
    before, after = SLOW[language]
    assert before in source.read_text()
    slow = tmp_path / source.name
    slow.write_text(source.read_text().replace(before, after, 1))
    found = Receiver([COMMANDS[language][0], str(slow)], tmp_path, SECRET)
    with found.running():
        began = time.monotonic()
        assert found.post(BODY, headers([SECRET], BODY)) == 204
        assert time.monotonic() - began < 1.4
        assert found.printed == []  # killed in the middle of the work
    with found.running():
        assert found.post(BODY, headers([SECRET], BODY)) == 204
        until(lambda: found.printed)
    with found.running():
        assert found.post(BODY, headers([SECRET], BODY)) == 204
        time.sleep(0.2)
    assert found.printed == ["org.careloop.case.opened.v1 /v1/cases/1"]


LATIN = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60)
PIECES = st.sampled_from(["v1", "v1a", ",", " ", "=", "whsec_", "AAAA", "/", "v2,", "é"])
GARBAGE = st.one_of(LATIN, st.lists(PIECES, max_size=12).map("".join))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GARBAGE, GARBAGE, GARBAGE)
@example("evt_1", "1e3", "v1,")
@example("evt_1", "١٦", "v1, v1a,,")
def test_garbage_in_its_headers_is_refused_and_ends_nothing(receiver, message_id, at, signature):
    given_ = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": signature}
    raw = {name: value.encode("utf-8") for name, value in given_.items()}
    # 400: no HTTP at all, for Node
    assert receiver.post(BODY, raw) in {400, 401}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GARBAGE)
def test_a_true_time_with_a_garbled_signature_is_refused(receiver, signature):
    good = headers([SECRET], BODY)
    assert receiver.post(BODY, good | {"webhook-signature": signature.encode("utf-8")}) in {
        400,
        401,
    }


@given(st.text(), st.text(), st.text(), st.binary())
def test_no_header_of_any_kind_makes_the_verification_fail_otherwise(message_id, at, entry, body):
    found = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": entry}
    assert VERIFIER.is_genuine(found, body, 1_700_000_000.0) is False


VERIFIER = module().Verifier(f"{SECRET} {signing.public_key(PRIVATE)}")


@given(st.data())
def test_one_changed_bit_anywhere_is_noticed(data):
    key = data.draw(st.sampled_from([SECRET, PRIVATE]))
    good = headers([key], BODY)
    assert VERIFIER.is_genuine(good, BODY)
    place = data.draw(st.integers(0, len(BODY) * 8 - 1))
    changed = bytearray(BODY)
    changed[place // 8] ^= 1 << place % 8
    assert not VERIFIER.is_genuine(good, bytes(changed))
    entry = good["webhook-signature"]
    at = data.draw(st.integers(0, len(entry) - 1))
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    if other != entry[at]:
        spoiled = entry[:at] + other + entry[at + 1 :]
        assert not VERIFIER.is_genuine(good | {"webhook-signature": spoiled}, BODY)


@pytest.mark.parametrize("body", [BODY, b"{}", '{"née": "ü"}'.encode()])
def test_the_reference_library_takes_what_we_sign_and_refuses_the_rest(body):
    assert Webhook(SECRET).verify(body, headers([OTHER, SECRET], body)) == json.loads(body)
    for bad in (headers([OTHER], body), headers([SECRET], body, age_s=400)):
        with pytest.raises(Exception, match=r"signature|timestamp|too old"):
            Webhook(SECRET).verify(body, bad)


@pytest.mark.parametrize("body", [BODY, b"{}"])
def test_the_library_of_svix_takes_what_we_sign_and_refuses_the_rest(body):
    svix = pytest.importorskip("svix.webhooks", reason="svix is not installed")
    svix.Webhook(SECRET).verify(body, headers([OTHER, SECRET], body))
    for bad in (headers([OTHER], body), headers([SECRET], body, age_s=400)):
        with pytest.raises(svix.WebhookVerificationError):
            svix.Webhook(SECRET).verify(body, bad)
