"""The cross position: one net exposure that shares one margin.

Running and maintenance margin and the limit of size equal the exchange's live values. What fills do to entry and
margin is not documented by the exchange; the rules here are those of quantoxide's simulator (docs/formulas.md).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_LEVERAGE, MAX_PRICE, MIN_LEVERAGE, MIN_PRICE
from axisor.domain.errors import LeverageOutOfRange
from axisor.domain.fees import trading_fee_sats
from axisor.domain.pnl import exact_pnl_sats, pnl_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price, round_half_up

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD
_MAINTENANCE_RATE: Final = Fraction(15, 10_000)
_LIMIT_AT_MIN_LEVERAGE_USD: Final = 15_000_000
_LIMIT_AT_MAX_LEVERAGE_USD: Final = 10_000_000
_LIMIT_STEP_USD: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossState:
    """A cross position: signed quantity (negative: short), entry price (None without a position), cross margin."""

    quantity_usd: int
    entry_price: Price | None
    margin_sats: int

    @property
    def side(self) -> PositionSide | None:
        """Return the side, None without a position.

        >>> CrossState(quantity_usd=-500, entry_price=Price(220_000), margin_sats=588_546).side.value
        'short'
        """
        if self.quantity_usd == 0:
            return None
        return PositionSide.LONG if self.quantity_usd > 0 else PositionSide.SHORT


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFill:
    """A cross position after a fill, and what the fill realized and cost."""

    state: CrossState
    realized_pnl_sats: int
    fee_sats: int


def running_margin_sats(*, quantity_usd: int, entry_price: Price, leverage: int) -> int:
    """Return the margin in sats that a cross position binds.

    floor(N / L) with the notional N = Q·S / e.

    >>> running_margin_sats(quantity_usd=2, entry_price=Price(133_668), leverage=1)
    2992
    """
    return quantity_usd * _SCALE // (entry_price * leverage)


def maintenance_margin_sats(*, quantity_usd: int, entry_price: Price) -> int:
    """Return the equity in sats below which a cross position is liquidated (the textbook threshold).

    floor(0.0015 · N) with the notional N = Q·S / e.

    >>> maintenance_margin_sats(quantity_usd=1000, entry_price=Price(200_000))
    1500
    """
    return (_MAINTENANCE_RATE * quantity_usd * _SCALE / entry_price).__floor__()


def can_open_cross(*, quantity_usd: int, price: Price, leverage: int, margin_sats: int) -> bool:
    """Return whether a cross margin suffices to open: margin − maintenance margin > running margin, strictly.

    >>> can_open_cross(quantity_usd=1000, price=Price(200_000), leverage=10, margin_sats=101_500)
    False
    >>> can_open_cross(quantity_usd=1000, price=Price(200_000), leverage=10, margin_sats=101_501)
    True
    """
    maintenance_sats = maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=price)
    running_sats = running_margin_sats(quantity_usd=quantity_usd, entry_price=price, leverage=leverage)
    return margin_sats - maintenance_sats > running_sats


def free_cross_margin_sats(
    *, side: PositionSide, quantity_usd: int, entry_price: Price, leverage: int, margin_sats: int, market_price: Price
) -> int:
    """Return the cross margin in sats that may be withdrawn; negative where it is short.

    margin − running margin − maintenance margin − max(0, loss − running margin), the loss at the market price.

    >>> free_cross_margin_sats(
    ...     side=PositionSide.LONG, quantity_usd=1000, entry_price=Price(200_000), leverage=10, margin_sats=500_000,
    ...     market_price=Price(180_000),
    ... )
    387389
    """
    running_sats = running_margin_sats(quantity_usd=quantity_usd, entry_price=entry_price, leverage=leverage)
    maintenance_sats = maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=entry_price)
    loss_sats = -pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=entry_price, exit_price=market_price)
    return margin_sats - running_sats - maintenance_sats - max(0, loss_sats - running_sats)


def cross_position_limit_usd(*, leverage: int) -> int:
    """Return the largest cross position in USD at a leverage.

    The line from 15,000,000 USD at 1x to 10,000,000 USD at 100x, rounded up to 5 USD.

    Raises:
        LeverageOutOfRange: the leverage is not between 1 and 100.

    >>> cross_position_limit_usd(leverage=50)
    12525255
    """
    if not MIN_LEVERAGE <= leverage <= MAX_LEVERAGE:
        raise LeverageOutOfRange(
            f"cross leverage must lie between {MIN_LEVERAGE} and {MAX_LEVERAGE}, not {leverage}", leverage=leverage
        )
    slope = Fraction(_LIMIT_AT_MIN_LEVERAGE_USD - _LIMIT_AT_MAX_LEVERAGE_USD, MAX_LEVERAGE - MIN_LEVERAGE)
    limit = _LIMIT_AT_MIN_LEVERAGE_USD - slope * (leverage - MIN_LEVERAGE)
    return (limit / _LIMIT_STEP_USD).__ceil__() * _LIMIT_STEP_USD


def after_cross_fill(
    state: CrossState, *, order_side: PositionSide, quantity_usd: int, price: Price, fee_rate: Fraction
) -> CrossFill:
    """Return the cross position after a fill of `quantity_usd`; `order_side` LONG is a buy.

    - Increase: entry = (Q1 + Q2) / (Q1/p1 + Q2/p2), nearest tick, halves up.
    - Reduce with a profit: floor(P&L of the closed part) goes to the margin, the entry stays.
    - Reduce with a loss: the loss moves into the entry of the rest, rest/entry' = Q1/p1 − Q2/p2, nearest tick. Where
      that leaves the range of prices, the loss (rounded down, so never smaller) is taken from the margin instead.
    - Close or reverse: floor(whole P&L) goes to the margin, what is left over opens at the fill price.

    The fee floor(S · rate · Q / p) always leaves the margin.

    >>> fill = after_cross_fill(
    ...     CrossState(quantity_usd=1000, entry_price=Price(200_000), margin_sats=499_000),
    ...     order_side=PositionSide.SHORT, quantity_usd=400, price=Price(180_000), fee_rate=Fraction(1, 1000),
    ... )
    >>> fill.state
    CrossState(quantity_usd=600, entry_price=216000, margin_sats=498556)
    """
    fee_sats = trading_fee_sats(quantity_usd=quantity_usd, price=price, rate=fee_rate)
    side, entry_price = state.side, state.entry_price
    signed_after = state.quantity_usd + order_side.sign * quantity_usd
    if side is None or entry_price is None:
        return _fill(state, quantity_usd=signed_after, entry_price=price, realized_pnl_sats=0, fee_sats=fee_sats)

    held_usd, left_usd = abs(state.quantity_usd), abs(signed_after)
    if order_side is side:
        inverse_notional = Fraction(held_usd, entry_price) + Fraction(quantity_usd, price)
        entry_after = Price(round_half_up(left_usd / inverse_notional))
        return _fill(state, quantity_usd=signed_after, entry_price=entry_after, realized_pnl_sats=0, fee_sats=fee_sats)

    closed_pnl_sats = exact_pnl_sats(
        side=side, quantity_usd=min(held_usd, quantity_usd), entry_price=entry_price, exit_price=price
    ).__floor__()
    if quantity_usd >= held_usd:
        return _fill(
            state,
            quantity_usd=signed_after,
            entry_price=price if left_usd else None,
            realized_pnl_sats=closed_pnl_sats,
            fee_sats=fee_sats,
        )
    carried_entry = None if closed_pnl_sats >= 0 else _carried_entry(held_usd, entry_price, quantity_usd, price)
    return _fill(
        state,
        quantity_usd=signed_after,
        entry_price=entry_price if carried_entry is None else carried_entry,
        realized_pnl_sats=closed_pnl_sats if carried_entry is None else 0,
        fee_sats=fee_sats,
    )


def _carried_entry(held_usd: int, entry_price: Price, closed_usd: int, price: Price) -> Price | None:
    inverse_notional = Fraction(held_usd, entry_price) - Fraction(closed_usd, price)
    if inverse_notional <= 0:
        return None
    entry_after = round_half_up((held_usd - closed_usd) / inverse_notional)
    return Price(entry_after) if MIN_PRICE <= entry_after <= MAX_PRICE else None


def _fill(
    state: CrossState, *, quantity_usd: int, entry_price: Price | None, realized_pnl_sats: int, fee_sats: int
) -> CrossFill:
    return CrossFill(
        state=CrossState(
            quantity_usd=quantity_usd,
            entry_price=entry_price,
            margin_sats=state.margin_sats + realized_pnl_sats - fee_sats,
        ),
        realized_pnl_sats=realized_pnl_sats,
        fee_sats=fee_sats,
    )
