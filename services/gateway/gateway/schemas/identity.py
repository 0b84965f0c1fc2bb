"""Bodies of trusted issuers and registration tokens."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator
from svckit.http import In, Out

from gateway.domain import Scope, SenderConstraint, SubjectAlgorithm
from gateway.schemas import AnyId, JwkSet, JwksUri, KeysPatch, Open, Purposes

Text = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[!-~]+$")]
# a name or an address would end in logs and audit rows: take a claim that is a number of yours
ActorClaim = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
Algorithms = Annotated[
    list[SubjectAlgorithm], Field(min_length=1, max_length=len(SubjectAlgorithm))
]


class TrustedIssuerIn(In):
    organisation_id: AnyId
    # exactly as in the tokens' `iss`
    issuer: Text
    # exactly as in the tokens' `aud`: what the provider knows the organisation's program by
    audience: Text
    jwks: JwkSet | None = None
    jwks_uri: JwksUri | None = None
    algorithms: Algorithms
    actor_claim: ActorClaim = "sub"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("exactly one of jwks and jwks_uri is needed")
        return self


class TrustedIssuerPatch(KeysPatch):
    """What is left out stays; `active` false ends the trust for every exchange to come."""

    audience: Text | None = None
    algorithms: Algorithms | None = None
    active: bool | None = None


class TrustedIssuerOut(Out):
    id: Annotated[str, Open]
    organisation_id: Annotated[str, Open]
    issuer: Annotated[str, Open]
    audience: Annotated[str, Open]
    jwks: Annotated[dict[str, Any] | None, Open]
    jwks_uri: Annotated[str | None, Open]
    algorithms: Annotated[list[str], Open]
    actor_claim: Annotated[str, Open]
    active: Annotated[bool, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class RegistrationTokenIn(In):
    """One registration of one client of this organisation, with no more than these rights."""

    organisation_id: AnyId
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    purposes: Purposes
    sender_constraint: SenderConstraint = SenderConstraint.NONE
    valid_s: Annotated[int, Field(ge=60, le=7 * 86400)] = 86400


class RegistrationTokenOut(Out):
    id: Annotated[str, Open]
    organisation_id: Annotated[str, Open]
    scopes: Annotated[list[str], Open]
    purposes: Annotated[list[str], Open]
    sender_constraint: Annotated[SenderConstraint, Open]
    expires_at: Annotated[datetime, Open]
    # the client that was registered with it; null while it can be used
    client_id: Annotated[str | None, Open]
    version: Annotated[int, Open]
    created_at: Annotated[datetime, Open]


class NewRegistrationTokenOut(RegistrationTokenOut):
    # in the answer to the request that made it and never again
    token: Annotated[str | None, Open] = None
