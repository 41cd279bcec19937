"""Signing in, staying signed in, signing out."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotAuthenticated, NotFound, SessionExpired
from axisor.domain.units import UserId
from axisor.features.accounts import device_repository as devices
from axisor.features.accounts import repository
from axisor.features.accounts.errors import EmailTaken, LinkUsed, SessionReused, WrongCredentials
from axisor.features.accounts.factor_gate import FactorGate
from axisor.features.accounts.limits import LoginThrottle
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.repository import RefreshSession, User
from axisor.features.accounts.tokens import AccessTokens, hash_of, new_opaque_token, owner_of
from axisor.features.accounts.visits import Visit
from axisor.features.audit import service as audit
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

IDLE_LIFE: Final = timedelta(days=7)
"""A session that was not continued for this long has ended."""
LONGEST_LIFE: Final = timedelta(days=30)
"""A session ends this long after it began, however often it was continued."""
LINK_LIFE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session that has just begun or gone on: what the browser keeps, and for how long."""

    user: User
    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    device_token: str | None = None
    """What this browser is to keep to be known the next time; None where it is known already."""


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
        gate: FactorGate,
        postbox: Postbox,
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._postbox = postbox
        self._database = database
        self._throttle = throttle
        self._tokens = tokens
        self._passwords = passwords
        self._clock = clock

    async def login(self, *, email: str, password: str, visit: Visit) -> SignedIn:
        """Return a session for an address and its password.

        Raises:
            WrongCredentials: they do not belong together; the work is the same for an unknown address.
            TooManyAttempts: earlier failures have to be waited out.
            FactorRequired: the person has a second factor.
        """
        async with self._database.transaction() as connection:
            found = await repository.find_by_email(connection, email)
        user, password_hash = found if found is not None else (None, None)
        is_known = await self._is_known(user, visit)
        await self._throttle.check(address=visit.address, email=email, is_known_device=is_known)
        if not await self._passwords.matches(password, password_hash) or user is None:
            await self._throttle.failed(address=visit.address, email=email)
            log.info("login_failed", address=visit.address, is_known=user is not None)
            raise WrongCredentials("the address and the password do not belong together")
        await self._throttle.succeeded(address=visit.address, email=email)
        if password_hash is not None and self._passwords.is_outdated(password_hash):
            renewed = await self._passwords.rehash(password)
            async with self._database.transaction(user_id=user.user_id) as connection:
                await repository.set_password_hash(connection, user.user_id, renewed)
        return await self.pass_first_factor(user, method="password", visit=visit)

    async def pass_first_factor(self, user: User, *, method: str, visit: Visit) -> SignedIn:
        """Return a session for somebody who proved one factor, where they have no second one.

        Raises:
            FactorRequired: they have one.
        """
        await self._gate.check(user.user_id, method=method)
        return await self.begin(user, method=method, visit=visit)

    async def _is_known(self, user: User | None, visit: Visit) -> bool:
        """Return whether a browser proves that this person signed in with it before; equal work for nobody."""
        token = visit.device_token
        if token is None or (owner := owner_of(token)) is None:
            return False
        async with self._database.transaction(user_id=owner) as connection:
            is_known = await devices.is_known_device(connection, user_id=owner, token_hash=hash_of(token))
        return is_known and user is not None and user.user_id == owner

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

    async def start(self, token: str, *, visit: Visit) -> SignedIn:
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
        return await self.begin(user, method="start link", visit=visit)

    async def refresh(self, token: str, *, visit: Visit, is_strong: bool = False) -> SignedIn:
        """Return the next session of a family; the token given is used up.

        `is_strong`: the person has just proved once more who they are.

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
                await devices.end_devices(connection, user_id=user_id, only=session.family_id, now=now)
                await audit.append(
                    connection,
                    user_id=user_id,
                    actor=str(user_id),
                    action="session_reused",
                    data={"address": visit.address, "family_id": session.family_id},
                    at=now,
                )
            elif session is not None and session.revoked_at is None and session.expires_at > now and user is not None:
                await repository.mark_session_used(connection, session, now=now)
                return await self._continue(
                    connection, user, session.family_id, visit=visit, strong_at=now if is_strong else None, now=now
                )
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
                await devices.end_devices(connection, user_id=user_id, only=session.family_id, now=self._clock.now())
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

    async def find_user_of_token(self, token: str) -> UserId | None:
        """Return whose live session a refresh token continues, without using it up."""
        user_id = owner_of(token)
        if user_id is None:
            return None
        async with self._database.transaction(user_id=user_id) as connection:
            session = await repository.lock_session(connection, user_id=user_id, token_hash=hash_of(token))
        now = self._clock.now()
        is_live = session is not None and session.used_at is None and session.revoked_at is None
        return user_id if session is not None and is_live and session.expires_at > now else None

    async def begin(self, user: User, *, method: str, visit: Visit) -> SignedIn:
        """Return a new session; a device that was not seen before is told of by mail."""
        now, family_id = self._clock.now(), new_id()
        async with self._database.transaction(user_id=user.user_id) as connection:
            device_token = await self._meet(connection, user, visit, now=now)
            await devices.insert_device(
                connection,
                user_id=user.user_id,
                family_id=family_id,
                method=method,
                visit=visit,
                strong_at=now,
                now=now,
            )
            await audit.append(
                connection,
                user_id=user.user_id,
                actor=str(user.user_id),
                action="signed_in",
                data={"method": method, "address": visit.address, "is_new_device": device_token is not None},
                at=now,
            )
            signed_in = await self._continue(connection, user, family_id, visit=visit, strong_at=now, now=now)
        log.info("login_succeeded", user_id=user.user_id, method=method, address=visit.address)
        return replace(signed_in, device_token=device_token)

    async def _meet(self, connection: AsyncConnection, user: User, visit: Visit, *, now: datetime) -> str | None:
        """Return the token of a device that is new to this person, None for one that is known."""
        token = visit.device_token
        if token is not None and owner_of(token) == user.user_id:
            token_hash = hash_of(token)
            if await devices.is_known_device(connection, user_id=user.user_id, token_hash=token_hash):
                await devices.know_device(connection, user_id=user.user_id, token_hash=token_hash, now=now)
                return None
        if await devices.has_known_devices(connection, user_id=user.user_id):
            await self._postbox.post(
                connection,
                MailKind.NEW_DEVICE,
                to=user.email,
                locale=user.locale,
                user_id=user.user_id,
                address=visit.address,
                agent=visit.user_agent or "?",
            )
        fresh = new_opaque_token(user.user_id)
        await devices.know_device(connection, user_id=user.user_id, token_hash=hash_of(fresh), now=now)
        return fresh

    async def _continue(
        self,
        connection: AsyncConnection,
        user: User,
        family_id: str,
        *,
        visit: Visit,
        strong_at: datetime | None,
        now: datetime,
    ) -> SignedIn:
        device = await devices.find_device(connection, user_id=user.user_id, family_id=family_id)
        began_at = now if device is None else device.created_at
        if device is None:
            # Begun by the release before this one, while both run.
            await devices.insert_device(
                connection,
                user_id=user.user_id,
                family_id=family_id,
                method="unknown",
                visit=visit,
                strong_at=strong_at,
                now=now,
            )
        await devices.touch_device(
            connection, user_id=user.user_id, family_id=family_id, visit=visit, strong_at=strong_at, now=now
        )
        token = new_opaque_token(user.user_id)
        session = RefreshSession(
            user_id=user.user_id,
            session_id=new_id(),
            family_id=family_id,
            expires_at=min(now + IDLE_LIFE, began_at + LONGEST_LIFE),
            used_at=None,
            revoked_at=None,
        )
        await repository.insert_session(
            connection, session, token_hash=hash_of(token), user_agent=visit.user_agent[:200], created_at=now
        )
        access_token, access_expires_at = self._tokens.issue(user_id=user.user_id, family_id=family_id, now=now)
        return SignedIn(
            user=user,
            access_token=access_token,
            access_expires_at=access_expires_at,
            refresh_token=token,
            refresh_expires_at=session.expires_at,
        )
