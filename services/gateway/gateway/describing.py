"""Asks the service that keeps a row what decides about it, in the gateway's own name."""

from collections.abc import Mapping
from types import MappingProxyType

import aiohttp
import structlog
from pydantic import ValidationError
from sharing.described import Described
from svckit.describing import PATH, SCOPE
from svckit.errors import NotFound, Unavailable

from gateway.settings import Settings
from gateway.tokens import Tokens

_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_FOUND, _ABSENT = 200, 404
_log = structlog.get_logger("describing")

# the letters of an id say who keeps it
KEEPERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("act", "ass", "dec", "gol", "nee", "not", "num", "ptm", "tsk"), "case-svc"
        ),
        **dict.fromkeys(("msg", "ref"), "referral-svc"),
        "doc": "document-svc",
    }
)


class Describing:
    """One question to one service."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._urls = {
            "case-svc": settings.case_url,
            "referral-svc": settings.referral_url,
            "document-svc": settings.document_url,
        }

    async def __call__(self, row_id: str) -> Described:
        """Return what decides about the row. Raises NotFound, Unavailable."""
        service = KEEPERS[row_id[:3]]
        url = self._urls[service].rstrip("/") + PATH + row_id
        headers = {"Authorization": self._tokens.own(service, SCOPE).decode()}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as http,
                http.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status == _ABSENT:
                    raise NotFound
                if answer.status == _FOUND:
                    return Described.model_validate_json(await answer.read())
                reason = str(answer.status)
        except (aiohttp.ClientError, OSError, ValidationError) as error:
            reason = type(error).__name__
        _log.warning("a row cannot be described", upstream=service, reason=reason)
        raise Unavailable(
            "The service is not available just now; try again.", code="upstream-unavailable"
        )
