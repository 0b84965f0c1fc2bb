"""A partner's program registers itself (RFC 7591, 7592) with a token that an administrator gave.

Organisation, rights and binding come from that token. Of the metadata only what stands in
`Metadata` is taken; a member that names one of our own columns is refused, not ignored.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from svckit import audit
from svckit.clock import now
from svckit.errors import FieldError, Invalid
from svckit.identity import Caller
from svckit.ids import new_id

from gateway import jwks, queries
from gateway.actions.clients import check_address, check_rights, held, settle
from gateway.domain import Algorithm, OAuthError, Scope, SenderConstraint
from gateway.keys import KeyRing
from gateway.models import Client, RegistrationToken
from gateway.queries import identity
from gateway.schemas.identity import RegistrationTokenIn

_SECRET_BYTES = 32
_GRANTS = {"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"}
# what only we decide; `jwks` and `jwks_uri` are the two columns that the program names itself
_OURS = (frozenset(Client.__table__.columns.keys()) - {"jwks", "jwks_uri"}) | {
    "client_id", "client_secret", "client_secret_expires_at", "client_id_issued_at", "org", "organisation",
    "organization", "organization_id", "org_kind", "kind", "client_version", "role", "roles",
    "registration_access_token", "registration_client_uri", "software_statement",
}  # fmt: skip
_MAX_NAME = 200


@dataclass(frozen=True)
class Metadata:
    """What a program says about itself, checked."""

    name: str
    jwks: dict[str, Any]
    jwks_uri: str | None
    algorithms: list[str]
    scopes: list[str] | None
    sender_constraint: SenderConstraint


async def permit(
    tx: AsyncSession, caller: Caller, body: RegistrationTokenIn, keys: KeyRing
) -> tuple[RegistrationToken, str]:
    """Give a token that registers one client; also return its secret, which is not kept.

    Raises Invalid: unknown organisation, rights beyond its kind, the admin scope.
    """
    owner = await queries.find_organisation(tx, body.organisation_id)
    if owner is None:
        raise _unfit("#/organisation_id", "There is no such organisation.")
    scopes = sorted({s.value for s in body.scopes})
    if Scope.ADMIN in scopes:
        raise _unfit("#/scopes", "No program registers itself as an administrator.")
    purposes = list(dict.fromkeys(body.purposes))
    check_rights(owner, scopes, purposes)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row = RegistrationToken(
        id=new_id("rgt"),
        organisation_id=owner.id,
        secret_hash=keys.secret_hash(secret),
        scopes=scopes,
        purposes=purposes,
        sender_constraint=body.sender_constraint,
        expires_at=now() + timedelta(seconds=body.valid_s),
        client_id=None,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    await audit.record(tx, caller, action="registration-token.give", resource=row.id, version=1)
    return row, secret


async def register(
    tx: AsyncSession, token: str, given: Any, keys: KeyRing, *, allow_private: bool
) -> tuple[Client, str]:
    """Register a client and use the token up; return the token that manages the registration.

    Raises OAuthError: the token is unknown, used or old; the metadata is not acceptable.
    """
    permission = await identity.lock_registration_token(tx, keys.secret_hash(token), now())
    if permission is None:
        raise invalid_token()
    said = metadata(given, permission.sender_constraint, allow_private=allow_private)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row = Client(
        id=new_id("cli"),
        organisation_id=permission.organisation_id,
        name=said.name,
        jwks=said.jwks,
        jwks_uri=said.jwks_uri,
        algorithms=said.algorithms,
        scopes=_within(said.scopes, permission.scopes),
        purposes=permission.purposes,
        sender_constraint=said.sender_constraint,
        sandbox=False,
        secret_hash=None,
        registration_hash=keys.secret_hash(secret),
        active=True,
        version=1,
        created_at=now(),
    )
    tx.add(row)
    await tx.flush()
    permission.client_id, permission.version = row.id, permission.version + 1
    await tx.flush()
    await _record(tx, row, "client.register")
    return row, secret


async def find(tx: AsyncSession, client_id: str, token: str, keys: KeyRing) -> Client:
    """Return the client that the token manages, locked. Raises OAuthError."""
    found = await identity.lock_registration(tx, client_id, keys.secret_hash(token))
    if found is None:
        raise invalid_token()
    return found


async def replace(
    tx: AsyncSession, row: Client, given: Any, keys: KeyRing, *, allow_private: bool
) -> str:
    """Put new metadata in place of all the old (RFC 7592 s2.2); return the next managing token.

    Scopes can only get fewer: what was left out is not had back without an administrator.
    """
    if not isinstance(given, dict) or given.get("client_id") != row.id:
        raise _refused("client_id must be the one of the registration.")
    said = metadata(
        {name: value for name, value in given.items() if name != "client_id"},
        row.sender_constraint,
        allow_private=allow_private,
    )
    before = held(row)
    row.name, row.jwks, row.jwks_uri = said.name, said.jwks, said.jwks_uri
    row.algorithms, row.sender_constraint = said.algorithms, said.sender_constraint
    row.scopes = _within(said.scopes, row.scopes)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    row.registration_hash = keys.secret_hash(secret)
    await settle(tx, row, before)
    await _record(tx, row, "client.change")
    return secret


async def end(tx: AsyncSession, row: Client) -> None:
    """End the client with its tokens (RFC 7592 s2.3)."""
    before = held(row)
    row.active, row.registration_hash = False, None
    await settle(tx, row, before)
    await _record(tx, row, "client.end")


def metadata(given: Any, least: SenderConstraint, *, allow_private: bool) -> Metadata:
    """Return what the metadata says (RFC 7591 s2). Raises OAuthError."""
    if not isinstance(given, dict):
        raise _refused("Send a JSON object.")
    if ours := _OURS & given.keys():
        raise _refused(f"{min(ours)} is not for a client to say.")
    if given.get("redirect_uris"):
        raise OAuthError("invalid_redirect_uri", "There is no flow with redirection.")
    if given.get("response_types"):
        raise _refused("There is no flow with redirection.")
    if given.get("token_endpoint_auth_method", "private_key_jwt") != "private_key_jwt":
        raise _refused("Only private_key_jwt is offered.")
    grants = given.get("grant_types", ["client_credentials"])
    if not _is_texts(grants) or not set(grants) <= _GRANTS:
        raise _refused("A grant type is not offered.")
    algorithm = given.get("token_endpoint_auth_signing_alg")
    known = [a.value for a in Algorithm]
    if algorithm is not None and algorithm not in known:
        raise _refused("The signature algorithm is not offered.")
    algorithms = [algorithm] if algorithm else known
    name = given.get("client_name")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _MAX_NAME or "\0" in name:
        raise _refused("client_name is needed.")
    return Metadata(
        name.strip(),
        *_keys(given, algorithms, allow_private=allow_private),
        algorithms,
        _scopes(given),
        _constraint(given, least),
    )


def _keys(
    given: dict[str, Any], algorithms: list[str], *, allow_private: bool
) -> tuple[dict[str, Any], str | None]:
    keys, uri = given.get("jwks"), given.get("jwks_uri")
    if (keys is None) == (uri is None):
        raise _refused("Exactly one of jwks and jwks_uri is needed.")
    if uri is not None:
        if not isinstance(uri, str) or not uri:
            raise _refused("jwks_uri is an address.")
        try:
            check_address(uri, allow_private=allow_private)
        except Invalid as error:
            raise _refused("jwks_uri is not an address that we ask.") from error
        return {"keys": []}, uri
    found = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(found, list) or not found:
        raise _refused("jwks holds no key.")
    try:
        return {"keys": jwks.checked(found, algorithms)}, None
    except jwks.KeyUnfit as error:
        raise _refused(f"jwks{error.pointer}: {error.detail}") from error


def _scopes(given: dict[str, Any]) -> list[str] | None:
    scope = given.get("scope")
    if scope is not None and not isinstance(scope, str):
        raise _refused("scope is a text.")
    return None if scope is None else sorted(set(scope.split()))


def _constraint(given: dict[str, Any], least: SenderConstraint) -> SenderConstraint:
    """Return the binding asked for; what the administrator demanded cannot be asked away."""
    asked: list[SenderConstraint] = []
    for name, meant in (
        ("dpop_bound_access_tokens", SenderConstraint.DPOP),
        ("tls_client_certificate_bound_access_tokens", SenderConstraint.MTLS),
    ):
        if not isinstance(given.get(name, False), bool):
            raise _refused(f"{name} is true or false.")
        asked += [meant] if given.get(name) else []
    if len(asked) > 1:
        raise _refused("Tokens are bound to a key or to a certificate, not to both.")
    if least != SenderConstraint.NONE and asked not in ([], [least]):
        raise _refused("Another binding is demanded.")
    return asked[0] if asked else least


def _within(asked: list[str] | None, most: list[str]) -> list[str]:
    if asked is None:
        return most
    if not asked or not set(asked) <= set(most):
        raise _refused("scope is more than may be registered.")
    return asked


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)


def _unfit(pointer: str, detail: str) -> Invalid:
    return Invalid(
        "No such permission is given.", errors=[FieldError(pointer, "not-allowed", detail)]
    )


def invalid_token() -> OAuthError:
    """Return the one answer to a token that is unknown, used, old or another client's."""
    return OAuthError("invalid_token", "The token is not valid.", 401)


async def _record(tx: AsyncSession, row: Client, action: str) -> None:
    who = Caller(row.organisation_id, "", row.id, row.id, row.purposes[0], frozenset(), "")
    await audit.record(tx, who, action=action, resource=row.id, version=row.version)
