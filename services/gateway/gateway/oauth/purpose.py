"""The purpose of use of a token: decided here, once, and carried inside it."""

from collections.abc import Mapping
from typing import Any

import orjson
from sharing import policy, purposes

from gateway.assertion import Login
from gateway.domain import OAuthError, purpose_code
from gateway.tokens import PURPOSE_TYPE

_MAX_DETAILS = 4096
_B2B_TEXTS = (
    "organization_id", "organization_name", "subject_name", "subject_id", "subject_role"
)  # fmt: skip
_B2B_LISTS = ("consent_policy", "consent_reference")


def of(login: Login, form: Mapping[str, str]) -> str:
    """Return the one purpose of the token: asked for and registered, or the registered default.

    Raises OAuthError: unknown, not registered, beyond the organisation's kind, more than one.
    """
    details = form.get("authorization_details")
    asked = {*claimed(login.claims), *(detailed(details) if details is not None else ())}
    error = "invalid_authorization_details" if details is not None else "invalid_request"
    if len(asked) > 1:
        raise OAuthError(error, "A token has one purpose.")
    purpose = next(iter(asked), login.client.purposes[0])
    if purpose not in purposes.CODES:
        raise OAuthError(error, "The purpose of use is not known.")
    allowed = policy.current().ceiling(login.organisation.kind, purpose)
    if purpose not in login.client.purposes or not allowed:
        raise OAuthError(error, "The client may not act for this purpose.")
    return purpose


def claimed(claims: Mapping[str, Any]) -> list[str]:
    """Return the purposes of the assertion's `extensions.hl7-b2b` (UDAP Security 1.0, 5.2.1.1).

    The other members of the extension are checked for their form and carry no right.
    """
    extensions = claims.get("extensions", {})
    if not isinstance(extensions, dict):
        raise _malformed()
    if "hl7-b2b" not in extensions:
        return []
    found = extensions["hl7-b2b"]
    if not isinstance(found, dict) or found.get("version") != "1":
        raise _malformed()
    if not all(isinstance(found.get(name, ""), str) for name in _B2B_TEXTS):
        raise _malformed()
    if not all(_is_texts(found.get(name, [])) for name in _B2B_LISTS):
        raise _malformed()
    asked = found.get("purpose_of_use")
    asked = [asked] if isinstance(asked, str) else asked
    if not asked or not _is_texts(asked):
        raise OAuthError("invalid_request", "purpose_of_use is absent or malformed.")
    return [purpose_code(code) for code in asked]


def detailed(details: str) -> list[str]:
    """Return the purposes of `authorization_details` (RFC 9396 s2)."""
    malformed = OAuthError("invalid_authorization_details", "authorization_details is malformed.")
    if len(details) > _MAX_DETAILS:
        raise malformed
    try:
        found = orjson.loads(details)
    except orjson.JSONDecodeError as error:
        raise malformed from error
    if not isinstance(found, list) or not found:
        raise malformed
    for entry in found:
        if not isinstance(entry, dict) or entry.keys() != {"type", "purpose"}:
            raise malformed
        if entry["type"] != PURPOSE_TYPE or not isinstance(entry["purpose"], str):
            raise malformed
    return [purpose_code(entry["purpose"]) for entry in found]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _malformed() -> OAuthError:
    return OAuthError("invalid_request", "extensions.hl7-b2b is malformed.")
