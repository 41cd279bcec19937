"""The cross position and its orders on the wire."""

from typing import Any

from axisor.paper.clock import iso, iso_or_none
from axisor.paper.events import CrossOrderHappened, CrossPositionHappened
from axisor.paper.records import CrossFundingFeeRow, CrossOrder, CrossOrderStatus, CrossTransfer, CrossView
from axisor.paper.wire.numbers import PAIR, SIDES, optional_price, price_number


def order(record: CrossOrder) -> dict[str, Any]:
    """Return an order as every cross endpoint states it."""
    return {
        "id": record.order_id,
        "uid": record.account_id,
        "type": str(record.order_type),
        "side": SIDES[record.side],
        "quantity": record.quantity_usd,
        "price": price_number(record.price),
        "tradingFee": record.trading_fee_sats,
        "createdAt": iso(record.created_at_ms),
        "filledAt": iso_or_none(record.filled_at_ms),
        "canceledAt": iso_or_none(record.canceled_at_ms),
        "open": record.status is CrossOrderStatus.OPEN,
        "filled": record.status is CrossOrderStatus.FILLED,
        "canceled": record.status is CrossOrderStatus.CANCELED,
        "clientId": record.client_id,
    }


def position(view: CrossView) -> dict[str, Any]:
    """Return the position as every cross endpoint states it; without a position prices are null."""
    return {
        "id": view.position_id,
        "uid": view.account_id,
        **_figures(view),
        "updatedAt": iso(view.updated_at_ms),
    }


def transfer(row: CrossTransfer, *, account_id: str) -> dict[str, Any]:
    return {"id": row.transfer_id, "uid": account_id, "time": iso(row.at_ms), "amount": row.amount_sats}


def funding_fee(row: CrossFundingFeeRow) -> dict[str, Any]:
    return {"fee": row.fee_sats, "settlementId": row.settlement_id, "time": iso(row.at_ms), "tradeId": None}


def order_event(event: CrossOrderHappened) -> dict[str, Any]:
    """Return the payload of the topic `cross/orders`."""
    record = event.order
    members: dict[str, Any] = {
        "id": record.order_id,
        "side": SIDES[record.side],
        "type": str(record.order_type),
        "quantity": record.quantity_usd,
        "price": price_number(record.price),
        "clientId": record.client_id,
        "createdAt": record.created_at_ms,
    }
    match record.status:
        case CrossOrderStatus.OPEN:
            members["tradingFee"] = record.trading_fee_sats
        case CrossOrderStatus.FILLED:
            members |= {"tradingFee": record.trading_fee_sats, "filledAt": record.filled_at_ms}
        case CrossOrderStatus.CANCELED:
            members["canceledAt"] = record.canceled_at_ms
    return {"pair": PAIR, "event": str(event.kind), "order": members}


def position_event(event: CrossPositionHappened) -> dict[str, Any]:
    """Return the payload of the topic `cross/position`."""
    view = event.position
    members = {**_figures(view), "updatedAt": view.updated_at_ms}
    return {"pair": PAIR, "event": str(event.kind), "position": members}


def _figures(view: CrossView) -> dict[str, Any]:
    return {
        "quantity": view.quantity_usd,
        "leverage": view.leverage,
        "margin": view.margin_sats,
        "entryPrice": optional_price(view.entry_price),
        "liquidation": optional_price(view.liquidation_price),
        "runningMargin": view.running_margin_sats,
        "initialMargin": view.initial_margin_sats,
        "maintenanceMargin": view.maintenance_margin_sats,
        "tradingFees": view.trading_fees_sats,
        "fundingFees": view.funding_fees_sats,
        "totalPl": view.total_pl_sats,
        "deltaPl": view.delta_pl_sats,
    }
