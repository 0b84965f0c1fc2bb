"""Tokens that no library would write, signed with whatever key is at hand."""

import base64
import json
from typing import Any

from joserfc.jws import JWSRegistry


def forged(
    header: dict[str, Any] | str, claims: dict[str, Any] | str, signature: bytes = b""
) -> str:
    parts = [p if isinstance(p, str) else json.dumps(p) for p in (header, claims)]
    encoded = [base64.urlsafe_b64encode(p.encode()) for p in parts]
    encoded.append(base64.urlsafe_b64encode(signature))
    return b".".join(p.rstrip(b"=") for p in encoded).decode()


def sign_text(key: Any, alg: str, header: str, claims: str) -> str:
    """Sign text as it is: members twice, numbers beyond JSON."""
    encoded = [base64.urlsafe_b64encode(p.encode()).rstrip(b"=") for p in (header, claims)]
    content = b".".join(encoded)
    signature = JWSRegistry.algorithms[alg].sign(content, key)
    return (content + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def header_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "==")
    )
    return found
