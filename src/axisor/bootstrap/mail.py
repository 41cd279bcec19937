"""Chooses how mail is sent."""

from axisor.adapters.smtp.sender import SmtpConfig, SmtpSender
from axisor.ports.clock import Clock
from axisor.ports.mail import Mail, MailSender, MailUnavailable
from axisor.settings import SmtpSettings


class _NoMailServer:
    """Takes no mail: what was posted while there was a server waits for one, for a day."""

    async def send(self, mail: Mail) -> None:
        raise MailUnavailable("this instance has no mail server", mail_id=mail.mail_id)


def make_mail_sender(settings: SmtpSettings, *, clock: Clock) -> MailSender:
    """Return the sender that the settings describe."""
    if settings.host is None or settings.sender is None:
        return _NoMailServer()
    return SmtpSender(
        SmtpConfig(
            host=settings.host,
            port=settings.port,
            security=settings.security,
            sender=settings.sender,
            username=settings.username,
            password=None if settings.password is None else settings.password.get_secret_value(),
            ca_file=settings.ca_file,
        ),
        clock=clock,
    )
