"""What a trade is worth to its owner, guarded or not.

In the examples `a_running_trade` is a long as the exchange would state it, its fee reserve and liquidation price
computed from the figures given.
"""

from fractions import Fraction

from axisor.domain.errors import TradeNotRunning
from axisor.domain.fees import trading_fee_sats
from axisor.domain.pnl import pnl_sats
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import Price


def closing_value_sats(*, trade: Trade, exit_price: Price, fee_rate: Fraction, last_price: Price | None = None) -> int:
    """Return the sats that a running trade would give back if it were closed at a price.

    max(0, margin + fee reserve + P&L − closing fee); 0 once the price that liquidates is at or beyond the liquidation
    price. P&L counts from the trade's present reference price, rounded as the exchange does.

    Args:
        last_price: What liquidates, where a trade would be closed at a quote: a wide spread alone ends no trade, and
            what the fee reserve still holds comes back. None: the exit price itself.

    Raises:
        TradeNotRunning: the trade is not running.

    >>> trade = a_running_trade(quantity_usd=1000, price=Price(200_000), margin_sats=100_000)
    >>> closing_value_sats(trade=trade, exit_price=Price(210_000), fee_rate=Fraction(1, 1000))
    147767
    """
    if trade.status is not TradeStatus.RUNNING:
        raise TradeNotRunning(f"trade {trade.trade_id} is {trade.status}", trade_id=trade.trade_id)
    if _is_at_or_beyond_liquidation(trade, exit_price if last_price is None else last_price):
        return 0
    return sats_of_close(trade=trade, exit_price=exit_price, fee_rate=fee_rate)


def sats_of_close(*, trade: Trade, exit_price: Price, fee_rate: Fraction) -> int:
    """Return the sats that come back from a running trade which is closed at a price, wherever that price lies.

    max(0, margin + fee reserve + P&L − closing fee).

    >>> trade = a_running_trade(quantity_usd=1000, price=Price(200_000), margin_sats=100_000)
    >>> sats_of_close(trade=trade, exit_price=Price(210_000), fee_rate=Fraction(1, 1000))
    147767
    """
    profit_sats = pnl_sats(
        side=trade.side, quantity_usd=trade.quantity_usd, entry_price=trade.price, exit_price=exit_price
    )
    fee_sats = trading_fee_sats(quantity_usd=trade.quantity_usd, price=exit_price, rate=fee_rate)
    return max(0, trade.margin_sats + trade.maintenance_margin_sats + profit_sats - fee_sats)


def returned_sats(
    trade: Trade,
    *,
    exit_price: Price,
    fee_rate: Fraction,
    credited_funding_sats: int,
    was_liquidated: bool | None,
    last_price: Price | None = None,
) -> int:
    """Return all sats that a trade has given back or would give back now: value, cash-ins, funding credited.

    A running trade counts with its value when closed at `exit_price` while `last_price` stands; a closed one with
    margin + what is left of the fee reserve + P&L, 0 if it was liquidated. Where that is unknown (None), an exit at or
    beyond the liquidation price counts as a liquidation.

    Raises:
        TradeNotRunning: the trade never ran.

    >>> trade = a_running_trade(
    ...     quantity_usd=1000, price=Price(200_000), entry_margin_sats=100_000, margin_sats=60_000,
    ...     sum_cash_in_margin_sats=40_000,
    ... )
    >>> returned_sats(
    ...     trade, exit_price=Price(210_000), fee_rate=Fraction(1, 1000), credited_funding_sats=0, was_liquidated=None
    ... )
    147767
    """
    if trade.status in {TradeStatus.OPEN, TradeStatus.CANCELED}:
        raise TradeNotRunning(f"trade {trade.trade_id} is {trade.status}", trade_id=trade.trade_id)
    cashed_in_sats = trade.sum_cash_in_pnl_sats + trade.sum_cash_in_margin_sats
    if trade.status is TradeStatus.RUNNING:
        value_sats = closing_value_sats(trade=trade, exit_price=exit_price, fee_rate=fee_rate, last_price=last_price)
    elif _counts_as_liquidated(trade, was_liquidated):
        value_sats = 0
    else:
        value_sats = max(0, trade.margin_sats + trade.maintenance_margin_sats + trade.pnl_sats)
    return value_sats + cashed_in_sats + credited_funding_sats


def kept_sats(*, guarded_value_sats: int, added_sats: int, unguarded_value_sats: int) -> int:
    """Return the sats that guarding kept against leaving the same trade alone; negative where it cost.

    (guarded value − sats added) − unguarded value.

    >>> kept_sats(guarded_value_sats=208_000, added_sats=208_000, unguarded_value_sats=0)
    0
    """
    return guarded_value_sats - added_sats - unguarded_value_sats


def _counts_as_liquidated(trade: Trade, was_liquidated: bool | None) -> bool:
    if was_liquidated is not None:
        return was_liquidated
    return trade.exit_price is not None and _is_at_or_beyond_liquidation(trade, trade.exit_price)


def _is_at_or_beyond_liquidation(trade: Trade, price: Price) -> bool:
    return trade.side.sign * (price - trade.liquidation_price) <= 0
