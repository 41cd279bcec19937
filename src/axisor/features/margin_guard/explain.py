"""Why nothing happens to a trade now: every step with its price, whether it is ready, and what stands in its way.

The same kernel answers that decides: a step that is due, ready and unblocked here is one that `decide` acts on.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

from axisor.domain.trades import TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.cross_policy import decide_cross
from axisor.features.margin_guard.deeds import Facts, Hold, HoldReason, WakeUps
from axisor.features.margin_guard.marks import is_at_or_beyond
from axisor.features.margin_guard.policy import decide, decide_step, due_price, exposed_trade, room_share_of
from axisor.features.margin_guard.rule import GIVE_UP, GuardRule


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStanding:
    """One step: the price at which it is due, how far off that is, and why it would not act there now.

    `away_share` is a share of the price; it is 0 for a step that is due. A step that has acted is not ready until room
    has recovered.
    """

    key: str
    mark_price: Price
    is_ready: bool
    is_due: bool
    away_share: Fraction
    blocked_by: HoldReason | None = None
    blocked_until: datetime | None = None
    shortfall_sats: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """The steps from the farthest to the nearest to liquidation, and what will make it worth looking again.

    `held_by` concerns the whole trade; `is_acting` says that something is done at these facts.
    """

    steps: tuple[StepStanding, ...]
    held_by: HoldReason | None
    is_acting: bool
    wake: WakeUps


def why_not(facts: Facts, rule: GuardRule, *, now: datetime) -> WhyNot:
    """Return where every step of a rule stands at these facts."""
    decision = decide_cross(facts, rule, now=now) if facts.is_cross else decide(facts, rule, now=now)
    if facts.trade.status is not TradeStatus.RUNNING or facts.is_close_pending:
        assert isinstance(decision, Hold)
        return WhyNot(steps=(), held_by=decision.reason, is_acting=False, wake=decision.wake)
    exposed = replace(facts, trade=exposed_trade(facts))
    steps = [_standing(exposed, rule, key, now=now) for key in (rung.key for rung in rule.rungs)]
    if rule.give_up_price is not None:
        steps.append(_give_up(exposed, rule.give_up_price))
    steps.sort(key=lambda step: -facts.trade.side.sign * step.mark_price)
    is_held = isinstance(decision, Hold)
    return WhyNot(
        steps=tuple(steps),
        held_by=None,
        is_acting=not is_held,
        wake=decision.wake if isinstance(decision, Hold) else WakeUps(),
    )


def _standing(facts: Facts, rule: GuardRule, key: str, *, now: datetime) -> StepStanding:
    rung = next(rung for rung in rule.rungs if rung.key == key)
    state = facts.rungs.get(key)
    is_ready = state is None or state.is_armed
    mark = due_price(facts, facts.trade, rung)
    is_reached = is_at_or_beyond(facts.trade.side, facts.trigger_price, mark)
    # A step that is not due is asked as if the price were at its mark: what will stand in its way is worth knowing.
    there = facts if is_reached else replace(facts, trigger_price=mark)
    answer = decide_step(there, rule, rung, room_share_of(there), now=now) if is_ready else None
    hold = answer if isinstance(answer, Hold) else None
    if facts.is_cross and hold is not None and hold.reason is HoldReason.NOTHING_TO_REDUCE:
        hold = None  # an order reduces it
    return StepStanding(
        key=key,
        mark_price=mark,
        is_ready=is_ready,
        is_due=is_ready and is_reached,
        away_share=_away(facts, mark),
        blocked_by=None if hold is None else hold.reason,
        blocked_until=None if hold is None else hold.wake.at,
        shortfall_sats=None if hold is None else hold.shortfall_sats,
    )


def _give_up(facts: Facts, price: Price) -> StepStanding:
    is_due = is_at_or_beyond(facts.trade.side, facts.trigger_price, price)
    return StepStanding(key=GIVE_UP, mark_price=price, is_ready=True, is_due=is_due, away_share=_away(facts, price))


def _away(facts: Facts, mark: Price) -> Fraction:
    """Return by which share of itself the price has to move until it is at a mark."""
    way = facts.trade.side.sign * (facts.trigger_price - mark)
    return Fraction(max(0, way), facts.trigger_price)
