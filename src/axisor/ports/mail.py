"""Sending mail."""

from dataclasses import dataclass, field
from typing import Protocol

from axisor.domain.errors import AxisorError, InfraError


class MailUnavailable(InfraError):
    """The server did not take the mail now: try again."""

    code = "mail_unavailable"
    retryable = True


class MailRefused(AxisorError):
    """The server will never take this mail."""

    code = "mail_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A text for one address; sending `mail_id` twice gives two copies with one Message-ID."""

    mail_id: str
    to: str = field(repr=False)
    subject: str
    body: str = field(repr=False)


class MailSender(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand a mail to the server.

        Raises:
            MailUnavailable: it may be sent again.
            MailRefused: it never will be taken.
        """
