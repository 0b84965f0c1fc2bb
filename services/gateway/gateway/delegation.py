"""A partner's own token for one of ours (RFC 8693): which worker the client acts for.

The provider must be one that the client's organisation vouches for. Its token is held to the same
strict profile as every other, and whatever is wrong with it, the client learns one thing.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from joserfc.jwk import KeySet

from gateway import jose
from gateway.assertion import Desk, Login
from gateway.domain import OAuthError, SubjectAlgorithm
from gateway.models import TrustedIssuer
from gateway.queries import identity

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a type
# what the header of such a token says it is
_TYPES = {
    "urn:ietf:params:oauth:token-type:id_token": "JWT",
    "urn:ietf:params:oauth:token-type:jwt": "JWT",
    ACCESS_TOKEN: "at+jwt",
}
_ALGORITHMS = frozenset(a.value for a in SubjectAlgorithm)
_LIVES_S = 3600
_LEEWAY_S = 5
# no address and no name: the id goes to audit rows
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~|:+/=-]{0,127}")
_DEPTH = 4
_log = structlog.get_logger("delegation")


@dataclass(frozen=True)
class Worker:
    """Who a partner's provider says is acting, through whom (RFC 8693 s4.1), and until when."""

    actor: str
    act: Mapping[str, Any]
    expires_at: float


async def worker(desk: Desk, who: Login, form: Mapping[str, str], *, issuer: str) -> Worker:
    """Return the worker that the subject token names. Raises OAuthError."""
    _check_wish(form, issuer)
    try:
        token, trusted = await _believed(desk, who, form)
        return _worker(token, trusted, who, issuer)
    except jose.Refused as refused:
        _log.info("subject token refused", reason=str(refused))
        raise OAuthError("invalid_request", "The subject token is not acceptable.") from refused


def _check_wish(form: Mapping[str, str], issuer: str) -> None:
    """Refuse what would lead further than to us: another audience, another type of token."""
    for name in ("audience", "resource"):
        if form.get(name, issuer) != issuer:
            raise OAuthError("invalid_target", "A token is given for this server only.")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise OAuthError("invalid_request", "Only access tokens are given.")
    if "actor_token" in form or "actor_token_type" in form:
        raise OAuthError("invalid_request", "The client itself is the actor.")


async def _believed(
    desk: Desk, who: Login, form: Mapping[str, str]
) -> tuple[jose.Token, TrustedIssuer]:
    """Return the subject token, signed by a provider that the organisation vouches for."""
    kind = _TYPES.get(form.get("subject_token_type", ""))
    if kind is None:
        raise jose.Refused("subject_token_type")
    raw = form.get("subject_token", "")
    token = jose.parse(raw, types=frozenset({kind}), algorithms=_ALGORITHMS)
    issuer = jose.text(token.claims, "iss", 300)
    async with desk.db.read() as session:
        trusted = await identity.trusted(session, who.organisation.id, issuer)
    if trusted is None:
        raise jose.Refused("issuer")
    await _check_signature(desk, token, trusted)
    return token, trusted


async def _check_signature(desk: Desk, token: jose.Token, trusted: TrustedIssuer) -> None:
    if token.alg not in trusted.algorithms:
        raise jose.Refused("alg")
    if trusted.jwks_uri:
        found = await desk.remote.find(trusted.jwks_uri, token.kid, [token.alg])
    else:
        found = [jwk for jwk in (trusted.jwks or {})["keys"] if jwk["kid"] == token.kid]
    if len(found) != 1:
        raise jose.Refused("no such key")
    jose.verify(token, jose.key_for(KeySet.import_key_set({"keys": found}), token.kid))


def _worker(token: jose.Token, trusted: TrustedIssuer, who: Login, issuer: str) -> Worker:
    claims = token.claims
    if claims.get("aud") != trusted.audience:
        raise jose.Refused("aud")
    if "cnf" in claims:
        raise jose.Refused("cnf without proof")
    exp = jose.check_times(
        claims, time.time(), lifetime_s=_LIVES_S, leeway_s=_LEEWAY_S, needs_iat=True
    )
    name = jose.text(claims, trusted.actor_claim, 128)
    if not _ACTOR.fullmatch(name):
        raise jose.Refused("actor claim")
    act: dict[str, Any] = {"sub": who.client.id, "iss": issuer}
    if "act" in claims:
        act["act"] = _chain(claims["act"], _DEPTH)
    return Worker(f"{trusted.id}:{name}", act, exp)


def _chain(found: Any, depth: int) -> dict[str, Any]:
    """Return the chain of actors before ours, its ids alone."""
    if not isinstance(found, dict) or depth == 0:
        raise jose.Refused("act")
    if not _ACTOR.fullmatch(jose.text(found, "sub", 128)):
        raise jose.Refused("act")
    kept: dict[str, Any] = {"sub": found["sub"]}
    if "iss" in found:
        kept["iss"] = jose.text(found, "iss", 300)
    if "act" in found:
        kept["act"] = _chain(found["act"], depth - 1)
    return kept
