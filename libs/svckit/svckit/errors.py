"""Every failure a caller can be told of, as one tree. Pure, so that rules may raise.

    CareloopError
    ├── BadRequest            400
    ├── Unauthenticated       401
    ├── Forbidden             403   a scope is missing; never used for "not yours"
    ├── NotFound              404   "not there" and "not yours" alike
    ├── Conflict              409
    ├── Gone                  410
    ├── PreconditionFailed    412
    ├── PayloadTooLarge       413
    ├── UnsupportedMediaType  415
    ├── RangeNotSatisfiable   416
    ├── Invalid               422
    ├── PreconditionRequired  428
    ├── TooManyRequests       429
    └── Unavailable           503

A domain error subclasses one of these with its own stable `code`. Details are shown to
partners: they never hold personal data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One offending field; `pointer` is an RFC 6901 fragment such as `#/needs/0/code`."""

    pointer: str
    code: str
    detail: str


class CareloopError(Exception):
    """`extra` adds members to the problem document (RFC 9457 s3.2); `headers` to the response."""

    status: ClassVar[int] = 500
    code: str = "internal"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class BadRequest(CareloopError):
    status = 400
    code = "bad-request"


class Unauthenticated(CareloopError):
    status = 401
    code = "unauthenticated"


class Forbidden(CareloopError):
    status = 403
    code = "forbidden"


class NotFound(CareloopError):
    status = 404
    code = "not-found"

    def __init__(self, detail: str = "There is no such resource.", **more: Any) -> None:
        super().__init__(detail, **more)


class Conflict(CareloopError):
    status = 409
    code = "conflict"


class Gone(CareloopError):
    status = 410
    code = "gone"


class PreconditionFailed(CareloopError):
    status = 412
    code = "precondition-failed"


class PayloadTooLarge(CareloopError):
    status = 413
    code = "payload-too-large"


class UnsupportedMediaType(CareloopError):
    status = 415
    code = "unsupported-media-type"


class RangeNotSatisfiable(CareloopError):
    status = 416
    code = "range-not-satisfiable"


class Invalid(CareloopError):
    status = 422
    code = "invalid"


class PreconditionRequired(CareloopError):
    status = 428
    code = "precondition-required"


class TooManyRequests(CareloopError):
    status = 429
    code = "too-many-requests"


class Unavailable(CareloopError):
    status = 503
    code = "unavailable"
