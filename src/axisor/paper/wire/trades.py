"""Isolated trades on the wire."""

from typing import Any

from axisor.domain.trades import TradeStatus
from axisor.paper.clock import iso, iso_or_none
from axisor.paper.events import TradeEventKind, TradeHappened
from axisor.paper.records import FundingFeeRow, PaperTrade
from axisor.paper.wire.numbers import PAIR, SIDES, optional_price, price_number, ratio_number


def trade(record: PaperTrade, *, pnl_sats: int) -> dict[str, Any]:
    """Return a trade as every isolated endpoint states it; `pnl_sats` is the present P&L of a running one."""
    status = record.status
    distance = record.trailing_distance
    return {
        "id": record.trade_id,
        "uid": record.account_id,
        "type": str(record.order_type),
        "side": SIDES[record.side],
        "quantity": record.quantity_usd,
        "margin": record.margin_sats,
        "leverage": ratio_number(record.leverage),
        "price": price_number(record.price),
        "liquidation": price_number(record.liquidation_price),
        "stoploss": price_number(record.stop_loss_price or 0),
        "stoplossTrailingDistance": 0 if distance is None else ratio_number(distance),
        "takeprofit": price_number(record.take_profit_price or 0),
        "openingFee": record.opening_fee_sats,
        "closingFee": record.closing_fee_sats,
        "maintenanceMargin": record.maintenance_margin_sats,
        "pl": pnl_sats if status is TradeStatus.RUNNING else record.pnl_sats,
        "entryPrice": price_number(record.entry_price),
        "entryMargin": record.entry_margin_sats,
        "exitPrice": optional_price(record.exit_price),
        "sumFundingFees": record.sum_funding_fees_sats,
        "sumCashInPl": record.sum_cash_in_pnl_sats,
        "sumCashInMargin": record.sum_cash_in_margin_sats,
        "createdAt": iso(record.created_at_ms),
        "filledAt": iso_or_none(record.filled_at_ms),
        "closedAt": iso_or_none(record.closed_at_ms),
        "open": status is TradeStatus.OPEN,
        "running": status is TradeStatus.RUNNING,
        "closed": status is TradeStatus.CLOSED,
        "canceled": status is TradeStatus.CANCELED,
        "clientId": record.client_id,
    }


def funding_fee(row: FundingFeeRow) -> dict[str, Any]:
    return {
        "fee": row.fee_sats,
        "settlementId": row.settlement_id,
        "time": iso(row.at_ms),
        "tradeId": row.trade_id,
    }


def trade_event(event: TradeHappened) -> dict[str, Any]:
    """Return the payload of the topic `isolated/trades`: each event has its own few members."""
    return {"pair": PAIR, "event": str(event.kind), "trade": _trade_event_members(event)}


def _trade_event_members(event: TradeHappened) -> dict[str, Any]:
    record = event.trade
    members: dict[str, Any] = {"id": record.trade_id, "clientId": record.client_id}
    match event.kind:
        case TradeEventKind.OPEN | TradeEventKind.FILLED:
            members |= {
                "side": SIDES[record.side],
                "type": str(record.order_type),
                "quantity": record.quantity_usd,
                "margin": record.margin_sats,
                "leverage": ratio_number(record.leverage),
                "price": price_number(record.price),
                "openingFee": record.opening_fee_sats,
                "createdAt": record.created_at_ms,
            }
        case TradeEventKind.FUNDING:
            members |= {
                "margin": record.margin_sats,
                "liquidationPrice": price_number(record.liquidation_price),
                "fundingFee": event.funding_fee_sats,
                "fundedAt": event.at_ms,
            }
        case TradeEventKind.CANCELED:
            members["closedAt"] = record.closed_at_ms
        case _:
            members |= {
                "closedAt": record.closed_at_ms,
                "closingFee": record.closing_fee_sats,
                "exitPrice": optional_price(record.exit_price),
            }
            if event.kind is not TradeEventKind.LIQUIDATION:
                members["pl"] = record.pnl_sats
    return members
