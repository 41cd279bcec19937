"""What is sent and answered when people sign in."""

from dataclasses import dataclass

from pydantic import Field, SecretStr

from axisor.features.accounts.permissions import Permission, permissions_of
from axisor.features.accounts.repository import User
from axisor.features.accounts.service import SignedIn
from axisor.infra.wire import Body, Instant, instant


class StartBody(Body):
    token: SecretStr = Field(max_length=200)


class LoginBody(Body):
    email: str = Field(min_length=3, max_length=254)
    password: SecretStr = Field(max_length=1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRead:
    user_id: str
    email: str | None
    display_name: str
    role: str
    permissions: tuple[Permission, ...]
    locale: str
    is_demo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRead:
    """Ten minutes of access; the refresh token travels in an HttpOnly cookie alone."""

    access_token: str
    expires_at: Instant
    user: UserRead


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRead:
    ticket: str
    expires_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """Nothing to say beyond that it was done."""


def read_user(user: User) -> UserRead:
    return UserRead(
        user_id=user.user_id,
        email=user.email,
        display_name=user.display_name,
        role=user.role,
        permissions=tuple(sorted(permissions_of(user.role))),
        locale=user.locale,
        is_demo=user.is_demo,
    )


def read_session(signed_in: SignedIn) -> SessionRead:
    return SessionRead(
        access_token=signed_in.access_token,
        expires_at=instant(signed_in.access_expires_at),
        user=read_user(signed_in.user),
    )
