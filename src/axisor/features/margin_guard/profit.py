"""Taking profit out of one trade to fund another: what may be taken, and where its stop must be first. Pure, exact.

Realizing profit moves the trade's reference price to the market, and liquidation with it. The exchange drops a stop
that comes to lie beyond liquidation: ours moves inside the future liquidation first, the owner's is never touched and
keeps the profit where it is.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from axisor.domain.adjustments import CashInState, after_cash_in
from axisor.domain.errors import AmountOutOfRange, LeverageOutOfRange
from axisor.domain.pnl import exact_pnl_sats
from axisor.domain.tpsl import is_stop_beyond_liquidation
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond
from axisor.features.margin_guard.policy import desired_stop_price


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitTaken:
    """A trade after profit was taken; `stop_before` is where our stop must be first, None where it may stay."""

    liquidation_price: Price
    stop_before: Price | None


def available_profit_sats(
    trade: Trade, *, price: Price, own_stop_price: Price | None, stop_share: Fraction | None
) -> int:
    """Return the profit in sats, rounded down, that may be taken out of a trade at its pessimistic price.

    All of it or nothing: nothing where the owner's stop would not outlive it, or our own would have to lie beyond the
    price.
    """
    if trade.status is not TradeStatus.RUNNING:
        return 0
    profit_sats = exact_pnl_sats(
        side=trade.side, quantity_usd=trade.quantity_usd, entry_price=trade.price, exit_price=price
    ).__floor__()
    if profit_sats <= 0:
        return 0
    taken = take_profit(
        trade, amount_sats=profit_sats, price=price, own_stop_price=own_stop_price, stop_share=stop_share
    )
    return 0 if taken is None else profit_sats


def take_profit(
    trade: Trade, *, amount_sats: int, price: Price, own_stop_price: Price | None, stop_share: Fraction | None
) -> ProfitTaken | None:
    """Return the trade after `amount_sats` of profit left it at `price`, None where that must not be."""
    state = _state_after(trade, amount_sats, price)
    if state is None or state.from_margin_sats > 0:
        return None
    side, stop = trade.side, trade.stop_loss_price
    # The exchange rounds at its own quote: one tick nearer must do as well.
    nearer = Price(state.liquidation_price + side.sign)
    if is_at_or_beyond(side, price, nearer):
        return None
    if stop is None or not is_stop_beyond_liquidation(side=side, stop_price=stop, liquidation_price=nearer):
        return ProfitTaken(liquidation_price=state.liquidation_price, stop_before=None)
    is_ours = stop_share is not None and trade.trailing_distance is None and stop == own_stop_price
    if not is_ours or stop_share is None:
        return None
    after = replace(trade, price=state.price, margin_sats=state.margin_sats, liquidation_price=nearer)
    wanted = desired_stop_price(after, stop_share=stop_share, full=full_room(trade))
    if is_at_or_beyond(side, price, wanted):
        return None
    return ProfitTaken(liquidation_price=state.liquidation_price, stop_before=wanted)


def _state_after(trade: Trade, amount_sats: int, price: Price) -> CashInState | None:
    try:
        return after_cash_in(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
            market_price=price,
        )
    except (AmountOutOfRange, LeverageOutOfRange):
        return None
