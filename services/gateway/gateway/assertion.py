"""Client authentication at the token endpoint: RFC 7523 assertions, and secrets in the sandbox.

Whatever is wrong, the client learns one thing: it did not work. An unknown client costs the same
signature check as a known one.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import structlog
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from svckit.db import Database

from gateway import jose
from gateway.domain import Algorithm, OAuthError, invalid_client
from gateway.keys import KeyRing
from gateway.models import Client, Organisation
from gateway.queries import identity
from gateway.remote_keys import RemoteKeys

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# SMART says JWT; RFC 7523bis gives the assertion a type of its own
TYPES = frozenset({"JWT", "client-authentication+jwt"})
ALGORITHMS = frozenset(a.value for a in Algorithm)
LIFETIME_S = 300
# partners' clocks differ from ours by this much
_LEEWAY_S = 5
_log = structlog.get_logger("oauth")


@dataclass(frozen=True)
class Login:
    """Who authenticated; `claims` are those of its assertion."""

    client: Client
    organisation: Organisation
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class Desk:
    """What client authentication works with."""

    db: Database
    keys: KeyRing
    remote: RemoteKeys
    audiences: frozenset[str]


async def authenticate(desk: Desk, form: Mapping[str, str], authorization: str | None) -> Login:
    """Return who calls the endpoint. Raises OAuthError: invalid_client, or two ways at once."""
    by_assertion = "client_assertion" in form or "client_assertion_type" in form
    if by_assertion + (authorization is not None) + ("client_secret" in form) > 1:
        raise OAuthError("invalid_request", "Use one way of client authentication.")
    try:
        if by_assertion:
            return await _by_assertion(desk, form)
        return await _by_secret(desk, *_secret(form, authorization))
    except jose.Refused as refused:
        _log.info("client refused", reason=str(refused))
        raise invalid_client() from refused


async def _by_assertion(desk: Desk, form: Mapping[str, str]) -> Login:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise jose.Refused("client_assertion_type")
    token = jose.parse(form.get("client_assertion", ""), types=TYPES, algorithms=ALGORITHMS)
    client_id = jose.text(token.claims, "sub")
    async with desk.db.read() as session:
        found = await identity.find_login(session, client_id)
    _check_signature(token, await _registered(desk, token, found[0] if found else None))
    if found is None:
        raise jose.Refused("client")
    if token.claims.get("iss") != client_id or form.get("client_id", client_id) != client_id:
        raise jose.Refused("iss or client_id")
    audience = token.claims.get("aud")
    if not isinstance(audience, str) or audience not in desk.audiences:
        raise jose.Refused("aud")
    exp = jose.check_times(token.claims, time.time(), lifetime_s=LIFETIME_S, leeway_s=_LEEWAY_S)
    jti = jose.text(token.claims, "jti")
    until = datetime.fromtimestamp(exp + _LEEWAY_S, UTC)
    async with desk.db.begin() as tx:
        if not await identity.use_assertion(tx, client_id, jti, until):
            raise jose.Refused("jti used")
    return Login(found[0], found[1], token.claims)


async def _registered(desk: Desk, token: jose.Token, client: Client | None) -> list[dict[str, Any]]:
    """Return the registered keys of the token's `kid`."""
    if client is None or token.alg not in client.algorithms:
        return []
    if client.jwks_uri:
        return await desk.remote.find(client.jwks_uri, token.kid, [token.alg])
    return [jwk for jwk in client.jwks["keys"] if jwk["kid"] == token.kid]


def _check_signature(token: jose.Token, found: list[dict[str, Any]]) -> None:
    """Raise Refused unless the client's registered key signed; always at the same cost."""
    if len(found) != 1:
        jose.verify(token, _decoy(token.alg))
        raise jose.Refused("no such client, algorithm or key")
    jose.verify(token, jose.key_for(KeySet.import_key_set({"keys": found}), token.kid))


@cache
def _decoy(algorithm: str) -> jose.Key:
    if algorithm == Algorithm.RS384:
        return RSAKey.generate_key(2048)
    if algorithm == Algorithm.EDDSA:
        return OKPKey.generate_key("Ed25519")
    return ECKey.generate_key("P-384" if algorithm == Algorithm.ES384 else "P-256")


def _secret(form: Mapping[str, str], authorization: str | None) -> tuple[str, str]:
    if authorization is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    given = _basic(authorization)
    if form.get("client_id", given[0]) != given[0]:
        raise jose.Refused("client_id")
    return given


def _basic(authorization: str) -> tuple[str, str]:
    """Return id and secret of RFC 6749 s2.3.1, where both are form-encoded before Basic."""
    scheme, _, value = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise jose.Refused("basic") from error
    if scheme.lower() != "basic" or not colon:
        raise jose.Refused("basic")
    return unquote_plus(name), unquote_plus(secret)


async def _by_secret(desk: Desk, client_id: str, secret: str) -> Login:
    async with desk.db.read() as session:
        found = await identity.find_login(session, client_id)
    stored = found[0].secret_hash if found and found[0].sandbox else None
    given = desk.keys.secret_hash(secret)
    if not hmac.compare_digest(given, stored or "") or found is None:
        raise jose.Refused("secret")
    return Login(found[0], found[1], {})
