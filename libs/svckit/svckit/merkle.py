"""Merkle trees as RFC 6962 s2.1 has them: roots, inclusion proofs and their check, over SHA-256."""

import hashlib
from collections.abc import Sequence


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The tree over leaf hashes; every node is computed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self._nodes: dict[tuple[int, int], bytes] = {}

    @property
    def head(self) -> bytes:
        """The tree head; of no leaves the hash of nothing."""
        return self._node(0, len(self._leaves)) if self._leaves else hashlib.sha256().digest()

    def path(self, index: int) -> list[bytes]:
        """Return the audit path of the leaf, from its sibling up (s2.1.1)."""
        start, end, found = 0, len(self._leaves), []
        while end - start > 1:
            split = start + _split(end - start)
            if index < split:
                found.append(self._node(split, end))
                end = split
            else:
                found.append(self._node(start, split))
                start = split
        return found[::-1]

    def _node(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._leaves[start]
        known = self._nodes.get((start, end))
        if known is None:
            split = start + _split(end - start)
            known = node_hash(self._node(start, split), self._node(split, end))
            self._nodes[start, end] = known
        return known


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], head: bytes) -> bool:
    """Tell whether the path leads from the leaf at that index to the head (RFC 9162 s2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == head


def _split(size: int) -> int:
    """Return the largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1
