"""How an isolated exposure is made smaller: pure. The exchange has no partial close of a trade."""

from fractions import Fraction

from axisor.domain.contract import MAX_LEVERAGE, MIN_LEVERAGE
from axisor.domain.equity import closing_value_sats
from axisor.domain.fees import fee_reserve_sats
from axisor.domain.liquidation import collateral_sats_at_leverage, isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.features.margin_guard.deeds import CloseStep, Facts, OpenStep, OtherTrade
from axisor.features.margin_guard.steps import Reduce


def trade_to_close(facts: Facts, reduce: Reduce) -> OtherTrade | None:
    """Return which of several trades of the same side is closed, None where this one is alone.

    The smallest that takes at least the wanted share off the side's quantity; of equals the one nearest to
    liquidation. Where none is large enough, the largest.
    """
    trade = facts.trade
    own = OtherTrade(
        trade_id=trade.trade_id,
        side=trade.side,
        quantity_usd=trade.quantity_usd,
        liquidation_price=trade.liquidation_price,
    )
    same = [own, *(other for other in facts.means.others if other.side is trade.side)]
    if len(same) == 1:
        return None
    wanted_usd = reduce.share * sum(one.quantity_usd for one in same)
    enough = [one for one in same if one.quantity_usd >= wanted_usd]
    if not enough:
        return max(same, key=lambda one: one.quantity_usd)
    return min(enough, key=lambda one: (one.quantity_usd, -trade.side.sign * one.liquidation_price))


def reopen_steps(facts: Facts, reduce: Reduce) -> tuple[CloseStep, OpenStep] | None:
    """Return both steps of closing a trade and opening a smaller one, None where nothing is left to open.

    The smaller trade has the share that stays, rounded down, at the lowest whole leverage that what comes back pays
    for (margin and reserve for fees). Both figures at the price of the decision, before the spread.
    """
    trade, price = facts.trade, facts.trigger_price
    returns_sats = closing_value_sats(trade=trade, exit_price=price, fee_rate=facts.fee_rate)
    quantity_usd = ((1 - reduce.share) * trade.quantity_usd).__floor__()
    if quantity_usd < 1:
        return None
    step = smallest_open_step(side=trade.side, quantity_usd=quantity_usd, price=price, budget_sats=returns_sats)
    return None if step is None else (CloseStep(trade_id=trade.trade_id, returns_sats=returns_sats), step)


def smallest_open_step(*, side: PositionSide, quantity_usd: int, price: Price, budget_sats: int) -> OpenStep | None:
    """Return the opening at the lowest whole leverage that a budget pays for, None where it pays for none."""
    for leverage in range(MIN_LEVERAGE, MAX_LEVERAGE + 1):
        step = _open_step(side, quantity_usd, price, leverage)
        if cost_sats(step, price) <= budget_sats:
            return step
    return None


def cost_sats(step: OpenStep, price: Price) -> int:
    """Return what opening takes from the balance in sats: margin and reserve for fees."""
    reserve = fee_reserve_sats(
        quantity_usd=step.quantity_usd, entry_price=price, initial_liquidation_price=step.liquidation_price
    )
    return step.margin_sats + reserve.total_sats


def _open_step(side: PositionSide, quantity_usd: int, price: Price, leverage: int) -> OpenStep:
    exact = Fraction(leverage)
    collateral = collateral_sats_at_leverage(quantity_usd=quantity_usd, price=price, leverage=exact)
    return OpenStep(
        side=side,
        quantity_usd=quantity_usd,
        leverage=leverage,
        margin_sats=initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=exact),
        liquidation_price=isolated_liquidation_price(
            side=side, quantity_usd=quantity_usd, price=price, collateral_sats=collateral
        ),
    )
