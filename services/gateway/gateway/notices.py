"""The notice of 42 CFR 2.32 on every answer that tells of a Part 2 record, whatever its form."""

from collections.abc import Iterable

from sharing.classes import PART2, PART2_NOTICE
from svckit import disclosure

Headers = list[tuple[bytes, bytes]]
_NAME = b"redisclosure-notice"
_NOTICE = (_NAME, PART2_NOTICE.encode())


def of(disclosed: bytes | None, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the notice for an answer by what it discloses of others, unless it has it already."""
    if disclosed is None or not _tells(disclosed) or any(name == _NAME for name, _ in headers):
        return []
    return [_NOTICE]


def _tells(disclosed: bytes) -> bool:
    """Tell whether anything disclosed is of substance use, and no refusal."""
    return any(one.classes & PART2 and not one.denied for one in disclosure.decode([disclosed]))
