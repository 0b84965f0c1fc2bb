"""The notice of 42 CFR 2.32 on every answer that tells of a Part 2 record, whatever its form."""

from collections.abc import Iterable

from sharing.classes import PART2, PART2_NOTICE

Headers = list[tuple[bytes, bytes]]
_NAME = b"redisclosure-notice"
_NOTICE = (_NAME, PART2_NOTICE.encode())


def of(disclosed: bytes | None, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the notice for an answer by what it discloses of others, unless it has it already."""
    if disclosed is None or not _tells(disclosed) or any(name == _NAME for name, _ in headers):
        return []
    return [_NOTICE]


def _tells(disclosed: bytes) -> bool:
    """Tell whether any group (see `svckit.disclosure`) is of substance use, and no refusal."""
    groups = disclosed.replace(b", ", b";").split(b";")
    told = (group.split(b"|", 3)[2] for group in groups if not group.startswith((b"@", b"!")))
    return any(int(mask, 16) & PART2 for mask in told)
