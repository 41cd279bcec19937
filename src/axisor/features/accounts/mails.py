"""Mails to people: written in the transaction of their cause, sealed until they are sent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import UserId
from axisor.features.accounts.mail_texts import MailKind, render
from axisor.infra import outbox
from axisor.infra.crypto import KeyRing, SecretUnreadable, key_id_of
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock
from axisor.ports.mail import Mail

TOPIC: Final = "mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    to: str
    subject: str
    body: str


class Postbox:
    """Takes mails; `is_open` says whether this instance has a mail server at all."""

    def __init__(self, keys: KeyRing, *, public_url: str, is_open: bool, clock: Clock) -> None:
        self._keys = keys
        self._public_url = public_url
        self._clock = clock
        self.is_open = is_open

    async def post(
        self,
        connection: AsyncConnection,
        kind: MailKind,
        *,
        to: str | None,
        locale: str,
        user_id: UserId | None = None,
        **words: str,
    ) -> None:
        """Write a mail in the caller's transaction; without a mail server or an address there is none to write."""
        if not self.is_open or to is None:
            return
        subject, body = render(kind, locale, words | {"url": self._public_url})
        mail_id = new_id()
        letter = msgspec.json.encode(_Letter(to=to, subject=subject, body=body))
        await connection.execute(
            text("insert into mail (mail_id, user_id, sealed, created_at) values (:mail, :user, :sealed, :now)"),
            {
                "mail": mail_id,
                "user": user_id,
                "sealed": self._keys.current.seal(letter, place=_place(mail_id)),
                "now": self._clock.now(),
            },
        )
        await outbox.add(connection, TOPIC, {"mail_id": mail_id})


async def take_unsent(connection: AsyncConnection, mail_id: str, keys: KeyRing) -> Mail | None:
    """Return a mail that waits, locked; None where it was sent, or another process sends it now.

    Raises:
        SecretUnreadable: the key that sealed it is not here.
    """
    sealed = (
        await connection.execute(
            text("select sealed from mail where mail_id = :mail and sealed is not null for update skip locked"),
            {"mail": mail_id},
        )
    ).scalar_one_or_none()
    if sealed is None:
        return None
    key = keys.find(key_id_of(bytes(sealed)))
    if key is None:
        raise SecretUnreadable("sealed with a key that is not here", key_id=key_id_of(bytes(sealed)))
    letter = msgspec.json.decode(key.open(bytes(sealed), place=_place(mail_id)), type=_Letter)
    return Mail(mail_id=mail_id, to=letter.to, subject=letter.subject, body=letter.body)


async def forget_text(connection: AsyncConnection, mail_id: str, *, sent_at: datetime | None) -> None:
    """Leave nothing of a mail but that there was one; `sent_at` None: the server never took it."""
    await connection.execute(
        text("update mail set sealed = null, sent_at = :at where mail_id = :mail"), {"mail": mail_id, "at": sent_at}
    )


async def list_late(connection: AsyncConnection, *, before: datetime, after: datetime) -> list[str]:
    """Return the mails written between two instants that were not sent yet."""
    rows = await connection.execute(
        text(
            "select mail_id from mail where sent_at is null and sealed is not null and created_at between :after "
            "and :before order by created_at limit 200"
        ),
        {"before": before, "after": after},
    )
    return [str(row) for row in rows.scalars()]


async def forget_old(connection: AsyncConnection, *, before: datetime) -> int:
    """Forget mails from before an instant and return their number: their links and codes ended long ago."""
    return (await connection.execute(text("delete from mail where created_at < :before"), {"before": before})).rowcount


def _place(mail_id: str) -> str:
    return f"mail|{mail_id}|sealed"
