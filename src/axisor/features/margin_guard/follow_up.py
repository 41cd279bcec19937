"""What a rescue kept or cost: the trade as it is, against the same trade without the rescue and all that followed it.

Kept = (value with − sats added since) − value without, both closed at the same price at the same instant. Negative
where it cost. Unknown stays unknown: a hole in the recorded prices proves no survival.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final

from axisor.domain.counter import added_sats, cashed_in_sats
from axisor.domain.equity import kept_sats, returned_sats, sats_of_close
from axisor.domain.trades import CloseReason, Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.marks import is_at_or_beyond
from axisor.features.market_data.bars import Bar

MOST_HOLE: Final = timedelta(minutes=5)
"""Minutes without a deal are no hole; a longer silence is one."""


class Note(StrEnum):
    """What has to be said beside the figures, or why there are none."""

    CLOSED = "closed"
    UNKNOWN_PRICE = "unknown_price"
    PRICE_GAP = "price_gap"
    UNKNOWN_FUNDING = "unknown_funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """A top-up that took effect: the trade as it was before, and the counter of added sats then."""

    decision_id: str
    at: datetime
    amount_sats: int
    price: Price
    before: Trade
    counter_before_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The trade with what has happened to it, and the price at which both fates are closed, None where unknown."""

    trade: Trade
    funding_paid_sats: int | None
    close_reason: CloseReason | None
    exit_price: Price | None
    fee_rate: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """Sats at an instant; a figure that is not known is None."""

    at: datetime
    kept_sats: int | None
    with_value_sats: int | None
    without_value_sats: int | None
    would_have_died: bool | None
    added_sats: int
    note: Note | None


def follow_up(rescue: Rescue, present: Present, bars: Sequence[Bar], *, at: datetime) -> FollowUp:
    """Return what a rescue kept or cost up to an instant.

    Args:
        bars: The minutes between the rescue and the instant, oldest first.
    """
    trade = present.trade
    is_closed = trade.status is TradeStatus.CLOSED
    died = _died(rescue, bars, at=at)
    if present.funding_paid_sats is None or trade.entry_margin_sats is None or rescue.before.entry_margin_sats is None:
        return _unknown(at, died, Note.UNKNOWN_FUNDING, rescue.amount_sats)
    added = added_sats(trade, funding_paid_from_margin_sats=present.funding_paid_sats) - rescue.counter_before_sats
    exit_price = trade.exit_price if is_closed else present.exit_price
    if exit_price is None:
        return _unknown(at, died, Note.UNKNOWN_PRICE, added)
    # The minute that is under way has no bar yet; the price itself shows what it did.
    if is_at_or_beyond(rescue.before.side, exit_price, rescue.before.liquidation_price):
        died = True
    with_value = returned_sats(
        trade,
        exit_price=exit_price,
        fee_rate=present.fee_rate,
        credited_funding_sats=0,
        was_liquidated=None if present.close_reason in {None, "unknown"} else present.close_reason == "liquidation",
    ) - cashed_in_sats(rescue.before)
    if died is None:
        return replace(_unknown(at, died, Note.PRICE_GAP, added), with_value_sats=with_value)
    twin = _twin(rescue, present.funding_paid_sats)
    without_value = 0 if died else sats_of_close(trade=twin, exit_price=exit_price, fee_rate=present.fee_rate)
    return FollowUp(
        at=at,
        kept_sats=kept_sats(guarded_value_sats=with_value, added_sats=added, unguarded_value_sats=without_value),
        with_value_sats=with_value,
        without_value_sats=without_value,
        would_have_died=died,
        added_sats=added,
        note=Note.CLOSED if is_closed else None,
    )


def _twin(rescue: Rescue, funding_paid_sats: int) -> Trade:
    """Return the trade without the rescue, its margin less the funding that both fates paid since."""
    before = rescue.before
    assert before.entry_margin_sats is not None
    paid_before = (
        before.entry_margin_sats + rescue.counter_before_sats - before.sum_cash_in_margin_sats - before.margin_sats
    )
    return replace(before, margin_sats=max(0, before.margin_sats - (funding_paid_sats - paid_before)))


def _died(rescue: Rescue, bars: Sequence[Bar], *, at: datetime) -> bool | None:
    """Return whether the price reached the old liquidation price; None where a hole hides whether it did.

    The old price counts all the way, not moved by later funding: it is what was written on the trade.
    """
    before = rescue.before
    for bar in bars:
        worst = bar.low if before.side.sign > 0 else bar.high
        if is_at_or_beyond(before.side, worst, before.liquidation_price):
            return True
    instants = [rescue.at, *(bar.at + timedelta(seconds=bar.interval_s) for bar in bars), at]
    has_hole = any(later - earlier > MOST_HOLE for earlier, later in pairwise(instants))
    return None if has_hole else False


def _unknown(at: datetime, died: bool | None, note: Note, added: int) -> FollowUp:
    return FollowUp(
        at=at,
        kept_sats=None,
        with_value_sats=None,
        without_value_sats=None,
        would_have_died=died,
        added_sats=added,
        note=note,
    )
