"""Trees as RFC 6962 has them: the published heads, and every proof of every small tree."""

import hashlib

import pytest
from svckit.merkle import Tree, includes, leaf_hash

# the inputs and heads of Certificate Transparency's reference implementation
INPUTS = (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)  # fmt: skip
HEADS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def leaves(size):
    return [leaf_hash(bytes.fromhex(INPUTS[n % 8]) + n.to_bytes(2, "big")) for n in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_heads_are_the_published_ones(size):
    tree = Tree([leaf_hash(bytes.fromhex(text)) for text in INPUTS[:size]])
    assert tree.head.hex() == HEADS[size - 1]


def test_the_tree_of_nothing_is_the_hash_of_nothing():
    assert Tree([]).head == hashlib.sha256().digest()


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_is_proven_at_its_own_place_alone(size):
    found = leaves(size)
    tree = Tree(found)
    for index in range(size):
        path = tree.path(index)
        assert includes(found[index], index, size, path, tree.head)
        for wrong in {*range(size), size, -1} - {index}:
            assert not includes(found[index], wrong, size, path, tree.head)


def test_a_proof_holds_for_nothing_else():
    found = leaves(13)
    tree = Tree(found)
    path = tree.path(5)
    assert not includes(found[6], 5, 13, path, tree.head)
    assert not includes(found[5], 5, 13, path[:-1], tree.head)
    assert not includes(found[5], 5, 13, [*path, path[0]], tree.head)
    assert not includes(found[5], 5, 13, path, Tree(leaves(12)).head)
    assert not includes(found[5], 5, 13, [path[1], path[0], *path[2:]], tree.head)
