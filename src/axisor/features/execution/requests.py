"""Commands that people asked for: rows that the owner of the account carries out once."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId


class Wish(StrEnum):
    """What a person may ask for beside the commands of the exchange."""

    DRILL = "drill"
    CHECK = "check"
    FUND = "fund"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """What a person asked for, not yet carried out."""

    exchange_account_id: ExchangeAccountId
    request_id: str
    trade_id: TradeId
    command: str
    arguments: dict[str, Any]
    expires_at: datetime


async def list_due_requests(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId
) -> list[CommandRequest]:
    """Return the requests of an account that nobody has taken yet, oldest first."""
    rows = await connection.execute(
        text(
            "select * from command_request where exchange_account_id = :account and status = 'requested' "
            "order by created_at, request_id"
        ),
        {"account": exchange_account_id},
    )
    return [
        CommandRequest(
            exchange_account_id=exchange_account_id,
            request_id=str(row.request_id),
            trade_id=TradeId(str(row.position_id)),
            command=row.command,
            arguments=row.arguments,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


async def settle_request(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    request_id: str,
    *,
    status: str,
    detail: str | None,
    at: datetime,
) -> None:
    """Store what became of a request; an unknown outcome is not an end, and late evidence corrects one."""
    await connection.execute(
        text(
            "update command_request set status = :status, detail = :detail, "
            "settled_at = case when :status in ('sent', 'unknown') then null else cast(:at as timestamptz) end "
            "where exchange_account_id = :account and request_id = :request "
            "and (status in ('requested', 'sent', 'unknown') "
            "or (:status = 'confirmed' and status in ('not_applied', 'refused')))"
        ),
        {"status": status, "detail": detail, "at": at, "account": exchange_account_id, "request": request_id},
    )
