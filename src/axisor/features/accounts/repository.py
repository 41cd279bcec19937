"""All SQL about people, sessions and start links."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import UserId
from axisor.features.accounts.tables import app_user, refresh_session, start_link


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    user_id: UserId
    email: str | None
    display_name: str
    role: str
    locale: str
    is_demo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSession:
    user_id: UserId
    session_id: str
    family_id: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


_USER_COLUMNS = (
    app_user.c.user_id,
    app_user.c.email,
    app_user.c.display_name,
    app_user.c.role,
    app_user.c.locale,
    app_user.c.is_demo,
)


async def insert_user(
    connection: AsyncConnection,
    user: User,
    *,
    password_hash: str | None,
    created_at: datetime,
    email_verified_at: datetime | None = None,
) -> None:
    await connection.execute(
        sa.insert(app_user).values(
            user_id=user.user_id,
            email=user.email,
            display_name=user.display_name,
            password_hash=password_hash,
            role=user.role,
            locale=user.locale,
            is_demo=user.is_demo,
            created_at=created_at,
            email_verified_at=email_verified_at,
        )
    )


async def find_user(connection: AsyncConnection, user_id: UserId) -> User | None:
    """Return a user who may sign in, None if there is none or they are disabled."""
    row = (
        await connection.execute(
            sa.select(*_USER_COLUMNS).where(app_user.c.user_id == user_id, app_user.c.disabled_at.is_(None))
        )
    ).one_or_none()
    return None if row is None else User(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping


async def find_by_email(connection: AsyncConnection, email: str) -> tuple[User, str | None] | None:
    """Return the enabled user of an address and the hash of their password."""
    row = (
        await connection.execute(
            sa.select(*_USER_COLUMNS, app_user.c.password_hash).where(
                sa.func.lower(app_user.c.email) == email.lower(), app_user.c.disabled_at.is_(None)
            )
        )
    ).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)  # noqa: SLF001 - as above
    password_hash: str | None = values.pop("password_hash")
    return User(**values), password_hash


async def find_password_hash(connection: AsyncConnection, user_id: UserId) -> str | None:
    found = await connection.execute(sa.select(app_user.c.password_hash).where(app_user.c.user_id == user_id))
    password_hash: str | None = found.scalar_one_or_none()
    return password_hash


async def is_taken(connection: AsyncConnection, email: str) -> bool:
    """Return whether somebody has an address, disabled people included."""
    found = await connection.execute(
        sa.select(app_user.c.user_id).where(sa.func.lower(app_user.c.email) == email.lower())
    )
    return found.first() is not None


async def set_email(connection: AsyncConnection, user_id: UserId, email: str, *, verified_at: datetime) -> None:
    await connection.execute(
        sa.update(app_user).where(app_user.c.user_id == user_id).values(email=email, email_verified_at=verified_at)
    )


async def delete_user(connection: AsyncConnection, user_id: UserId) -> None:
    """Delete a person and every row that is theirs; the audit chain stays."""
    await connection.execute(sa.delete(app_user).where(app_user.c.user_id == user_id))


async def find_principal(connection: AsyncConnection, *, is_demo: bool) -> User | None:
    """Return the user that this machine's own start link is for: the demo's, or the first owner."""
    row = (
        await connection.execute(
            sa.select(*_USER_COLUMNS)
            .where(app_user.c.is_demo.is_(is_demo), app_user.c.role == "owner", app_user.c.disabled_at.is_(None))
            .order_by(app_user.c.created_at, app_user.c.user_id)
            .limit(1)
        )
    ).one_or_none()
    return None if row is None else User(**row._mapping)  # noqa: SLF001 - as above


async def set_password_hash(connection: AsyncConnection, user_id: UserId, password_hash: str) -> None:
    await connection.execute(
        sa.update(app_user).where(app_user.c.user_id == user_id).values(password_hash=password_hash)
    )


async def insert_start_link(
    connection: AsyncConnection, *, user_id: UserId, token_hash: bytes, expires_at: datetime
) -> None:
    await connection.execute(
        sa.insert(start_link).values(user_id=user_id, token_hash=token_hash, expires_at=expires_at)
    )


async def use_start_link(connection: AsyncConnection, *, user_id: UserId, token_hash: bytes, now: datetime) -> bool:
    """Return True for the one caller who uses a link in time; every other one gets False."""
    used = await connection.execute(
        sa.update(start_link)
        .where(
            start_link.c.user_id == user_id,
            start_link.c.token_hash == token_hash,
            start_link.c.used_at.is_(None),
            start_link.c.expires_at > now,
        )
        .values(used_at=now)
    )
    return used.rowcount == 1


async def insert_session(
    connection: AsyncConnection,
    session: RefreshSession,
    *,
    token_hash: bytes,
    user_agent: str | None,
    created_at: datetime,
) -> None:
    await connection.execute(
        sa.insert(refresh_session).values(
            user_id=session.user_id,
            session_id=session.session_id,
            family_id=session.family_id,
            token_hash=token_hash,
            user_agent=user_agent,
            created_at=created_at,
            expires_at=session.expires_at,
        )
    )


async def lock_session(connection: AsyncConnection, *, user_id: UserId, token_hash: bytes) -> RefreshSession | None:
    """Return the session of a token, locked until the transaction ends: two uses of it come one after the other."""
    row = (
        await connection.execute(
            sa.select(
                refresh_session.c.user_id,
                refresh_session.c.session_id,
                refresh_session.c.family_id,
                refresh_session.c.expires_at,
                refresh_session.c.used_at,
                refresh_session.c.revoked_at,
            )
            .where(refresh_session.c.user_id == user_id, refresh_session.c.token_hash == token_hash)
            .with_for_update()
        )
    ).one_or_none()
    return None if row is None else RefreshSession(**row._mapping)  # noqa: SLF001 - as above


async def mark_session_used(connection: AsyncConnection, session: RefreshSession, *, now: datetime) -> None:
    await connection.execute(
        sa.update(refresh_session)
        .where(refresh_session.c.user_id == session.user_id, refresh_session.c.session_id == session.session_id)
        .values(used_at=now)
    )


async def revoke_family(connection: AsyncConnection, *, user_id: UserId, family_id: str, now: datetime) -> None:
    await connection.execute(
        sa.update(refresh_session)
        .where(
            refresh_session.c.user_id == user_id,
            refresh_session.c.family_id == family_id,
            refresh_session.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


async def list_live_families(connection: AsyncConnection, *, user_id: UserId, now: datetime) -> frozenset[str]:
    """Return the families of a user's sessions that have neither ended nor been revoked."""
    rows = await connection.execute(
        sa.select(refresh_session.c.family_id)
        .join(app_user, app_user.c.user_id == refresh_session.c.user_id)
        .where(
            refresh_session.c.user_id == user_id,
            refresh_session.c.revoked_at.is_(None),
            refresh_session.c.used_at.is_(None),
            refresh_session.c.expires_at > now,
            app_user.c.disabled_at.is_(None),
        )
        .distinct()
    )
    return frozenset(rows.scalars())
