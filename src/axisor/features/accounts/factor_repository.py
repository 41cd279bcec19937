"""All SQL about second factors, passkeys and wallets."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpFactor:
    sealed: bytes
    last_step: int
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey:
    credential_id: bytes
    public_key: bytes
    sign_count: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletKey:
    linking_key: bytes
    name: str
    created_at: datetime
    last_used_at: datetime | None


async def list_methods(connection: AsyncConnection, user_id: UserId) -> tuple[str, ...]:
    """Return the kinds of second factor that a person has; recovery codes alone are none."""
    row = (
        await connection.execute(
            text(
                "select exists (select from totp_factor where user_id = :user and confirmed_at is not null) as totp, "
                "exists (select from passkey where user_id = :user) as passkey, "
                "exists (select from recovery_code where user_id = :user and used_at is null) as recovery"
            ),
            {"user": user_id},
        )
    ).one()
    found = tuple(name for name, has in (("totp", row.totp), ("passkey", row.passkey)) if has)
    return (*found, "recovery_code") if found and row.recovery else found


async def lock_totp(connection: AsyncConnection, user_id: UserId) -> TotpFactor | None:
    """Return a person's authenticator, locked: a step is used by one of many who try it at once."""
    row = (
        await connection.execute(
            text("select sealed, last_step, confirmed_at from totp_factor where user_id = :user for update"),
            {"user": user_id},
        )
    ).one_or_none()
    if row is None:
        return None
    return TotpFactor(sealed=bytes(row.sealed), last_step=row.last_step, confirmed_at=row.confirmed_at)


async def put_new_totp(connection: AsyncConnection, user_id: UserId, *, sealed: bytes, now: datetime) -> bool:
    """Store an authenticator that waits for its first code; False where a confirmed one is there."""
    stored = await connection.execute(
        text(
            "insert into totp_factor (user_id, sealed, created_at) values (:user, :sealed, :now) "
            "on conflict (user_id) do update set sealed = :sealed, created_at = :now, last_step = 0 "
            "where totp_factor.confirmed_at is null"
        ),
        {"user": user_id, "sealed": sealed, "now": now},
    )
    return stored.rowcount == 1


async def use_totp_step(
    connection: AsyncConnection, user_id: UserId, *, step: int, confirmed_at: datetime | None
) -> None:
    await connection.execute(
        text(
            "update totp_factor set last_step = :step, confirmed_at = coalesce(confirmed_at, :at) where user_id = :user"
        ),
        {"user": user_id, "step": step, "at": confirmed_at},
    )


async def delete_totp(connection: AsyncConnection, user_id: UserId) -> bool:
    gone = await connection.execute(text("delete from totp_factor where user_id = :user"), {"user": user_id})
    return gone.rowcount == 1


async def replace_recovery_codes(
    connection: AsyncConnection, user_id: UserId, *, hashes: list[bytes], now: datetime
) -> None:
    await delete_recovery_codes(connection, user_id)
    for code_hash in hashes:
        await connection.execute(
            text("insert into recovery_code (user_id, code_hash, created_at) values (:user, :hash, :now)"),
            {"user": user_id, "hash": code_hash, "now": now},
        )


async def delete_recovery_codes(connection: AsyncConnection, user_id: UserId) -> None:
    await connection.execute(text("delete from recovery_code where user_id = :user"), {"user": user_id})


async def use_recovery_code(connection: AsyncConnection, user_id: UserId, *, code_hash: bytes, now: datetime) -> bool:
    """Return True for the one caller who uses a code."""
    used = await connection.execute(
        text("update recovery_code set used_at = :now where user_id = :user and code_hash = :hash and used_at is null"),
        {"user": user_id, "hash": code_hash, "now": now},
    )
    return used.rowcount == 1


async def count_recovery_codes(connection: AsyncConnection, user_id: UserId) -> int:
    found = await connection.execute(
        text("select count(*) from recovery_code where user_id = :user and used_at is null"), {"user": user_id}
    )
    return int(found.scalar_one())


async def insert_passkey(connection: AsyncConnection, user_id: UserId, passkey: Passkey) -> None:
    await connection.execute(
        text(
            "insert into passkey (user_id, credential_id, public_key, sign_count, name, created_at) "
            "values (:user, :id, :key, :count, :name, :at)"
        ),
        {
            "user": user_id,
            "id": passkey.credential_id,
            "key": passkey.public_key,
            "count": passkey.sign_count,
            "name": passkey.name,
            "at": passkey.created_at,
        },
    )


async def lock_passkey(connection: AsyncConnection, user_id: UserId, credential_id: bytes) -> Passkey | None:
    rows = await connection.execute(
        text(_PASSKEYS + " and credential_id = :id for update"), {"user": user_id, "id": credential_id}
    )
    row = rows.one_or_none()
    return None if row is None else _passkey(row)


async def list_passkeys(connection: AsyncConnection, user_id: UserId) -> list[Passkey]:
    rows = await connection.execute(text(_PASSKEYS + " order by created_at"), {"user": user_id})
    return [_passkey(row) for row in rows]


async def use_passkey(
    connection: AsyncConnection, user_id: UserId, credential_id: bytes, *, sign_count: int, now: datetime
) -> None:
    await connection.execute(
        text(
            "update passkey set sign_count = :count, last_used_at = :now where user_id = :user and credential_id = :id"
        ),
        {"user": user_id, "id": credential_id, "count": sign_count, "now": now},
    )


async def delete_passkey(connection: AsyncConnection, user_id: UserId, credential_id: bytes) -> str | None:
    """Return the name of the passkey that is gone, None where there was none."""
    gone = await connection.execute(
        text("delete from passkey where user_id = :user and credential_id = :id returning name"),
        {"user": user_id, "id": credential_id},
    )
    name: str | None = gone.scalar_one_or_none()
    return name


async def insert_wallet(
    connection: AsyncConnection, user_id: UserId, *, linking_key: bytes, name: str, now: datetime
) -> bool:
    """Link a wallet; False where its key is linked already, to whomever."""
    stored = await connection.execute(
        text(
            "insert into wallet_key (user_id, linking_key, name, created_at) values (:user, :key, :name, :now) "
            "on conflict do nothing"
        ),
        {"user": user_id, "key": linking_key, "name": name, "now": now},
    )
    return stored.rowcount == 1


async def find_owner_of_wallet(connection: AsyncConnection, linking_key: bytes) -> UserId | None:
    found = await connection.execute(text("select axisor_owner_of_wallet(:key)"), {"key": linking_key})
    owner = found.scalar_one_or_none()
    return None if owner is None else UserId(str(owner))


async def list_wallets(connection: AsyncConnection, user_id: UserId) -> list[WalletKey]:
    rows = await connection.execute(
        text(
            "select linking_key, name, created_at, last_used_at from wallet_key where user_id = :user order by "
            "created_at"
        ),
        {"user": user_id},
    )
    return [
        WalletKey(
            linking_key=bytes(row.linking_key), name=row.name, created_at=row.created_at, last_used_at=row.last_used_at
        )
        for row in rows
    ]


async def use_wallet(connection: AsyncConnection, user_id: UserId, linking_key: bytes, *, now: datetime) -> None:
    await connection.execute(
        text("update wallet_key set last_used_at = :now where user_id = :user and linking_key = :key"),
        {"user": user_id, "key": linking_key, "now": now},
    )


async def delete_wallet(connection: AsyncConnection, user_id: UserId, linking_key: bytes) -> str | None:
    """Return the name of the wallet that is unlinked, None where there was none."""
    gone = await connection.execute(
        text("delete from wallet_key where user_id = :user and linking_key = :key returning name"),
        {"user": user_id, "key": linking_key},
    )
    name: str | None = gone.scalar_one_or_none()
    return name


_PASSKEYS = (
    "select credential_id, public_key, sign_count, name, created_at, last_used_at from passkey where user_id = :user"
)


def _passkey(row: object) -> Passkey:
    values = dict(row._mapping)  # type: ignore[attr-defined] # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
    return Passkey(
        **{**values, "credential_id": bytes(values["credential_id"]), "public_key": bytes(values["public_key"])}
    )
