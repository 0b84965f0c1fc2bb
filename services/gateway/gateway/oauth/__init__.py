"""OAuth 2.0 endpoints, a file each: tokens (RFC 6749, 8693), their state (RFC 7662, 7009)."""

from fastapi import APIRouter

from gateway.oauth import state, token

router = APIRouter(prefix="/oauth", tags=["oauth"])
for part in (token.router, state.router):
    router.include_router(part)
