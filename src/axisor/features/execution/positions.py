"""Positions as last seen: newer readings win, and closed is final."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.trades import CloseReason, OrderType, PositionSide, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, TradeId

type FactsSource = Literal["reading", "answer", "event", "sync"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPosition:
    """A trade as PostgreSQL holds it, with the age and origin of its facts."""

    exchange_account_id: ExchangeAccountId
    trade: Trade
    funding_paid_sats: int | None
    close_reason: CloseReason | None
    own_stop_price: Price | None
    requested_at: datetime
    source: str


_COLUMNS: Final = (
    "side", "order_type", "status", "client_id", "quantity_usd", "margin_sats", "leverage", "price", "entry_price",
    "entry_margin_sats", "liquidation_price", "stop_loss_price", "take_profit_price", "trailing_distance",
    "exit_price", "opening_fee_sats", "closing_fee_sats", "maintenance_margin_sats", "pnl_sats",
    "sum_funding_fees_sats", "sum_cash_in_pnl_sats", "sum_cash_in_margin_sats", "created_at", "filled_at", "closed_at",
)  # fmt: skip

_UPSERT: Final = text(
    f"""
    insert into position (
        exchange_account_id, position_id, kind, requested_at, source, funding_paid_sats, close_reason, own_stop_price,
        {", ".join(_COLUMNS)}
    ) values (
        :exchange_account_id, :position_id, 'trade', :requested_at, :source, :funding_paid_sats, :close_reason,
        :own_stop_price, {", ".join(":" + column for column in _COLUMNS)}
    )
    on conflict (exchange_account_id, position_id) do update set
        {", ".join(f"{column} = excluded.{column}" for column in _COLUMNS)},
        requested_at = excluded.requested_at, source = excluded.source, updated_at = now(),
        funding_paid_sats = coalesce(excluded.funding_paid_sats, position.funding_paid_sats),
        close_reason = coalesce(excluded.close_reason, position.close_reason),
        own_stop_price = coalesce(excluded.own_stop_price, position.own_stop_price)
    where position.requested_at <= excluded.requested_at
      and (position.status not in ('closed', 'canceled') or excluded.status = position.status)
    """  # noqa: S608 - the columns are a constant of this file
)


async def save_facts(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade: Trade,
    *,
    requested_at: datetime,
    source: FactsSource,
    funding_paid_sats: int | None = None,
    close_reason: CloseReason | None = None,
    own_stop_price: Price | None = None,
) -> bool:
    """Store what the exchange said of a trade; return False where something newer, or its end, is stored already.

    None for `funding_paid_sats`, `close_reason` or `own_stop_price` leaves what is known.
    """
    result = await connection.execute(
        _UPSERT,
        {
            "exchange_account_id": exchange_account_id,
            "position_id": trade.trade_id,
            "requested_at": requested_at,
            "source": source,
            "funding_paid_sats": funding_paid_sats,
            "close_reason": None if close_reason is None else close_reason.value,
            "own_stop_price": own_stop_price,
            **{column: _column_value(trade, column) for column in _COLUMNS},
        },
    )
    return result.rowcount == 1


async def set_close_reason(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId, reason: CloseReason
) -> None:
    """Store why a trade ended, as the stream said; a reason that is known already stays."""
    await connection.execute(
        text(
            "update position set close_reason = :reason, updated_at = now() where exchange_account_id = :account "
            "and position_id = :trade and (close_reason is null or close_reason = 'unknown')"
        ),
        {"reason": reason.value, "account": exchange_account_id, "trade": trade_id},
    )


async def list_positions(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    *,
    statuses: Iterable[TradeStatus] = tuple(TradeStatus),
) -> list[StoredPosition]:
    """Return the stored trades of an account in these states, oldest first."""
    rows = await connection.execute(
        text(
            "select * from position where exchange_account_id = :account and status = any(:statuses) "
            "order by created_at, position_id"
        ),
        {"account": exchange_account_id, "statuses": [status.value for status in statuses]},
    )
    return [parse_row(row) for row in rows.mappings()]


async def list_untold_ends(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, since: datetime
) -> list[StoredPosition]:
    """Return the trades that ended after `since`, under the account's eyes, and of whose end nobody was told."""
    rows = await connection.execute(
        text(
            """
            select p.* from position p join exchange_account a using (exchange_account_id)
            where p.exchange_account_id = :account and p.status = 'closed'
              and p.closed_at > greatest(a.created_at, :since)
              and not exists (
                  select from notification n where n.user_id = a.user_id and n.kind in ('trade_closed', 'reopened')
                  and n.exchange_account_id = p.exchange_account_id and n.position_id = p.position_id
              )
            order by p.closed_at
            """
        ),
        {"account": exchange_account_id, "since": since},
    )
    return [parse_row(row) for row in rows.mappings()]


async def find_position(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId
) -> StoredPosition | None:
    """Return one stored trade, or None."""
    rows = await connection.execute(
        text("select * from position where exchange_account_id = :account and position_id = :trade"),
        {"account": exchange_account_id, "trade": trade_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else parse_row(row)


def probable_close_reason(trade: Trade) -> CloseReason:
    """Return why a trade ended where only its figures tell; unknown where they do not."""
    if trade.exit_price is None:
        return CloseReason.UNKNOWN
    if trade.side.sign * (trade.exit_price - trade.liquidation_price) <= 0:
        return CloseReason.LIQUIDATION
    if trade.exit_price == trade.stop_loss_price:
        return CloseReason.STOP_LOSS
    if trade.exit_price == trade.take_profit_price:
        return CloseReason.TAKE_PROFIT
    return CloseReason.UNKNOWN


def _column_value(trade: Trade, column: str) -> Any:
    value = getattr(trade, column)
    return value.value if isinstance(value, PositionSide | OrderType | TradeStatus) else value


def parse_row(row: Any) -> StoredPosition:
    """Return the stored trade of a row of `position`."""
    return StoredPosition(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        funding_paid_sats=row["funding_paid_sats"],
        close_reason=None if row["close_reason"] is None else CloseReason(row["close_reason"]),
        own_stop_price=_price(row["own_stop_price"]),
        requested_at=row["requested_at"],
        source=row["source"],
        trade=Trade(
            trade_id=TradeId(str(row["position_id"])),
            side=PositionSide(row["side"]),
            order_type=OrderType(row["order_type"]),
            status=TradeStatus(row["status"]),
            quantity_usd=row["quantity_usd"],
            margin_sats=row["margin_sats"],
            leverage=Decimal(row["leverage"]),
            price=Price(row["price"]),
            liquidation_price=Price(row["liquidation_price"]),
            stop_loss_price=_price(row["stop_loss_price"]),
            take_profit_price=_price(row["take_profit_price"]),
            trailing_distance=row["trailing_distance"],
            entry_price=_price(row["entry_price"]),
            entry_margin_sats=row["entry_margin_sats"],
            exit_price=_price(row["exit_price"]),
            opening_fee_sats=row["opening_fee_sats"],
            closing_fee_sats=row["closing_fee_sats"],
            maintenance_margin_sats=row["maintenance_margin_sats"],
            pnl_sats=row["pnl_sats"],
            sum_funding_fees_sats=row["sum_funding_fees_sats"],
            sum_cash_in_pnl_sats=row["sum_cash_in_pnl_sats"],
            sum_cash_in_margin_sats=row["sum_cash_in_margin_sats"],
            created_at=row["created_at"],
            filled_at=row["filled_at"],
            closed_at=row["closed_at"],
            client_id=row["client_id"],
        ),
    )


def _price(value: int | None) -> Price | None:
    return None if value is None else Price(value)
