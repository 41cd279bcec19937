"""The price at which a step is due and the one at which it is ready again: pure, in closed form.

Every form of trigger is resolved to one price on the exchange's tick, rounded to the tick that fires sooner (up for a
long, down for a short): a step acts no later than its owner wrote, and at most half a dollar before.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_PRICE, clamp_price
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.room import distance, price_at_distance
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.margin_guard.steps import AtConsumed, AtDistance, AtMarginRatio, AtPrice, Rung

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


def full_room(trade: Trade) -> Fraction:
    """Return the distance to liquidation at entry, the measure of every mark.

    Source: entry price and entry margin as the exchange keeps them; both survive top-ups, cash-ins and funding.
    """
    entry_price = trade.entry_price if trade.entry_price is not None else trade.price
    margin_sats = trade.entry_margin_sats if trade.entry_margin_sats is not None else trade.margin_sats
    liquidation = isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=entry_price, collateral_sats=margin_sats
    )
    return distance(side=trade.side, price=entry_price, liquidation_price=liquidation)


def measure_of(trade: Trade, *, cross_room: Fraction | None) -> Fraction:
    """Return full room: of a cross position what was kept when its guard began, of a trade what its entry says."""
    return full_room(trade) if cross_room is None else cross_room


def entry_room(trade: Trade) -> Fraction:
    """Return the distance to liquidation as it stands, at the entry price."""
    return distance(side=trade.side, price=trade.price, liquidation_price=trade.liquidation_price)


def with_margin(trade: Trade, margin_sats: int) -> Trade:
    """Return the trade with another margin and the liquidation price that follows from it."""
    liquidation = isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, collateral_sats=margin_sats
    )
    return replace(trade, margin_sats=margin_sats, liquidation_price=liquidation)


def mark_price(trade: Trade, *, share: Fraction, full: Fraction) -> Price:
    """Return the price at which room has fallen to `share` of full room, rounded to the tick that fires sooner."""
    return price_at_distance(side=trade.side, liquidation_price=trade.liquidation_price, distance=share * full)


def step_price(trade: Trade, rung: Rung, *, full: Fraction) -> Price:
    """Return the price at which a step is due on a trade as it stands, rounded to the tick that fires sooner."""
    match rung.trigger:
        case None:
            assert rung.room_share is not None
            return mark_price(trade, share=rung.room_share, full=full)
        case AtDistance(distance=wanted):
            return price_at_distance(side=trade.side, liquidation_price=trade.liquidation_price, distance=wanted)
        case AtPrice(price=price):
            return price
        case AtConsumed(share=share):
            return _sooner(trade.side, trade.price - share * (trade.price - trade.liquidation_price))
        case AtMarginRatio(ratio=ratio):
            return _price_at_margin_ratio(trade, ratio)


def ready_price(trade: Trade, rung: Rung, *, full: Fraction, rearm_share: Fraction) -> Price:
    """Return the price away from liquidation at which a used step is ready again.

    There the distance is `rearm_share` of full room larger than at the step's mark; rounded like the mark.
    """
    match rung.trigger:
        case None:
            assert rung.room_share is not None
            wanted = rung.room_share * full
        case AtDistance(distance=wanted):
            pass
        case _:
            mark = step_price(trade, rung, full=full)
            wanted = distance(side=trade.side, price=mark, liquidation_price=trade.liquidation_price)
    return price_at_distance(
        side=trade.side, liquidation_price=trade.liquidation_price, distance=wanted + rearm_share * full
    )


def is_ready_again(trade: Trade, rung: Rung, price: Price, *, full: Fraction, rearm_share: Fraction) -> bool:
    """Return whether a used step is ready again at a price: room has recovered far enough past its mark."""
    ready = ready_price(trade, rung, full=full, rearm_share=rearm_share)
    return trade.side.sign * (price - ready) >= 0


def is_at_or_beyond(side: PositionSide, price: Price, mark: Price) -> bool:
    """Return whether `price` has reached `mark` on the way to liquidation."""
    return price <= mark if side is PositionSide.LONG else price >= mark


def nearer_end(side: PositionSide, one: Price | None, other: Price | None) -> Price | None:
    """Return the price that is reached first on the way to liquidation, None where there is neither."""
    if one is None or other is None:
        return one if other is None else other
    return max(one, other) if side is PositionSide.LONG else min(one, other)


def _price_at_margin_ratio(trade: Trade, ratio: Fraction) -> Price:
    """Return where reserve / (reserve + margin + P&L) = ratio.

    P&L = reserve/ratio − reserve − margin =: x, so 1/price = 1/entry − s·x/(S·Q), P&L unrounded. A short whose
    denominator is not positive never gets there; a long's is always there already: the upper bound for both.
    """
    reserve_sats = trade.maintenance_margin_sats
    pnl_sats = reserve_sats / ratio - reserve_sats - trade.margin_sats
    inverse = Fraction(1, trade.price) - trade.side.sign * pnl_sats / (trade.quantity_usd * _SCALE)
    return MAX_PRICE if inverse <= 0 else _sooner(trade.side, 1 / inverse)


def _sooner(side: PositionSide, exact: Fraction) -> Price:
    return clamp_price(exact.__ceil__() if side is PositionSide.LONG else exact.__floor__())
