"""Proof that who sends a token holds what the token is bound to: a key, or a certificate.

A DPoP proof counts once: its `jti` is a row, committed before the request goes on, so that no replica
takes it a second time. Rows of proofs that come at the same time are one commit.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from svckit.errors import Unauthenticated, Unavailable

from gateway import certificates, dpop, jose
from gateway.batches import Batches
from gateway.queries.identity import Use, use_proofs
from gateway.settings import Settings
from gateway.tokens import JKT, X5T, Binding, Session, Tokens, refused

Headers = list[tuple[bytes, bytes]]
_log = structlog.get_logger("possession")


class Possession:
    """Asks for proof at every request that comes with a bound token."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        # opened and closed with the server
        self.uses = Batches("proofs", settings.database_url, use_proofs, _not_noted)
        self._tokens = tokens
        self._base = settings.issuer.rstrip("/")
        self._nonce_needed = settings.dpop_nonce
        self._proxies = certificates.Proxies(settings.trusted_proxies, settings.certificate_header)

    async def prove(
        self, session: Session, scope: Mapping[str, Any], scheme: str, token: str
    ) -> Headers:
        """Return the fields to answer with. Raises Unauthenticated: proof absent, wrong or used."""
        binding = session.binding
        if binding is None or binding.method != JKT:
            if scheme != "bearer":
                raise refused("The access token is not bound to a DPoP key.")
            if binding and self.certificate(scope) != binding.thumbprint:
                raise refused("The access token is bound to another certificate.")
            return []
        if scheme != "dpop":
            raise self._challenge("invalid_token", "The access token needs the DPoP scheme.")
        try:
            bound = await self.demonstrated(scope, token)
        except dpop.NonceNeeded:
            raise self._challenge("use_dpop_nonce", "The proof needs our nonce.") from None
        except jose.Refused as error:
            _log.info("proof refused", reason=str(error))
            raise self._challenge(
                "invalid_dpop_proof", "The DPoP proof is not acceptable."
            ) from error
        if bound != binding:
            raise self._challenge("invalid_token", "The access token is bound to another key.")
        return [(name.lower().encode(), value.encode()) for name, value in self.nonce().items()]

    async def demonstrated(self, scope: Mapping[str, Any], token: str | None) -> Binding:
        """Return the key that the request's one proof shows, and use the proof up. Raises Refused."""
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        if len(proofs) != 1:
            raise jose.Refused("number of proofs")
        at = time.time()
        proof = dpop.check(
            proofs[0].decode("latin-1"),
            method=scope["method"],
            url=self._base + scope["raw_path"].decode("latin-1"),
            token=token,
            at=at,
            nonces=dpop.nonces(self._tokens.keys.pepper, at) if self._nonce_needed else (),
        )
        until = datetime.fromtimestamp(proof.expires_at, UTC)
        if not await self.uses.add(Use(proof.thumbprint, proof.jti, until)):
            raise jose.Refused("jti used")
        return Binding(JKT, proof.thumbprint)

    def certificate(self, scope: Mapping[str, Any]) -> str | None:
        """Return the thumbprint of the request's client certificate."""
        return certificates.thumbprint_of(scope, self._proxies)

    def presented(self, scope: Mapping[str, Any]) -> Binding | None:
        """Return the binding to the request's client certificate, None without one."""
        found = self.certificate(scope)
        return Binding(X5T, found) if found else None

    def nonce(self) -> dict[str, str]:
        """Return the field that gives the nonce to use next, none when none is asked for."""
        if not self._nonce_needed:
            return {}
        return {"DPoP-Nonce": dpop.nonces(self._tokens.keys.pepper, time.time())[0]}

    def _challenge(self, error: str, detail: str) -> Unauthenticated:
        """Return the 401 of RFC 9449 s7.1, with a nonce to try again with."""
        algorithms = " ".join(dpop.ALGORITHMS)
        value = f'DPoP realm="careloop", error="{error}", algs="{algorithms}"'
        fields = {"WWW-Authenticate": value, **self.nonce()}
        return Unauthenticated(detail, headers=fields)


def _not_noted() -> Unavailable:
    return Unavailable("The proof cannot be checked just now.")
