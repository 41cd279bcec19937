"""A copy of everything that is stored of a person, without secrets and without what cannot be read by anybody."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from axisor.domain.units import UserId
from axisor.infra.db.session import Database

MOST_ROWS: Final = 50_000

HIDDEN: Final = frozenset(
    {
        "password_hash",
        "token_hash",
        "link_hash",
        "code_hash",
        "sealed",
        "public_key",
        "wrapped_key",
        "ciphertext",
        "previous_hash",
        "hash",
    }
)
"""Columns that hold secrets, or hashes of them."""

EXPORTED: Final = (
    "device_session",
    "passkey",
    "wallet_key",
    "api_token",
    "notification",
    "audit_event",
    "exchange_account",
    "rule",
    "rule_version",
    "position",
    "intent",
    "attempt",
    "decision",
    "spending_stop",
    "command_request",
)
"""Tables of which the rows of one person are told; row-level security chooses them."""


async def read_personal_data(database: Database, user_id: UserId) -> Mapping[str, Any]:
    """Return the rows of a person by table, the newest 50,000 of each, and the person themselves."""
    data: dict[str, Any] = {}
    async with database.transaction(user_id=user_id) as connection:
        person = await connection.execute(
            text("select to_jsonb(u) - cast(:hidden as text[]) as row from app_user u where user_id = :user"),
            {"user": user_id, "hidden": list(HIDDEN)},
        )
        data["person"] = person.scalar_one()
        for table in EXPORTED:
            rows = await connection.execute(
                text(f"select to_jsonb(t) - cast(:hidden as text[]) as row from {table} t limit :most"),  # noqa: S608 - a constant
                {"hidden": list(HIDDEN), "most": MOST_ROWS},
            )
            data[table] = list(rows.scalars())
    return data
