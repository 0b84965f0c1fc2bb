"""The strict token profile on its own: edges of time and shape."""

import base64
import json
from typing import Any

import pytest
from gateway import jose
from gateway.jose import Refused
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySet

KEY = ECKey.generate_key("P-256", {"kid": "k"})
NOW = 1_700_000_000.0


def times(**claims: Any) -> float:
    return jose.check_times(claims, NOW, lifetime_s=300, leeway_s=5)


@pytest.mark.parametrize(
    ("exp", "good"), [(-6, False), (-5, False), (-4, True), (305, True), (306, False)]
)
def test_exp_is_bounded_on_both_sides(exp: int, good: bool) -> None:
    if good:
        assert times(exp=NOW + exp) == NOW + exp
    else:
        with pytest.raises(Refused):
            times(exp=NOW + exp)


@pytest.mark.parametrize(("iat", "good"), [(5, True), (6, False), (-200, True), (-201, False)])
def test_iat_is_neither_ahead_nor_too_old(iat: int, good: bool) -> None:
    if good:
        times(exp=NOW + 100, iat=NOW + iat)
    else:
        with pytest.raises(Refused):
            times(exp=NOW + 100, iat=NOW + iat)


def test_nbf_may_not_be_ahead() -> None:
    times(exp=NOW + 100, nbf=NOW + 5)
    with pytest.raises(Refused):
        times(exp=NOW + 100, nbf=NOW + 6)


def test_an_expiry_before_the_issue_is_refused() -> None:
    with pytest.raises(Refused):
        times(exp=NOW + 2, iat=NOW + 3)


@given(
    st.one_of(
        st.none(), st.booleans(), st.text(), st.lists(st.integers()), st.floats(), st.integers()
    )
)
def test_an_instant_is_a_number_in_range_or_refused(value: Any) -> None:
    try:
        found = jose.instant({"exp": value}, "exp")
    except Refused:
        return
    assert found is not None
    assert not isinstance(value, (bool, str, list))
    assert 0 <= found < 1 << 33


@given(st.text(max_size=200))
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    with pytest.raises(Refused):
        jose.parse(text, types=frozenset({"JWT"}), algorithms=frozenset({"ES256"}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
        max_leaves=8,
    )
)
def test_no_json_makes_the_parser_fail_in_another_way(value: Any) -> None:
    part = base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    with pytest.raises(Refused):
        jose.parse(
            f"{part}.{part}.{part}", types=frozenset({"JWT"}), algorithms=frozenset({"ES256"})
        )


def test_a_key_is_found_by_one_kid_only() -> None:
    assert jose.key_for(KeySet([KEY]), "k") is KEY
    for keys, kid in (([KEY], "other"), ([KEY, KEY], "k"), ([], "k")):
        with pytest.raises(Refused):
            jose.key_for(KeySet(keys), kid)
