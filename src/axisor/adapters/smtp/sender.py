"""Mails over SMTP, with TLS that is verified, from the first byte (`tls`) or after STARTTLS."""

import asyncio
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
import structlog

from axisor.ports.clock import Clock
from axisor.ports.mail import Mail, MailRefused, MailUnavailable

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 20.0
_PERMANENT: Final = range(500, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig:
    """Where the mail server is; `plain` is for one on this machine alone."""

    host: str
    port: int
    security: Literal["tls", "starttls", "plain"]
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


class SmtpSender:
    """Opens one connection per mail: there are few of them."""

    def __init__(self, config: SmtpConfig, *, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        """Hand a mail to the server within 20 s.

        Raises:
            MailUnavailable: no connection, no valid certificate, or a refusal for the time being.
            MailRefused: the server refuses this mail for good.
        """
        try:
            async with asyncio.timeout(DEADLINE_S), self._client() as client:
                if self._config.username is not None:
                    await client.login(self._config.username, self._config.password or "")
                await client.send_message(self._message(mail))
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as error:
            raise _refusal(error) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
            raise MailUnavailable(f"the mail server is not reached: {type(error).__name__}") from error
        log.info("mail_sent", mail_id=mail.mail_id)

    def _client(self) -> aiosmtplib.SMTP:
        config = self._config
        is_plain = config.security == "plain"
        context = None if is_plain else ssl.create_default_context(cafile=config.ca_file)
        return aiosmtplib.SMTP(
            hostname=config.host,
            port=config.port,
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
            tls_context=context,
            timeout=DEADLINE_S,
        )

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._config.sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        domain = parseaddr(self._config.sender)[1].rpartition("@")[2]
        message["Message-ID"] = f"<{mail.mail_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.body)
        return message


def _refusal(error: aiosmtplib.SMTPException) -> MailRefused | MailUnavailable:
    """Return what a refusal means: a wrong password for the server is the operator's to mend, so it is tried again."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[aiosmtplib.SMTPRecipientRefused(code=int(code)), *_]):
            is_final = code in _PERMANENT
        case aiosmtplib.SMTPDataError(code=code):
            is_final = code in _PERMANENT
        case _:
            is_final = False
    if is_final:
        return MailRefused("the mail server refuses this mail")
    return MailUnavailable(f"the mail server says no: {type(error).__name__}")
