"""Becoming a user of this instance: openly, by invitation, or not at all, as its operator says."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal
from urllib.parse import urlencode

import structlog
from sqlalchemy.exc import IntegrityError

from axisor.domain.units import UserId
from axisor.features.accounts import code_repository as codes_stored
from axisor.features.accounts import repository
from axisor.features.accounts.code_repository import Answer, Invitation, PendingRegistration
from axisor.features.accounts.codes import CODE_LIFE, Codes
from axisor.features.accounts.errors import CodeUsed, MailNotConfigured, RegistrationClosed
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.repository import User
from axisor.features.accounts.tokens import hash_of, new_opaque_token, owner_of
from axisor.features.audit import service as audit
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

type Policy = Literal["open", "invitation", "closed"]

INVITATION_LIFE: Final = timedelta(days=7)
MOST_WAITING: Final = 5
"""Registrations of one address that wait at once: more mails than that nobody gets by our hand."""
_ROLE: Final = "trader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who would like an account."""

    email: str
    password: str
    display_name: str
    locale: str
    invitation: str | None


async def create_invitation(
    database: Database, *, role: str, email: str | None, invited_by: UserId | None, clock: Clock
) -> str:
    """Return the token of a new invitation, worth one account within seven days."""
    invitation = Invitation(invitation_id=new_id(), email=email, role=role)
    token = new_opaque_token(UserId(invitation.invitation_id))
    now = clock.now()
    async with database.transaction() as connection:
        await codes_stored.insert_invitation(
            connection,
            invitation,
            token_hash=hash_of(token),
            invited_by=invited_by,
            now=now,
            expires_at=now + INVITATION_LIFE,
        )
    log.info("invitation_created", role=role, invited_by=invited_by)
    return token


class Registration:
    """Takes applications. The answer and the work are the same whether an address has an account or not."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        codes: Codes,
        postbox: Postbox,
        policy: Policy,
        public_url: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._codes = codes
        self._postbox = postbox
        self._public_url = public_url
        self._clock = clock
        self.policy = policy

    async def apply(self, applicant: Applicant) -> str:
        """Return the id of a registration that waits for the mailed code or link; it says nothing of the address.

        Raises:
            RegistrationClosed: nobody may, or only whoever is invited.
            MailNotConfigured: no mail could be sent.
            PasswordTooShort, PasswordTooCommon: another password is needed.
        """
        if self.policy == "closed":
            raise RegistrationClosed("this instance takes no registrations: ask whoever runs it")
        if not self._postbox.is_open:
            raise MailNotConfigured("this instance sends no mail: ask whoever runs it for an account")
        invitation = await self._invitation(applicant)
        password_hash = await self._passwords.hash(
            applicant.password, own_words=(applicant.email, applicant.display_name)
        )
        now = self._clock.now()
        registration_id = new_id()
        made = self._codes.new(registration_id)
        pending = PendingRegistration(
            registration_id=registration_id,
            email=applicant.email,
            password_hash=password_hash,
            display_name=applicant.display_name,
            locale=applicant.locale,
            role=_ROLE if invitation is None else invitation.role,
            invitation_id=None if invitation is None else invitation.invitation_id,
            created_at=now,
            expires_at=now + CODE_LIFE,
        )
        link = f"{self._public_url}/verify#" + urlencode({"token": made.token})
        async with self._database.transaction() as connection:
            await codes_stored.forget_old_registrations(connection, now=now)
            taken = await repository.is_taken(connection, applicant.email)
            if await codes_stored.count_registrations(connection, applicant.email) >= MOST_WAITING:
                log.info("registration_held_back")
                return registration_id
            # The row is written for a taken address too, so that both ways cost the same; it can never be used.
            await codes_stored.insert_registration(connection, pending, made)
            await self._postbox.post(
                connection,
                MailKind.ALREADY_REGISTERED if taken else MailKind.VERIFY,
                to=applicant.email,
                locale=applicant.locale,
                code=made.code,
                link=link,
            )
        log.info("registration_asked", is_invited=invitation is not None)
        return registration_id

    async def confirm(self, *, registration_id: str | None, code: str | None, token: str | None, password: str) -> User:
        """Return the new user of a registration whose address is proved, by whoever chose its password.

        The password is asked for once more: a link that somebody else asked for, with a password of theirs, makes no
        account in the hands of both.

        Raises:
            CodeUsed: the code or link is wrong, used or late, or the password is another.
        """
        owner = registration_id if token is None else owner_of(token)
        answer = Answer(
            link_hash=None if token is None else hash_of(token),
            code_hash=None if token is not None else self._codes.hash_of_code(owner or "", code or ""),
        )
        now = self._clock.now()
        async with self._database.transaction() as connection:
            pending = None
            if owner is not None:
                pending = await codes_stored.guess_registration(connection, owner, answer, now=now)
        is_theirs = await self._passwords.matches(password, None if pending is None else pending.password_hash)
        if pending is None or not is_theirs:
            raise CodeUsed("the code or link is wrong, used or too old")
        user = User(
            user_id=UserId(new_id()),
            email=pending.email,
            display_name=pending.display_name,
            role=pending.role,
            locale=pending.locale,
            is_demo=False,
        )
        try:
            async with self._database.transaction(user_id=user.user_id) as connection:
                if pending.invitation_id is not None and not await codes_stored.use_invitation(
                    connection, pending.invitation_id, now=now
                ):
                    raise CodeUsed("this invitation was used already")
                await codes_stored.delete_registrations(connection, pending.email)
                await repository.insert_user(
                    connection, user, password_hash=pending.password_hash, created_at=now, email_verified_at=now
                )
                await audit.append(
                    connection,
                    user_id=user.user_id,
                    actor=str(user.user_id),
                    action="registered",
                    data={"role": user.role, "is_invited": pending.invitation_id is not None},
                    at=now,
                )
        except IntegrityError as error:
            raise CodeUsed("the code or link is wrong, used or too old") from error
        log.info("user_created", user_id=user.user_id, role=user.role, is_demo=False)
        return user

    async def _invitation(self, applicant: Applicant) -> Invitation | None:
        if applicant.invitation is None:
            if self.policy == "invitation":
                raise RegistrationClosed("this instance takes whoever is invited: ask whoever runs it")
            return None
        async with self._database.transaction() as connection:
            invitation = await codes_stored.find_invitation(
                connection, hash_of(applicant.invitation), now=self._clock.now()
            )
        is_for_them = invitation is not None and (
            invitation.email is None or invitation.email.casefold() == applicant.email.casefold()
        )
        if not is_for_them:
            raise RegistrationClosed("this invitation is unknown, used, too old, or for another address")
        return invitation
