"""What a receiver has to answer to be verified."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.attempts import Answer
from notify_svc.domain.verification import (
    ACCEPTS_UNSIGNED,
    NOT_ECHOED,
    Verdict,
    judge_echo,
    judge_refusal,
    new_challenge,
)

ECHO = json.dumps({"challenge": "abc", "more": 1}).encode()


@pytest.mark.parametrize("body", [ECHO, b"abc", b" abc\n", b'"abc"'])
@pytest.mark.parametrize("status", [200, 201, 299])
def test_the_challenge_is_given_back_as_json_or_as_text(body, status):
    assert judge_echo(Answer(status, body=body), "abc") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"{}", b"[]", b'["abc"]', b'{"challenge": 1}', b'{"challenge": "b"}', b"\xff"],
)
def test_anything_else_is_no_echo(body):
    found = judge_echo(Answer(200, body=body), "abc")
    assert (found.verdict, found.result) == (Verdict.LATER, NOT_ECHOED)


def test_a_challenge_that_is_not_taken_is_put_again_but_never_to_one_who_is_gone():
    for answer, result in (
        (Answer(401, body=ECHO), "status-401"),
        (Answer(302, "redirect"), "redirect"),
        (Answer(error="timeout"), "timeout"),
    ):
        found = judge_echo(answer, "abc")
        assert (found.verdict, found.result) == (Verdict.LATER, result)
    assert judge_echo(Answer(410), "abc").verdict is Verdict.REFUSED


@pytest.mark.parametrize("status", [401, 403])
def test_a_forged_message_is_refused_by_401_or_403(status):
    assert judge_refusal(Answer(status)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 410, 422])
def test_any_other_answer_to_it_is_no_refusal(status):
    found = judge_refusal(Answer(status))
    assert (found.verdict, found.result) == (Verdict.REFUSED, ACCEPTS_UNSIGNED)


@pytest.mark.parametrize("answer", [Answer(500), Answer(503), Answer(429), Answer(error="timeout")])
def test_a_receiver_in_trouble_is_asked_again(answer):
    found = judge_refusal(answer)
    assert found.verdict is Verdict.LATER
    assert found.result.startswith("forged-")


@given(st.binary(max_size=200))
def test_nobody_guesses_a_challenge(body):
    assert judge_echo(Answer(200, body=body), new_challenge()) is not None
