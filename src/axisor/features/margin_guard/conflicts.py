"""What in a rule contradicts itself, the trade or its owner's other orders: pure, each with the prices that show it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from axisor.domain.trades import Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.deeds import HoldReason, OtherTrade, Spending
from axisor.features.margin_guard.marks import is_at_or_beyond, measure_of, step_price
from axisor.features.margin_guard.plan import ENDS, PlannedEvent, What, fires_now, walk
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Notify

_LIMITS = frozenset(
    {HoldReason.LIMIT_USED, HoldReason.COUNT_USED, HoldReason.DAY_LIMIT_USED, HoldReason.ACCOUNT_LIMIT_USED}
)
_PLENTY_SATS = 10**15


class ConflictKind(StrEnum):
    FIRES_AT_ONCE = "fires_at_once"
    TAKE_PROFIT_BEHIND_ENTRY = "take_profit_behind_entry"
    STOP_BEFORE_STEP = "stop_before_step"
    GIVE_UP_BEFORE_STEP = "give_up_before_step"
    CLOSE_BEFORE_STEP = "close_before_step"
    NEVER_REACHED = "never_reached"
    """The trade is liquidated first."""
    LIMITS_BEFORE_STEP = "limits_before_step"
    TOP_UP_IN_VAIN = "top_up_in_vain"
    """The trade ends where it would end without the sats: one step undoes the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """What happens at one price of the counter-example."""

    price: Price
    what: str
    rung: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A contradiction: the steps concerned, and the prices in the order in which they show it."""

    kind: ConflictKind
    rungs: tuple[str, ...]
    path: tuple[PathPoint, ...]


def find_conflicts(
    trade: Trade,
    rule: GuardRule,
    spending: Spending,
    *,
    price: Price,
    fee_rate: Fraction,
    others: tuple[OtherTrade, ...] = (),
    user_stop_price: Price | None = None,
    cross_room: Fraction | None = None,
) -> list[Conflict]:
    """Return every contradiction between a rule, a trade and the owner's own stop and take-profit.

    The path is the steady one toward liquidation with a balance that is never short: want of sats is no contradiction
    of a rule. `spending` says what its limits have left; `cross_room` is the full room of the cross position, where
    `trade` is that.
    """
    full = measure_of(trade, cross_room=cross_room)
    start = PathPoint(price=price, what="save")
    found: list[Conflict] = []
    if (mark := fires_now(trade, rule, price, full=full)) is not None:
        found.append(
            Conflict(
                kind=ConflictKind.FIRES_AT_ONCE,
                rungs=_due_at(trade, rule, price, full=full),
                path=(PathPoint(price=mark, what="mark"), start),
            )
        )
    entry = trade.price if trade.entry_price is None else trade.entry_price
    profit = trade.take_profit_price
    if profit is not None and trade.side.sign * (profit - entry) <= 0:
        there, back = PathPoint(price=profit, what="take_profit"), PathPoint(price=entry, what="entry")
        found.append(Conflict(kind=ConflictKind.TAKE_PROFIT_BEHIND_ENTRY, rungs=(), path=(start, there, back)))
    rich = replace(spending, balance_sats=_PLENTY_SATS, allotted_sats=None, is_stopped=False)

    def ahead(of: GuardRule) -> tuple[PlannedEvent, ...]:
        return tuple(
            walk(
                trade,
                of,
                rich,
                fee_rate=fee_rate,
                others=others,
                user_stop_price=user_stop_price,
                cross_room=cross_room,
            )
        )

    events = ahead(rule)
    found += _unreached(trade, rule, events, start, full=full)
    found += _limited(events, start)
    bare = replace(rule, rungs=tuple(rung for rung in rule.rungs if not rung.is_top_up))
    without = ahead(bare)
    top_ups = [event for event in events if event.what is What.TOP_UP]
    end = events[-1]
    if top_ups and end.what in ENDS and (end.what, end.price) == (without[-1].what, without[-1].price):
        rungs = tuple(dict.fromkeys(event.rung for event in (*top_ups, end) if event.rung is not None))
        path = (start, *(_point(event) for event in top_ups), _point(end))
        found.append(Conflict(kind=ConflictKind.TOP_UP_IN_VAIN, rungs=rungs, path=path))
    return found


def _due_at(trade: Trade, rule: GuardRule, price: Price, *, full: Fraction) -> tuple[str, ...]:
    return tuple(
        rung.key
        for rung in rule.rungs
        if not isinstance(rung.action, Notify)
        and is_at_or_beyond(trade.side, price, step_price(trade, rung, full=full))
    )


_BEFORE = {
    What.STOP: ConflictKind.STOP_BEFORE_STEP,
    What.GIVE_UP: ConflictKind.GIVE_UP_BEFORE_STEP,
    What.CLOSE: ConflictKind.CLOSE_BEFORE_STEP,
    What.REDUCE: ConflictKind.CLOSE_BEFORE_STEP,
    What.LIQUIDATION: ConflictKind.NEVER_REACHED,
}


def _unreached(
    trade: Trade, rule: GuardRule, events: tuple[PlannedEvent, ...], start: PathPoint, *, full: Fraction
) -> Iterator[Conflict]:
    """Yield the steps that act and are never due: the trade has ended before."""
    reached = {event.rung for event in events}
    end = events[-1]
    for rung in rule.rungs:
        if isinstance(rung.action, Notify) or rung.key in reached:
            continue
        mark = PathPoint(price=step_price(trade, rung, full=full), what="mark", rung=rung.key)
        rungs = (rung.key,) if end.rung is None or end.what is What.GIVE_UP else (end.rung, rung.key)
        yield Conflict(kind=_BEFORE[end.what], rungs=rungs, path=(start, _point(end), mark))


def _limited(events: tuple[PlannedEvent, ...], start: PathPoint) -> Iterator[Conflict]:
    """Yield the steps that are due and never act, because limits are used up before."""
    acted = {event.rung for event in events if event.what is not What.HELD}
    for event in events:
        if event.what is What.HELD and event.reason in _LIMITS and event.rung is not None and event.rung not in acted:
            spent = tuple(_point(one) for one in events if one.what is What.TOP_UP)
            yield Conflict(
                kind=ConflictKind.LIMITS_BEFORE_STEP, rungs=(event.rung,), path=(start, *spent, _point(event))
            )


def _point(event: PlannedEvent) -> PathPoint:
    return PathPoint(price=event.price, what=event.what.value, rung=event.rung)
