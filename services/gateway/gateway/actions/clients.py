"""Clients: the programs of an organisation, their public keys, scopes and purposes."""

import secrets
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from sharing import policy
from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid, NotFound
from svckit.idempotency import check_version
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import queries
from gateway.domain import scopes_of
from gateway.keys import KeyRing
from gateway.models import Client, Organisation
from gateway.schemas import ClientIn, ClientPatch, JwkSet

_SECRET_BYTES = 32
_PUBLIC = ("kty", "kid", "crv", "x", "y", "n", "e", "alg", "use")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"P-256": {"ES256"}, "P-384": {"ES384"}, "Ed25519": {"EdDSA"}}
_RSA_BITS = range(2048, 8193)
_MAX_KID = 128


async def register(
    tx: AsyncSession, caller: Caller, body: ClientIn, keys: KeyRing
) -> tuple[Client, str | None]:
    """Register a client; also return the secret of a sandbox client, which is not kept.

    Raises Invalid: unknown organisation, scope or purpose beyond its kind, unfit key.
    """
    owner = await queries.find_organisation(tx, body.organisation_id)
    if owner is None:
        raise _unfit("#/organisation_id", "unknown-organisation", "There is no such organisation.")
    secret = secrets.token_urlsafe(_SECRET_BYTES) if body.sandbox else None
    row = Client(
        id=new_id("cli"),
        organisation_id=owner.id,
        name=body.name,
        jwks=public_keys(body.jwks, [a.value for a in body.algorithms]),
        algorithms=[a.value for a in body.algorithms],
        scopes=sorted({s.value for s in body.scopes}),
        purposes=list(dict.fromkeys(body.purposes)),
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
    tx: AsyncSession, caller: Caller, client_id: str, expected: int, body: ClientPatch
) -> Client:
    """Change keys, rights or state of a client. Raises NotFound, PreconditionFailed, Invalid."""
    row = await queries.get_client(tx, caller, client_id, lock=True)
    check_version(row.version, expected)
    if body.algorithms is not None:
        row.algorithms = [a.value for a in body.algorithms]
    if body.jwks is not None:
        row.jwks = public_keys(body.jwks, row.algorithms)
    if body.scopes is not None:
        row.scopes = sorted({s.value for s in body.scopes})
    if body.purposes is not None:
        row.purposes = list(dict.fromkeys(body.purposes))
    row.name = body.name or row.name
    row.active = row.active if body.active is None else body.active
    owner = await queries.find_organisation(tx, row.organisation_id)
    if owner is None:
        raise NotFound
    check_rights(owner, row.scopes, row.purposes)
    row.version += 1
    await tx.flush()
    await audit.record(tx, caller, action="client.change", resource=row.id, version=row.version)
    return row


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
    found: list[dict[str, Any]] = []
    for place, jwk in enumerate(given.keys if given else []):
        pointer = f"#/jwks/keys/{place}"
        _check_key(jwk, pointer, algorithms)
        if any(jwk["kid"] == other["kid"] for other in found):
            raise _unfit(f"{pointer}/kid", "duplicate-kid", "Every key needs a kid of its own.")
        found.append({name: jwk[name] for name in _PUBLIC if name in jwk})
    return {"keys": found}


def _check_key(jwk: dict[str, Any], pointer: str, algorithms: list[str]) -> None:
    if leaked := _PRIVATE & jwk.keys():
        where = f"{pointer}/{min(leaked)}"
        raise _unfit(where, "private-key", "Only public keys may be registered; replace this one.")
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID or not kid.isprintable():
        raise _unfit(f"{pointer}/kid", "kid-missing", "A key needs a kid of 1 to 128 characters.")
    if jwk.get("use", "sig") != "sig":
        raise _unfit(f"{pointer}/use", "key-use", "The key is not for signatures.")
    usable = _usable(jwk)
    if not usable & set(algorithms) or jwk.get("alg", next(iter(usable), "")) not in usable:
        raise _unfit(pointer, "key-unfit", "The key fits none of the client's algorithms.")


def _usable(jwk: dict[str, Any]) -> set[str]:
    """Return the algorithms a key can sign with, none for a key that is no good."""
    try:
        key = KeySet.import_key_set({"keys": [jwk]}).keys[0]
        if isinstance(key, RSAKey):
            return {"RS384"} if key.public_key.key_size in _RSA_BITS else set()
        if isinstance(key, (ECKey, OKPKey)):
            # the property builds the key: a point off its curve is found here
            _ = key.public_key
            return _CURVES.get(str(jwk.get("crv")), set())
    except (JoseError, ValueError, TypeError, KeyError):
        return set()
    return set()


def _unfit(pointer: str, code: str, detail: str) -> Invalid:
    return Invalid(
        "The client cannot be registered like this.", errors=[FieldError(pointer, code, detail)]
    )
