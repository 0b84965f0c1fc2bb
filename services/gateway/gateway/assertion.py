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
from sqlalchemy.ext.asyncio import AsyncSession

from gateway import jose
from gateway.domain import Algorithm, OAuthError, invalid_client
from gateway.keys import KeyRing
from gateway.models import Client, Organisation
from gateway.queries import identity

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


async def authenticate(
    tx: AsyncSession,
    form: Mapping[str, str],
    authorization: str | None,
    *,
    audiences: frozenset[str],
    keys: KeyRing,
) -> Login:
    """Return who calls the endpoint. Raises OAuthError: invalid_client, or two ways at once."""
    by_assertion = "client_assertion" in form or "client_assertion_type" in form
    if by_assertion + (authorization is not None) + ("client_secret" in form) > 1:
        raise OAuthError("invalid_request", "Use one way of client authentication.")
    try:
        if by_assertion:
            return await _by_assertion(tx, form, audiences)
        return await _by_secret(tx, *_secret(form, authorization), keys)
    except jose.Refused as refused:
        _log.info("client refused", reason=str(refused))
        raise invalid_client() from refused


async def _by_assertion(
    tx: AsyncSession, form: Mapping[str, str], audiences: frozenset[str]
) -> Login:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise jose.Refused("client_assertion_type")
    token = jose.parse(form.get("client_assertion", ""), types=TYPES, algorithms=ALGORITHMS)
    client_id = jose.text(token.claims, "sub")
    found = await identity.find_login(tx, client_id)
    _check_signature(token, found[0] if found else None)
    if found is None:
        raise jose.Refused("client")
    if token.claims.get("iss") != client_id or form.get("client_id", client_id) != client_id:
        raise jose.Refused("iss or client_id")
    audience = token.claims.get("aud")
    if not isinstance(audience, str) or audience not in audiences:
        raise jose.Refused("aud")
    exp = jose.check_times(token.claims, time.time(), lifetime_s=LIFETIME_S, leeway_s=_LEEWAY_S)
    jti = jose.text(token.claims, "jti")
    until = datetime.fromtimestamp(exp + _LEEWAY_S, UTC)
    if not await identity.use_assertion(tx, client_id, jti, until):
        raise jose.Refused("jti used")
    return Login(found[0], found[1], token.claims)


def _check_signature(token: jose.Token, client: Client | None) -> None:
    """Raise Refused unless the client's registered key signed; always at the same cost."""
    registered = client.jwks["keys"] if client and token.alg in client.algorithms else []
    found = [jwk for jwk in registered if jwk["kid"] == token.kid]
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


async def _by_secret(tx: AsyncSession, client_id: str, secret: str, keys: KeyRing) -> Login:
    found = await identity.find_login(tx, client_id)
    stored = found[0].secret_hash if found and found[0].sandbox else None
    if not hmac.compare_digest(keys.secret_hash(secret), stored or "") or found is None:
        raise jose.Refused("secret")
    return Login(found[0], found[1], {})
