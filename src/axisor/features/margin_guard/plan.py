"""What a rule will do to a trade as the price goes on toward liquidation: pure, and in the exchange's own arithmetic.

The plan asks `policy.decide` at one price after the other, so that what a person was shown is what happens: prices
agree with the exchange to half a dollar, amounts to the tag (at most 1,999 sats more).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from axisor.domain.cross import CrossState, after_cross_fill
from axisor.domain.equity import closing_value_sats
from axisor.domain.trades import Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.cross_policy import (
    CrossDepositDeed,
    CrossOrderDeed,
    cross_trade,
    decide_cross,
)
from axisor.features.margin_guard.deeds import (
    AddMarginDeed,
    CloseDeed,
    CloseOneDeed,
    Facts,
    Hold,
    HoldReason,
    Means,
    OtherTrade,
    ReopenDeed,
    RungState,
    Spending,
    WarnDeed,
)
from axisor.features.margin_guard.marks import is_at_or_beyond, measure_of, nearer_end, step_price, with_margin
from axisor.features.margin_guard.policy import decide, price_wake_ups, rungs_ready_again, safety_stop_price
from axisor.features.margin_guard.rule import GIVE_UP, GuardRule
from axisor.features.margin_guard.steps import TOP_UPS, Close, Notify

__all__ = [
    "MOST_STEPS",
    "Plan",
    "PlannedEvent",
    "PlannedStep",
    "What",
    "fires_now",
    "opening_cost_sats",
    "plan",
    "standing_stop",
    "walk",
    "with_margin",
]

MOST_STEPS = 50
_MOST_EVENTS: Final = 500
_ALL_READY: Final[Mapping[str, RungState]] = MappingProxyType({})
_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""On a path of prices alone no time passes: nothing here depends on the instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One top-up of the plan: at `price`, `sats` move liquidation to `liquidation_price`."""

    price: Price
    sats: int
    liquidation_price: Price


class What(StrEnum):
    """What happens at one price of a path."""

    NOTIFY = "notify"
    TOP_UP = "top_up"
    REDUCE = "reduce"
    CLOSE = "close"
    GIVE_UP = "give_up"
    STOP = "stop"
    LIQUIDATION = "liquidation"
    HELD = "held"
    """A step is due and nothing can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    """One thing that happens on the way; `sats` are added (top-up) or come back (whatever ends or reduces)."""

    price: Price
    what: What
    rung: str | None
    sats: int
    liquidation_price: Price
    """After it."""
    quantity_usd: int
    """Of the trade, after it; 0 where it has ended."""
    reason: HoldReason | None = None


ENDS: Final = frozenset({What.CLOSE, What.GIVE_UP, What.STOP, What.LIQUIDATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole ladder, from here down (up for a short).

    `worst_case_sats` is the most that can be lost with this trade as a negative number: what it cost to open, plus
    everything added, less what the last layer returns. `unguarded_worst_case_sats` is the same for a trade that is
    left alone: liquidation returns nothing.
    """

    full_room: Fraction
    warn_price: Price | None
    top_up_price: Price | None
    cut_price: Price | None
    safety_stop_price: Price | None
    steps: tuple[PlannedStep, ...]
    covered_to_price: Price
    ends_at_stop: bool
    stop_returns_sats: int | None
    final_stop_returns_sats: int
    worst_case_sats: int
    unguarded_worst_case_sats: int
    events: tuple[PlannedEvent, ...] = ()
    """Everything in order, the end included."""


def opening_cost_sats(trade: Trade) -> int:
    """Return what opening the trade took from the balance: entry margin, opening fee and the fee reserve.

    The reserve that is left while the trade runs is `maintenance_margin_sats`; after the close it has been settled,
    so there the closing fee and the returned rest together are the same sats.
    """
    entry_margin_sats = trade.entry_margin_sats if trade.entry_margin_sats is not None else trade.margin_sats
    return entry_margin_sats + trade.opening_fee_sats + trade.maintenance_margin_sats + trade.closing_fee_sats


def plan(
    trade: Trade,
    rule: GuardRule | None,
    spending: Spending,
    *,
    fee_rate: Fraction,
    added_sats: int = 0,
    others: tuple[OtherTrade, ...] = (),
    user_stop_price: Price | None = None,
    rungs: Mapping[str, RungState] = _ALL_READY,
    from_price: Price | None = None,
    cross_room: Fraction | None = None,
) -> Plan:
    """Return what happens as the price goes on toward liquidation for ever.

    Only the free balance is counted on: what another source would give can't be promised.

    Args:
        added_sats: What was already added to the trade; it is part of the worst case.
        others: The other running trades of the account, which a step may close instead.
        user_stop_price: A stop that the owner set: it is respected, so it ends the trade where it is reached first.
        rungs: Which steps are ready; every one unless said otherwise.
        from_price: Where the price stands now: a step whose mark lies behind is due there. None: before every mark.
        cross_room: The full room of the cross position, where `trade` is that: reduced by orders, without a stop.
    """
    full = measure_of(trade, cross_room=cross_room)
    cost_sats = opening_cost_sats(trade)
    if rule is None:
        returns_sats = _returns(trade, trade.stop_loss_price, fee_rate)
        return Plan(
            full_room=full,
            warn_price=None,
            top_up_price=None,
            cut_price=None,
            safety_stop_price=trade.stop_loss_price,
            steps=(),
            covered_to_price=trade.liquidation_price,
            ends_at_stop=trade.stop_loss_price is not None,
            stop_returns_sats=returns_sats,
            final_stop_returns_sats=returns_sats or 0,
            worst_case_sats=(returns_sats or 0) - cost_sats - added_sats,
            unguarded_worst_case_sats=-cost_sats,
        )

    def mark(*kinds: type[Notify | Close]) -> Price | None:
        rung = rule.rung(*kinds)
        return None if rung is None else step_price(trade, rung, full=full)

    top_up = rule.rung(*TOP_UPS)
    events = tuple(
        walk(
            trade,
            rule,
            spending,
            fee_rate=fee_rate,
            others=others,
            user_stop_price=user_stop_price,
            rungs=rungs,
            from_price=from_price,
            cross_room=cross_room,
        )
    )
    steps = tuple(
        PlannedStep(price=event.price, sats=event.sats, liquidation_price=event.liquidation_price)
        for event in events
        if event.what is What.TOP_UP
    )
    last = events[-1]
    stop_price = standing_stop(trade, rule, full=full, user_stop_price=user_stop_price) if cross_room is None else None
    returned_sats = last.sats if last.what in ENDS else 0
    return Plan(
        full_room=full,
        warn_price=mark(Notify),
        top_up_price=None if top_up is None else step_price(trade, top_up, full=full),
        cut_price=mark(Close),
        safety_stop_price=stop_price,
        steps=steps,
        covered_to_price=last.price if last.what in ENDS else last.liquidation_price,
        ends_at_stop=last.what in ENDS - {What.LIQUIDATION},
        stop_returns_sats=_returns(trade, stop_price, fee_rate),
        final_stop_returns_sats=returned_sats,
        worst_case_sats=returned_sats - cost_sats - added_sats - sum(step.sats for step in steps),
        unguarded_worst_case_sats=-cost_sats,
        events=events,
    )


def walk(
    trade: Trade,
    rule: GuardRule,
    spending: Spending,
    *,
    fee_rate: Fraction,
    others: tuple[OtherTrade, ...] = (),
    user_stop_price: Price | None = None,
    rungs: Mapping[str, RungState] = _ALL_READY,
    from_price: Price | None = None,
    cross_room: Fraction | None = None,
) -> Iterator[PlannedEvent]:
    """Yield what happens as the price goes on toward liquidation, in order; the end of the trade is the last.

    A trade that is closed and reopened smaller ends the walk too: the new one has a rule of its own.
    """
    facts = Facts(
        trade=trade,
        trigger_price=trade.price if from_price is None else from_price,
        full_room=measure_of(trade, cross_room=cross_room),
        rungs=rungs,
        pending=(),
        spending=replace(spending, blocked_until=None),
        own_stop_price=trade.stop_loss_price,
        is_stop_removed=True,  # the walk places the stop itself
        is_stop_pending=False,
        is_close_pending=False,
        seconds_to_liquidation=None,
        means=Means(others=others),
        fee_rate=fee_rate,
        is_cross=cross_room is not None,
    )
    if from_price is not None:
        facts = _ready_again(facts, rule)
    top_ups = 0
    for _ in range(_MOST_EVENTS):
        side, trade = facts.trade.side, facts.trade
        wake = price_wake_ups(facts, rule)
        mark = wake.at_or_below if side.sign > 0 else wake.at_or_above
        end = _end(facts, rule, user_stop_price)
        if mark is None or is_at_or_beyond(side, mark, end.price) or top_ups == MOST_STEPS:
            yield end
            return
        if from_price is not None:
            mark = nearer_end(side.opposite, mark, from_price) or mark
        facts = replace(facts, trigger_price=mark)
        deed = decide_cross(facts, rule, now=_NO_TIME) if facts.is_cross else decide(facts, rule, now=_NO_TIME)
        match deed:
            case CloseDeed(rung=rung) | CrossOrderDeed(rung=rung, is_close=True):
                what = What.GIVE_UP if rung == GIVE_UP else What.CLOSE
                yield _ended(trade, what, mark, fee_rate, rung)
                return
            case CrossOrderDeed(rung=rung, quantity_usd=quantity_usd):
                facts = _ready_again(_used(_reduced(facts, quantity_usd), rung), rule)
                yield _event(facts, What.REDUCE, rung, 0)
            case AddMarginDeed(rung=rung, amount_sats=sats) | CrossDepositDeed(rung=rung, amount_sats=sats):
                top_ups += 1
                facts = _topped_up(facts, rule, rung, sats)
                yield _event(facts, What.TOP_UP, rung, sats)
            case WarnDeed(rung=rung):
                facts = _used(facts, rung)
                yield _event(facts, What.NOTIFY, rung, 0)
            case CloseOneDeed(rung=rung, trade_id=closed):
                if closed == trade.trade_id:
                    yield _ended(trade, What.CLOSE, mark, fee_rate, rung)
                    return
                left = tuple(other for other in facts.means.others if other.trade_id != closed)
                facts = replace(_used(facts, rung), means=Means(others=left))
                yield _event(facts, What.REDUCE, rung, 0)
            case ReopenDeed(rung=rung, close_step=closing, open_step=opening):
                yield replace(
                    _event(facts, What.REDUCE, rung, closing.returns_sats),
                    liquidation_price=opening.liquidation_price,
                    quantity_usd=opening.quantity_usd,
                )
                return
            case Hold(rung=rung, reason=reason) if rung is not None:
                # On this path nothing frees a step that is held, so it counts as used.
                facts = _used(facts, rung)
                yield _event(facts, What.HELD, rung, 0, reason=reason)
            case _:
                raise AssertionError(f"at {mark} a step is due, and the answer is {deed}")
    raise AssertionError("a walk toward liquidation does not end")


def fires_now(trade: Trade, rule: GuardRule, price: Price, *, full: Fraction | None = None) -> Price | None:
    """Return the mark that a rule would already have passed the moment it is saved, or None.

    Of several the one nearest to liquidation. Words to the owner do not count.
    """
    room = measure_of(trade, cross_room=full)
    passed = [step_price(trade, rung, full=room) for rung in rule.rungs if not isinstance(rung.action, Notify)]
    if rule.give_up_price is not None:
        passed.append(rule.give_up_price)
    reached = [mark for mark in passed if is_at_or_beyond(trade.side, price, mark)]
    return min(reached, key=lambda mark: trade.side.sign * mark, default=None)


def _used(facts: Facts, rung: str) -> Facts:
    return replace(facts, rungs={**facts.rungs, rung: RungState(arming_no=1, is_armed=False)})


def _topped_up(facts: Facts, rule: GuardRule, rung: str, sats: int) -> Facts:
    """Return the facts after a top-up took effect, with every step that is ready again."""
    spending = facts.spending
    after = replace(
        _used(facts, rung),
        trade=with_margin(facts.trade, facts.trade.margin_sats + sats),
        spending=replace(
            spending,
            position_spent_sats=spending.position_spent_sats + sats,
            position_count=spending.position_count + 1,
            account_spent_sats=spending.account_spent_sats + sats,
            account_day_spent_sats=spending.account_day_spent_sats + sats,
            balance_sats=None if spending.balance_sats is None else spending.balance_sats - sats,
            allotted_sats=None if spending.allotted_sats is None else spending.allotted_sats - sats,
        ),
    )
    return _ready_again(after, rule)


def _ready_again(facts: Facts, rule: GuardRule) -> Facts:
    ready = rungs_ready_again(facts, rule)
    return replace(facts, rungs={key: state for key, state in facts.rungs.items() if key not in ready})


def _reduced(facts: Facts, quantity_usd: int) -> Facts:
    """Return the facts of a cross position after an order took so much off it at the price of the moment."""
    trade, side = facts.trade, facts.trade.side
    fill = after_cross_fill(
        CrossState(
            quantity_usd=side.sign * trade.quantity_usd,
            entry_price=trade.price,
            margin_sats=trade.margin_sats + trade.maintenance_margin_sats,
        ),
        order_side=side.opposite,
        quantity_usd=quantity_usd,
        price=facts.trigger_price,
        fee_rate=facts.fee_rate,
    )
    left = cross_trade(fill.state, position_id=trade.trade_id)
    assert left is not None
    return replace(facts, trade=left)


def _event(facts: Facts, what: What, rung: str, sats: int, *, reason: HoldReason | None = None) -> PlannedEvent:
    return PlannedEvent(
        price=facts.trigger_price,
        what=what,
        rung=rung,
        sats=sats,
        liquidation_price=facts.trade.liquidation_price,
        quantity_usd=facts.trade.quantity_usd,
        reason=reason,
    )


def _end(facts: Facts, rule: GuardRule, user_stop_price: Price | None) -> PlannedEvent:
    """Return what ends the trade as it stands: the stop or, without one before it, liquidation."""
    trade, fee_rate = facts.trade, facts.fee_rate
    stop = None
    if not facts.is_cross:  # the exchange knows no stop for it
        stop = standing_stop(trade, rule, full=facts.full_room, user_stop_price=user_stop_price)
    if stop is None or is_at_or_beyond(trade.side, stop, trade.liquidation_price):
        return _ended(trade, What.LIQUIDATION, trade.liquidation_price, fee_rate, None)
    if stop == rule.give_up_price:  # the stop stands there: exchange and guard close at the same price
        return _ended(trade, What.GIVE_UP, stop, fee_rate, GIVE_UP)
    return _ended(trade, What.STOP, stop, fee_rate, None)


def _ended(trade: Trade, what: What, price: Price, fee_rate: Fraction, rung: str | None) -> PlannedEvent:
    return PlannedEvent(
        price=price,
        what=what,
        rung=rung,
        sats=0 if what is What.LIQUIDATION else _returns(trade, price, fee_rate) or 0,
        liquidation_price=trade.liquidation_price,
        quantity_usd=0,
    )


def standing_stop(
    trade: Trade, rule: GuardRule, *, full: Fraction, user_stop_price: Price | None = None
) -> Price | None:
    """Return the stop that stands at the exchange: the owner's own, the rule's, or the one the trade has."""
    if user_stop_price is not None:
        return user_stop_price
    wanted = safety_stop_price(trade, rule, full=full)
    return trade.stop_loss_price if wanted is None else wanted


def _returns(trade: Trade, price: Price | None, fee_rate: Fraction) -> int | None:
    return None if price is None else closing_value_sats(trade=trade, exit_price=price, fee_rate=fee_rate)
