"""The cross position of an account as last read; an older reading never takes the place of a newer one."""

from dataclasses import dataclass, fields
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.units import ExchangeAccountId, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCross:
    """The position with its age, and its distance to liquidation when the guard of it began."""

    position: CrossPositionFact
    full_room: Fraction | None
    guarded_since: datetime | None
    """When the guard of it began: what was spent under its id before is no matter of its limits."""
    requested_at: datetime


_FIELDS: Final = tuple(field.name for field in fields(CrossPositionFact) if field.name != "updated_at")
_COLUMNS: Final = ("stated_at", "full_room", "guarded_since", "requested_at", *_FIELDS)
_SAVE: Final = text(
    f"insert into cross_position (exchange_account_id, {', '.join(_COLUMNS)}) "  # noqa: S608 - constants of this file
    f"values (:account, {', '.join(':' + name for name in _COLUMNS)}) on conflict (exchange_account_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
    + " where cross_position.requested_at <= excluded.requested_at"
)
_FIND: Final = text("select * from cross_position where exchange_account_id = :account")


async def save_cross(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, stored: StoredCross) -> None:
    """Store what the exchange said of the cross position."""
    position = stored.position
    await connection.execute(
        _SAVE,
        {
            "account": exchange_account_id,
            "stated_at": position.updated_at,
            "full_room": None if stored.full_room is None else str(stored.full_room),
            "guarded_since": stored.guarded_since,
            "requested_at": stored.requested_at,
            **{name: getattr(position, name) for name in _FIELDS},
        },
    )


async def find_cross(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> StoredCross | None:
    """Return the cross position as last read, None where it was never read."""
    found = await connection.execute(_FIND, {"account": exchange_account_id})
    row = found.mappings().one_or_none()
    if row is None:
        return None
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["position_id"] = str(values["position_id"])
    for name in ("entry_price", "liquidation_price"):
        values[name] = None if values[name] is None else Price(values[name])
    return StoredCross(
        position=CrossPositionFact(**values, updated_at=row["stated_at"]),
        full_room=None if row["full_room"] is None else Fraction(row["full_room"]),
        guarded_since=row["guarded_since"],
        requested_at=row["requested_at"],
    )
