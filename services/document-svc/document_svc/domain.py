"""Rules of documents: who needs which classes, what a digest and a range mean, what may follow.

    pending --content--> current --withdraw--> superseded | entered-in-error

A document is `pending` (nobody but its custodian sees it) until its first content is verified;
then it is `current` (FHIR R4 DocumentReference.status) and every further content is a version.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sharing.classes import PART2_NOTICE, names_of
from sharing.confidentiality import Confidentiality
from sharing.labels import Label, of_labels
from svckit.errors import BadRequest, Conflict, FieldError, Forbidden, Invalid, RangeNotSatisfiable


class DataClass(StrEnum):
    """What a document is about, in the words of the sharing policy."""

    IDENTITY = "identity"
    CONTACT = "contact"
    COORDINATION = "coordination"
    NEEDS = "needs"
    PLAN = "plan"
    CLINICAL = "clinical"
    BEHAVIORAL = "behavioral"
    SUBSTANCE_USE = "substance-use"
    SAFETY = "safety"
    NOTES = "notes"
    FINANCIAL = "financial"
    OUTCOME = "outcome"


class Status(StrEnum):
    PENDING = "pending"
    CURRENT = "current"
    SUPERSEDED = "superseded"
    ENTERED_IN_ERROR = "entered-in-error"


class Anchor(StrEnum):
    """What a document can be attached to."""

    CASE = "case"
    REFERRAL = "referral"


class NotCustodian(Forbidden):
    """The caller may see the document; only the organisation that added it may change it."""

    code = "not-custodian"


class ContentMissing(Conflict):
    code = "content-missing"


class Withdrawn(Conflict):
    code = "document-withdrawn"


class AlreadyAttached(Conflict):
    code = "already-attached"


class OtherPerson(Conflict):
    """The case or referral is about somebody else."""

    code = "other-person"


class DigestMissing(BadRequest):
    code = "digest-missing"


class DigestMalformed(BadRequest):
    code = "digest-malformed"


class ContentMismatch(Invalid):
    """The bytes are not the declared ones: nothing of them is kept."""

    code = "content-mismatch"


def required_classes(data_class: DataClass, labels: Sequence[Label]) -> frozenset[DataClass]:
    """Return the classes a reader needs, all of them."""
    return frozenset({data_class, *map(DataClass, names_of(of_labels(labels)))})


def high_water(confidentiality: Confidentiality, labels: Sequence[Label]) -> Confidentiality:
    """Raise the confidentiality to restricted where a sensitivity label asks for it."""
    if labels and confidentiality != Confidentiality.VERY_RESTRICTED:
        return Confidentiality.RESTRICTED
    return confidentiality


def redisclosure_notice(data_class: DataClass, labels: Sequence[Label]) -> str | None:
    """Return the notice that goes with every disclosure of a Part 2 record (42 CFR 2.32(a))."""
    needed = required_classes(data_class, labels)
    return PART2_NOTICE if DataClass.SUBSTANCE_USE in needed else None


def require_current(status: Status) -> None:
    """Raise ContentMissing before the first content, Withdrawn after the end."""
    require_content(status)
    require_not_withdrawn(status)


def require_content(status: Status) -> None:
    """Raise ContentMissing before the first content."""
    if status == Status.PENDING:
        raise ContentMissing("The document has no content yet.")


def require_not_withdrawn(status: Status) -> None:
    """Raise Withdrawn after the end of the document."""
    if status not in (Status.PENDING, Status.CURRENT):
        raise Withdrawn("The document has been withdrawn.")


_SHA256_BYTES = 32


@dataclass(frozen=True)
class Declared:
    """What the sender says the bytes are; size None where it is not known beforehand."""

    sha256: str
    size_bytes: int | None


def parse_content_digest(header: str) -> str | None:
    """Return the SHA-256 of a `Content-Digest` field as hex, None without one (RFC 9530 s2).

    Other algorithms in the field are ignored. Raises DigestMalformed.
    """
    for member in filter(None, (part.strip() for part in header.split(","))):
        algorithm, _, value = member.partition("=")
        if algorithm.strip().lower() != "sha-256":
            continue
        try:
            digest = base64.b64decode(
                value.strip().removeprefix(":").removesuffix(":"), validate=True
            )
        except ValueError as error:
            raise _malformed() from error
        if len(digest) != _SHA256_BYTES or not value.strip().startswith(":"):
            raise _malformed()
        return digest.hex()
    return None


def _malformed() -> DigestMalformed:
    return DigestMalformed("Content-Digest must be sha-256=:<base64 of 32 bytes>:.")


def declare(
    *, header: str | None, noted: str | None, noted_size: int | None, length: int | None
) -> Declared:
    """Settle what is expected from the `Content-Digest` field and what the metadata declared.

    Raises DigestMissing without any digest, ContentMismatch when the two contradict each other.
    """
    sha256 = header or noted
    if sha256 is None:
        raise DigestMissing("Send Content-Digest, or declare sha256 with the metadata.")
    errors = []
    if noted and noted != sha256:
        errors.append(FieldError("#/sha256", "mismatch", "Content-Digest is not the declared one."))
    if noted_size is not None and length is not None and length != noted_size:
        errors.append(FieldError("#/size_bytes", "mismatch", "The length is not the declared one."))
    if errors:
        raise ContentMismatch("The request contradicts the declared content.", errors=errors)
    return Declared(sha256=sha256, size_bytes=length if noted_size is None else noted_size)


def verify(declared: Declared, *, sha256: str, size_bytes: int) -> None:
    """Raise ContentMismatch unless the bytes received are the bytes declared, and not none."""
    errors = []
    if size_bytes == 0:
        errors.append(FieldError("#/size_bytes", "empty", "The content is empty."))
    if declared.size_bytes is not None and size_bytes != declared.size_bytes:
        errors.append(FieldError("#/size_bytes", "mismatch", f"{size_bytes} bytes arrived."))
    if sha256 != declared.sha256:
        errors.append(FieldError("#/sha256", "mismatch", "The bytes have another SHA-256."))
    if errors:
        raise ContentMismatch(
            "The content is not what was declared; nothing is kept.", errors=errors
        )


@dataclass(frozen=True)
class Span:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


def parse_range(header: str | None, size: int) -> Span | None:
    """Return the one range asked for, None for the whole (RFC 9110 s14.2).

    Another unit, a malformed field or several ranges are ignored, as the standard allows: a
    multipart answer is never built. Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        wanted = int(match[2])
        first, last = max(0, size - wanted), size - 1
        satisfiable = wanted > 0
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        satisfiable = first < size
        if match[2] and int(match[2]) < first:
            return None
    if not satisfiable:
        raise RangeNotSatisfiable(
            "The range lies outside the content.", headers={"Content-Range": f"bytes */{size}"}
        )
    return Span(first, last)


MEDIA_TYPE = r"^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$"


def is_media_type(value: str) -> bool:
    """Tell whether a value is type/subtype (RFC 6838 s4.2), lower case."""
    return len(value) <= 100 and re.fullmatch(MEDIA_TYPE, value) is not None  # noqa: PLR2004


def is_same(etag: str, header: str | None) -> bool:
    """Tell whether an If-None-Match field names the strong ETag (RFC 9110 s13.1.2)."""
    named = {part.strip().removeprefix("W/") for part in (header or "").split(",")}
    return etag in named or "*" in named
