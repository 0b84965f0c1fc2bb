"""Writes a consent as a FHIR R4 Consent: one that came as such as it came, any other from scratch."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sharing.confidentiality import HIGHEST, code_of
from svckit.clock import wire

from gateway.fhir import codes, labels
from gateway.fhir.directive import Directive

MEDIA_TYPE = "application/fhir+json"


def consent(
    *,
    consent_id: str,
    person_id: str,
    custodian_id: str,
    version: int,
    changed_at: datetime,
    decided_at: datetime,
    active: bool,
    directives: Sequence[Directive],
    source: dict[str, Any] | None,
    legal_basis: str | None = None,
    signed_by: str | None = None,
) -> dict[str, Any]:
    """Return the FHIR R4 Consent; reading it again gives the same directives."""
    body = dict(source) if source else _written(person_id, custodian_id, decided_at, directives)
    if legal_basis and not source:
        body |= _by_law(person_id, legal_basis, signed_by)
    if not active and body["status"] == "active":
        # R4 has no code for revoked
        body["status"] = "inactive"
    meta = {
        **body.get("meta", {}),
        "versionId": str(version),
        "lastUpdated": wire(changed_at),
        "security": labels.of(directives, legal_basis, body.get("meta", {}).get("security", ())),
    }
    return {**body, "id": consent_id, "meta": meta}


def _by_law(person_id: str, legal_basis: str, signed_by: str | None) -> dict[str, Any]:
    rule = {"coding": [{"system": codes.ACT_CODE, "code": legal_basis}]}
    signature: dict[str, Any] = {"verification": [{"verified": True}]}
    if signed_by == "patient":
        signature = {"performer": [{"reference": f"Patient/{person_id}"}]}
    return {"policyRule": rule, **signature}


def bundle(
    resources: Sequence[dict[str, Any]], *, url: str, following: str | None
) -> dict[str, Any]:
    """Return a page as a searchset; like the page itself it tells no total."""
    links = [{"relation": "self", "url": url}]
    if following:
        links.append({"relation": "next", "url": following})
    entries = [{"resource": each, "search": {"mode": "match"}} for each in resources]
    found: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if resources:
        found["meta"] = {"security": labels.highest(each["meta"]["security"] for each in resources)}
    return {**found, "entry": entries} if entries else found


def _written(
    person_id: str, custodian_id: str, decided_at: datetime, directives: Sequence[Directive]
) -> dict[str, Any]:
    (only,) = directives
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": codes.SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": codes.ACT_CODE, "code": "IDSCL"}]}],
        "patient": {"reference": f"Patient/{person_id}"},
        "dateTime": wire(decided_at),
        "organization": [{"reference": f"Organization/{custodian_id}"}],
        "policy": [{"uri": codes.POLICY}],
        "provision": _provision(only),
    }


def _provision(one: Directive) -> dict[str, Any]:
    found: dict[str, Any] = {"type": one.decision}
    starts, ends = one.valid_from, one.valid_to
    if starts or ends:
        found["period"] = {
            name: wire(at) for name, at in (("start", starts), ("end", ends)) if at is not None
        }
    if one.recipient_id:
        role = {"coding": [{"system": codes.PARTICIPATION, "code": "PRCP"}]}
        named = {"reference": f"Organization/{one.recipient_id}"}
        found["actor"] = [{"role": role, "reference": named}]
    found["action"] = [{"coding": [{"system": codes.ACTION, "code": "access"}]}]
    if one.confidentiality < HIGHEST:
        code = code_of(one.confidentiality)
        found["securityLabel"] = [{"system": codes.CONFIDENTIALITY, "code": code}]
    if one.case_id:
        named = {"reference": f"EpisodeOfCare/{one.case_id}"}
        found["data"] = [{"meaning": "related", "reference": named}]
    found["purpose"] = [{"system": codes.ACT_REASON, "code": code} for code in one.purposes]
    found["class"] = [{"system": codes.DATA_CLASS, "code": name} for name in one.classes]
    return found
