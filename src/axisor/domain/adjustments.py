"""What adding margin, cashing in and paying funding do to a running isolated trade."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_LEVERAGE, MIN_LEVERAGE, clamp_price
from axisor.domain.errors import AmountOutOfRange, InsufficientMargin, LeverageOutOfRange
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import leverage
from axisor.domain.pnl import exact_pnl_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price, round_half_up

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginState:
    """The four figures of a running trade that an adjustment changes."""

    price: Price
    margin_sats: int
    leverage: Fraction
    liquidation_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class CashInState(MarginState):
    """The state after a cash-in, and where the amount came from."""

    from_pnl_sats: int
    from_margin_sats: int


def after_add_margin(
    *, side: PositionSide, quantity_usd: int, price: Price, margin_sats: int, amount_sats: int
) -> MarginState:
    """Return the trade's figures after `amount_sats` moved from the balance into its margin.

    m' = m + amount, L' = Q·S / (m'·p), the liquidation price from m'. The fee reserve does not change.

    Raises:
        AmountOutOfRange: the amount is not positive.
        LeverageOutOfRange: the leverage would fall below 1.

    >>> after_add_margin(
    ...     side=PositionSide.LONG, quantity_usd=1000, price=Price(200_000), margin_sats=100_000, amount_sats=50_000
    ... )
    MarginState(price=200000, margin_sats=150000, leverage=Fraction(20, 3), liquidation_price=173913)
    """
    _check_positive(amount_sats)
    state = _state(side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin_sats + amount_sats)
    if state.leverage < MIN_LEVERAGE:
        raise LeverageOutOfRange(
            f"adding {amount_sats} sat would bring the leverage below {MIN_LEVERAGE}", amount_sats=amount_sats
        )
    return state


def after_cash_in(
    *, side: PositionSide, quantity_usd: int, price: Price, margin_sats: int, amount_sats: int, market_price: Price
) -> CashInState:
    """Return the trade's figures after `amount_sats` moved out of it into the balance, profit first, then margin.

    An amount below the whole profit (rounded down) moves the reference price to where exactly the amount is realized:
    1/p' = 1/p − s·amount/(Q·S), rounded to the nearest tick, halves up. A larger one realizes the whole profit (the
    market price becomes the reference price) and takes the rest out of the margin; without a profit the price stays.

    Raises:
        AmountOutOfRange: the amount is not positive, or not less than what the trade holds.
        LeverageOutOfRange: the leverage would rise above 100.

    >>> state = after_cash_in(
    ...     side=PositionSide.LONG, quantity_usd=1000, price=Price(200_000), margin_sats=100_000,
    ...     amount_sats=150_000, market_price=Price(220_000),
    ... )
    >>> state.from_pnl_sats, state.from_margin_sats, state.margin_sats, state.liquidation_price
    (90909, 59091, 40909, 210526)
    """
    _check_positive(amount_sats)
    profit_sats = exact_pnl_sats(
        side=side, quantity_usd=quantity_usd, entry_price=price, exit_price=market_price
    ).__floor__()
    if amount_sats < profit_sats:
        from_pnl_sats = amount_sats
        inverse = Fraction(1, price) - side.sign * Fraction(amount_sats, quantity_usd * _SCALE)
        new_price = clamp_price(round_half_up(1 / inverse))
    elif profit_sats > 0:
        from_pnl_sats, new_price = profit_sats, market_price
    else:
        from_pnl_sats, new_price = 0, price
    from_margin_sats = amount_sats - from_pnl_sats
    if from_margin_sats >= margin_sats:
        raise AmountOutOfRange(
            f"cashing in {amount_sats} sat would leave no margin in the trade", amount_sats=amount_sats
        )
    state = _state(side=side, quantity_usd=quantity_usd, price=new_price, margin_sats=margin_sats - from_margin_sats)
    if state.leverage > MAX_LEVERAGE:
        raise LeverageOutOfRange(
            f"cashing in {amount_sats} sat would bring the leverage above {MAX_LEVERAGE}", amount_sats=amount_sats
        )
    return CashInState(
        price=state.price,
        margin_sats=state.margin_sats,
        leverage=state.leverage,
        liquidation_price=state.liquidation_price,
        from_pnl_sats=from_pnl_sats,
        from_margin_sats=from_margin_sats,
    )


def after_funding(
    *, side: PositionSide, quantity_usd: int, price: Price, margin_sats: int, fee_sats: int
) -> MarginState:
    """Return the trade's figures after a funding fee (positive: paid out of the margin).

    A receiver's fee is credited to the balance and leaves the trade unchanged. The leverage may pass 100: what the
    exchange does with such a trade is not documented, so the caller decides.

    Raises:
        InsufficientMargin: the fee takes the whole margin.

    >>> after_funding(
    ...     side=PositionSide.LONG, quantity_usd=1000, price=Price(200_000), margin_sats=100_000, fee_sats=100
    ... ).liquidation_price
    181835
    """
    paid_sats = max(0, fee_sats)
    if paid_sats >= margin_sats:
        raise InsufficientMargin(f"a funding fee of {fee_sats} sat takes the whole margin", fee_sats=fee_sats)
    return _state(side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin_sats - paid_sats)


def _state(*, side: PositionSide, quantity_usd: int, price: Price, margin_sats: int) -> MarginState:
    return MarginState(
        price=price,
        margin_sats=margin_sats,
        leverage=leverage(quantity_usd=quantity_usd, price=price, margin_sats=margin_sats),
        liquidation_price=isolated_liquidation_price(
            side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin_sats
        ),
    )


def _check_positive(amount_sats: int) -> None:
    if amount_sats <= 0:
        raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)
