"""SQL of exchange accounts and their sealed keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, UserId
from axisor.ports.credentials import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAccount:
    """A set of venue keys of a person. `compares_with` names the account without a guard that this one mirrors."""

    user_id: UserId
    exchange_account_id: ExchangeAccountId
    name: str
    network: Network
    is_guarded: bool
    is_armed: bool
    compares_with: ExchangeAccountId | None
    balance_sats: int | None
    fee_tier: int | None
    balance_read_at: datetime | None
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCredential:
    exchange_account_id: ExchangeAccountId
    wrapped_key: bytes
    ciphertext: bytes
    master_key_id: str


_ACCOUNT: Final = (
    "select user_id, exchange_account_id, name, network, is_guarded, is_armed, compares_with, balance_sats, "
    "fee_tier, balance_read_at, created_at, archived_at from exchange_account"
)


async def insert_account(connection: AsyncConnection, account: ExchangeAccount) -> None:
    await connection.execute(
        text(
            "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded, is_armed, "
            "compares_with, created_at) values (:user, :account, :name, :network, :guarded, :armed, :compares, :at)"
        ),
        {
            "user": account.user_id,
            "account": account.exchange_account_id,
            "name": account.name,
            "network": account.network.value,
            "guarded": account.is_guarded,
            "armed": account.is_armed,
            "compares": account.compares_with,
            "at": account.created_at,
        },
    )


async def insert_credential(connection: AsyncConnection, sealed: SealedCredential, *, at: datetime) -> None:
    await connection.execute(
        text(
            "insert into exchange_credential (exchange_account_id, wrapped_key, ciphertext, master_key_id, created_at) "
            "values (:account, :wrapped, :ciphertext, :key_id, :at)"
        ),
        {
            "account": sealed.exchange_account_id,
            "wrapped": sealed.wrapped_key,
            "ciphertext": sealed.ciphertext,
            "key_id": sealed.master_key_id,
            "at": at,
        },
    )


async def find_credential(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId
) -> SealedCredential | None:
    rows = await connection.execute(
        text(
            "select exchange_account_id, wrapped_key, ciphertext, master_key_id from exchange_credential "
            "where exchange_account_id = :account"
        ),
        {"account": exchange_account_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _sealed(row)


async def list_credentials_of_key(connection: AsyncConnection, master_key_id: str) -> list[SealedCredential]:
    """Return what a master key sealed, locked for this transaction."""
    rows = await connection.execute(
        text(
            "select exchange_account_id, wrapped_key, ciphertext, master_key_id from exchange_credential "
            "where master_key_id = :key_id order by exchange_account_id for update"
        ),
        {"key_id": master_key_id},
    )
    return [_sealed(row) for row in rows.mappings()]


async def replace_wrapped_key(connection: AsyncConnection, sealed: SealedCredential) -> None:
    await connection.execute(
        text(
            "update exchange_credential set wrapped_key = :wrapped, master_key_id = :key_id "
            "where exchange_account_id = :account"
        ),
        {
            "wrapped": sealed.wrapped_key,
            "key_id": sealed.master_key_id,
            "account": sealed.exchange_account_id,
        },
    )


async def list_master_key_ids(connection: AsyncConnection) -> list[str]:
    """Return the ids of all master keys that sealed something."""
    rows = await connection.execute(text("select distinct master_key_id from exchange_credential order by 1"))
    return [str(row.master_key_id) for row in rows]


async def find_account(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> ExchangeAccount | None:
    rows = await connection.execute(
        text(f"{_ACCOUNT} where exchange_account_id = :account"), {"account": exchange_account_id}
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _account(row)


async def list_accounts(connection: AsyncConnection, *, user_id: UserId | None = None) -> list[ExchangeAccount]:
    """Return the accounts that are not archived, guarded ones first; of one person, or of all."""
    condition = "archived_at is null" + ("" if user_id is None else " and user_id = :user")
    rows = await connection.execute(
        text(f"{_ACCOUNT} where {condition} order by is_guarded desc, created_at, exchange_account_id"),
        {} if user_id is None else {"user": user_id},
    )
    return [_account(row) for row in rows.mappings()]


async def save_balance(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    *,
    balance_sats: int,
    fee_tier: int,
    requested_at: datetime,
) -> bool:
    """Store a reading of the balance; return False where a newer one is stored."""
    result = await connection.execute(
        text(
            "update exchange_account set balance_sats = :balance, fee_tier = :tier, balance_read_at = :at "
            "where exchange_account_id = :account and (balance_read_at is null or balance_read_at <= :at)"
        ),
        {"balance": balance_sats, "tier": fee_tier, "at": requested_at, "account": exchange_account_id},
    )
    return result.rowcount == 1


async def archive_account(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, at: datetime) -> None:
    await connection.execute(
        text(
            "update exchange_account set archived_at = :at where exchange_account_id = :account and archived_at is null"
        ),
        {"at": at, "account": exchange_account_id},
    )


def _account(row: Any) -> ExchangeAccount:
    return ExchangeAccount(
        user_id=UserId(str(row["user_id"])),
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        name=row["name"],
        network=Network(row["network"]),
        is_guarded=row["is_guarded"],
        is_armed=row["is_armed"],
        compares_with=None if row["compares_with"] is None else ExchangeAccountId(str(row["compares_with"])),
        balance_sats=row["balance_sats"],
        fee_tier=row["fee_tier"],
        balance_read_at=row["balance_read_at"],
        created_at=row["created_at"],
        archived_at=row["archived_at"],
    )


def _sealed(row: Any) -> SealedCredential:
    return SealedCredential(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        wrapped_key=bytes(row["wrapped_key"]),
        ciphertext=bytes(row["ciphertext"]),
        master_key_id=row["master_key_id"],
    )
