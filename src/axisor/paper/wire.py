"""The exchange's JSON: the superset of the members that its official SDKs read."""

from fractions import Fraction
from typing import Any, Final

from axisor.domain.trades import PositionSide, PriceLevel, TradeStatus
from axisor.domain.units import Price
from axisor.paper.candles import Bar
from axisor.paper.clock import iso, iso_or_none
from axisor.paper.events import DepositHappened, TradeEventKind, TradeHappened
from axisor.paper.records import Account, FundingFeeRow, PaperTrade
from axisor.paper.store import Settlement

PAIR: Final = "btc_usd"
EXCHANGE_WEIGHTS: Final = {"bybit": 0.3, "binance": 0.4, "okx": 0.3}
SIDES: Final = {PositionSide.LONG: "buy", PositionSide.SHORT: "sell"}


def price_number(price: Price | int) -> int | float:
    """Return a price in USD as a JSON number: whole where it is whole, else ending in .5."""
    dollars, half = divmod(price, 2)
    return dollars + 0.5 if half else dollars


def optional_price(price: Price | None) -> int | float | None:
    return None if price is None else price_number(price)


def ratio_number(value: Fraction) -> int | float:
    """Return a ratio as the JSON number a double would hold."""
    return value.numerator if value.denominator == 1 else float(value)


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


def account(record: Account) -> dict[str, Any]:
    return {
        "id": record.account_id,
        "username": record.username,
        "email": None,
        "balance": record.balance_sats,
        "syntheticUsdBalance": 0,
        "feeTier": record.fee_tier,
        "linkingPublicKey": None,
    }


def level(record: PriceLevel) -> dict[str, Any]:
    """Return one step of the ladder; a side without a quote is left out."""
    step: dict[str, Any] = {"minSize": record.min_size_usd, "maxSize": record.max_size_usd}
    if record.ask_price is not None:
        step["askPrice"] = price_number(record.ask_price)
    if record.bid_price is not None:
        step["bidPrice"] = price_number(record.bid_price)
    return step


def candle(bar: Bar) -> dict[str, Any]:
    return {"time": iso(bar.start_ms), **_ohlc(bar)}


def stream_candle(bar: Bar) -> dict[str, Any]:
    return {"time": bar.start_ms, **_ohlc(bar)}


def _ohlc(bar: Bar) -> dict[str, Any]:
    return {
        "open": price_number(bar.open),
        "high": price_number(bar.high),
        "low": price_number(bar.low),
        "close": price_number(bar.close),
        "volume": bar.volume,
    }


def funding_fee(row: FundingFeeRow) -> dict[str, Any]:
    return {
        "fee": row.fee_sats,
        "settlementId": row.settlement_id,
        "time": iso(row.at_ms),
        "tradeId": row.trade_id,
    }


def settlement(record: Settlement) -> dict[str, Any]:
    return {
        "id": record.settlement_id,
        "time": iso(record.at_ms),
        "fundingRate": float(record.rate),
        "fixingPrice": price_number(record.fixing_price),
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


def deposit_event(event: DepositHappened) -> dict[str, Any]:
    return {
        "currency": "btc",
        "network": "lightning",
        "id": event.deposit_id,
        "amount": event.amount_sats,
        "balance": event.balance_sats,
        "status": "settled",
        "txId": "",
    }
