"""All SQL about registrations, invitations and codes that wait."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import UserId
from axisor.features.accounts.codes import MOST_GUESSES, NewCode


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRegistration:
    registration_id: str
    email: str
    password_hash: str
    display_name: str
    locale: str
    role: str
    invitation_id: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    invitation_id: str
    email: str | None
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody presents: the token of a link, or a code. Both as they are stored."""

    link_hash: bytes | None = None
    code_hash: bytes | None = None


async def insert_registration(connection: AsyncConnection, pending: PendingRegistration, made: NewCode) -> None:
    await connection.execute(
        text(
            "insert into pending_registration (registration_id, email, password_hash, display_name, locale, role, "
            "invitation_id, link_hash, code_hash, created_at, expires_at) values (:id, :email, :password, :name, "
            ":locale, :role, :invitation, :link, :code, :now, :expires)"
        ),
        {
            "id": pending.registration_id,
            "email": pending.email,
            "password": pending.password_hash,
            "name": pending.display_name,
            "locale": pending.locale,
            "role": pending.role,
            "invitation": pending.invitation_id,
            "link": made.link_hash,
            "code": made.code_hash,
            "now": pending.created_at,
            "expires": pending.expires_at,
        },
    )


async def forget_old_registrations(connection: AsyncConnection, *, now: datetime) -> None:
    await connection.execute(text("delete from pending_registration where expires_at < :now"), {"now": now})


async def count_registrations(connection: AsyncConnection, email: str) -> int:
    found = await connection.execute(
        text("select count(*) from pending_registration where lower(email) = lower(:email)"), {"email": email}
    )
    return int(found.scalar_one())


async def guess_registration(
    connection: AsyncConnection, registration_id: str, answer: Answer, *, now: datetime
) -> PendingRegistration | None:
    """Return the registration that an answer fits, counting the guess; None for a wrong, late or sixth one."""
    row = (
        await connection.execute(
            text(
                "update pending_registration set attempts = attempts + 1 where registration_id = :id "
                "and expires_at > :now and attempts < :most returning registration_id, email, password_hash, "
                "display_name, locale, role, invitation_id, created_at, expires_at, link_hash, code_hash"
            ),
            {"id": registration_id, "now": now, "most": MOST_GUESSES},
        )
    ).one_or_none()
    if row is None or not _fits(row.link_hash, row.code_hash, answer):
        return None
    return PendingRegistration(
        registration_id=str(row.registration_id),
        email=row.email,
        password_hash=row.password_hash,
        display_name=row.display_name,
        locale=row.locale,
        role=row.role,
        invitation_id=None if row.invitation_id is None else str(row.invitation_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


async def delete_registrations(connection: AsyncConnection, email: str) -> None:
    await connection.execute(
        text("delete from pending_registration where lower(email) = lower(:email)"), {"email": email}
    )


async def insert_invitation(
    connection: AsyncConnection,
    invitation: Invitation,
    *,
    token_hash: bytes,
    invited_by: UserId | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    await connection.execute(
        text(
            "insert into invitation (invitation_id, token_hash, email, role, invited_by, created_at, expires_at) "
            "values (:id, :hash, :email, :role, :by, :now, :expires)"
        ),
        {
            "id": invitation.invitation_id,
            "hash": token_hash,
            "email": invitation.email,
            "role": invitation.role,
            "by": invited_by,
            "now": now,
            "expires": expires_at,
        },
    )


async def find_invitation(connection: AsyncConnection, token_hash: bytes, *, now: datetime) -> Invitation | None:
    """Return an invitation that can still be used."""
    row = (
        await connection.execute(
            text(
                "select invitation_id, email, role from invitation where token_hash = :hash and used_at is null "
                "and expires_at > :now"
            ),
            {"hash": token_hash, "now": now},
        )
    ).one_or_none()
    return None if row is None else Invitation(invitation_id=str(row.invitation_id), email=row.email, role=row.role)


async def use_invitation(connection: AsyncConnection, invitation_id: str, *, now: datetime) -> bool:
    """Return True for the one registration that uses an invitation in time."""
    used = await connection.execute(
        text(
            "update invitation set used_at = :now where invitation_id = :id and used_at is null and expires_at > :now"
        ),
        {"id": invitation_id, "now": now},
    )
    return used.rowcount == 1


async def insert_code(
    connection: AsyncConnection,
    *,
    user_id: UserId,
    code_id: str,
    purpose: str,
    email: str | None,
    made: NewCode,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Store a code; what was asked for earlier for the same purpose is worth nothing any more."""
    await connection.execute(
        text("delete from one_time_code where user_id = :user and purpose = :purpose"),
        {"user": user_id, "purpose": purpose},
    )
    await connection.execute(
        text(
            "insert into one_time_code (user_id, code_id, purpose, email, link_hash, code_hash, created_at, expires_at)"
            " values (:user, :id, :purpose, :email, :link, :code, :now, :expires)"
        ),
        {
            "user": user_id,
            "id": code_id,
            "purpose": purpose,
            "email": email,
            "link": made.link_hash,
            "code": made.code_hash,
            "now": now,
            "expires": expires_at,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedCode:
    email: str | None


async def guess_code(
    connection: AsyncConnection, *, user_id: UserId, purpose: str, answer: Answer, now: datetime
) -> UsedCode | None:
    """Return what a right answer was for, using the code up; None for a wrong, late or sixth one."""
    row = (
        await connection.execute(
            text(
                "update one_time_code set attempts = attempts + 1 where user_id = :user and purpose = :purpose "
                "and used_at is null and expires_at > :now and attempts < :most "
                "returning code_id, email, link_hash, code_hash"
            ),
            {"user": user_id, "purpose": purpose, "now": now, "most": MOST_GUESSES},
        )
    ).one_or_none()
    if row is None or not _fits(row.link_hash, row.code_hash, answer):
        return None
    await connection.execute(
        text("update one_time_code set used_at = :now where user_id = :user and code_id = :id"),
        {"user": user_id, "id": row.code_id, "now": now},
    )
    return UsedCode(email=row.email)


def _fits(link_hash: bytes, code_hash: bytes, answer: Answer) -> bool:
    if answer.link_hash is not None:
        return bytes(link_hash) == answer.link_hash
    return answer.code_hash is not None and bytes(code_hash) == answer.code_hash
