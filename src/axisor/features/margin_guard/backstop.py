"""The safety stop at the exchange: where it belongs, when it moves, whose it is. Pure, for isolated trades.

It closes the trade before liquidation if all of Axisor is lost. The rules, in the order in which they decide:

| the trade | its stop |
|---|---|
| has no rule with a safety stop | is left alone |
| has a stop that follows the price, or one that is not ours | is the owner's: respected, never loosened |
| ... and it has come to lie beyond liquidation, where it never fires | is void: ours takes its place |
| had ours, and its owner took it away | is not put back without asking; a new version of the rule asks |
| had ours, and the exchange dropped it at a cash-in | is put back |
| has a top-up of pending or unknown outcome | is only tightened; placed where none stands once the outcome is unknown |
| pays funding soon, or has paid and no reading shows it | keeps rate · price + 0.3 % from liquidation |
| stands beyond or at the price where its stop belongs | keeps the one it has, inside liquidation |
| ... and has none | gets one halfway between price and liquidation |
| was refused a level by the exchange | is tried halfway from it to liquidation, then a tick from liquidation |
| was refused all of them | keeps the one it has; without one the alarm goes off, and all are tried again |

Levels are rounded to the tick that closes sooner.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_PRICE
from axisor.domain.room import price_at_distance
from axisor.domain.tpsl import is_stop_beyond_liquidation
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.margin_guard.deeds import Facts, MoveStopDeed
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond, nearer_end
from axisor.features.margin_guard.rule import GuardRule

FUNDING_GUARD: Final = Fraction(3, 1000)
"""Before a settlement the stop keeps the announced rate · price + 0.3 % between itself and liquidation."""
FUNDING_LOOK_AHEAD: Final = timedelta(minutes=10)


class StopStanding(StrEnum):
    """How the safety stop of a guarded trade stands."""

    NOT_WANTED = "not_wanted"
    STANDS = "stands"  # where the rule wants it
    ACTING = "acting"  # on its way, or about to be sent
    USERS = "users"
    REMOVED = "removed"  # by its owner, who has not asked for it since
    MISSING = "missing"  # wanted, and the exchange has none


def desired_stop_price(trade: Trade, *, stop_share: Fraction, full: Fraction, guard: Fraction = Fraction(0)) -> Price:
    """Return where the safety stop belongs: `stop_share` of full room from liquidation, at least `guard` of price."""
    return price_at_distance(
        side=trade.side, liquidation_price=trade.liquidation_price, distance=max(stop_share * full, guard)
    )


def safety_stop_price(trade: Trade, rule: GuardRule, *, full: Fraction, guard: Fraction = Fraction(0)) -> Price | None:
    """Return where a rule wants the stop, None where it wants none.

    Its share of full room from liquidation or the give-up price, whichever is reached first: so the plan to close
    and keep what is left holds without Axisor too.
    """
    if rule.stop_share is None:
        return None
    wanted = desired_stop_price(trade, stop_share=rule.stop_share, full=full, guard=guard)
    return nearer_end(trade.side, wanted, rule.give_up_price)


def is_users_stop(trade: Trade, own_stop_price: Price | None) -> bool:
    """Return whether the stop that stands is the owner's: it follows the price, or is not the last one we set."""
    if trade.stop_loss_price is None:
        return trade.trailing_distance is not None
    return trade.trailing_distance is not None or trade.stop_loss_price != own_stop_price


def wanted_stop_price(facts: Facts, exposed: Trade, rule: GuardRule, *, now: datetime) -> Price | None:
    """Return where the stop belongs now, None where the rule wants none.

    Args:
        exposed: The trade with what is left of its margin after the funding it pays; what no reading shows yet counts
            as paid, and what is announced keeps its distance on top.
    """
    trade = facts.trade
    guard = _funding_guard(facts, now=now)
    wanted = safety_stop_price(trade, rule, full=facts.full_room, guard=guard)
    if wanted is None or facts.payable_sats <= 0:
        return wanted
    after = safety_stop_price(exposed, rule, full=facts.full_room)
    return nearer_end(trade.side, wanted, after)


def decide_stop(facts: Facts, exposed: Trade, rule: GuardRule, *, now: datetime) -> MoveStopDeed | None:
    """Return where the stop is moved now, None where it stays."""
    trade = facts.trade
    present = trade.stop_loss_price
    is_void = present is not None and is_stop_beyond_liquidation(
        side=trade.side, stop_price=present, liquidation_price=exposed.liquidation_price
    )
    if facts.is_stop_pending or facts.is_stop_removed:
        return None
    if is_users_stop(trade, facts.own_stop_price) and not is_void:
        return None
    wanted = wanted_stop_price(facts, exposed, rule, now=now)
    if wanted is None or present == wanted:
        return None
    if present is None and any(not top_up.is_unknown for top_up in facts.pending):
        return None  # it takes a moment, and where the stop belongs depends on it
    if present is not None and facts.pending and not is_at_or_beyond(trade.side, present, wanted):
        return None  # what it adds may never come: nothing is loosened for it
    level = next(
        (
            level
            for level in _levels(facts, wanted, exposed.liquidation_price)
            if level not in facts.refused_stops and level != present
        ),
        None,
    )
    if level is None or (level != wanted and present is not None and not is_void and _is_better(trade, present, level)):
        return None
    if present is None:
        return MoveStopDeed(stop_price=level, reason="place")
    return MoveStopDeed(stop_price=level, reason="funding" if _funding_guard(facts, now=now) else "follow")


def stop_standing(facts: Facts, exposed: Trade, rule: GuardRule, *, now: datetime) -> StopStanding:
    """Return how the safety stop stands; a stop that the exchange refused everywhere is missing, not acting."""
    trade = facts.trade
    wanted = wanted_stop_price(facts, exposed, rule, now=now)
    if wanted is None:
        return StopStanding.NOT_WANTED
    if facts.is_stop_removed and trade.stop_loss_price is None:
        return StopStanding.REMOVED
    deed = decide_stop(facts, exposed, rule, now=now)
    if trade.stop_loss_price is None:
        is_refused = bool(facts.refused_stops) or (deed is None and not facts.is_stop_pending and not facts.pending)
        return StopStanding.MISSING if is_refused else StopStanding.ACTING
    if is_users_stop(trade, facts.own_stop_price) and deed is None:
        return StopStanding.USERS
    is_on_its_way = deed is not None or (facts.is_stop_pending and trade.stop_loss_price != wanted)
    return StopStanding.ACTING if is_on_its_way else StopStanding.STANDS


def is_stop_due(
    trade: Trade,
    rule: GuardRule | None,
    *,
    own_stop_price: Price | None,
    last_top_up_at: datetime | None,
    last_stop_at: datetime | None,
) -> bool:
    """Return whether our stop has yet to follow the latest top-up, as far as what is stored tells."""
    if rule is None or last_top_up_at is None or trade.status is not TradeStatus.RUNNING:
        return False
    if trade.stop_loss_price is None or is_users_stop(trade, own_stop_price):
        return False
    if last_stop_at is not None and last_stop_at >= last_top_up_at:
        return False
    return safety_stop_price(trade, rule, full=full_room(trade)) != trade.stop_loss_price


def was_dropped_at_cash_in(before: Trade, after: Trade) -> bool:
    """Return whether the exchange took a stop away because a cash-in moved liquidation past it."""
    stop = before.stop_loss_price
    if stop is None or after.stop_loss_price is not None:
        return False
    has_grown = (after.sum_cash_in_pnl_sats + after.sum_cash_in_margin_sats) > (
        before.sum_cash_in_pnl_sats + before.sum_cash_in_margin_sats
    )
    # Liquidation may have moved away again since, by a top-up: the cash-in alone counts.
    return has_grown and is_stop_beyond_liquidation(
        side=after.side, stop_price=stop, liquidation_price=after.liquidation_price
    )


def _funding_guard(facts: Facts, *, now: datetime) -> Fraction:
    """Return how much of the price the stop keeps from liquidation for funding: 0 for who pays none now."""
    trade = facts.trade
    guard = Fraction(0)
    is_near = facts.funding_at is not None and timedelta(0) <= facts.funding_at - now < FUNDING_LOOK_AHEAD
    if is_near and facts.funding_rate is not None and facts.funding_rate * trade.side.sign > 0:
        guard = abs(facts.funding_rate) + FUNDING_GUARD
    if facts.payable_sats > 0:
        # Settled, and no reading shows the fee: the rate that the fee stands for.
        notional = trade.quantity_usd * SATS_PER_BTC * TICKS_PER_USD
        guard = max(guard, Fraction(facts.payable_sats * facts.trigger_price, notional) + FUNDING_GUARD)
    return guard


def _levels(facts: Facts, wanted: Price, liquidation_price: Price) -> Iterator[Price]:
    """Yield where the stop may stand, the best first; all lie between the price and liquidation."""
    trade, price = facts.trade, facts.trigger_price
    tick = trade.side.sign
    nearest = Price(liquidation_price + tick)
    if is_at_or_beyond(trade.side, price, wanted):
        if trade.stop_loss_price is None or is_stop_beyond_liquidation(
            side=trade.side, stop_price=trade.stop_loss_price, liquidation_price=liquidation_price
        ):
            first = _between(trade.side, price, liquidation_price)
        else:
            return
    else:
        first = wanted
    for level in (first, _between(trade.side, first, liquidation_price), nearest):
        if 0 < level <= MAX_PRICE and not is_at_or_beyond(trade.side, price, level):
            yield level


def _between(side: PositionSide, one: Price, liquidation_price: Price) -> Price:
    """Return the level halfway between a price and liquidation, on the tick that closes sooner."""
    middle = Fraction(one + liquidation_price, 2)
    return Price(middle.__ceil__() if side is PositionSide.LONG else middle.__floor__())


def _is_better(trade: Trade, present: Price, level: Price) -> bool:
    """Return whether the stop that stands closes sooner than a fallback would: then it stays."""
    return is_at_or_beyond(trade.side, level, present)
