"""What to do with one guarded trade now: pure, exact, the same code live, on paper and in replay.

`decide` looks at facts, rule, budget and the present instant and returns exactly one deed or a `Hold` that names
why nothing happens and what would wake it again. Deeds are ordered by what matters most: an end or a top-up that
is due, then the safety stop, then a word to the owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import margin_for_liquidation_sats
from axisor.domain.room import distance, liquidation_price_for_distance, price_at_distance
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.rule import NEAREST_MARK_DISTANCE, Close, GuardRule, Notify, Rung, TopUp

FUNDING_GUARD: Final = Fraction(3, 1000)
"""Before a settlement the stop keeps the announced rate × price + 0.3 % between itself and liquidation."""
LEAST_TOP_UP_SATS: Final = 1000
"""What is left of a limit below this is not sent, unless it is all that is wanted: tags leave such remainders."""
FUNDING_LOOK_AHEAD: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RungState:
    """Whether a step is ready, and which arming this is (counted from 1)."""

    arming_no: int
    is_armed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTopUp:
    """A top-up on its way or of unknown outcome; it may take effect until `quiet_until`."""

    amount_sats: int
    is_unknown: bool
    is_second_send: bool
    quiet_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What is left to spend. `None` for the balance means unknown, and unknown is not zero and not enough."""

    position_spent_sats: int  # confirmed and pending, for this trade
    position_count: int
    account_day_spent_sats: int  # confirmed and pending, in the last 24 hours
    balance_sats: int | None  # free at the exchange, less what is pending
    is_stopped: bool  # the owner pressed "stop spending"
    blocked_until: datetime | None = None  # quiet time after an unclean takeover


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a decision may depend on. `trigger_price` is the side's pessimistic price."""

    trade: Trade
    trigger_price: Price
    full_room: Fraction
    rungs: Mapping[str, RungState]
    pending: tuple[PendingTopUp, ...]
    spending: Spending
    own_stop_price: Price | None  # the last stop Axisor set
    is_stop_removed: bool  # the owner took ours away: not put back without asking
    is_stop_pending: bool
    is_close_pending: bool
    seconds_to_liquidation: float | None  # at the present speed; None where the price does not approach it
    funding_rate: Fraction | None = None
    funding_at: datetime | None = None


class HoldReason(StrEnum):
    NOT_RUNNING = "not_running"
    ROOM = "room"  # no step is due
    AWAITING_OUTCOME = "awaiting_outcome"
    QUIET_AFTER_TAKEOVER = "quiet_after_takeover"
    SPENDING_STOPPED = "spending_stopped"
    LIMIT_USED = "limit_used"
    DAY_LIMIT_USED = "day_limit_used"
    COUNT_USED = "count_used"
    NO_BALANCE = "no_balance"
    BALANCE_UNKNOWN = "balance_unknown"
    REFILL_REACHED = "refill_reached"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeUps:
    """What makes it worth deciding again: a price either way, a time, or a change of the balance."""

    at_or_below: Price | None = None
    at_or_above: Price | None = None
    at: datetime | None = None
    on_balance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    reason: HoldReason
    rung: str | None = None
    wake: WakeUps = WakeUps()
    shortfall_sats: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMarginDeed:
    """Add `amount_sats` (before its tag, never above `cap_sats` with it)."""

    rung: str
    arming_no: int
    amount_sats: int
    cap_sats: int
    wanted_sats: int
    trigger_price: Price
    room_share: Fraction
    target_liquidation_price: Price
    is_second_send: bool
    arithmetic: tuple[tuple[str, str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStopDeed:
    stop_price: Price
    reason: str  # "place" | "follow" | "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDeed:
    rung: str
    arming_no: int
    room_share: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnDeed:
    rung: str
    arming_no: int
    room_share: Fraction


type Deed = AddMarginDeed | MoveStopDeed | CloseDeed | WarnDeed


def full_room(trade: Trade) -> Fraction:
    """Return the distance to liquidation at entry, the measure of every mark.

    Source: entry price and entry margin as the exchange keeps them; both survive top-ups, cash-ins and funding.
    """
    entry_price = trade.entry_price if trade.entry_price is not None else trade.price
    margin_sats = trade.entry_margin_sats if trade.entry_margin_sats is not None else trade.margin_sats
    liquidation = isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=entry_price, collateral_sats=margin_sats
    )
    return distance(side=trade.side, price=entry_price, liquidation_price=liquidation)


def fitted_to(rule: GuardRule, trade: Trade) -> GuardRule:
    """Return an account's rule as it holds for one trade: without top-up steps that would come too late.

    A mark nearer than 0.9 % of price to liquidation is passed before a top-up can be proven; above 50x every mark of
    the presets is. Warning and safety stop stay.
    """
    full = full_room(trade)
    rungs = tuple(
        rung
        for rung in rule.rungs
        if not isinstance(rung.action, TopUp) or rung.room_share * full >= NEAREST_MARK_DISTANCE
    )
    return rule if len(rungs) == len(rule.rungs) else replace(rule, rungs=rungs)


def mark_price(trade: Trade, *, share: Fraction, full: Fraction) -> Price:
    """Return the price at which room has fallen to `share` of full room, rounded to the tick that fires sooner."""
    return price_at_distance(side=trade.side, liquidation_price=trade.liquidation_price, distance=share * full)


def is_at_or_beyond(side: PositionSide, price: Price, mark: Price) -> bool:
    """Return whether `price` has reached `mark` on the way to liquidation."""
    return price <= mark if side is PositionSide.LONG else price >= mark


def desired_stop_price(trade: Trade, *, stop_share: Fraction, full: Fraction, guard: Fraction = Fraction(0)) -> Price:
    """Return where the safety stop belongs: `stop_share` of full room from liquidation, at least `guard` of price."""
    return price_at_distance(
        side=trade.side, liquidation_price=trade.liquidation_price, distance=max(stop_share * full, guard)
    )


def decide(facts: Facts, rule: GuardRule, *, now: datetime) -> Deed | Hold:
    """Return the one thing to do with this trade now, or why nothing is done."""
    trade = facts.trade
    if trade.status is not TradeStatus.RUNNING:
        return Hold(reason=HoldReason.NOT_RUNNING)
    if facts.is_close_pending:
        return Hold(reason=HoldReason.CLOSING)
    room_share = _room_share(facts)
    held: Hold | None = None
    due = [rung for rung in rule.rungs if _is_due(rung, facts)]
    for rung in reversed(due):  # a gap through several steps: the deepest first
        if isinstance(rung.action, Close):
            return CloseDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
        if isinstance(rung.action, TopUp):
            answer = _decide_top_up(facts, rule, rung, rung.action.refill_share, room_share, now=now)
            if isinstance(answer, AddMarginDeed):
                return answer
            held = held or answer
    if (stop := _decide_stop(facts, rule, now=now)) is not None:
        return stop
    for rung in due:
        if isinstance(rung.action, Notify):
            return WarnDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
    return held or Hold(reason=HoldReason.ROOM, wake=price_wake_ups(facts, rule))


def price_wake_ups(facts: Facts, rule: GuardRule) -> WakeUps:
    """Return the nearest price toward liquidation where a step is due, and away from it where one is ready again.

    These two numbers are all that the trigger index keeps of a trade.
    """
    toward: list[Price] = []
    away: list[Price] = []
    for rung in rule.rungs:
        state = facts.rungs.get(rung.key)
        if state is None or state.is_armed:
            toward.append(mark_price(facts.trade, share=rung.room_share, full=facts.full_room))
        else:
            share = rung.room_share + rule.rearm_share
            away.append(mark_price(facts.trade, share=share, full=facts.full_room))
    if facts.trade.side is PositionSide.LONG:
        return WakeUps(at_or_below=max(toward, default=None), at_or_above=min(away, default=None))
    return WakeUps(at_or_above=min(toward, default=None), at_or_below=max(away, default=None))


def rungs_ready_again(facts: Facts, rule: GuardRule) -> tuple[str, ...]:
    """Return the used steps that are ready again: room has recovered `rearm_share` of full room past their mark."""
    room_share = _room_share(facts)
    return tuple(
        rung.key
        for rung in rule.rungs
        if (state := facts.rungs.get(rung.key)) is not None
        and not state.is_armed
        and room_share >= rung.room_share + rule.rearm_share
    )


def _room_share(facts: Facts) -> Fraction:
    room = distance(side=facts.trade.side, price=facts.trigger_price, liquidation_price=facts.trade.liquidation_price)
    return room / facts.full_room


def _is_due(rung: Rung, facts: Facts) -> bool:
    state = facts.rungs.get(rung.key)
    if state is not None and not state.is_armed:
        return False
    mark = mark_price(facts.trade, share=rung.room_share, full=facts.full_room)
    return is_at_or_beyond(facts.trade.side, facts.trigger_price, mark)


def _arming(facts: Facts, rung: Rung) -> int:
    state = facts.rungs.get(rung.key)
    return 1 if state is None else state.arming_no


def _may_not_wait(facts: Facts, until: datetime, *, now: datetime) -> bool:
    """Return whether liquidation, at the present speed, comes before `until`."""
    # Seconds are compared, not instants: at a crawl, liquidation lies beyond the last date there is.
    return facts.seconds_to_liquidation is not None and facts.seconds_to_liquidation < (until - now).total_seconds()


def _decide_top_up(
    facts: Facts, rule: GuardRule, rung: Rung, refill_share: Fraction, room_share: Fraction, *, now: datetime
) -> AddMarginDeed | Hold:
    trade, spending = facts.trade, facts.spending
    if spending.is_stopped:
        return Hold(reason=HoldReason.SPENDING_STOPPED, rung=rung.key)
    is_second_send = False
    if facts.pending:
        first = next((top_up for top_up in facts.pending if not top_up.is_second_send), None)
        must_wait = (
            first is None
            or not first.is_unknown
            or len(facts.pending) > 1
            or not rule.allow_second_send
            or not _may_not_wait(facts, first.quiet_until, now=now)
        )
        if must_wait:
            until = min(top_up.quiet_until for top_up in facts.pending)
            return Hold(reason=HoldReason.AWAITING_OUTCOME, rung=rung.key, wake=WakeUps(at=until))
        is_second_send = True
    elif spending.blocked_until is not None and now < spending.blocked_until:
        if not rule.allow_second_send or not _may_not_wait(facts, spending.blocked_until, now=now):
            return Hold(reason=HoldReason.QUIET_AFTER_TAKEOVER, rung=rung.key, wake=WakeUps(at=spending.blocked_until))
        is_second_send = True

    target = liquidation_price_for_distance(
        side=trade.side, price=facts.trigger_price, distance=refill_share * facts.full_room
    )
    wanted_margin_sats = margin_for_liquidation_sats(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, liquidation_price=target
    )
    wanted_sats = wanted_margin_sats - trade.margin_sats
    if wanted_sats <= 0:
        return Hold(reason=HoldReason.REFILL_REACHED, rung=rung.key)
    if (blocked := _blocked_by_limits(facts, rule, rung, wanted_sats)) is not None:
        return blocked
    cap_sats = _cap_sats(facts, rule, trade)
    if cap_sats < least_top_up_sats(wanted_sats):  # leverage 1: nothing more can be added, or is needed
        return Hold(reason=HoldReason.REFILL_REACHED, rung=rung.key)
    return AddMarginDeed(
        rung=rung.key,
        arming_no=_arming(facts, rung),
        amount_sats=min(wanted_sats, cap_sats),
        cap_sats=cap_sats,
        wanted_sats=wanted_sats,
        trigger_price=mark_price(trade, share=rung.room_share, full=facts.full_room),
        room_share=room_share,
        target_liquidation_price=target,
        is_second_send=is_second_send,
        arithmetic=(
            ("full_room", "|entry − liquidation at entry| / entry", str(facts.full_room)),
            ("room_share", "|price − liquidation| / price / full_room", str(room_share)),
            ("target_liquidation_price", "price ∓ refill_share · full_room · price", str(target)),
            ("wanted_margin_sats", "quantity · |1/price − 1/target|, upward", str(wanted_margin_sats)),
            ("wanted_sats", "wanted_margin_sats − margin_sats", str(wanted_sats)),
            ("cap_sats", "least of limits, balance and what leverage 1 allows", str(cap_sats)),
        ),
    )


def _left_of_limits(facts: Facts, rule: GuardRule) -> tuple[int, int | None, int | None]:
    """Return what is left of the position's limit, of the account's 24 h limit, and of the balance, in sats."""
    limits, spending = rule.limits, facts.spending
    day_left = None if limits.account_day_sats is None else limits.account_day_sats - spending.account_day_spent_sats
    balance_left = None if spending.balance_sats is None else spending.balance_sats - limits.reserve_sats
    return limits.position_sats - spending.position_spent_sats, day_left, balance_left


def _blocked_by_limits(facts: Facts, rule: GuardRule, rung: Rung, wanted_sats: int) -> Hold | None:
    position_left, day_left, balance_left = _left_of_limits(facts, rule)
    least_sats = least_top_up_sats(wanted_sats)
    count = rule.limits.max_count
    if count is not None and facts.spending.position_count >= count:
        return Hold(reason=HoldReason.COUNT_USED, rung=rung.key)
    if position_left < least_sats:
        return Hold(reason=HoldReason.LIMIT_USED, rung=rung.key)
    if day_left is not None and day_left < least_sats:
        return Hold(reason=HoldReason.DAY_LIMIT_USED, rung=rung.key)
    if balance_left is None:
        return Hold(reason=HoldReason.BALANCE_UNKNOWN, rung=rung.key, wake=WakeUps(on_balance=True))
    if balance_left < least_sats:
        return Hold(
            reason=HoldReason.NO_BALANCE,
            rung=rung.key,
            wake=WakeUps(on_balance=True),
            shortfall_sats=min(wanted_sats, position_left) - balance_left,
        )
    return None


def least_top_up_sats(wanted_sats: int) -> int:
    """Return the least that is sent, in sats: a smaller remainder of a limit moves nothing but costs a call."""
    return min(wanted_sats, LEAST_TOP_UP_SATS)


def _cap_sats(facts: Facts, rule: GuardRule, trade: Trade) -> int:
    position_left, day_left, balance_left = _left_of_limits(facts, rule)
    # Leverage may not fall below 1: the margin may not exceed the notional at the trade's price.
    at_leverage_one_sats = margin_at_leverage_one_sats(trade) - trade.margin_sats
    caps = [position_left, at_leverage_one_sats]
    caps += [left for left in (day_left, balance_left) if left is not None]
    return max(0, min(caps))


def margin_at_leverage_one_sats(trade: Trade) -> int:
    """Return the largest margin the exchange accepts: the notional at the trade's price, in sats, downward."""
    return (trade.quantity_usd * 200_000_000) // trade.price


def _decide_stop(facts: Facts, rule: GuardRule, *, now: datetime) -> MoveStopDeed | None:
    trade = facts.trade
    if rule.stop_share is None or facts.is_stop_pending or facts.is_stop_removed or facts.pending:
        return None
    is_users_stop = trade.stop_loss_price is not None and trade.stop_loss_price != facts.own_stop_price
    if is_users_stop:
        return None
    guard = Fraction(0)
    is_settlement_near = facts.funding_at is not None and timedelta(0) <= facts.funding_at - now < FUNDING_LOOK_AHEAD
    if is_settlement_near and facts.funding_rate is not None and facts.funding_rate * trade.side.sign > 0:
        guard = abs(facts.funding_rate) + FUNDING_GUARD
    wanted = desired_stop_price(trade, stop_share=rule.stop_share, full=facts.full_room, guard=guard)
    if trade.stop_loss_price == wanted or is_at_or_beyond(trade.side, facts.trigger_price, wanted):
        return None
    if trade.stop_loss_price is None:
        return MoveStopDeed(stop_price=wanted, reason="place")
    return MoveStopDeed(stop_price=wanted, reason="funding" if guard else "follow")
