from hypothesis import given
from hypothesis import strategies as st
from svckit import ids


def test_ids_sort_by_the_time_they_were_made():
    made = [ids.new_id("cas") for _ in range(2000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_tells_its_kind():
    assert ids.is_id(ids.new_id("ref"), "ref")
    assert not ids.is_id(ids.new_id("ref"), "cas")


@given(st.text(max_size=40))
def test_no_other_text_has_the_shape_of_an_id(text):
    assert not ids.is_id(text, "cas") or len(text) == 30
