"""What a DPoP proof must say, by the clock and by the nonce."""

import pytest
from gateway import dpop, jose

from tests.gateway import new_key, signed

AT = 1_800_000_000.0
URL = "https://us.test/v1/cases"
PEPPER = b"p" * 32
KEY = new_key("ES256")


def proof(**changes: object) -> str:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.as_dict(private=False)}
    claims = {"htm": "GET", "htu": URL, "iat": int(AT), "jti": "one", **changes}
    return signed(KEY, header, claims)


def checked(
    raw: str, *, at: float = AT, url: str = URL, nonces: tuple[str, ...] = ()
) -> dpop.Proof:
    return dpop.check(raw, method="GET", url=url, token=None, at=at, nonces=nonces)


def test_a_proof_is_remembered_longer_than_it_can_be_used() -> None:
    found = checked(proof())
    assert found.thumbprint == KEY.thumbprint()
    assert checked(proof(), at=AT + 60).expires_at > AT + 60
    with pytest.raises(jose.Refused):
        checked(proof(), at=found.expires_at)


@pytest.mark.parametrize(
    ("skew", "good"), [(-61, False), (-60, True), (-59, True), (4, True), (5, True), (6, False)]
)
def test_iat_skew_edge(skew: int, good: bool) -> None:
    raw = proof(iat=int(AT) + skew)
    if good:
        assert checked(raw)
    else:
        with pytest.raises(jose.Refused):
            checked(raw)


def test_a_nonce_is_good_for_two_to_four_minutes_and_on_every_replica() -> None:
    given = dpop.nonces(PEPPER, AT)[0]
    for later in (0, 119):
        assert checked(proof(nonce=given), nonces=dpop.nonces(PEPPER, AT + later))
    with pytest.raises(dpop.NonceNeeded):
        checked(proof(nonce=given), nonces=dpop.nonces(PEPPER, AT + 240))
    with pytest.raises(dpop.NonceNeeded):
        checked(proof(nonce=given), nonces=dpop.nonces(b"q" * 32, AT))


@pytest.mark.parametrize(
    "spelled",
    ["https://us.test:443/v1/cases", "https://US.test/v1/cases", "HTTPS://us.test/v1/cases"],
)
def test_one_address_in_another_spelling_is_the_same(spelled: str) -> None:
    assert checked(proof(htu=spelled))
