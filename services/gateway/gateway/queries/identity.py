"""What the authorization server reads and notes: logins, things used once, revocations."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from sqlalchemy import Integer, bindparam, cast, delete, false, func, null, select, true, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import (
    AssertionUse,
    Client,
    Organisation,
    ProofUse,
    RegistrationToken,
    RevokedToken,
    TrustedIssuer,
)
from gateway.queries import rows

_USE_PROOFS = """
INSERT INTO proof_use (thumbprint, jti, expires_at)
  SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
  ON CONFLICT DO NOTHING RETURNING thumbprint, jti
"""
# the channel on which replicas hear of revocations
REVOCATIONS = "careloop_revocations"
# longer than any access token lives, by a clock that is a little off
TOKEN_LIVES_S = 360


async def find_login(tx: AsyncSession, client_id: str) -> tuple[Client, Organisation] | None:
    """Return an active client and its organisation."""
    query = (
        select(Client, Organisation)
        .join(Organisation, Organisation.id == Client.organisation_id)
        .where(Client.id == client_id, Client.active)
    )
    row = (await tx.execute(query)).first()
    return (row[0], row[1]) if row else None


async def use_assertion(tx: AsyncSession, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Note the use of an assertion; False when it was used before, on whichever replica."""
    statement = insert(AssertionUse).values(client_id=client_id, jti=jti, expires_at=expires_at)
    used = await tx.execute(statement.on_conflict_do_nothing().returning(AssertionUse.jti))
    return used.first() is not None


class Use(NamedTuple):
    """A DPoP proof in use: of which key, and until when it could be sent again."""

    thumbprint: str
    jti: str
    expires_at: datetime


async def use_proofs(connection: asyncpg.Connection, uses: Sequence[Use]) -> list[bool]:
    """Note uses in one statement; False for what was used before, here or on whichever replica.

    Replicas insert in one order, so that none waits for another that waits for it.
    """
    columns = zip(*sorted(uses), strict=True)
    rows = await connection.fetch(_USE_PROOFS, *(list(column) for column in columns))
    fresh = {(row["thumbprint"], row["jti"]) for row in rows}
    found = []
    for use in uses:
        found.append((use.thumbprint, use.jti) in fresh)
        # the same proof twice in one statement: the first that came
        fresh.discard((use.thumbprint, use.jti))
    return found


async def revoke_token(tx: AsyncSession, jti: str, expires_at: datetime) -> None:
    """Refuse the token from the commit on, on every replica."""
    statement = insert(RevokedToken).values(jti=jti, expires_at=expires_at)
    await tx.execute(statement.on_conflict_do_nothing())
    await tell_revocation(tx)


async def tell_revocation(tx: AsyncSession) -> None:
    """Tell every replica, when this transaction commits, that something was revoked."""
    await tx.execute(select(func.pg_notify(REVOCATIONS, "")))


async def revoked(
    tx: AsyncSession, at: datetime
) -> tuple[frozenset[str], frozenset[str], dict[str, int]]:
    """Return revoked tokens that live still, clients switched off, and versions that count.

    A client's tokens of an earlier version are refused while one of them may live.
    """
    tokens: set[str] = set()
    clients: set[str] = set()
    versions: dict[str, int] = {}
    since = at - timedelta(seconds=TOKEN_LIVES_S)
    for is_token, found, version in await tx.execute(_REVOKED, {"at": at, "since": since}):
        if is_token:
            tokens.add(found)
        elif version is None:
            clients.add(found)
        else:
            versions[found] = version
    return frozenset(tokens), frozenset(clients), versions


_NO_VERSION = cast(null(), Integer)
# one statement, made once: every replica asks twice a second
_REVOKED = union_all(
    select(true(), RevokedToken.jti, _NO_VERSION).where(RevokedToken.expires_at > bindparam("at")),
    select(false(), Client.id, _NO_VERSION).where(~Client.active),
    select(false(), Client.id, Client.tokens_from).where(
        Client.tokens_from_at > bindparam("since")
    ),
)


async def forget_expired(tx: AsyncSession, at: datetime) -> None:
    """Drop assertions, proofs and revocations that their own expiry has made moot."""
    for table in (AssertionUse, ProofUse, RevokedToken):
        await tx.execute(delete(table).where(table.expires_at < at))


async def trusted(tx: AsyncSession, organisation_id: str, issuer: str) -> TrustedIssuer | None:
    """Return the identity provider of that name that the organisation vouches for."""
    query = select(TrustedIssuer).where(
        TrustedIssuer.organisation_id == organisation_id,
        TrustedIssuer.issuer == issuer,
        TrustedIssuer.active,
    )
    return await tx.scalar(query)


async def get_issuer(tx: AsyncSession, issuer_id: str, *, lock: bool = False) -> TrustedIssuer:
    """Return a trusted issuer, for administrators. Raises NotFound."""
    return await rows.get(tx, TrustedIssuer, issuer_id, lock=lock)


async def list_issuers(tx: AsyncSession, after: str | None, limit: int) -> list[TrustedIssuer]:
    """Return trusted issuers, newest first, one more than the limit; for administrators."""
    return await rows.page(tx, TrustedIssuer, after=after, limit=limit)


async def list_registration_tokens(
    tx: AsyncSession, after: str | None, limit: int
) -> list[RegistrationToken]:
    """Return registration tokens, newest first, one more than the limit; for administrators."""
    return await rows.page(tx, RegistrationToken, after=after, limit=limit)


async def lock_registration_token(
    tx: AsyncSession, secret_hash: str, at: datetime
) -> RegistrationToken | None:
    """Return the token that may still register one client, locked until the transaction ends."""
    query = select(RegistrationToken).where(
        RegistrationToken.secret_hash == secret_hash,
        RegistrationToken.client_id.is_(None),
        RegistrationToken.expires_at > at,
    )
    return await tx.scalar(query.with_for_update())


async def lock_registration(tx: AsyncSession, client_id: str, secret_hash: str) -> Client | None:
    """Return the active client that this token manages (RFC 7592), locked."""
    query = select(Client).where(
        Client.id == client_id, Client.registration_hash == secret_hash, Client.active
    )
    return await tx.scalar(query.with_for_update())
