from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharing import ALL, ENVELOPE, DataClass, mask_of, names_of
from sharing.classes import NAMES, UnknownClass, class_of

names = st.lists(st.sampled_from(NAMES), unique=True)


@given(names)
def test_names_and_masks_are_two_writings_of_the_same_set(chosen):
    assert sorted(names_of(mask_of(chosen))) == sorted(chosen)


def test_every_class_is_one_bit_of_its_own():
    masks = [class_of(name) for name in NAMES]
    assert all(mask and mask & (mask - 1) == 0 for mask in masks)
    assert not any(one & other for one, other in combinations(masks, 2))
    assert mask_of(NAMES) == ALL


def test_the_bits_are_stored_and_so_never_move():
    assert [int(class_of(name)) for name in NAMES] == [1 << place for place in range(12)]
    assert NAMES[0] == "identity"
    assert class_of("substance-use") is DataClass.SUBSTANCE_USE
    assert class_of("envelope") is ENVELOPE


@pytest.mark.parametrize("wrong", ["", "Identity", "substance_use", "secret", "all"])
def test_an_unknown_class_is_refused_with_its_name(wrong):
    with pytest.raises(UnknownClass, match=repr(wrong)):
        mask_of(["identity", wrong])
