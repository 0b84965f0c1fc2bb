"""Secrets at rest: opened by the keys of the settings, for the row they belong to, by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_svc.domain.sealing import CannotOpen, Sealer, is_sealed, key_of
from notify_svc.settings import Settings
from pydantic import ValidationError

OLD, NEW = bytes(range(32)), bytes(range(1, 33))


@given(st.text(max_size=300))
def test_what_is_sealed_opens_to_the_same_and_shows_nothing(secret):
    sealed = Sealer([OLD]).seal(secret, "whe_1")
    assert is_sealed(sealed)
    assert len(secret) < 4 or secret not in sealed
    assert Sealer([OLD]).open(sealed, "whe_1") == secret


def test_the_same_secret_is_never_sealed_alike():
    sealer = Sealer([OLD])
    assert sealer.seal("x", "whe_1") != sealer.seal("x", "whe_1")


def test_a_secret_moved_to_another_row_does_not_open():
    sealer = Sealer([OLD])
    with pytest.raises(CannotOpen):
        sealer.open(sealer.seal("x", "whe_1"), "whe_2")


def test_a_damaged_secret_does_not_open():
    sealer = Sealer([OLD])
    sealed = sealer.seal("secret", "whe_1")
    damaged = sealed[:-8] + ("A" if sealed[-8] != "A" else "B") + sealed[-7:]
    with pytest.raises(CannotOpen):
        sealer.open(damaged, "whe_1")


def test_a_new_key_before_the_old_one_seals_and_both_open():
    old = Sealer([OLD]).seal("x", "whe_1")
    both = Sealer([NEW, OLD])
    assert both.open(old, "whe_1") == "x"
    assert not both.is_current(old)
    assert both.is_current(both.seal("x", "whe_1"))
    with pytest.raises(CannotOpen):
        Sealer([NEW]).open(old, "whe_1")


def test_what_was_stored_before_is_still_read():
    assert Sealer([NEW]).open("whsec_abc", "whe_1") == "whsec_abc"


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "change-me", "0" * 64 + ",zz"])
def test_a_service_does_not_start_with_a_key_that_is_none(text):
    with pytest.raises(ValidationError, match="sealing_keys"):
        Settings(
            database_url="x",
            event_log_url="x",
            issuer="x",
            internal_jwks_url="x",
            cursor_key="x",
            sealing_keys=text,
        )


def test_a_key_is_64_hexadecimal_digits():
    assert key_of("00" * 32) == bytes(32)
