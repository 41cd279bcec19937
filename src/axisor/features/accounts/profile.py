"""Changing one's password and address, getting back in without the password, and leaving."""

from typing import Final
from urllib.parse import urlencode

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotAuthenticated
from axisor.domain.units import UserId
from axisor.features.accounts import code_repository as codes_stored
from axisor.features.accounts import device_repository as devices
from axisor.features.accounts import repository
from axisor.features.accounts.code_repository import Answer
from axisor.features.accounts.codes import CODE_LIFE, Codes
from axisor.features.accounts.errors import CodeUsed, EmailTaken, MailNotConfigured, WrongPassword
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.repository import User
from axisor.features.accounts.security_notes import note
from axisor.features.accounts.tokens import hash_of, owner_of
from axisor.features.audit import service as audit
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

_RESET: Final = "reset_password"
_CHANGE_EMAIL: Final = "change_email"
_NOBODY: Final = UserId("00000000-0000-0000-0000-000000000000")


class Profile:
    """Use cases of people on their own account; each is one transaction."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        codes: Codes,
        postbox: Postbox,
        public_url: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._codes = codes
        self._postbox = postbox
        self._public_url = public_url
        self._clock = clock

    async def ask_for_reset(self, email: str, *, locale: str) -> None:
        """Mail a code and a link to an address, or that there is no account with it: the answer here is one.

        Raises:
            MailNotConfigured: no mail could be sent.
        """
        if not self._postbox.is_open:
            raise MailNotConfigured("this instance sends no mail: ask whoever runs it for a new password")
        async with self._database.transaction() as connection:
            found = await repository.find_by_email(connection, email)
        user = None if found is None else found[0]
        owner = _NOBODY if user is None else user.user_id
        made = self._codes.new(owner)
        now = self._clock.now()
        async with self._database.transaction(user_id=owner) as connection:
            if user is not None:
                await codes_stored.insert_code(
                    connection,
                    user_id=owner,
                    code_id=new_id(),
                    purpose=_RESET,
                    email=None,
                    made=made,
                    now=now,
                    expires_at=now + CODE_LIFE,
                )
            await self._postbox.post(
                connection,
                MailKind.RESET_UNKNOWN if user is None else MailKind.RESET,
                to=email,
                locale=locale if user is None else user.locale,
                user_id=None if user is None else owner,
                code=made.code,
                link=f"{self._public_url}/reset#" + urlencode({"token": made.token}),
            )
        log.info("reset_asked", is_known=user is not None)

    async def reset(self, *, email: str | None, code: str | None, token: str | None, password: str) -> None:
        """Set a new password by a mailed code or link; every session ends, and a second factor stays asked for.

        Raises:
            CodeUsed: the code or link is wrong, used or late.
            PasswordTooShort, PasswordTooCommon: the code stays good, another password is needed.
        """
        user = await self._whose(email=email, token=token)
        words = () if user is None else (user.email or "", user.display_name)
        password_hash = await self._passwords.hash(password, own_words=words)
        owner = _NOBODY if user is None else user.user_id
        answer = self._answer(owner, code=code, token=token)
        now = self._clock.now()
        async with self._database.transaction(user_id=owner) as connection:
            used = await codes_stored.guess_code(connection, user_id=owner, purpose=_RESET, answer=answer, now=now)
            if used is not None:
                await repository.set_password_hash(connection, owner, password_hash)
                await devices.end_devices(connection, user_id=owner, now=now)
                await devices.forget_known_devices(connection, user_id=owner)
                await note(
                    connection,
                    self._postbox,
                    owner,
                    "password_reset",
                    now=now,
                    mail=MailKind.PASSWORD_CHANGED,
                )
        if used is None:
            raise CodeUsed("the code or link is wrong, used or too old")

    async def change_password(self, user_id: UserId, *, family_id: str, password: str, new_password: str) -> None:
        """Set a new password by the present one; every other session ends.

        Raises:
            WrongPassword: the present password is another.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            user = await repository.find_user(connection, user_id)
            present = await repository.find_password_hash(connection, user_id)
        if not await self._passwords.matches(password, present) or user is None:
            raise WrongPassword("the present password is another")
        words = (user.email or "", user.display_name)
        password_hash = await self._passwords.hash(new_password, own_words=words)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            await repository.set_password_hash(connection, user_id, password_hash)
            await devices.end_devices(connection, user_id=user_id, keep=family_id, now=now)
            await note(connection, self._postbox, user_id, "password_changed", now=now, mail=MailKind.PASSWORD_CHANGED)

    async def ask_for_new_email(self, user_id: UserId, email: str) -> None:
        """Mail a code to a new address, and to the present one that this was asked.

        A taken address gets no code that works; whoever asks learns that from its mail alone.

        Raises:
            MailNotConfigured: no mail could be sent.
        """
        if not self._postbox.is_open:
            raise MailNotConfigured("this instance sends no mail: ask whoever runs it")
        made = self._codes.new(user_id)
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            user = await self._get(connection, user_id)
            is_taken = await repository.is_taken(connection, email)
            if not is_taken:
                await codes_stored.insert_code(
                    connection,
                    user_id=user_id,
                    code_id=new_id(),
                    purpose=_CHANGE_EMAIL,
                    email=email,
                    made=made,
                    now=now,
                    expires_at=now + CODE_LIFE,
                )
            await self._postbox.post(
                connection,
                MailKind.ALREADY_REGISTERED if is_taken else MailKind.CHANGE_EMAIL,
                to=email,
                locale=user.locale,
                user_id=user_id,
                code=made.code,
                link=f"{self._public_url}/change-email#" + urlencode({"token": made.token}),
            )
            await note(
                connection,
                self._postbox,
                user_id,
                "email_change_asked",
                now=now,
                mail=MailKind.EMAIL_CHANGE_ASKED,
                email=email,
            )

    async def confirm_new_email(self, user_id: UserId, *, code: str | None, token: str | None) -> User:
        """Return the person with the new address, once it is proved; both addresses are told.

        Raises:
            CodeUsed: the code or link is wrong, used or late.
            EmailTaken: somebody else has the address by now.
        """
        answer = self._answer(user_id, code=code, token=token)
        now = self._clock.now()
        used = None
        try:
            async with self._database.transaction(user_id=user_id) as connection:
                user = await self._get(connection, user_id)
                used = await codes_stored.guess_code(
                    connection, user_id=user_id, purpose=_CHANGE_EMAIL, answer=answer, now=now
                )
                if used is not None and used.email is not None:
                    await self._set_email(connection, user, used.email)
                    user = await self._get(connection, user_id)
        except IntegrityError as error:
            raise EmailTaken("there is an account with this address") from error
        if used is None:
            raise CodeUsed("the code or link is wrong, used or too old")
        return user

    async def delete(self, user_id: UserId) -> None:
        """Delete a person with everything that is theirs; the audit chain keeps that it was done."""
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            user = await self._get(connection, user_id)
            await audit.append(connection, user_id=user_id, actor=str(user_id), action="user_deleted", data={}, at=now)
            await repository.delete_user(connection, user_id)
            await self._postbox.post(connection, MailKind.DELETED, to=user.email, locale=user.locale)
        log.info("user_deleted", user_id=user_id)

    async def _set_email(self, connection: AsyncConnection, user: User, email: str) -> None:
        now = self._clock.now()
        await repository.set_email(connection, user.user_id, email, verified_at=now)
        for address in (user.email, email):
            await self._postbox.post(
                connection,
                MailKind.EMAIL_CHANGED,
                to=address,
                locale=user.locale,
                user_id=user.user_id,
                email=email,
            )
        await note(connection, self._postbox, user.user_id, "email_changed", now=now)

    async def _get(self, connection: AsyncConnection, user_id: UserId) -> User:
        user = await repository.find_user(connection, user_id)
        if user is None:
            raise NotAuthenticated("this user may no longer sign in")
        return user

    async def _whose(self, *, email: str | None, token: str | None) -> User | None:
        owner = None if token is None else owner_of(token)
        async with self._database.transaction(user_id=owner) as connection:
            if owner is not None:
                return await repository.find_user(connection, owner)
            found = await repository.find_by_email(connection, email or "")
        return None if found is None else found[0]

    def _answer(self, owner: UserId, *, code: str | None, token: str | None) -> Answer:
        if token is not None:
            return Answer(link_hash=hash_of(token))
        return Answer(code_hash=self._codes.hash_of_code(owner, code or ""))
