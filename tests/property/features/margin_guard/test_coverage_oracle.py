"""How far a trade is protected and with how many sats, recomputed by walking every half-dollar in the plainest way."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import a_rule, spending
from tests.property.features.margin_guard.test_marks import cheap_trades

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import PositionSide, Trade
from axisor.features.margin_guard.plan import plan
from axisor.features.margin_guard.rule import GuardRule, Rung, TopUp

SATS = 100_000_000


@st.composite
def sound_rules(draw: st.DrawFn) -> GuardRule:
    mark = draw(st.integers(25, 70))
    refill = draw(st.integers(mark + 1, 140))
    return a_rule(
        Rung(key="top_up", room_share=Fraction(mark, 100), action=TopUp(Fraction(refill, 100))),
        stop_share=Fraction(draw(st.integers(5, 20)), 100),
        position_sats=draw(st.integers(0, 10**9)),
        max_count=draw(st.integers(0, 5)),
        reserve_sats=draw(st.integers(0, 10**6)),
    )


def liquidation(trade: Trade, margin: int) -> int:
    """Solve 1/l = 1/p ± margin/(quantity) in fractions, nearest tick, halves up."""
    sign = 1 if trade.side is PositionSide.LONG else -1
    inverse = Fraction(1, trade.price) + Fraction(sign * margin, trade.quantity_usd * SATS * 2)
    if inverse <= 0:
        return 200_000_000
    return min(200_000_000, max(2, int(1 / inverse + Fraction(1, 2))))


def smallest_margin(trade: Trade, wanted: int, most: int) -> int:
    """Search the smallest margin whose liquidation is at or beyond the wanted price."""
    sign = 1 if trade.side is PositionSide.LONG else -1
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if sign * (wanted - liquidation(trade, middle)) >= 0:
            high = middle
        else:
            low = middle + 1
    return low


def walked(trade: Trade, rule: GuardRule, balance: int) -> tuple[int, int]:
    """Return the price down to which the trade lives, and the sats that it takes."""
    sign = 1 if trade.side is PositionSide.LONG else -1
    rung = rule.rungs[0]
    assert isinstance(rung.action, TopUp)
    assert rung.room_share is not None
    assert rule.stop_share is not None
    margin, spent, count, ready = trade.margin_sats, 0, 0, True
    full = Fraction(sign * (trade.price - liquidation(trade, margin)), trade.price)
    at_leverage_one = trade.quantity_usd * SATS * 2 // trade.price
    price = trade.price
    while True:
        liquidated_at = liquidation(trade, margin)
        beyond = Fraction(sign * (price - sign - liquidated_at), price - sign)
        if beyond < rule.stop_share * full:
            return price, spent
        if ready and beyond < rung.room_share * full:
            ready = False
            exact = price * (1 - sign * rung.action.refill_share * full)
            target = max(2, exact.__floor__()) if sign > 0 else exact.__ceil__()
            wanted = smallest_margin(trade, target, 100 * at_leverage_one) - margin
            most = [
                rule.limits.position_sats - spent,
                at_leverage_one - margin,
                balance - spent - rule.limits.reserve_sats,
            ]
            sats = min(wanted, *most)
            if sats >= min(wanted, 1_000) and wanted > 0 and count < (rule.limits.max_count or 0):
                margin, spent, count = margin + sats, spent + sats, count + 1
                room = Fraction(sign * (price - liquidation(trade, margin)), price)
                ready = room >= (rung.room_share + rule.rearm_share) * full
                continue
        price -= sign


@settings(max_examples=60, deadline=None)
@given(trade=cheap_trades(), rule=sound_rules(), balance=st.integers(0, 10**9))
def test_coverage_is_what_a_walk_over_every_half_dollar_finds(trade: Trade, rule: GuardRule, balance: int) -> None:
    found = plan(trade, rule, spending(balance_sats=balance), fee_rate=FEE_RATES[0])
    assert (found.covered_to_price, sum(step.sats for step in found.steps)) == walked(trade, rule, balance)
