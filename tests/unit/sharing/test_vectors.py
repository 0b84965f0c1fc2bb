import pytest
from sharing import evaluate, names_of

from tests.unit.sharing import oracle, worlds
from tests.unit.sharing.vectors import NAMES, VECTORS


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_the_evaluator_sees_what_the_vector_says(vector):
    facts = worlds.as_facts(
        vector["agreements"], vector["grants"], vector["consents"], vector.get("seals", [])
    )
    reader = worlds.as_reader(vector["reader"])
    row = worlds.as_row(vector["row"], vector.get("programs", []))
    decision = evaluate(facts, reader, row, at=vector["at"])
    assert names_of(decision.mask) == vector["sees"]


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_the_oracle_sees_what_the_vector_says(vector):
    agreements = {one["id"]: one for one in vector["agreements"]}
    seen = oracle.sees(
        vector["reader"],
        vector["row"],
        agreements,
        vector["grants"],
        vector["consents"],
        seals=vector.get("seals", []),
        now=vector["at"],
        programs=vector.get("programs", []),
    )
    assert seen == set(vector["sees"])


def test_no_two_vectors_have_one_name():
    assert len(set(NAMES)) == len(NAMES)
