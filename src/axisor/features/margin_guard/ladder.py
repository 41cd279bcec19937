"""A whole rule on one trade, before it is saved: every line for the chart, and what happens along a falling price.

For a short the price rises. Pure; every figure comes from `plan`, which asks the policy itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final, Literal

from axisor.domain.equity import closing_value_sats
from axisor.domain.funding import funding_fee_sats, next_funding_at
from axisor.domain.room import distance
from axisor.domain.trades import Trade
from axisor.domain.units import Price, usd_number
from axisor.features.margin_guard.conflicts import Conflict
from axisor.features.margin_guard.deeds import OtherTrade, Spending
from axisor.features.margin_guard.marks import is_at_or_beyond, measure_of, step_price, with_margin
from axisor.features.margin_guard.plan import ENDS, PlannedEvent, What, fires_now, plan, standing_stop
from axisor.features.margin_guard.policy import margin_at_leverage_one_sats
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Close, Notify, Reduce, Rung
from axisor.features.trading.views import share_number

NIGHT: Final = timedelta(hours=10)
"""Until morning: the nights of the evidence are ten hours long."""

type MarkKind = Literal["warn", "top_up", "reduce", "close", "give_up", "stop", "liquidation"]
type EventKind = Literal["warned", "topped_up", "held", "reduced", "closed", "gave_up", "stopped", "liquidated"]

_EVENTS: Final[dict[What, EventKind]] = {
    What.NOTIFY: "warned",
    What.TOP_UP: "topped_up",
    What.HELD: "held",
    What.REDUCE: "reduced",
    What.CLOSE: "closed",
    What.GIVE_UP: "gave_up",
    What.STOP: "stopped",
    What.LIQUIDATION: "liquidated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkView:
    """A line of the chart; `key` is that of the step, or the kind of a line that is no step."""

    key: str
    kind: MarkKind
    price: float
    room_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderEvent:
    """What happens when the price has come to `price`.

    `sats` are added by a top-up, and come back when the trade is reduced or ends. `returns_sats` is what the stop
    would bring at this point, or what came back at the end; null where no stop stands.
    """

    price: float
    what: EventKind
    step: str | None
    sats: int
    spent_sats: int
    liquidation_price: float | None
    stop_price: float | None
    returns_sats: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtEntry:
    """The same sats put in when the trade was opened, without any guard."""

    sats: int
    liquidation_price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictPoint:
    price: float
    what: str
    step: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictView:
    """A contradiction with the prices that show it, in order; `trade_id` where a rule holds for several trades."""

    kind: str
    steps: tuple[str, ...]
    path: tuple[ConflictPoint, ...]
    trade_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The preview of a rule but for what history says of it.

    `stop_returns_sats` is what the stop brings as long as nothing was added.
    """

    marks: tuple[MarkView, ...]
    events: tuple[LadderEvent, ...]
    covered_to_price: float | None
    worst_case_sats: int
    unguarded_worst_case_sats: int
    stop_returns_sats: int | None
    expected_funding_sats_until_morning: int | None
    at_entry: AtEntry
    conflicts: tuple[ConflictView, ...]
    fires_now_price: float | None


def ladder(
    trade: Trade,
    rule: GuardRule,
    spending: Spending,
    *,
    fee_rate: Fraction,
    now: datetime,
    last_price: Price | None = None,
    funding_rate: Fraction | None = None,
    added_sats: int = 0,
    others: tuple[OtherTrade, ...] = (),
    user_stop_price: Price | None = None,
    conflicts: Sequence[Conflict] = (),
    cross_room: Fraction | None = None,
) -> Ladder:
    """Return what a rule, its limits in sats, would do to a running trade as the price goes on toward liquidation.

    Args:
        cross_room: The full room of the cross position, where `trade` is that and the rule one of `as_cross_rule`.
    """
    full = measure_of(trade, cross_room=cross_room)
    planned = plan(
        trade,
        rule,
        spending,
        fee_rate=fee_rate,
        added_sats=added_sats,
        others=others,
        user_stop_price=user_stop_price,
        cross_room=cross_room,
    )
    fires = None if last_price is None else fires_now(trade, rule, last_price, full=full)
    limit_sats = rule.limits.position_sats if rule.tops_up else 0
    return Ladder(
        marks=tuple(mark_views(trade, rule, full=full, user_stop_price=user_stop_price)),
        events=tuple(
            _events(
                trade,
                rule,
                planned.events,
                spent_sats=spending.position_spent_sats,
                fee_rate=fee_rate,
                user_stop_price=user_stop_price,
                full=full,
                is_cross=cross_room is not None,
            )
        ),
        covered_to_price=usd_number(planned.covered_to_price),
        worst_case_sats=planned.worst_case_sats,
        unguarded_worst_case_sats=planned.unguarded_worst_case_sats,
        stop_returns_sats=planned.stop_returns_sats,
        expected_funding_sats_until_morning=None
        if funding_rate is None
        else funding_until_morning_sats(trade, price=last_price or trade.price, rate=funding_rate, now=now),
        at_entry=at_entry(trade, limit_sats),
        conflicts=tuple(conflict_view(conflict) for conflict in conflicts),
        fires_now_price=None if fires is None else usd_number(fires),
    )


def conflict_view(conflict: Conflict, *, trade_id: str | None = None) -> ConflictView:
    """Return a contradiction with its prices in USD."""
    return ConflictView(
        kind=conflict.kind.value,
        steps=conflict.rungs,
        path=tuple(
            ConflictPoint(price=usd_number(point.price), what=point.what, step=point.rung) for point in conflict.path
        ),
        trade_id=trade_id,
    )


def at_entry(trade: Trade, sats: int) -> AtEntry:
    """Return where liquidation would lie if `sats` had been put in at entry, as far as leverage 1 allows."""
    margin_sats = trade.margin_sats if trade.entry_margin_sats is None else trade.entry_margin_sats
    entry_price = trade.price if trade.entry_price is None else trade.entry_price
    at_first = replace(trade, price=entry_price)
    put_in_sats = max(0, min(sats, margin_at_leverage_one_sats(at_first) - margin_sats))
    opened = with_margin(at_first, margin_sats + put_in_sats)
    return AtEntry(sats=put_in_sats, liquidation_price=usd_number(opened.liquidation_price))


def funding_until_morning_sats(trade: Trade, *, price: Price, rate: Fraction, now: datetime) -> int:
    """Return what the settlements of the next ten hours will cost at the announced rate; negative is received."""
    settlements, at = 0, next_funding_at(now)
    while at <= now + NIGHT:
        settlements, at = settlements + 1, next_funding_at(at)
    return settlements * funding_fee_sats(
        side=trade.side, quantity_usd=trade.quantity_usd, fixing_price=price, rate=rate
    )


def mark_kind(rung: Rung) -> MarkKind:
    """Return what the line of a step stands for."""
    match rung.action:
        case Notify():
            return "warn"
        case Reduce():
            return "reduce"
        case Close():
            return "close"
        case _:
            return "top_up"


def mark_views(
    trade: Trade, rule: GuardRule, *, full: Fraction, user_stop_price: Price | None = None
) -> Iterable[MarkView]:
    """Return every line, the one farthest from liquidation first."""
    lines: list[tuple[str, MarkKind, Price]] = [
        (rung.key, mark_kind(rung), step_price(trade, rung, full=full)) for rung in rule.rungs
    ]
    if rule.give_up_price is not None:
        lines.append(("give_up", "give_up", rule.give_up_price))
    stop = standing_stop(trade, rule, full=full, user_stop_price=user_stop_price)
    if stop is not None:
        lines.append(("stop", "stop", stop))
    lines.append(("liquidation", "liquidation", trade.liquidation_price))
    for key, kind, price in sorted(lines, key=lambda line: -trade.side.sign * line[2]):
        room = distance(side=trade.side, price=price, liquidation_price=trade.liquidation_price)
        share = share_number(room / full) if full > 0 else None
        yield MarkView(key=key, kind=kind, price=usd_number(price), room_share=share)


def _events(
    trade: Trade,
    rule: GuardRule,
    events: Iterable[PlannedEvent],
    *,
    spent_sats: int,
    fee_rate: Fraction,
    user_stop_price: Price | None,
    full: Fraction,
    is_cross: bool,
) -> Iterable[LadderEvent]:
    for event in events:
        if event.what is What.TOP_UP:
            spent_sats += event.sats
            trade = with_margin(trade, trade.margin_sats + event.sats)
        # A trade that is reduced goes on as another one; the cross position stays what it is.
        is_other = not is_cross and event.quantity_usd != trade.quantity_usd
        has_ended = event.what in ENDS or is_other
        stop = None if has_ended else _stop_before_liquidation(trade, rule, full, user_stop_price)
        if has_ended:
            returns_sats: int | None = event.sats
        else:
            returns_sats = None if stop is None else closing_value_sats(trade=trade, exit_price=stop, fee_rate=fee_rate)
        yield LadderEvent(
            price=usd_number(event.price),
            what=_EVENTS[event.what],
            step=event.rung,
            sats=event.sats,
            spent_sats=spent_sats,
            liquidation_price=None if event.what in ENDS else usd_number(event.liquidation_price),
            stop_price=None if stop is None else usd_number(stop),
            returns_sats=returns_sats,
            reason=None if event.reason is None else event.reason.value,
        )


def _stop_before_liquidation(
    trade: Trade, rule: GuardRule, full: Fraction, user_stop_price: Price | None
) -> Price | None:
    """Return the stop that would close the trade; one that lies beyond liquidation never does."""
    stop = standing_stop(trade, rule, full=full, user_stop_price=user_stop_price)
    return None if stop is None or is_at_or_beyond(trade.side, stop, trade.liquidation_price) else stop
