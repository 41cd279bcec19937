"""How far a trade is protected and with how many sats, recomputed by walking every half-dollar in the plainest way."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule, facts, spending
from tests.property.features.margin_guard.test_marks import cheap_trades

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price
from axisor.features.execution.attempts import tagged_amount_sats
from axisor.features.margin_guard.coverage import Position, account_coverage
from axisor.features.margin_guard.deeds import AddMarginDeed, RungState
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond, with_margin
from axisor.features.margin_guard.plan import plan
from axisor.features.margin_guard.policy import decide, desired_stop_price, price_wake_ups, rungs_ready_again
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


def walked(
    trade: Trade, rule: GuardRule, balance: int, *, start: int | None = None, most_total: int | None = None
) -> tuple[int, int]:
    """Return the price down to which the trade lives, and the sats that it takes.

    Args:
        start: Where the price stands; at the trade's own price unless said otherwise.
        most_total: All that may be spent, whatever the limits say.
    """
    sign = 1 if trade.side is PositionSide.LONG else -1
    rung = rule.rungs[0]
    assert isinstance(rung.action, TopUp)
    assert rung.room_share is not None
    assert rule.stop_share is not None
    margin, spent, count, ready = trade.margin_sats, 0, 0, True
    full = Fraction(sign * (trade.price - liquidation(trade, margin)), trade.price)
    at_leverage_one = trade.quantity_usd * SATS * 2 // trade.price
    price: int = trade.price if start is None else start
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
                most_total - spent if most_total is not None else balance,
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


@st.composite
def prices_between(draw: st.DrawFn, trade: Trade, rule: GuardRule) -> Price:
    """Return where the price may stand: between the trade's own price and its stop."""
    assert rule.stop_share is not None
    stop = desired_stop_price(trade, stop_share=rule.stop_share, full=full_room(trade))
    low, high = sorted((trade.price, stop + trade.side.sign))
    return Price(draw(st.integers(low, max(low, high))))


def position_of(trade: Trade, rule: GuardRule, balance: int, price: Price) -> Position:
    assert rule.stop_share is not None
    stop = desired_stop_price(trade, stop_share=rule.stop_share, full=full_room(trade))
    return Position(
        trade=replace(trade, stop_loss_price=stop),
        rule=rule,
        spending=spending(balance_sats=balance),
        price=price,
        fee_rate=FEE_RATES[0],
        added_sats=0,
        own_stop_price=stop,
        read_at=NOW,
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), trade=cheap_trades(), rule=sound_rules(), balance=st.integers(0, 10**9))
def test_the_meter_promises_what_a_walk_from_the_present_price_finds(
    data: st.DataObject, trade: Trade, rule: GuardRule, balance: int
) -> None:
    price = data.draw(prices_between(trade, rule))
    position = position_of(trade, rule, balance, price)
    found = account_coverage([position], is_guarded=True, problems=(), now=NOW).total
    at_leverage_one = trade.quantity_usd * SATS * 2 // trade.price
    left = min(rule.limits.position_sats, balance - rule.limits.reserve_sats, at_leverage_one - trade.margin_sats)
    lives_to, _ = walked(trade, rule, balance, start=price, most_total=max(0, left - 999))
    _, spent = walked(trade, rule, balance, start=price)
    assert found.protected_to_price == lives_to
    assert found.uses_sats is not None
    assert spent <= found.uses_sats <= max(0, left)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), trade=cheap_trades(), rule=sound_rules(), balance=st.integers(0, 10**9))
def test_no_choice_of_tags_breaks_the_promise(data: st.DataObject, trade: Trade, rule: GuardRule, balance: int) -> None:
    """The guard as it sends: every amount ends in a tag of the adversary's choice."""
    price = data.draw(prices_between(trade, rule))
    position = position_of(trade, rule, balance, price)
    found = account_coverage([position], is_guarded=True, problems=(), now=NOW).total
    spent, ends_at = sent_with_tags(position, rule, data)
    assert found.protected_to_price is not None
    assert found.uses_sats is not None
    assert spent <= found.uses_sats
    assert is_at_or_beyond(trade.side, ends_at, found.protected_to_price)


def sent_with_tags(position: Position, rule: GuardRule, data: st.DataObject) -> tuple[int, Price]:
    """Return what the policy spends and where the trade ends, the price going on mark by mark."""
    assert position.price is not None
    assert rule.stop_share is not None
    trade, spent, count, price = position.trade, 0, 0, position.price
    rungs: dict[str, RungState] = {}
    while True:
        present = facts(
            price,
            trade,
            rungs=rungs,
            spending=spending(
                balance_sats=(position.spending.balance_sats or 0) - spent,
                position_spent_sats=spent,
                account_spent_sats=spent,
                account_day_spent_sats=spent,
                position_count=count,
            ),
        )
        ready = rungs_ready_again(present, rule)
        rungs = {key: state for key, state in rungs.items() if key not in ready}
        present = replace(present, rungs=rungs)
        stop = desired_stop_price(trade, stop_share=rule.stop_share, full=full_room(trade))
        wake = price_wake_ups(present, rule)
        mark = wake.at_or_below if trade.side.sign > 0 else wake.at_or_above
        if mark is None or is_at_or_beyond(trade.side, mark, stop):
            return spent, stop
        price = mark if is_at_or_beyond(trade.side, mark, price) else price
        deed = decide(replace(present, trigger_price=price), rule, now=NOW)
        rungs = {**rungs, "top_up": RungState(arming_no=1, is_armed=False)}
        if isinstance(deed, AddMarginDeed):
            tag = data.draw(st.integers(1, 999))
            tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=tag)
            assert tagged is not None
            trade = with_margin(trade, trade.margin_sats + tagged[0])
            spent, count = spent + tagged[0], count + 1
