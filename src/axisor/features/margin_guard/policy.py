"""What to do with one guarded trade now: pure, exact, the same code live, on paper and in replay.

`decide` looks at facts, rule, budget and the present instant and returns exactly one deed or a `Hold` that names
why nothing happens and what would wake it again. Deeds are ordered by what matters most: an end or a top-up that
is due, then the safety stop, then a word to the owner.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from axisor.domain.funding import funding_fee_sats
from axisor.domain.margin import margin_for_liquidation_sats
from axisor.domain.room import distance, liquidation_price_for_distance
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.backstop import (
    FUNDING_LOOK_AHEAD,
    decide_stop,
    desired_stop_price,
    safety_stop_price,
)
from axisor.features.margin_guard.deeds import (
    AddMarginDeed,
    Arithmetic,
    CashInDeed,
    CloseDeed,
    CloseOneDeed,
    Deed,
    DepositDeed,
    Facts,
    GatherDeed,
    Hold,
    HoldReason,
    Means,
    MoveStopDeed,
    OtherTrade,
    PendingTopUp,
    ReduceDeed,
    ReopenDeed,
    RungState,
    Spending,
    SwapDeed,
    WakeUps,
    WarnDeed,
)
from axisor.features.margin_guard.funding_sources import gather
from axisor.features.margin_guard.marks import (
    full_room,
    is_at_or_beyond,
    is_ready_again,
    mark_price,
    nearer_end,
    ready_price,
    step_price,
    with_margin,
)
from axisor.features.margin_guard.reducing import reopen_steps, trade_to_close
from axisor.features.margin_guard.rule import GIVE_UP, NEAREST_MARK_DISTANCE, GuardRule
from axisor.features.margin_guard.steps import (
    Close,
    Notify,
    Reduce,
    ReduceHow,
    Rung,
    Shortage,
    TopUp,
    TopUpAction,
    TopUpSats,
    TopUpShare,
    TopUpTo,
)

__all__ = [
    "FUNDING_LOOK_AHEAD",
    "LEAST_TOP_UP_SATS",
    "AddMarginDeed",
    "CashInDeed",
    "CloseDeed",
    "CloseOneDeed",
    "Deed",
    "DepositDeed",
    "Facts",
    "GatherDeed",
    "Hold",
    "HoldReason",
    "Means",
    "MoveStopDeed",
    "OtherTrade",
    "PendingTopUp",
    "ReduceDeed",
    "ReopenDeed",
    "RungState",
    "Spending",
    "SwapDeed",
    "WakeUps",
    "WarnDeed",
    "decide",
    "decide_step",
    "desired_stop_price",
    "due_price",
    "exposed_trade",
    "fitted_to",
    "full_room",
    "is_at_or_beyond",
    "least_top_up_sats",
    "margin_at_leverage_one_sats",
    "mark_price",
    "most_lead",
    "payable_funding_sats",
    "price_wake_ups",
    "room_share_of",
    "rungs_ready_again",
    "safety_stop_price",
    "top_up_mark",
]

LEAST_TOP_UP_SATS: Final = 1000
"""What is left of a limit below this is not sent, unless it is all that is wanted: tags leave such remainders."""
SETTLEMENT_SHOWN_AFTER: Final = timedelta(seconds=60)
"""A reading requested so long after a settlement shows its fee."""


def fitted_to(rule: GuardRule, trade: Trade, *, full: Fraction | None = None) -> GuardRule:
    """Return an account's rule as it holds for one trade: without top-up steps that would come too late.

    A mark nearer than 0.9 % of price to liquidation is passed before a top-up can be proven; above 50x every mark of
    the presets is. Warning and safety stop stay.
    """
    measure = full_room(trade) if full is None else full
    rungs = tuple(
        rung
        for rung in rule.rungs
        if not rung.is_top_up or rung.room_share is None or rung.room_share * measure >= NEAREST_MARK_DISTANCE
    )
    return rule if len(rungs) == len(rule.rungs) else replace(rule, rungs=rungs)


def payable_funding_sats(
    trade: Trade,
    *,
    price: Price,
    settlements: Iterable[tuple[Fraction, datetime]],
    read_at: datetime,
    now: datetime,
) -> int:
    """Return the funding in sats that a trade pays and no reading shows yet, at announced rates; 0 for a receiver.

    A settlement counts from ten minutes before it until the trade was read a minute after it. The fixing price is
    not known before: the fee is that at the trigger price.
    """
    return sum(
        max(0, funding_fee_sats(side=trade.side, quantity_usd=trade.quantity_usd, fixing_price=price, rate=rate))
        for rate, at in settlements
        if at - FUNDING_LOOK_AHEAD < now and read_at < at + SETTLEMENT_SHOWN_AFTER
    )


def exposed_trade(facts: Facts) -> Trade:
    """Return the trade as its triggers see it: with what is left of its margin after the funding it will pay.

    The worse of both liquidation prices counts, the stated one and the one after the fee.
    """
    trade = facts.trade
    if facts.payable_sats <= 0:
        return trade
    after = with_margin(trade, max(1, trade.margin_sats - facts.payable_sats))
    nearer = nearer_end(trade.side, trade.liquidation_price, after.liquidation_price)
    return after if nearer is None else replace(after, liquidation_price=nearer)


def decide(facts: Facts, rule: GuardRule, *, now: datetime) -> Deed | Hold:
    """Return the one thing to do with this trade now, or why nothing is done."""
    stated = facts
    if stated.trade.status is not TradeStatus.RUNNING:
        return Hold(reason=HoldReason.NOT_RUNNING)
    if stated.is_close_pending:
        return Hold(reason=HoldReason.CLOSING)
    facts = replace(stated, trade=exposed_trade(stated))
    room_share = room_share_of(facts)
    if rule.give_up_price is not None and is_at_or_beyond(facts.trade.side, facts.trigger_price, rule.give_up_price):
        return CloseDeed(rung=GIVE_UP, arming_no=1, room_share=room_share)
    held: Hold | None = None
    due = _due(facts, rule)
    for rung in due:  # a gap through several steps: the deepest first
        answer = decide_step(facts, rule, rung, room_share, now=now)
        if isinstance(answer, Hold):
            held = held or answer
        elif answer is not None:
            return answer
    if (stop := decide_stop(stated, facts.trade, rule, now=now)) is not None:
        return stop
    for rung in reversed(due):
        if isinstance(rung.action, Notify):
            return WarnDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
    return held or Hold(
        reason=HoldReason.ROOM, wake=replace(price_wake_ups(stated, rule), at=_look_ahead_at(facts, now))
    )


def price_wake_ups(facts: Facts, rule: GuardRule) -> WakeUps:
    """Return the nearest price toward liquidation where a step is due, and away from it where one is ready again.

    These two numbers are all that the trigger index keeps of a trade.
    """
    trade, full = exposed_trade(facts), facts.full_room
    toward = rule.give_up_price
    away: Price | None = None
    for rung in rule.rungs:
        state = facts.rungs.get(rung.key)
        if state is None or state.is_armed:
            toward = nearer_end(trade.side, toward, due_price(facts, trade, rung))
        else:
            ready = ready_price(trade, rung, full=full, rearm_share=rule.rearm_share)
            away = nearer_end(trade.side.opposite, away, ready)
    if trade.side.sign > 0:
        return WakeUps(at_or_below=toward, at_or_above=away)
    return WakeUps(at_or_above=toward, at_or_below=away)


def rungs_ready_again(facts: Facts, rule: GuardRule) -> tuple[str, ...]:
    """Return the used steps that are ready again: room has recovered `rearm_share` of full room past their mark."""
    trade = exposed_trade(facts)
    return tuple(
        rung.key
        for rung in rule.rungs
        if (state := facts.rungs.get(rung.key)) is not None
        and not state.is_armed
        and is_ready_again(trade, rung, facts.trigger_price, full=facts.full_room, rearm_share=rule.rearm_share)
    )


def top_up_mark(facts: Facts, rule: GuardRule) -> Price | None:
    """Return the price at which the next top-up is due, not widened by any lead; None where none is ready."""
    trade = exposed_trade(facts)
    mark: Price | None = None
    for rung in rule.rungs:
        state = facts.rungs.get(rung.key)
        if rung.is_top_up and (state is None or state.is_armed):
            mark = nearer_end(trade.side, mark, step_price(trade, rung, full=facts.full_room))
    return mark


def most_lead(facts: Facts, rule: GuardRule) -> int:
    """Return by how many half-dollars marks may be widened at most: less than what makes a step ready again."""
    return (rule.rearm_share / 2 * facts.full_room * facts.trigger_price).__floor__()


def due_price(facts: Facts, trade: Trade, rung: Rung) -> Price:
    """Return the price at which a step is due: its mark, for a top-up nearer to the price by the lead.

    Only what adds margin leads: too early it costs nothing that taking back does not mend, a close would.
    """
    mark = step_price(trade, rung, full=facts.full_room)
    return Price(mark + trade.side.sign * facts.lead) if rung.is_top_up else mark


def _is_hopeless(facts: Facts) -> bool:
    """Return whether a top-up comes too late in a steady fall, a close does not, and no stop closes the trade anyway.

    A jump makes nothing hopeless: only a fall that every recent window shows does.
    """
    left_s, top_up_s, close_s = facts.steady_seconds_to_liquidation, facts.top_up_takes_s, facts.close_takes_s
    if left_s is None or top_up_s is None or close_s is None or facts.is_cross:
        return False
    return facts.trade.stop_loss_price is None and not facts.pending and close_s <= left_s < top_up_s


def _look_ahead_at(facts: Facts, now: datetime) -> datetime | None:
    """Return when the next settlement begins to count for a payer, None where that is past or not known."""
    if facts.funding_at is None or facts.funding_rate is None or facts.funding_rate * facts.trade.side.sign <= 0:
        return None
    begins_at = facts.funding_at - FUNDING_LOOK_AHEAD
    return begins_at if begins_at > now else None


def room_share_of(facts: Facts) -> Fraction:
    """Return how much of full room is left at the trigger price."""
    room = distance(side=facts.trade.side, price=facts.trigger_price, liquidation_price=facts.trade.liquidation_price)
    return room / facts.full_room


def _due(facts: Facts, rule: GuardRule) -> list[Rung]:
    """Return the ready steps whose mark is reached, the one nearest to liquidation first."""
    side = facts.trade.side
    reached = []
    for rung in reversed(rule.rungs):
        state = facts.rungs.get(rung.key)
        if state is None or state.is_armed:
            mark = due_price(facts, facts.trade, rung)
            if is_at_or_beyond(side, facts.trigger_price, mark):
                reached.append((side.sign * mark, rung))
    return [rung for _, rung in sorted(reached, key=lambda pair: pair[0])]


def _arming(facts: Facts, rung: Rung) -> int:
    state = facts.rungs.get(rung.key)
    return 1 if state is None else state.arming_no


def decide_step(
    facts: Facts, rule: GuardRule, rung: Rung, room_share: Fraction, *, now: datetime
) -> Deed | Hold | None:
    """Return what a step that is due leads to now: its deed, why it is held, or None for one that only warns."""
    match rung.action:
        case Notify():
            return None
        case Close():
            return CloseDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
        case Reduce() as reduce:
            return _decide_reduce(facts, rung, reduce, room_share)
        case TopUp() | TopUpTo() | TopUpSats() | TopUpShare() as action:
            return _decide_top_up(facts, rule, rung, action, room_share, now=now)


def _decide_reduce(facts: Facts, rung: Rung, reduce: Reduce, room_share: Fraction) -> ReduceDeed | Hold:
    arming_no = _arming(facts, rung)
    if reduce.how is ReduceHow.REOPEN:
        steps = reopen_steps(facts, reduce)
        if steps is not None:
            close_step, open_step = steps
            return ReopenDeed(
                rung=rung.key, arming_no=arming_no, room_share=room_share, close_step=close_step, open_step=open_step
            )
    elif (chosen := trade_to_close(facts, reduce)) is not None:
        return CloseOneDeed(
            rung=rung.key,
            arming_no=arming_no,
            room_share=room_share,
            trade_id=chosen.trade_id,
            quantity_usd=chosen.quantity_usd,
        )
    return Hold(reason=HoldReason.NOTHING_TO_REDUCE, rung=rung.key)


def _may_not_wait(facts: Facts, until: datetime, *, now: datetime) -> bool:
    """Return whether liquidation, at the present speed, comes before `until`."""
    # Seconds are compared, not instants: at a crawl, liquidation lies beyond the last date there is.
    return facts.seconds_to_liquidation is not None and facts.seconds_to_liquidation < (until - now).total_seconds()


def _decide_top_up(
    facts: Facts, rule: GuardRule, rung: Rung, action: TopUpAction, room_share: Fraction, *, now: datetime
) -> Deed | Hold:
    trade, spending = facts.trade, facts.spending
    if _is_hopeless(facts):
        return CloseDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
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

    wanted_sats, target, formulas = _wanted(facts, action)
    if wanted_sats <= 0:
        return Hold(reason=HoldReason.REFILL_REACHED, rung=rung.key)
    if (blocked := _blocked_by_limits(facts, rule, rung, wanted_sats)) is not None:
        return blocked
    needed_sats = min(wanted_sats, *_caps(facts, rule))
    if needed_sats < least_top_up_sats(wanted_sats):  # leverage 1: nothing more can be added, or is needed
        return Hold(reason=HoldReason.REFILL_REACHED, rung=rung.key)
    short = _decide_shortage(
        facts,
        rule,
        rung,
        room_share=room_share,
        needed_sats=needed_sats,
        wanted_sats=wanted_sats,
        now=now,
        may_gather=not is_second_send,
    )
    if short is not None:
        return short
    cap_sats = max(0, min(*_caps(facts, rule), _free_sats(facts, rule) or 0))
    return AddMarginDeed(
        rung=rung.key,
        arming_no=_arming(facts, rung),
        amount_sats=min(wanted_sats, cap_sats),
        cap_sats=cap_sats,
        wanted_sats=wanted_sats,
        trigger_price=step_price(trade, rung, full=facts.full_room),
        room_share=room_share,
        target_liquidation_price=target,
        is_second_send=is_second_send,
        arithmetic=(
            ("full_room", "|entry − liquidation at entry| / entry", str(facts.full_room)),
            ("room_share", "|price − liquidation| / price / full_room", str(room_share)),
            *formulas,
            *((("lead", "expected wait · speed, in half-dollars", str(facts.lead)),) if facts.lead else ()),
            ("cap_sats", "least of limits, balance and what leverage 1 allows", str(cap_sats)),
        ),
    )


def _wanted(facts: Facts, action: TopUpAction) -> tuple[int, Price, Arithmetic]:
    """Return what a top-up wants to add, the liquidation price it aims at, and how both come about."""
    trade = facts.trade
    match action:
        case TopUpSats(sats=sats):
            after = with_margin(trade, trade.margin_sats + sats)
            return sats, after.liquidation_price, (("wanted_sats", "the step's own amount", str(sats)),)
        case TopUpShare(share=share):
            sats = (share * trade.margin_sats).__ceil__()
            after = with_margin(trade, trade.margin_sats + sats)
            return sats, after.liquidation_price, (("wanted_sats", "share · margin_sats, upward", str(sats)),)
        case TopUp(refill_share=share):
            return _wanted_up_to(facts, share * facts.full_room, "price ∓ refill_share · full_room · price")
        case TopUpTo(distance=wanted_distance):
            return _wanted_up_to(facts, wanted_distance, "price ∓ distance · price")


def _wanted_up_to(facts: Facts, wanted_distance: Fraction, formula: str) -> tuple[int, Price, Arithmetic]:
    trade = facts.trade
    target = liquidation_price_for_distance(side=trade.side, price=facts.trigger_price, distance=wanted_distance)
    wanted_margin_sats = margin_for_liquidation_sats(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, liquidation_price=target
    )
    wanted_sats = wanted_margin_sats - trade.margin_sats
    return (
        wanted_sats,
        target,
        (
            ("target_liquidation_price", formula, str(target)),
            ("wanted_margin_sats", "quantity · |1/price − 1/target|, upward", str(wanted_margin_sats)),
            ("wanted_sats", "wanted_margin_sats − margin_sats", str(wanted_sats)),
        ),
    )


def _decide_shortage(
    facts: Facts,
    rule: GuardRule,
    rung: Rung,
    *,
    room_share: Fraction,
    needed_sats: int,
    wanted_sats: int,
    now: datetime,
    may_gather: bool,
) -> Deed | Hold | None:
    """Return what is done instead of a top-up for want of sats, None where one leaves now."""
    free_sats = _free_sats(facts, rule)
    if free_sats is None:
        return Hold(reason=HoldReason.BALANCE_UNKNOWN, rung=rung.key, wake=WakeUps(on_balance=True))
    least_sats = least_top_up_sats(wanted_sats)
    arrives_until = facts.means.arrives_until
    if may_gather:
        is_awaited = arrives_until is not None and now < arrives_until and free_sats < needed_sats
        if is_awaited and arrives_until is not None:
            if not _may_not_wait(facts, arrives_until, now=now):
                return Hold(
                    reason=HoldReason.AWAITING_SATS, rung=rung.key, wake=WakeUps(at=arrives_until, on_balance=True)
                )
        else:
            deed = gather(
                rule.sources,
                facts.means,
                needed_sats=needed_sats,
                balance_left_sats=free_sats,
                least_sats=least_sats,
                rung=rung.key,
                arming_no=_arming(facts, rung),
            )
            if deed is not None:
                return deed
    if free_sats >= needed_sats:
        return None
    broke = Hold(
        reason=HoldReason.NO_BALANCE,
        rung=rung.key,
        wake=WakeUps(on_balance=True),
        shortfall_sats=needed_sats - free_sats,
    )
    match rule.shortage:
        case Shortage.PARTIAL:
            return None if free_sats >= least_sats else broke
        case Shortage.REDUCE:
            return _decide_reduce(facts, rung, rule.shortage_reduce, room_share)
        case Shortage.CLOSE:
            return CloseDeed(rung=rung.key, arming_no=_arming(facts, rung), room_share=room_share)
        case Shortage.NOTIFY:
            return broke


def _free_sats(facts: Facts, rule: GuardRule) -> int | None:
    """Return what of the balance may go into this trade: above the reserve, and its part where several share it."""
    spending = facts.spending
    if spending.balance_sats is None:
        return None
    free_sats = spending.balance_sats - rule.limits.reserve_sats
    return free_sats if spending.allotted_sats is None else min(free_sats, spending.allotted_sats)


def _blocked_by_limits(facts: Facts, rule: GuardRule, rung: Rung, wanted_sats: int) -> Hold | None:
    limits, spending = rule.limits, facts.spending
    least_sats = least_top_up_sats(wanted_sats)
    if limits.max_count is not None and spending.position_count >= limits.max_count:
        return Hold(reason=HoldReason.COUNT_USED, rung=rung.key, wake=WakeUps(at=spending.frees_at))
    for reason, left_sats in _left_of_limits(facts, rule):
        if left_sats < least_sats:
            return Hold(reason=reason, rung=rung.key, wake=WakeUps(at=spending.frees_at))
    return None


def _left_of_limits(facts: Facts, rule: GuardRule) -> list[tuple[HoldReason, int]]:
    """Return what each limit leaves to spend, in sats."""
    limits, spending = rule.limits, facts.spending
    left = [(HoldReason.LIMIT_USED, limits.position_sats - spending.position_spent_sats)]
    if limits.account_sats is not None:
        left.append((HoldReason.ACCOUNT_LIMIT_USED, limits.account_sats - spending.account_spent_sats))
    if limits.account_day_sats is not None:
        left.append((HoldReason.DAY_LIMIT_USED, limits.account_day_sats - spending.account_day_spent_sats))
    return left


def least_top_up_sats(wanted_sats: int) -> int:
    """Return the least that is sent, in sats: a smaller remainder of a limit moves nothing but costs a call."""
    return min(wanted_sats, LEAST_TOP_UP_SATS)


def _caps(facts: Facts, rule: GuardRule) -> list[int]:
    """Return what limits and leverage allow to add, in sats, whatever the balance."""
    caps = [left_sats for _, left_sats in _left_of_limits(facts, rule)]
    if not facts.is_cross:
        # Leverage may not fall below 1: the margin may not exceed the notional at the trade's price.
        stated_margin_sats = facts.trade.margin_sats + facts.payable_sats
        caps.append(margin_at_leverage_one_sats(facts.trade) - stated_margin_sats)
    return caps


def margin_at_leverage_one_sats(trade: Trade) -> int:
    """Return the largest margin the exchange accepts: the notional at the trade's price, in sats, downward."""
    return (trade.quantity_usd * 200_000_000) // trade.price
