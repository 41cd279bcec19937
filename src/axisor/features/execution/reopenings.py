"""What the database knows of trades that were closed to be opened again, smaller."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId


async def find_decision_inputs(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, decision_id: str
) -> dict[str, Any] | None:
    """Return what a stored decision was made from, with the decision, or None."""
    rows = await connection.execute(
        text("select inputs from decision where exchange_account_id = :account and decision_id = :decision limit 1"),
        {"account": exchange_account_id, "decision": decision_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else row["inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A running trade that an intent of ours opened for another one."""

    trade_id: TradeId
    cause_key: str


async def list_opened_for_others(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[Opened]:
    """Return the running trades that rules opened in the place of others, oldest first."""
    rows = await connection.execute(
        text(
            "select p.position_id, i.cause_key from position p join intent i on "
            "i.exchange_account_id = p.exchange_account_id and i.intent_id::text = p.client_id "
            "where p.exchange_account_id = :account and p.status = 'running' and i.command = 'open_trade' "
            "and i.cause_kind = 'rule' order by i.created_at"
        ),
        {"account": exchange_account_id},
    )
    return [Opened(trade_id=TradeId(str(row.position_id)), cause_key=row.cause_key) for row in rows]
