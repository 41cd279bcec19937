"""All SQL about devices: the sessions of a person, and the browsers that were there before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import UserId
from axisor.features.accounts.visits import Visit

_LONGEST_AGENT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSession:
    """One signed-in browser: a family of rotated sessions."""

    family_id: str
    method: str
    user_agent: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    strong_at: datetime | None


async def insert_device(
    connection: AsyncConnection,
    *,
    user_id: UserId,
    family_id: str,
    method: str,
    visit: Visit,
    strong_at: datetime | None,
    now: datetime,
) -> None:
    await connection.execute(
        text(
            "insert into device_session (user_id, family_id, method, user_agent, address, created_at, last_seen_at, "
            "strong_at) values (:user, :family, :method, :agent, :address, :now, :now, :strong) on conflict do nothing"
        ),
        {
            "user": user_id,
            "family": family_id,
            "method": method,
            "agent": visit.user_agent[:_LONGEST_AGENT],
            "address": visit.address,
            "now": now,
            "strong": strong_at,
        },
    )


async def find_device(connection: AsyncConnection, *, user_id: UserId, family_id: str) -> DeviceSession | None:
    """Return a device whose session was not ended."""
    row = (
        await connection.execute(
            text(_SELECT + "and family_id = :family and ended_at is null"), {"user": user_id, "family": family_id}
        )
    ).one_or_none()
    return None if row is None else _device(row)


async def list_devices(connection: AsyncConnection, *, user_id: UserId, now: datetime) -> list[DeviceSession]:
    """Return the devices that can still act, the newest first."""
    rows = await connection.execute(
        text(
            _SELECT + "and ended_at is null and exists (select from refresh_session r where r.user_id = d.user_id "
            "and r.family_id = d.family_id and r.revoked_at is null and r.used_at is null and r.expires_at > :now) "
            "order by last_seen_at desc"
        ),
        {"user": user_id, "now": now},
    )
    return [_device(row) for row in rows]


async def touch_device(
    connection: AsyncConnection,
    *,
    user_id: UserId,
    family_id: str,
    visit: Visit,
    strong_at: datetime | None,
    now: datetime,
) -> None:
    """Note that a device was here; `strong_at` None leaves when the person last proved who they are."""
    await connection.execute(
        text(
            "update device_session set last_seen_at = :now, address = :address, "
            "strong_at = coalesce(:strong, strong_at) where user_id = :user and family_id = :family"
        ),
        {"user": user_id, "family": family_id, "now": now, "address": visit.address, "strong": strong_at},
    )


async def end_devices(
    connection: AsyncConnection, *, user_id: UserId, now: datetime, only: str | None = None, keep: str | None = None
) -> list[str]:
    """End a person's sessions, one or all but one, and return the families that ended."""
    values = {"user": user_id, "now": now, "only": only, "keep": keep}
    chosen = (
        "user_id = :user and (cast(:only as uuid) is null or family_id = :only) "
        "and (cast(:keep as uuid) is null or family_id <> :keep)"
    )
    await connection.execute(
        text(f"update refresh_session set revoked_at = :now where revoked_at is null and {chosen}"),  # noqa: S608 - a constant
        values,
    )
    rows = await connection.execute(
        text(f"update device_session set ended_at = :now where ended_at is null and {chosen} returning family_id"),  # noqa: S608 - a constant
        values,
    )
    return [str(row.family_id) for row in rows]


async def know_device(connection: AsyncConnection, *, user_id: UserId, token_hash: bytes, now: datetime) -> None:
    await connection.execute(
        text(
            "insert into known_device (user_id, token_hash, created_at, last_seen_at) "
            "values (:user, :hash, :now, :now) on conflict (user_id, token_hash) do update set last_seen_at = :now"
        ),
        {"user": user_id, "hash": token_hash, "now": now},
    )


async def is_known_device(connection: AsyncConnection, *, user_id: UserId, token_hash: bytes) -> bool:
    found = await connection.execute(
        text("select 1 from known_device where user_id = :user and token_hash = :hash"),
        {"user": user_id, "hash": token_hash},
    )
    return found.one_or_none() is not None


async def has_known_devices(connection: AsyncConnection, *, user_id: UserId) -> bool:
    found = await connection.execute(
        text("select 1 from known_device where user_id = :user limit 1"), {"user": user_id}
    )
    return found.one_or_none() is not None


async def forget_known_devices(connection: AsyncConnection, *, user_id: UserId) -> None:
    await connection.execute(text("delete from known_device where user_id = :user"), {"user": user_id})


_SELECT: Final = (
    "select family_id, method, user_agent, address, created_at, last_seen_at, strong_at from device_session d "
    "where user_id = :user "
)


def _device(row: object) -> DeviceSession:
    values = dict(row._mapping)  # type: ignore[attr-defined] # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
    return DeviceSession(**{**values, "family_id": str(values["family_id"])})
