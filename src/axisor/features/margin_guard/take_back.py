"""Taking added sats back out of a trade once it is calm again: pure, exact.

Never more than was added, never below full room, not within 30 minutes of a rescue or 10 minutes of funding, and
never while a top-up is under way. The exchange takes profit first and margin then; the plan says which. A stop that
would come to lie beyond the new liquidation price would be dropped by the exchange: ours moves inside first, the
owner's is never touched and bounds what can be taken.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.adjustments import CashInState, after_cash_in
from axisor.domain.counter import cashed_in_sats
from axisor.domain.errors import AmountOutOfRange, LeverageOutOfRange
from axisor.domain.funding import next_funding_at
from axisor.domain.room import distance
from axisor.domain.tpsl import is_stop_beyond_liquidation
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.policy import desired_stop_price, is_at_or_beyond

AFTER_A_RESCUE: Final = timedelta(minutes=30)
AROUND_FUNDING: Final = timedelta(minutes=10)
FUNDING_INTERVAL: Final = timedelta(hours=8)
LEAST_SATS: Final = 1000
"""What is less is not worth a call; a tag needs as much."""


class KeepReason(StrEnum):
    """Why nothing is taken back now."""

    NOT_RUNNING = "not_running"
    NOTHING_ADDED = "nothing_added"
    UNDER_WAY = "under_way"  # a top-up or a take-back is in doubt
    AFTER_RESCUE = "after_rescue"
    AROUND_FUNDING = "around_funding"
    ROOM = "room"  # there is no more than full room
    OWN_STOP = "own_stop"  # the owner's stop would come to lie beyond liquidation
    UNKNOWN_FACTS = "unknown_facts"
    STOP_NOT_MOVED = "stop_not_moved"  # ours is not known to be where it must be first
    TAKEOVER = "takeover"  # a predecessor's money may still be under way


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackFacts:
    """Everything that a take-back may depend on.

    `trigger_price` is the side's pessimistic price, by which room is measured and at which profit is taken to be
    realized: what is realized and what leaves the margin move liquidation alike. `added_sats` is what was ever added,
    None while it is not known.
    """

    trade: Trade
    trigger_price: Price
    full_room: Fraction
    stop_share: Fraction | None
    own_stop_price: Price | None
    added_sats: int | None
    last_rescue_at: datetime | None
    funding_at: datetime | None
    is_top_up_open: bool
    is_take_back_open: bool
    is_after_takeover: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Nothing is taken back, and why; `until` where time alone would change that."""

    reason: KeepReason
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBack:
    """Take `amount_sats` back; with its tag it may be anything up to `cap_sats`, for which all figures hold.

    `stop_before` is where our stop must be before anything is taken, None where it may stay; `stop_after` where it
    comes to rest.
    """

    amount_sats: int
    cap_sats: int
    from_pnl_sats: int
    from_margin_sats: int
    liquidation_price: Price
    room_share: Fraction
    stop_before: Price | None
    stop_after: Price | None
    arithmetic: tuple[tuple[str, str, str], ...]

    @property
    def realizes_profit(self) -> bool:
        """Return whether profit is realized instead of margin taken."""
        return self.from_pnl_sats > 0


def returnable_sats(trade: Trade, *, added_sats: int) -> int:
    """Return what was added and did not come back yet, in sats; everything ever cashed in counts as come back."""
    return max(0, added_sats - cashed_in_sats(trade))


def take_back(facts: TakeBackFacts, *, now: datetime, asked_sats: int | None = None) -> TakeBack | Keep:
    """Return what can be taken back now, at most `asked_sats`, or why nothing is."""
    trade = facts.trade
    if (keep := _blocked(facts, now=now)) is not None:
        return keep
    assert facts.added_sats is not None
    returnable = returnable_sats(trade, added_sats=facts.added_sats)
    most_sats = returnable if asked_sats is None else min(returnable, asked_sats)
    if most_sats < LEAST_SATS:
        return Keep(reason=KeepReason.NOTHING_ADDED)
    cap_sats = _most_within(facts, most_sats, respects_stop=True)
    if cap_sats < LEAST_SATS:
        is_stop_in_the_way = _most_within(facts, most_sats, respects_stop=False) >= LEAST_SATS
        return Keep(reason=KeepReason.OWN_STOP if is_stop_in_the_way else KeepReason.ROOM)
    state = _state_after(facts, cap_sats)
    assert state is not None
    room = distance(side=trade.side, price=facts.trigger_price, liquidation_price=state.liquidation_price)
    room_share = room / facts.full_room
    stop_after = _stop_after(facts, state)
    needs_move = (
        stop_after is not None
        and trade.stop_loss_price is not None
        and is_at_or_beyond(trade.side, trade.stop_loss_price, stop_after)
        and trade.stop_loss_price != stop_after
    )
    return TakeBack(
        amount_sats=cap_sats,
        cap_sats=cap_sats,
        from_pnl_sats=state.from_pnl_sats,
        from_margin_sats=state.from_margin_sats,
        liquidation_price=state.liquidation_price,
        room_share=room_share,
        stop_before=stop_after if needs_move else None,
        stop_after=stop_after,
        arithmetic=(
            ("added_sats", "margin − entry margin + margin cashed in + funding paid", str(facts.added_sats)),
            ("returnable_sats", "added_sats − cashed in so far", str(returnable)),
            ("cap_sats", "the most that leaves full room", str(cap_sats)),
            ("room_share", "|price − liquidation| / price / full_room, after it", str(room_share)),
        ),
    )


def _blocked(facts: TakeBackFacts, *, now: datetime) -> Keep | None:
    if facts.trade.status is not TradeStatus.RUNNING:
        return Keep(reason=KeepReason.NOT_RUNNING)
    if facts.is_top_up_open or facts.is_take_back_open:
        return Keep(reason=KeepReason.UNDER_WAY)
    if facts.is_after_takeover:
        return Keep(reason=KeepReason.TAKEOVER)
    if facts.added_sats is None:
        return Keep(reason=KeepReason.UNKNOWN_FACTS)
    if returnable_sats(facts.trade, added_sats=facts.added_sats) < LEAST_SATS:
        return Keep(reason=KeepReason.NOTHING_ADDED)
    if facts.last_rescue_at is not None and now < facts.last_rescue_at + AFTER_A_RESCUE:
        return Keep(reason=KeepReason.AFTER_RESCUE, until=facts.last_rescue_at + AFTER_A_RESCUE)
    settlement_at = facts.funding_at if facts.funding_at is not None else next_funding_at(now)
    for at in (settlement_at - FUNDING_INTERVAL, settlement_at):
        if at - AROUND_FUNDING < now < at + AROUND_FUNDING:
            return Keep(reason=KeepReason.AROUND_FUNDING, until=at + AROUND_FUNDING)
    return None


def _most_within(facts: TakeBackFacts, most_sats: int, *, respects_stop: bool) -> int:
    """Return the most that may be taken, in sats; liquidation only comes nearer with the amount."""
    low, high = 0, most_sats
    while low < high:
        middle = (low + high + 1) // 2
        if _leaves_enough(facts, middle, respects_stop=respects_stop):
            low = middle
        else:
            high = middle - 1
    return low


def _leaves_enough(facts: TakeBackFacts, amount_sats: int, *, respects_stop: bool) -> bool:
    state = _state_after(facts, amount_sats)
    if state is None:
        return False
    side, stop = facts.trade.side, facts.trade.stop_loss_price
    # The exchange rounds at its own quote: one tick nearer must do as well.
    nearer = Price(state.liquidation_price + side.sign)
    if distance(side=side, price=facts.trigger_price, liquidation_price=nearer) < facts.full_room:
        return False
    if stop is None or _is_ours(facts) or not respects_stop:
        return True
    return not is_stop_beyond_liquidation(side=side, stop_price=stop, liquidation_price=nearer)


def _is_ours(facts: TakeBackFacts) -> bool:
    """Return whether the stop is the guard's, to be moved by it."""
    return (
        facts.stop_share is not None
        and facts.trade.trailing_distance is None
        and facts.trade.stop_loss_price == facts.own_stop_price
    )


def _stop_after(facts: TakeBackFacts, state: CashInState) -> Price | None:
    if facts.stop_share is None or facts.trade.stop_loss_price is None or not _is_ours(facts):
        return None
    after = replace(
        facts.trade, price=state.price, margin_sats=state.margin_sats, liquidation_price=state.liquidation_price
    )
    return desired_stop_price(after, stop_share=facts.stop_share, full=facts.full_room)


def _state_after(facts: TakeBackFacts, amount_sats: int) -> CashInState | None:
    """Return the trade after a cash-in at the present price, None where the exchange refuses it."""
    trade = facts.trade
    try:
        return after_cash_in(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
            market_price=facts.trigger_price,
        )
    except (AmountOutOfRange, LeverageOutOfRange):
        return None
