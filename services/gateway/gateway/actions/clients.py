"""Clients: the programs of an organisation, their public keys, scopes and purposes."""

import secrets
from typing import Any

from sharing import policy
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.addresses import fault_of
from svckit.clock import now
from svckit.errors import FieldError, Invalid, NotFound
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import jwks, queries
from gateway.domain import scopes_of
from gateway.keys import KeyRing
from gateway.models import Client, Organisation
from gateway.queries import identity
from gateway.remote_keys import PORTS
from gateway.schemas import ClientIn, ClientPatch, JwkSet

_SECRET_BYTES = 32


async def register(
    tx: AsyncSession, caller: Caller, body: ClientIn, keys: KeyRing, *, allow_private: bool = False
) -> tuple[Client, str | None]:
    """Register a client; also return the secret of a sandbox client, which is not kept.

    Raises Invalid: unknown organisation, scope or purpose beyond its kind, unfit key.
    """
    owner = await queries.find_organisation(tx, body.organisation_id)
    if owner is None:
        raise _unfit("#/organisation_id", "unknown-organisation", "There is no such organisation.")
    check_address(body.jwks_uri, allow_private=allow_private)
    secret = secrets.token_urlsafe(_SECRET_BYTES) if body.sandbox else None
    row = Client(
        id=new_id("cli"),
        organisation_id=owner.id,
        name=body.name,
        jwks=public_keys(body.jwks, [a.value for a in body.algorithms]),
        jwks_uri=body.jwks_uri,
        algorithms=[a.value for a in body.algorithms],
        scopes=sorted({s.value for s in body.scopes}),
        purposes=list(dict.fromkeys(body.purposes)),
        sender_constraint=body.sender_constraint,
        sandbox=body.sandbox,
        secret_hash=secret and keys.secret_hash(secret),
        active=True,
        version=1,
        created_at=now(),
    )
    check_rights(owner, row.scopes, row.purposes)
    tx.add(row)
    await tx.flush()
    await audit.record(tx, caller, action="client.register", resource=row.id, version=1)
    return row, secret


async def change(
    tx: AsyncSession,
    caller: Caller,
    client_id: str,
    expected: int,
    body: ClientPatch,
    *,
    allow_private: bool = False,
) -> Client:
    """Change keys, rights or state of a client. Raises NotFound, PreconditionFailed, Invalid.

    A key, right or binding that is taken away takes the tokens issued before with it, at once.
    """
    row = await queries.get_client(tx, caller, client_id, lock=True)
    check_version(row.version, expected)
    before = held(row)
    _take(row, body, allow_private=allow_private)
    owner = await queries.find_organisation(tx, row.organisation_id)
    if owner is None:
        raise NotFound
    check_rights(owner, row.scopes, row.purposes)
    await settle(tx, row, before)
    await audit.record(tx, caller, action="client.change", resource=row.id, version=row.version)
    return row


def _take(row: Client, body: ClientPatch, *, allow_private: bool) -> None:
    if body.algorithms is not None:
        row.algorithms = [a.value for a in body.algorithms]
    if body.jwks is not None:
        row.jwks, row.jwks_uri = public_keys(body.jwks, row.algorithms), None
    if body.jwks_uri is not None:
        check_address(body.jwks_uri, allow_private=allow_private)
        row.jwks, row.jwks_uri = {"keys": []}, body.jwks_uri
    if body.scopes is not None:
        row.scopes = sorted({s.value for s in body.scopes})
    if body.purposes is not None:
        row.purposes = list(dict.fromkeys(body.purposes))
    row.sender_constraint = body.sender_constraint or row.sender_constraint
    row.name = body.name or row.name
    row.active = row.active if body.active is None else body.active
    row.rate_limit = row.rate_limit if body.rate_limit is None else body.rate_limit or None


def held(row: Client) -> frozenset[str]:
    """Return, as texts, all that a token of the client rests on."""
    keys = (f"key {sorted(jwk.items())}" for jwk in row.jwks["keys"])
    rights = (*row.scopes, *row.purposes, *row.algorithms)
    state = ["active"] if row.active else []
    return frozenset(
        {*keys, *rights, *state, f"at {row.jwks_uri}", f"bound to {row.sender_constraint}"}
    )


async def settle(tx: AsyncSession, row: Client, before: frozenset[str]) -> None:
    """Count the row's version up; tell every replica when its older tokens must end."""
    row.version += 1
    if before - held(row):
        row.tokens_from, row.tokens_from_at = row.version, now()
        await identity.tell_revocation(tx)
    await tx.flush()


def check_rights(owner: Organisation, scopes: list[str], purposes: list[str]) -> None:
    """Raise Invalid for a scope or purpose that the organisation's kind cannot have."""
    allowed = scopes_of(owner.kind)
    errors = [
        FieldError(f"#/scopes/{i}", "scope-not-allowed", f"No {owner.kind} may hold {scope}.")
        for i, scope in enumerate(scopes)
        if scope not in allowed
    ]
    rules = policy.current()
    errors += [
        FieldError(f"#/purposes/{i}", "purpose-not-allowed", f"No {owner.kind} may act for {code}.")
        for i, code in enumerate(purposes)
        if not rules.ceiling(owner.kind, code)
    ]
    if errors:
        raise Invalid("The client asks for more than its organisation may have.", errors=errors)


def public_keys(given: JwkSet | None, algorithms: list[str]) -> dict[str, Any]:
    """Return the set as we store it: public members of usable keys only. Raises Invalid."""
    try:
        return {"keys": jwks.checked(given.keys if given else [], algorithms)}
    except jwks.KeyUnfit as error:
        raise _unfit(f"#/jwks{error.pointer}", error.code, error.detail) from error


def check_address(uri: str | None, *, allow_private: bool) -> None:
    """Raise Invalid for a `jwks_uri` that we would not ask."""
    fault = fault_of(uri, allow_private=allow_private, ports=PORTS) if uri else None
    if fault:
        raise _unfit("#/jwks_uri", fault[1], fault[0])


def _unfit(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid(
        "The client cannot be registered like this.", errors=[FieldError(pointer, code, detail)]
    )
