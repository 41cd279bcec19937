"""Trades and fees as the exchange would state them, their dependent figures computed from the ones given."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from axisor.domain.contract import RESERVE_FEE_RATE
from axisor.domain.fees import fee_reserve_sats, trading_fee_sats
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import leverage
from axisor.domain.trades import FundingFee, OrderType, PositionSide, Trade, TradeStatus
from axisor.domain.units import Price, TradeId

TRADE_ID = TradeId("0197f0aa-0000-7000-8000-000000000001")
ENTRY_PRICE = Price(124_000)
FILLED_AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def a_running_trade(
    *,
    side: PositionSide = PositionSide.LONG,
    quantity_usd: int = 6_200,
    price: Price = ENTRY_PRICE,
    margin_sats: int = 400_000,
    entry_margin_sats: int | None = None,
    **changes: Any,
) -> Trade:
    """Return a running trade; by default the 25x long of 6,200 USD at 62,000. `changes` replace any member."""
    entry_margin = margin_sats if entry_margin_sats is None else entry_margin_sats
    liquidation_at_entry = isolated_liquidation_price(
        side=side, quantity_usd=quantity_usd, price=price, collateral_sats=entry_margin
    )
    reserve = fee_reserve_sats(
        quantity_usd=quantity_usd, entry_price=price, initial_liquidation_price=liquidation_at_entry
    )
    opening_fee = trading_fee_sats(quantity_usd=quantity_usd, price=price, rate=RESERVE_FEE_RATE)
    trade = Trade(
        trade_id=TRADE_ID,
        side=side,
        order_type=OrderType.MARKET,
        status=TradeStatus.RUNNING,
        quantity_usd=quantity_usd,
        margin_sats=margin_sats,
        leverage=Decimal(str(float(leverage(quantity_usd=quantity_usd, price=price, margin_sats=margin_sats)))),
        price=price,
        liquidation_price=isolated_liquidation_price(
            side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin_sats
        ),
        stop_loss_price=None,
        take_profit_price=None,
        trailing_distance=None,
        entry_price=price,
        entry_margin_sats=entry_margin,
        exit_price=None,
        opening_fee_sats=opening_fee,
        closing_fee_sats=0,
        maintenance_margin_sats=reserve.total_sats - opening_fee,
        pnl_sats=0,
        sum_funding_fees_sats=0,
        sum_cash_in_pnl_sats=0,
        sum_cash_in_margin_sats=0,
        created_at=FILLED_AT,
        filled_at=FILLED_AT,
        closed_at=None,
        client_id=None,
    )
    return replace(trade, **changes)


def a_funding_fee(fee_sats: int, *, trade_id: TradeId | None = TRADE_ID) -> FundingFee:
    """Return one settled fee of the default trade; positive is paid."""
    return FundingFee(trade_id=trade_id, settlement_id="settlement", fee_sats=fee_sats, at=FILLED_AT)
