"""Trades, rules and purses that a guard may meet."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule
from tests.factories.trades import a_running_trade
from tests.property.domain.strategies import sides

from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.policy import Facts, PendingTopUp, RungState, Spending, full_room
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, Rung, TopUp

PLENTY = 10**11
sats = st.integers(0, 2_000_000)
limits_sats = st.one_of(sats, st.just(PLENTY), st.integers(10**6, 10**9))
mostly_not = st.sampled_from([False, False, False, True])
instants = st.integers(-60, 60).map(lambda seconds: NOW + timedelta(seconds=seconds))


@st.composite
def trades(draw: st.DrawFn, *, side: PositionSide | None = None) -> Trade:
    """A running trade of 2x to 50x at today's prices, with or without margin added since."""
    entry = Price(draw(st.integers(40_000, 400_000)))
    quantity_usd = draw(st.integers(100, 500_000))
    leverage = Fraction(draw(st.integers(2, 50)))
    entry_margin = initial_margin_sats(quantity_usd=quantity_usd, price=entry, leverage=leverage)
    added = draw(st.integers(0, entry_margin // 2))
    return a_running_trade(
        side=draw(sides) if side is None else side,
        quantity_usd=quantity_usd,
        price=entry,
        margin_sats=entry_margin + added,
        entry_margin_sats=entry_margin,
    )


@st.composite
def rules(draw: st.DrawFn, *, has_close: bool = True) -> GuardRule:
    """A word at 60 %, a top-up, perhaps a close, in the ranges that a person may choose."""
    share = draw(st.integers(21, 90))
    refill = draw(st.integers(share + 1, 150))
    rungs = [
        Rung(key="warn", room_share=Fraction(95, 100), action=Notify()),
        Rung(key="top_up", room_share=Fraction(share, 100), action=TopUp(Fraction(refill, 100))),
    ]
    cut = draw(st.none() | st.integers(16, 94)) if has_close else None
    if cut is not None:
        assume(cut != share)
        rungs.append(Rung(key="cut", room_share=Fraction(cut, 100), action=Close()))
    return a_rule(
        *sorted(rungs, key=lambda rung: -rung.room_share),
        stop_share=draw(st.none() | st.integers(1, 15).map(lambda percent: Fraction(percent, 100))),
        allow_second_send=draw(st.booleans()),
        position_sats=draw(limits_sats),
        account_day_sats=draw(st.none() | limits_sats),
        max_count=draw(st.none() | st.integers(0, 5) | st.integers(6, 60)),
        reserve_sats=draw(sats),
    )


@st.composite
def purses(draw: st.DrawFn) -> Spending:
    return Spending(
        position_spent_sats=draw(sats),
        position_count=draw(st.integers(0, 5)),
        account_day_spent_sats=draw(sats),
        balance_sats=draw(st.none() | st.integers(-1_000, 4_000_000) | limits_sats),
        is_stopped=draw(mostly_not),
        blocked_until=draw(st.none() | instants),
    )


@st.composite
def pending_top_ups(draw: st.DrawFn) -> PendingTopUp:
    return PendingTopUp(
        amount_sats=draw(st.integers(1, 500_000)),
        is_unknown=draw(st.booleans()),
        is_second_send=draw(st.booleans()),
        quiet_until=draw(instants),
    )


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts in any combination, contradictory ones included."""
    trade = draw(trades())
    share = draw(st.integers(-20, 120))
    room = Fraction(share, 100) * full_room(trade)
    price = Price(max(2, int(trade.liquidation_price / (1 - trade.side.sign * room))))
    states = st.builds(RungState, arming_no=st.integers(1, 5), is_armed=st.booleans())
    return Facts(
        trade=trade,
        trigger_price=price,
        full_room=full_room(trade),
        rungs=draw(st.dictionaries(st.sampled_from(["warn", "top_up", "cut"]), states)),
        pending=tuple(draw(st.lists(pending_top_ups(), max_size=3))),
        spending=draw(purses()),
        own_stop_price=draw(st.none() | st.just(trade.stop_loss_price)),
        is_stop_removed=draw(st.booleans()),
        is_stop_pending=draw(st.booleans()),
        is_close_pending=draw(st.booleans()),
        seconds_to_liquidation=draw(st.none() | st.floats(0, 1e12)),
        funding_rate=draw(st.none() | st.integers(-30, 30).map(lambda value: Fraction(value, 10_000))),
        funding_at=draw(st.none() | instants),
    )


@st.composite
def due_top_ups(draw: st.DrawFn) -> tuple[Facts, GuardRule]:
    """Facts and a rule whose top-up is due, with limits that are nearly or wholly used up or far from it."""
    facts = draw(any_facts())
    rule = draw(rules(has_close=False))
    mark = next(rung.room_share for rung in rule.rungs if isinstance(rung.action, TopUp))
    room = draw(st.integers(-5, 100)) * mark / 100 * facts.full_room
    left = st.integers(1, 10) | st.integers(1, 3_000) | st.integers(1, PLENTY)
    limits = replace(
        rule.limits,
        position_sats=facts.spending.position_spent_sats + draw(left),
        account_day_sats=draw(st.none() | left.map(lambda sats: facts.spending.account_day_spent_sats + sats)),
        max_count=draw(st.none() | st.just(facts.spending.position_count + 1)),
    )
    until = NOW + timedelta(seconds=draw(st.integers(1, 60)))
    first = draw(
        st.builds(
            PendingTopUp,
            amount_sats=sats,
            is_unknown=st.just(True),
            is_second_send=st.just(False),
            quiet_until=st.just(until),
        )
    )
    pending = draw(st.just(()) | st.just((first,)) | st.lists(pending_top_ups(), max_size=2).map(tuple))
    spending = replace(
        facts.spending,
        is_stopped=False,
        balance_sats=limits.reserve_sats + draw(left),
        blocked_until=draw(st.none() | st.just(until)),
    )
    due = replace(
        facts,
        trigger_price=Price(max(2, int(facts.trade.liquidation_price / (1 - facts.trade.side.sign * room)))),
        rungs={key: state for key, state in facts.rungs.items() if key != "top_up"},
        pending=pending,
        spending=spending,
        is_close_pending=False,
        seconds_to_liquidation=draw(st.none() | st.floats(0, 70)),
    )
    return due, replace(rule, limits=limits)
