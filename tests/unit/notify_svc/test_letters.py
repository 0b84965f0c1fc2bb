"""What mails say, and how they are made."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

from notify_svc.domain import letters
from notify_svc.domain.inbox import OF_ENDPOINTS
from notify_svc.domain.letters import LINES, Letter, Line
from sharing.classes import PART2_NOTICE

ISSUER = "https://network.example"
TASK = Line("assigned", "task", "/v1/tasks/tsk_1")


def test_a_mail_of_notices_says_kinds_and_links():
    subject, text = letters.notices([TASK], ISSUER, None)
    assert subject == "Careloop: 1 notice"
    assert "A task was assigned:\n  https://network.example/v1/tasks/tsk_1\n" in text
    assert "https://network.example/v1/inbox/preferences" in text


def test_a_long_digest_says_how_many_more():
    subject, text = letters.notices([TASK] * (LINES + 3), ISSUER, None)
    assert subject == f"Careloop: {LINES + 3} notices"
    assert text.count("A task was assigned") == LINES
    assert "and 3 more" in text


def test_what_it_knows_no_words_for_it_mails_all_the_same():
    _, text = letters.notices([Line("new", "thing", "/v1/things/1")], ISSUER, None)
    assert "/v1/things/1" in text


def test_the_notice_of_the_law_goes_with_it():
    assert PART2_NOTICE in letters.notices([TASK], ISSUER, PART2_NOTICE)[1]


def test_there_are_words_for_every_event_of_an_endpoint():
    for kind in OF_ENDPOINTS:
        _, text = letters.operations(kind, "/v1/webhook-endpoints/whe_1", ISSUER)
        assert "endpoint" in text
        assert f"{ISSUER}/v1/webhook-endpoints/whe_1" in text


def test_the_message_is_the_same_at_every_attempt():
    at = datetime(2026, 5, 4, 7, tzinfo=UTC)
    made = [
        letters.composed(
            Letter(token, "mal_1", "a@b.example", "Careloop: 1 notice", "text", at),
            sender="Careloop <c@network.example>",
            issuer=ISSUER,
            host="network.example",
        ).as_bytes()
        for token in ("att_1", "att_2")
    ]
    assert made[0] == made[1]
    parsed = message_from_bytes(made[0], policy=policy.default)
    assert parsed["Message-ID"] == "<mal_1@network.example>"
    assert parsed["Date"].datetime == at
    assert parsed["To"] == "a@b.example"
    assert all(re.fullmatch(rb"[\x20-\x7e]*", line) for line in made[0].split(b"\r\n"))
