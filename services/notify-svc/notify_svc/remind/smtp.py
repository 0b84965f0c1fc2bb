"""Hands one mail over to the operator's mail server: RFC 5321, with TLS (RFC 3207 or 8314)."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.utils import parseaddr
from types import ModuleType
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from notify_svc.domain import letters
from notify_svc.domain.letters import Letter
from notify_svc.domain.mailbox import Answer
from notify_svc.settings import Settings

Post = Callable[[Letter], Awaitable[Answer]]
_TAKEN = 250


def post_of(settings: Settings) -> Post | None:
    """Return what sends a letter; None where no mail server is named."""
    return _Server(settings, settings.smtp_url).post if settings.smtp_url else None


class _Server:
    """The server that `NOTIFY_SMTP_URL` names; a connection for each mail."""

    def __init__(self, settings: Settings, url: SecretStr) -> None:
        import aiosmtplib  # noqa: PLC0415  # only where mails are sent: it takes a tenth of a second

        self._smtp: ModuleType = aiosmtplib
        named = urlsplit(url.get_secret_value())
        implicit = named.scheme == "smtps"
        self._settings = settings
        self._options = {
            "hostname": named.hostname,
            "port": named.port or (465 if implicit else 587),
            "username": unquote(named.username) if named.username else None,
            "password": unquote(named.password) if named.password else None,
            "use_tls": implicit,
            "start_tls": not implicit and not settings.smtp_plain,
            # asked of the resolver otherwise, which blocks
            "local_hostname": host_of(settings),
            "tls_context": ssl.create_default_context(cafile=settings.smtp_ca_file),
            "timeout": settings.smtp_timeout_s,
        }

    async def post(self, letter: Letter) -> Answer:
        """Return the server's word on the mail. Raises nothing that a network or a server can do."""
        smtp = self._smtp
        message = self._composed(letter)
        try:
            async with asyncio.timeout(self._settings.smtp_timeout_s):
                await smtp.send(
                    message,
                    sender=_address(self._settings),
                    recipients=[letter.address],
                    **self._options,
                )
        except smtp.SMTPAuthenticationError:
            # the operator's mistake: no reason to give a mail up
            return Answer(error="authentication")
        except smtp.SMTPRecipientsRefused as refused:
            return Answer(code=refused.recipients[0].code)
        except smtp.SMTPResponseException as refused:
            return Answer(code=refused.code)
        except TimeoutError:
            return Answer(error="timeout")
        except (smtp.SMTPException, OSError) as error:
            return Answer(error=type(error).__name__)
        return Answer(code=_TAKEN)

    def _composed(self, letter: Letter) -> EmailMessage:
        settings = self._settings
        return letters.composed(
            letter, sender=settings.smtp_from, issuer=settings.issuer, host=host_of(settings)
        )


def host_of(settings: Settings) -> str:
    """Return the domain that mails are from: also that of their Message-IDs."""
    return _address(settings).rpartition("@")[2]


def _address(settings: Settings) -> str:
    return parseaddr(settings.smtp_from)[1]
