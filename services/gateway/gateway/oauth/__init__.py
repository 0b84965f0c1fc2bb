"""OAuth 2.0 endpoints, a file each.

token      RFC 6749, 8693, bound to a key or certificate by 9449 and 8705
purpose    what the token is for: UDAP hl7-b2b, RFC 9396
state      introspection and revocation: RFC 7662, 7009
register   RFC 7591, 7592
form       what they share
"""

from fastapi import APIRouter

from gateway.oauth import register, state, token

router = APIRouter(prefix="/oauth", tags=["oauth"])
for part in (token.router, state.router, register.router):
    router.include_router(part)
