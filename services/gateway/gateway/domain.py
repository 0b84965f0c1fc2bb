"""The rules of the door: who may ask for which scope and purpose, which route needs what.

Pure. Routes and scopes are data; `contracts/scopes.yaml` prints the same scopes for partners and a
test keeps the two alike.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sharing.purposes import covers, lineage
from svckit.errors import Conflict, Forbidden, NotFound


class OrganisationKind(StrEnum):
    CLINIC = "clinic"
    SOCIAL_SERVICE = "social-service"
    PAYER = "payer"
    COORDINATOR = "coordinator"


class Decision(StrEnum):
    """FHIR R4 Consent.provision.type."""

    PERMIT = "permit"
    DENY = "deny"


class Basis(StrEnum):
    """Why a grant exists; it ends with its reason."""

    CONSENT = "consent"
    REFERRAL = "referral"
    CARE_TEAM = "care-team"
    TREATMENT = "treatment"
    EMERGENCY = "emergency"
    LEGAL = "legal"


class Algorithm(StrEnum):
    """Signatures of client assertions (RFC 7518, RFC 8037); SMART demands the first two."""

    RS384 = "RS384"
    ES384 = "ES384"
    ES256 = "ES256"
    EDDSA = "EdDSA"


class SubjectAlgorithm(StrEnum):
    """Signatures of a partner's identity provider; each provider has exactly those it names."""

    RS256 = "RS256"
    RS384 = "RS384"
    PS256 = "PS256"
    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"


class SenderConstraint(StrEnum):
    """What a client's tokens are bound to: a key it proves (RFC 9449), a certificate (RFC 8705)."""

    NONE = "none"
    DPOP = "dpop"
    MTLS = "mtls"


class Scope(StrEnum):
    CASES_READ = "cases.read"
    CASES_WRITE = "cases.write"
    PERSONS_READ = "persons.read"
    PERSONS_WRITE = "persons.write"
    DIRECTORY_READ = "directory.read"
    DIRECTORY_WRITE = "directory.write"
    REFERRALS_READ = "referrals.read"
    REFERRALS_WRITE = "referrals.write"
    DOCUMENTS_READ = "documents.read"
    DOCUMENTS_WRITE = "documents.write"
    EVENTS_READ = "events.read"
    WEBHOOKS_WRITE = "webhooks.write"
    INBOX_READ = "inbox.read"
    INBOX_WRITE = "inbox.write"
    SHARING_READ = "sharing.read"
    SHARING_WRITE = "sharing.write"
    LEDGER_READ = "ledger.read"
    LEDGER_AUDIT = "ledger.audit"
    POLICY_PUBLISH = "policy.publish"
    ADMIN = "admin"


_COORDINATOR_ALONE = {Scope.ADMIN.value, Scope.LEDGER_AUDIT.value, Scope.POLICY_PUBLISH.value}


def scopes_of(kind: str) -> frozenset[str]:
    """Return what a client of such an organisation may hold at most."""
    found = frozenset(scope.value for scope in Scope)
    return found if kind == OrganisationKind.COORDINATOR else found - _COORDINATOR_ALONE


READING = frozenset({"GET", "HEAD"})
METHODS = READING | {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Route:
    """One resource of the public API; `service` None means the gateway itself.

    Any one of the scopes opens the door; the service asks for the exact one.
    """

    resource: str
    service: str | None
    reads: frozenset[str]
    writes: frozenset[str]

    def scopes(self, method: str) -> frozenset[str]:
        return self.reads if method in READING else self.writes


def _route(resource: str, service: str | None, reads: str, writes: str) -> Route:
    return Route(resource, service, frozenset(reads.split()), frozenset(writes.split()))


_ROUTES = (
    _route("persons", "case-svc", "persons.read", "persons.write"),
    _route("cases", "case-svc", "cases.read", "cases.write"),
    _route("case-types", "case-svc", "cases.read", "cases.write"),
    _route("tasks", "case-svc", "cases.read", "cases.write"),
    _route("directory", "referral-svc", "directory.read", "directory.write"),
    _route("referrals", "referral-svc", "referrals.read", "referrals.write"),
    _route("documents", "document-svc", "documents.read", "documents.write"),
    _route("events", "notify-svc", "events.read", "events.read"),
    _route("event-types", "notify-svc", "events.read", "events.read"),
    _route("webhook-endpoints", "notify-svc", "events.read webhooks.write", "webhooks.write"),
    _route("deliveries", "notify-svc", "events.read webhooks.write", "webhooks.write"),
    _route("delivery-attempts", "notify-svc", "events.read webhooks.write", "webhooks.write"),
    _route("inbox", "notify-svc", "inbox.read webhooks.write", "inbox.write webhooks.write"),
    _route("organisations", None, "sharing.read admin", "admin"),
    _route("clients", None, "sharing.read admin", "admin"),
    _route("trusted-issuers", None, "admin", "admin"),
    _route("registration-tokens", None, "admin", "admin"),
    _route("agreements", None, "sharing.read admin", "admin"),
    _route("consents", None, "sharing.read", "sharing.write"),
    _route("grants", None, "sharing.read", "sharing.write"),
    _route("access", None, "sharing.read admin", "sharing.read admin policy.publish"),
    _route("ledger", None, "ledger.read", "ledger.read"),
    _route("emergency-accesses", None, "sharing.read", "sharing.write"),
)
_BY_RESOURCE = {route.resource: route for route in _ROUTES}
SERVICES = ("case-svc", "referral-svc", "document-svc", "notify-svc")
# answered without a token
OPEN = frozenset(
    {
        "/oauth/token",
        "/oauth/introspect",
        "/oauth/revoke",
        "/oauth/register",
        "/.well-known/oauth-authorization-server",
        "/.well-known/smart-configuration",
        "/.well-known/jwks.json",
        "/.well-known/internal-jwks.json",
        "/healthz",
        "/readyz",
        "/metrics",
    }
)

# a registration is read and changed with a token of its own (RFC 7592)
_REGISTRATION = re.compile(r"/oauth/register/cli_[0-9a-z]{26}")

# No escapes, no empty or dot segments: one spelling per resource, so that what was authorised is
# byte for byte what the service routes.
_CANONICAL = re.compile(rb"/|(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_MAX_PATH = 1024


def is_canonical(raw_path: bytes) -> bool:
    """Tell whether a path as received is in the only spelling we route."""
    return len(raw_path) <= _MAX_PATH and _CANONICAL.fullmatch(raw_path) is not None


def opened(path: str) -> str | None:
    """Return the resource of a canonical path that needs no access token, None for any other."""
    if path in OPEN:
        return path
    return "/oauth/register" if _REGISTRATION.fullmatch(path) else None


def route_of(path: str) -> Route:
    """Return the route of a canonical path. Raises NotFound."""
    parts = path.split("/", 3)
    route = _BY_RESOURCE.get(parts[2]) if len(parts) > 2 and parts[1] == "v1" else None  # noqa: PLR2004  # "", "v1", resource
    if route is None:
        raise NotFound("There is nothing at this path.")
    return route


def is_upload(route: Route, method: str) -> bool:
    """Tell whether the body may be a document's bytes rather than JSON."""
    return route.resource == "documents" and method not in READING


def check_scope(route: Route, method: str, held: frozenset[str]) -> None:
    """Raise Forbidden unless one of the route's scopes is held (RFC 6750 s3.1)."""
    needed = route.scopes(method)
    if needed.isdisjoint(held):
        wanted = " ".join(sorted(needed))
        challenge = f'Bearer realm="careloop", error="insufficient_scope", scope="{wanted}"'
        raise Forbidden(
            f"One of these scopes is needed: {wanted}.",
            code="insufficient-scope",
            headers={"WWW-Authenticate": challenge},
        )


class OAuthError(Exception):
    """RFC 6749 s5.2: `error` and a text for the client's developer."""

    def __init__(
        self,
        error: str,
        description: str,
        status: int = 400,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = dict(headers or {})


def invalid_client() -> OAuthError:
    """Return the one answer to every failed client authentication: nothing to learn from it."""
    return OAuthError("invalid_client", "Client authentication failed.", 401)


def granted_scopes(asked: str | None, registered: frozenset[str], kind: str) -> frozenset[str]:
    """Return the scopes of a token: what is asked, or all when nothing is (RFC 6749 s3.3).

    Raises OAuthError: more was asked than the client holds.
    """
    held = registered & scopes_of(kind)
    if asked is None:
        return held
    wanted = frozenset(asked.split())
    if not wanted or wanted - held:
        raise OAuthError("invalid_scope", "More is asked for than the client may hold.")
    return wanted


PURPOSE_SYSTEM = "urn:oid:2.16.840.1.113883.5.8#"


def purpose_code(text: str) -> str:
    """Return the v3-ActReason code of `TREAT` or `urn:oid:2.16.840.1.113883.5.8#TREAT`."""
    return text.removeprefix(PURPOSE_SYSTEM)


# given by the custodian itself; every other grant comes and goes with what it rests on
GIVEN = (Basis.TREATMENT, Basis.LEGAL)
# what an agreement's legal basis says when providers may treat without asking (45 CFR 164.506(c))
TREATMENT = "treatment"


class NotAgreed(Conflict):
    code = "not-agreed"


class GrantOver(Conflict):
    code = "grant-over"


class NotGiven(Conflict):
    """The grant rests on something else, and ends with it."""

    code = "grant-rests-on-its-basis"


def check_treatment(legal_basis: str, custodian: str, recipient: str, purposes: int) -> None:
    """Raise NotAgreed unless one provider may share with another for treatment alone."""
    if legal_basis != TREATMENT or {custodian, recipient} != {OrganisationKind.CLINIC}:
        raise NotAgreed("No agreement of two providers says that treatment is its legal basis.")
    if not covers(purposes, "TREAT"):
        raise NotAgreed("The agreement is not for treatment.")


class AgreementEnded(Conflict):
    code = "agreement-ended"


class Stage(StrEnum):
    """Where one version of an agreement stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    ENDED = "ended"


class DiffRequired(Conflict):
    code = "diff-required"


class DiffChanged(Conflict):
    code = "diff-changed"


class DraftOver(Conflict):
    code = "draft-over"


class PolicyInForce(Conflict):
    code = "policy-in-force"


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical form: sorted names, no spaces, JSON values only."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class ConsentWithdrawn(Conflict):
    code = "consent-withdrawn"


# what an emergency access may be asked for, and how far it reaches into the purposes below it
EMERGENCY = "ETREAT"
EMERGENCY_HOURS = 4
REVIEW_HOURS = 72


class Emergency(StrEnum):
    """Why a person's consent is overridden (v3-ActReason BTG is what for)."""

    MEDICAL = "medical-emergency"
    DANGER_TO_SELF = "danger-to-self"
    DANGER_TO_OTHERS = "danger-to-others"
    SAFEGUARDING = "safeguarding"


class Outcome(StrEnum):
    """What the custodian's review found."""

    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"


class Review(StrEnum):
    """Where the review of an emergency access stands."""

    DUE = "due"
    OVERDUE = "overdue"
    DONE = "done"


class NoAgreement(Conflict):
    code = "no-agreement"


class AccessEnded(Conflict):
    code = "emergency-access-ended"


class AlreadyReviewed(Conflict):
    code = "already-reviewed"


def check_emergency(kind: str, purpose: str) -> None:
    """Raise Forbidden unless a treating organisation asks for emergency treatment.

    Neither payment nor coordination overrides what a person decided (42 CFR 2.51).
    """
    if kind != OrganisationKind.CLINIC:
        raise Forbidden(f"No {kind} has emergency access.", code="emergency-not-allowed")
    if EMERGENCY not in lineage(purpose):
        raise Forbidden(
            "The token's purpose is not emergency treatment: BTG or ETREAT.",
            code="purpose-not-emergency",
        )


def review_of(outcome: Outcome | None, due_at: datetime, at: datetime) -> Review:
    """Return where a review stands at the instant."""
    if outcome is not None:
        return Review.DONE
    return Review.DUE if at < due_at else Review.OVERDUE


# what a referral lets its recipient see, before and after it is accepted, and what comes back
ASKED = frozenset({"coordination", "needs"})
ACCEPTED = ASKED | {"identity", "contact", "plan", "safety"}
RETURNED = frozenset({"coordination", "plan", "notes", "outcome"})
