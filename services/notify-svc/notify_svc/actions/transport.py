"""How an endpoint is to be reached, as its owner asks for it: shown in part, sealed in part."""

from urllib.parse import urlsplit

from svckit.clock import now

from notify_svc.domain import transport
from notify_svc.domain.targets import check
from notify_svc.domain.transport import Certificate, Hidden, Shown, Token, TransportRefused
from notify_svc.models import Endpoint
from notify_svc.schemas.transport import TransportIn
from notify_svc.settings import Settings

_TOKEN_URL = "#/transport/oauth/token_url"  # noqa: S105 - a pointer


def reach(endpoint: Endpoint, asked: TransportIn | None, settings: Settings) -> None:
    """Let the endpoint be reached as asked, from now on; None: by its URL alone.

    Raises TransportRefused, TargetRefused.
    """
    given = asked or TransportIn()
    oauth, pair = given.oauth, given.client_certificate
    headers = transport.headers_of(given.headers)
    if oauth:
        check(oauth.token_url, settings.targets(), _TOKEN_URL)
    shown = Shown(
        headers=tuple(headers),
        oauth=Token(oauth.token_url, oauth.client_id, oauth.scope) if oauth else None,
        certificate=_certificate(pair.chain, pair.private_key) if pair else None,
    )
    hidden = Hidden(
        headers=headers,
        client_secret=oauth.client_secret if oauth else None,
        private_key=pair.private_key if pair else None,
    ).as_text()
    endpoint.transport = shown.as_dict()
    endpoint.sealed = settings.sealer().seal(hidden, endpoint.id) if hidden else None
    recheck(endpoint)


def recheck(endpoint: Endpoint) -> None:
    """Raise TransportRefused where the URL no longer goes with how the endpoint is reached."""
    secure = endpoint.url.startswith("https:")
    transport.check(transport.shown_of(endpoint.transport), secure=secure)


def require_same_origin(endpoint: Endpoint, url: str) -> None:
    """Raise TransportRefused when what is sealed for one server would go to another."""
    if endpoint.sealed and _origin(url) != _origin(endpoint.url):
        raise TransportRefused(
            "", "give-it-again", "Its secrets are another server's: give `transport` with the URL."
        )


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _certificate(chain: str, private_key: str) -> Certificate:
    return transport.certificate_of(chain, private_key, now())
