"""Top-ups that took effect, and what became of them: read from the attempts, looked at again a day later."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.trades import TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, TradeId, UserId, usd_number
from axisor.features.execution.positions import StoredPosition, find_position
from axisor.features.margin_guard.follow_up import FollowUp, Note, Present, Rescue, follow_up
from axisor.features.margin_guard.record import CaseUnreadable, facts_of_record
from axisor.features.market_data.bars import MINUTE_S, Bar
from axisor.features.market_data.repository import list_bars_between
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.features.trading.repository import find_account
from axisor.features.trading.service import fee_rate_of
from axisor.ports.credentials import Network

log = structlog.get_logger(__name__)

LOOK_AGAIN_AFTER: Final = timedelta(hours=24)
LATEST: Final = timedelta(days=7)
"""A rescue that nobody could look at again for so long, with the platform switched off, is let go."""
_ACTIVITIES: Final = uuid.UUID("0f6b7d1e-7c55-4f0e-8d4b-6b1f0e6a92d3")
_APPLIED: Final = (
    "select a.exchange_account_id, i.decision_id, a.position_id, a.amount_sats, a.counter_before_sats, "
    "coalesce(a.settled_at, a.signed_at) as at, d.inputs "
    "from attempt a join intent i using (exchange_account_id, intent_id) "
    "join decision d on d.exchange_account_id = a.exchange_account_id and d.decision_id = i.decision_id "
    "and d.at between a.signed_at - interval '10 minutes' and a.signed_at + interval '10 minutes' "
    "where i.command = 'add_margin' and i.cause_kind = 'rule' and a.state in ('confirmed', 'late_confirmed') "
)
_OF_TRADE: Final = text(
    _APPLIED + "and a.exchange_account_id = :account and a.position_id = :trade order by at desc limit :limit"
)
_DUE: Final = text(
    _APPLIED + "and coalesce(a.settled_at, a.signed_at) between :latest and :due and not exists "
    "(select from rescue_follow_up f where f.exchange_account_id = a.exchange_account_id "
    "and f.decision_id = i.decision_id) order by at limit :limit"
)
_INSERT: Final = text(
    "insert into rescue_follow_up (exchange_account_id, decision_id, position_id, at, kept_sats, with_value_sats, "
    "without_value_sats, would_have_died, added_sats, note) values (:account, :decision, :trade, :at, :kept, :with, "
    ":without, :died, :added, :note) on conflict do nothing"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneRescue:
    """A rescue with where it belongs."""

    exchange_account_id: ExchangeAccountId
    trade_id: TradeId
    rescue: Rescue


async def list_rescues(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId, *, limit: int
) -> list[DoneRescue]:
    """Return the rescues of a trade, newest first."""
    keys = {"account": exchange_account_id, "trade": trade_id, "limit": limit}
    rows = await connection.execute(_OF_TRADE, keys)
    return [found for row in rows.mappings() if (found := _done(row)) is not None]


async def list_due(connection: AsyncConnection, *, now: datetime, limit: int) -> list[DoneRescue]:
    """Return the rescues that a day has passed since and nobody has looked at again, the oldest first."""
    rows = await connection.execute(_DUE, {"latest": now - LATEST, "due": now - LOOK_AGAIN_AFTER, "limit": limit})
    return [found for row in rows.mappings() if (found := _done(row)) is not None]


async def list_follow_ups(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId
) -> dict[str, FollowUp]:
    """Return what was found a day after each rescue of a trade, by its decision."""
    rows = await connection.execute(
        text("select * from rescue_follow_up where exchange_account_id = :account and position_id = :trade"),
        {"account": exchange_account_id, "trade": trade_id},
    )
    return {
        str(row["decision_id"]): FollowUp(
            at=row["at"],
            kept_sats=row["kept_sats"],
            with_value_sats=row["with_value_sats"],
            without_value_sats=row["without_value_sats"],
            would_have_died=row["would_have_died"],
            added_sats=row["added_sats"],
            note=None if row["note"] is None else Note(row["note"]),
        )
        for row in rows.mappings()
    }


async def look_again(connection: AsyncConnection, done: DoneRescue, *, now: datetime) -> FollowUp | None:
    """Write what a rescue kept or cost a day later and tell its owner, both or neither; None where the trade is gone.

    The figures are those of the instant a day after the rescue, or of the trade's end before it.
    """
    position = await find_position(connection, done.exchange_account_id, done.trade_id)
    account = await find_account(connection, done.exchange_account_id)
    if position is None or account is None:
        return None
    at = min(now, done.rescue.at + LOOK_AGAIN_AFTER)
    bars = await read_bars(connection, Network(account.network), done.rescue, position, until=at)
    found = follow_up(
        done.rescue,
        Present(
            trade=position.trade,
            funding_paid_sats=position.funding_paid_sats,
            close_reason=position.close_reason,
            exit_price=bars[-1].close if bars else None,
            fee_rate=fee_rate_of(account.fee_tier),
        ),
        bars,
        at=end_of(position, at),
    )
    inserted = await connection.execute(
        _INSERT,
        {
            "account": done.exchange_account_id,
            "decision": done.rescue.decision_id,
            "trade": done.trade_id,
            "at": found.at,
            "kept": found.kept_sats,
            "with": found.with_value_sats,
            "without": found.without_value_sats,
            "died": found.would_have_died,
            "added": found.added_sats,
            "note": None if found.note is None else found.note.value,
        },
    )
    if inserted.rowcount == 1:
        await record(connection, _told(done, position, found, user_id=account.user_id, now=now))
    return found


async def read_bars(
    connection: AsyncConnection, network: Network, rescue: Rescue, position: StoredPosition, *, until: datetime
) -> list[Bar]:
    """Return the minutes from a rescue to an instant or the trade's end, oldest first.

    The rescue's own minute counts whole: the trade lived through its beginning with a nearer liquidation.
    """
    end = end_of(position, until)
    return await list_bars_between(connection, network, interval_s=MINUTE_S, since=rescue.at, until=end)


def end_of(position: StoredPosition, at: datetime) -> datetime:
    """Return an instant, or that of the trade's end where it ended before."""
    trade = position.trade
    return at if trade.status is not TradeStatus.CLOSED or trade.closed_at is None else min(at, trade.closed_at)


def _told(done: DoneRescue, position: StoredPosition, found: FollowUp, *, user_id: UserId, now: datetime) -> Activity:
    return Activity(
        activity_id=str(uuid.uuid5(_ACTIVITIES, f"{done.exchange_account_id}:{done.rescue.decision_id}")),
        user_id=user_id,
        at=now,
        kind=ActivityKind.RESCUE_FOLLOWED_UP,
        severity=Severity.INFO,
        data={
            "label": position.trade.client_id,
            "kept_sats": found.kept_sats,
            "cost_sats": None if found.kept_sats is None else max(0, -found.kept_sats),
            "added_sats": found.added_sats,
            "after_hours": int(LOOK_AGAIN_AFTER.total_seconds()) // 3600,
            "would_have_died": found.would_have_died,
            "price": usd_number(done.rescue.price),
            "note": None if found.note is None else found.note.value,
        },
        exchange_account_id=done.exchange_account_id,
        trade_id=done.trade_id,
        decision_id=done.rescue.decision_id,
    )


def _done(row: Mapping[Any, Any]) -> DoneRescue | None:
    try:
        facts = facts_of_record(row["inputs"])
    except CaseUnreadable:
        log.warning("rescue_unreadable", decision_id=str(row["decision_id"]))
        return None
    counter = row["counter_before_sats"]
    return DoneRescue(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        trade_id=TradeId(str(row["position_id"])),
        rescue=Rescue(
            decision_id=str(row["decision_id"]),
            at=row["at"],
            amount_sats=row["amount_sats"],
            price=Price(facts.trigger_price),
            before=facts.trade,
            counter_before_sats=0 if counter is None else counter,
        ),
    )
