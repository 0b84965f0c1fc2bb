"""Discovery: RFC 8414 metadata, SMART configuration, and the public keys."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from svckit.settings import ServiceSettings

from gateway import delegation, dpop
from gateway.domain import Algorithm, Scope
from gateway.tokens import PURPOSE_TYPE

router = APIRouter(prefix="/.well-known", tags=["discovery"])
_METHODS = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
_KEYS_FOR = {"Cache-Control": "public, max-age=300"}


def _shared(settings: ServiceSettings) -> dict[str, Any]:
    """Return what both documents say: they cannot come to differ."""
    base = settings.issuer.rstrip("/")
    algorithms = [a.value for a in Algorithm]
    found: dict[str, Any] = {
        "issuer": settings.issuer,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials", delegation.GRANT],
        "scopes_supported": [s.value for s in Scope],
        "registration_endpoint": f"{base}/oauth/register",
        "authorization_details_types_supported": [PURPOSE_TYPE],
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
    }
    for name, path in (
        ("token", "token"),
        ("introspection", "introspect"),
        ("revocation", "revoke"),
    ):
        found[f"{name}_endpoint"] = f"{base}/oauth/{path}"
        found[f"{name}_endpoint_auth_methods_supported"] = _METHODS
        found[f"{name}_endpoint_auth_signing_alg_values_supported"] = algorithms
    return found


@router.get("/oauth-authorization-server")
async def authorization_server(request: Request) -> dict[str, Any]:
    """RFC 8414 metadata."""
    return {
        **_shared(request.app.state.settings),
        # there is no authorization endpoint; the member is required all the same
        "response_types_supported": ["none"],
    }


@router.get("/smart-configuration")
async def smart_configuration(request: Request) -> dict[str, Any]:
    """SMART App Launch 2.2 configuration, Backend Services."""
    return {
        **_shared(request.app.state.settings),
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        "code_challenge_methods_supported": ["S256"],
    }


@router.get("/jwks.json")
async def keys(request: Request, response: Response) -> dict[str, Any]:
    """Public keys of access tokens."""
    response.headers.update(_KEYS_FOR)
    found: dict[str, Any] = request.app.state.verify.keys.access.public(time.time())
    return found


@router.get("/internal-jwks.json")
async def internal_keys(request: Request, response: Response) -> dict[str, Any]:
    """Public keys of the identities that our services accept."""
    response.headers.update(_KEYS_FOR)
    found: dict[str, Any] = request.app.state.verify.keys.internal.public(time.time())
    return found
