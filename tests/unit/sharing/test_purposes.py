import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharing import purposes

codes = st.sampled_from(purposes.CODES)


@pytest.mark.parametrize(
    ("declared", "asked", "covered"),
    [
        ("TREAT", "COC", True),
        ("COC", "TREAT", False),
        ("TREAT", "BTG", True),
        ("ETREAT", "BTG", True),
        ("COC", "BTG", False),
        ("HPAYMT", "ELIGVER", True),
        ("HOPERAT", "CAREMGT", True),
        ("TREAT", "CAREMGT", False),
        ("TREAT", "NONSENSE", False),
        ("TREAT", "", False),
    ],
)
def test_a_permit_covers_what_lies_under_it_and_nothing_above(declared, asked, covered):
    assert purposes.covers(purposes.bit(declared), asked) is covered


@given(codes)
def test_every_purpose_covers_itself(code):
    assert purposes.covers(purposes.bit(code), code)


@given(codes, codes)
def test_two_purposes_cover_one_another_only_if_they_are_the_same(one, other):
    both_ways = purposes.covers(purposes.bit(one), other) and purposes.covers(
        purposes.bit(other), one
    )
    assert both_ways is (one == other)


@given(st.lists(codes, unique=True))
def test_names_and_masks_are_two_writings_of_the_same_set(chosen):
    mask = purposes.mask_of(chosen)
    assert sorted(purposes.names_of(mask)) == sorted(chosen)
    assert mask < 2**63, "a mask is stored as bigint"


def test_an_unknown_purpose_is_refused_with_its_name():
    with pytest.raises(purposes.UnknownPurpose, match="'treat'"):
        purposes.mask_of(["TREAT", "treat"])
