"""Changes of how somebody signs in: each in the audit chain and told of by mail, in the change's own transaction."""

from collections.abc import Mapping
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotAuthenticated
from axisor.domain.units import UserId
from axisor.features.accounts import repository
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.audit import service as audit

log = structlog.get_logger(__name__)


async def note(
    connection: AsyncConnection,
    postbox: Postbox,
    user_id: UserId,
    action: str,
    *,
    now: datetime,
    data: Mapping[str, str | int | list[str]] | None = None,
    mail: MailKind | None = None,
    **words: str,
) -> None:
    """Record an action of a person on their own account, and tell them."""
    user = await repository.find_user(connection, user_id)
    if user is None:
        raise NotAuthenticated("this user may no longer sign in")
    await audit.append(connection, user_id=user_id, actor=str(user_id), action=action, data=data or {}, at=now)
    if mail is not None:
        await postbox.post(connection, mail, to=user.email, locale=user.locale, user_id=user_id, **words)
    log.info(action, user_id=user_id)
