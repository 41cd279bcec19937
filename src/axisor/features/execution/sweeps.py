"""Requests that nobody took: handed over again, and given up when their time has passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record

HAND_OVER_AGAIN_AFTER: Final = timedelta(seconds=2)
SWEEP_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    exchange_account_id: ExchangeAccountId
    request_id: str


async def list_waiting_requests(connection: AsyncConnection, *, now: datetime) -> Sequence[WaitingRequest]:
    """Return the requests that are still good and that nobody has taken for 2 s, oldest first."""
    rows = await connection.execute(
        text(
            "select exchange_account_id, request_id from command_request where status = 'requested' "
            "and created_at < :before and expires_at > :now order by created_at limit :batch"
        ),
        {"before": now - HAND_OVER_AGAIN_AFTER, "now": now, "batch": SWEEP_BATCH},
    )
    return [WaitingRequest(ExchangeAccountId(str(row.exchange_account_id)), str(row.request_id)) for row in rows]


async def expire_requests(connection: AsyncConnection, *, now: datetime) -> list[ExchangeAccountId]:
    """Give up the requests whose time has passed, tell their people, and return whose accounts they are.

    A request that the monitor takes at the same moment is not given up: its row is no longer `requested`.
    """
    rows = await connection.execute(
        text(
            "update command_request r set status = 'expired', settled_at = :now, detail = 'nobody_took_it' "
            "where status = 'requested' and expires_at <= :now returning r.user_id, r.exchange_account_id, "
            "r.position_id, r.command, (select client_id from position p where p.exchange_account_id = "
            "r.exchange_account_id and p.position_id = r.position_id) as label"
        ),
        {"now": now},
    )
    expired = rows.all()
    for row in expired:
        await record(
            connection,
            Activity(
                user_id=UserId(str(row.user_id)),
                at=now,
                kind=ActivityKind.REQUEST_SETTLED,
                severity=Severity.CAUTION,
                data={"command": row.command, "status": "expired", "label": row.label},
                exchange_account_id=ExchangeAccountId(str(row.exchange_account_id)),
                trade_id=TradeId(str(row.position_id)),
            ),
        )
    return sorted({ExchangeAccountId(str(row.exchange_account_id)) for row in expired})


async def list_unsealed_accounts(connection: AsyncConnection) -> list[ExchangeAccountId]:
    """Return the accounts that have decisions outside their chain."""
    rows = await connection.execute(
        text("select distinct exchange_account_id from decision where seq is null limit :batch"),
        {"batch": SWEEP_BATCH},
    )
    return [ExchangeAccountId(str(row.exchange_account_id)) for row in rows]
