"""Identity providers of organisations, whose tokens may be exchanged for ours (RFC 8693)."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.addresses import fault_of
from svckit.clock import now
from svckit.errors import Conflict, FieldError, Invalid
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import jwks, queries
from gateway.models import TrustedIssuer
from gateway.queries import identity
from gateway.remote_keys import PORTS
from gateway.schemas import JwkSet
from gateway.schemas.identity import TrustedIssuerIn, TrustedIssuerPatch


class IssuerKnown(Conflict):
    code = "issuer-known"


async def trust(
    tx: AsyncSession, caller: Caller, body: TrustedIssuerIn, *, ours: str, allow_private: bool
) -> TrustedIssuer:
    """Let an organisation's provider name its workers. Raises Invalid, Conflict: known already."""
    if await queries.find_organisation(tx, body.organisation_id) is None:
        raise _unfit("#/organisation_id", "unknown-organisation", "There is no such organisation.")
    if body.issuer.rstrip("/") == ours.rstrip("/"):
        raise _unfit("#/issuer", "own-issuer", "Our own tokens are not exchanged.")
    algorithms = [a.value for a in body.algorithms]
    row = TrustedIssuer(
        id=new_id("iss"),
        organisation_id=body.organisation_id,
        issuer=body.issuer,
        audience=body.audience,
        jwks=_keys(body.jwks, algorithms),
        jwks_uri=_address(body.jwks_uri, allow_private=allow_private),
        algorithms=algorithms,
        actor_claim=body.actor_claim,
        active=True,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    try:
        await tx.flush()
    except IntegrityError as error:
        raise IssuerKnown("The organisation's issuer is known already: change it.") from error
    await audit.record(tx, caller, action="trusted-issuer.add", resource=row.id, version=1)
    return row


async def change(
    tx: AsyncSession,
    caller: Caller,
    issuer_id: str,
    expected: int,
    body: TrustedIssuerPatch,
    *,
    allow_private: bool,
) -> TrustedIssuer:
    """Change keys or state of a trusted issuer. Raises NotFound, PreconditionFailed, Invalid."""
    row = await identity.get_issuer(tx, issuer_id, lock=True)
    check_version(row.version, expected)
    if body.algorithms is not None:
        row.algorithms = [a.value for a in body.algorithms]
    if body.jwks is not None:
        row.jwks, row.jwks_uri = _keys(body.jwks, row.algorithms), None
    if body.jwks_uri is not None:
        row.jwks, row.jwks_uri = None, _address(body.jwks_uri, allow_private=allow_private)
    row.audience = body.audience or row.audience
    row.active = row.active if body.active is None else body.active
    row.version += 1
    await tx.flush()
    action = "trusted-issuer.change"
    await audit.record(tx, caller, action=action, resource=row.id, version=row.version)
    return row


def _keys(given: JwkSet | None, algorithms: list[str]) -> dict[str, object] | None:
    if given is None:
        return None
    try:
        return {"keys": jwks.checked(given.keys, algorithms)}
    except jwks.KeyUnfit as error:
        raise _unfit(f"#/jwks{error.pointer}", error.code, error.detail) from error


def _address(uri: str | None, *, allow_private: bool) -> str | None:
    fault = fault_of(uri, allow_private=allow_private, ports=PORTS) if uri else None
    if fault:
        raise _unfit("#/jwks_uri", fault[1], fault[0])
    return uri


def _unfit(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid(
        "The issuer cannot be trusted like this.", errors=[FieldError(pointer, code, detail)]
    )
