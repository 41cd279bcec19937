"""Signing in, staying signed in, signing out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotAuthenticated, NotFound, SessionExpired
from axisor.domain.units import UserId
from axisor.features.accounts import repository
from axisor.features.accounts.errors import EmailTaken, LinkUsed, SessionReused, WrongCredentials
from axisor.features.accounts.limits import LoginThrottle
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.repository import RefreshSession, User
from axisor.features.accounts.tokens import AccessTokens, hash_of, new_opaque_token, owner_of
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

SESSION_LIFE: Final = timedelta(days=30)
LINK_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session that has just begun or gone on: what the browser keeps, and for how long."""

    user: User
    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime


async def create_user(
    database: Database,
    *,
    clock: Clock,
    passwords: Passwords,
    display_name: str,
    role: str,
    email: str | None = None,
    password: str | None = None,
    locale: str = "en",
    is_demo: bool = False,
) -> User:
    """Return a new user; one without a password signs in by start link only.

    Raises:
        EmailTaken: the address has an account.
        PasswordTooShort: fewer than 12 characters.
    """
    user = User(
        user_id=UserId(new_id()), email=email, display_name=display_name, role=role, locale=locale, is_demo=is_demo
    )
    password_hash = None if password is None else await passwords.hash(password)
    try:
        async with database.transaction() as connection:
            await repository.insert_user(connection, user, password_hash=password_hash, created_at=clock.now())
    except IntegrityError as error:
        raise EmailTaken("there is an account with this address") from error
    log.info("user_created", user_id=user.user_id, role=role, is_demo=is_demo)
    return user


class AccountsService:
    """Use cases of signing in; each is one transaction of its own."""

    def __init__(
        self,
        *,
        database: Database,
        throttle: LoginThrottle,
        tokens: AccessTokens,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._database = database
        self._throttle = throttle
        self._tokens = tokens
        self._passwords = passwords
        self._clock = clock

    async def login(self, *, email: str, password: str, address: str, user_agent: str | None) -> SignedIn:
        """Return a session for an address and its password.

        Raises:
            WrongCredentials: they do not belong together; the work is the same for an unknown address.
            TooManyAttempts: earlier failures have to be waited out.
        """
        await self._throttle.check(address=address, email=email)
        async with self._database.transaction() as connection:
            found = await repository.find_by_email(connection, email)
        user, password_hash = found if found is not None else (None, None)
        if not await self._passwords.matches(password, password_hash) or user is None:
            await self._throttle.failed(address=address, email=email)
            log.info("login_failed", address=address, is_known=user is not None)
            raise WrongCredentials("the address and the password do not belong together")
        await self._throttle.succeeded(address=address, email=email)
        if password_hash is not None and self._passwords.is_outdated(password_hash):
            renewed = await self._passwords.hash(password)
            async with self._database.transaction(user_id=user.user_id) as connection:
                await repository.set_password_hash(connection, user.user_id, renewed)
        log.info("login_succeeded", user_id=user.user_id, address=address)
        return await self._begin(user, user_agent=user_agent)

    async def create_start_link(self, *, is_demo: bool) -> tuple[str, datetime]:
        """Return a token that signs in this machine's own user once within ten minutes, and its end.

        Raises:
            NotFound: there is no such user yet.
        """
        now = self._clock.now()
        user = await self.find_principal(is_demo=is_demo)
        if user is None:
            raise NotFound("user", "of this machine")
        token = new_opaque_token(user.user_id)
        async with self._database.transaction(user_id=user.user_id) as connection:
            await repository.insert_start_link(
                connection, user_id=user.user_id, token_hash=hash_of(token), expires_at=now + LINK_LIFE
            )
        log.info("start_link_created", user_id=user.user_id)
        return token, now + LINK_LIFE

    async def find_principal(self, *, is_demo: bool) -> User | None:
        """Return the user that this machine's own start link is for, None where there is none yet."""
        async with self._database.transaction() as connection:
            return await repository.find_principal(connection, is_demo=is_demo)

    async def start(self, token: str, *, user_agent: str | None) -> SignedIn:
        """Return a session for a start link, once.

        Raises:
            LinkUsed: the link is unknown, used, or older than ten minutes.
        """
        user_id = owner_of(token)
        if user_id is None:
            raise LinkUsed("this link is not valid")
        async with self._database.transaction(user_id=user_id) as connection:
            is_first = await repository.use_start_link(
                connection, user_id=user_id, token_hash=hash_of(token), now=self._clock.now()
            )
            user = await repository.find_user(connection, user_id)
        if not is_first or user is None:
            log.info("start_link_refused", user_id=user_id)
            raise LinkUsed("this link was used already or is older than ten minutes")
        log.info("start_link_used", user_id=user_id)
        return await self._begin(user, user_agent=user_agent)

    async def refresh(self, token: str, *, user_agent: str | None) -> SignedIn:
        """Return the next session of a family; the token given is used up.

        Raises:
            SessionReused: the token was used before: somebody has a copy, so the whole family ends.
            SessionExpired: its time is over, or it was signed out.
            NotAuthenticated: it is none of ours.
        """
        user_id = owner_of(token)
        if user_id is None:
            raise NotAuthenticated("there is no session")
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            session = await repository.lock_session(connection, user_id=user_id, token_hash=hash_of(token))
            user = await repository.find_user(connection, user_id)
            is_reused = session is not None and session.used_at is not None
            if session is not None and is_reused:
                await repository.revoke_family(connection, user_id=user_id, family_id=session.family_id, now=now)
            elif session is not None and session.revoked_at is None and session.expires_at > now and user is not None:
                await repository.mark_session_used(connection, session, now=now)
                return await self._continue(connection, user, session.family_id, user_agent=user_agent, now=now)
        if session is None or user is None:
            raise NotAuthenticated("there is no session")
        if is_reused:
            log.warning("session_reused", user_id=user_id, family_id=session.family_id)
            raise SessionReused("this session was continued elsewhere and has been ended: sign in again")
        raise SessionExpired("the session has ended")

    async def logout(self, token: str) -> None:
        """End the family of sessions that a refresh token belongs to; an unknown token is no error."""
        user_id = owner_of(token)
        if user_id is None:
            return
        async with self._database.transaction(user_id=user_id) as connection:
            session = await repository.lock_session(connection, user_id=user_id, token_hash=hash_of(token))
            if session is not None:
                await repository.revoke_family(
                    connection, user_id=user_id, family_id=session.family_id, now=self._clock.now()
                )
        log.info("logged_out", user_id=user_id)

    async def get_user(self, user_id: UserId) -> User:
        """Return an enabled user.

        Raises:
            NotAuthenticated: there is none, or no longer.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            user = await repository.find_user(connection, user_id)
        if user is None:
            raise NotAuthenticated("this user may no longer sign in")
        return user

    async def list_live_families(self, user_id: UserId) -> frozenset[str]:
        """Return the families of sessions with which a user may still be connected."""
        async with self._database.transaction(user_id=user_id) as connection:
            return await repository.list_live_families(connection, user_id=user_id, now=self._clock.now())

    async def find_live_role(self, user_id: UserId, family_id: str) -> str | None:
        """Return the role of a user whose session still lives, None where it does not or they may not sign in."""
        async with self._database.transaction(user_id=user_id) as connection:
            families = await repository.list_live_families(connection, user_id=user_id, now=self._clock.now())
            user = await repository.find_user(connection, user_id) if family_id in families else None
        return None if user is None else user.role

    async def _begin(self, user: User, *, user_agent: str | None) -> SignedIn:
        async with self._database.transaction(user_id=user.user_id) as connection:
            return await self._continue(connection, user, new_id(), user_agent=user_agent, now=self._clock.now())

    async def _continue(
        self, connection: AsyncConnection, user: User, family_id: str, *, user_agent: str | None, now: datetime
    ) -> SignedIn:
        token = new_opaque_token(user.user_id)
        session = RefreshSession(
            user_id=user.user_id,
            session_id=new_id(),
            family_id=family_id,
            expires_at=now + SESSION_LIFE,
            used_at=None,
            revoked_at=None,
        )
        await repository.insert_session(
            connection, session, token_hash=hash_of(token), user_agent=(user_agent or "")[:200], created_at=now
        )
        access_token, access_expires_at = self._tokens.issue(user_id=user.user_id, family_id=family_id, now=now)
        return SignedIn(
            user=user,
            access_token=access_token,
            access_expires_at=access_expires_at,
            refresh_token=token,
            refresh_expires_at=session.expires_at,
        )
