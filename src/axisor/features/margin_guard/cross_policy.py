"""The cross position under guard: the same policy, other deeds. Pure.

A deposit into the cross margin does what a top-up does to a trade, with the collateral = cross margin − maintenance
margin; it is reduced by an order. The exchange knows no stop for it: nothing is left if Axisor is lost, so its
coverage is at best amber.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from axisor.domain.cross import CrossState, maintenance_margin_sats
from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.liquidation import cross_liquidation_price
from axisor.domain.trades import OrderType, PositionSide, Trade, TradeStatus
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.deeds import (
    AddMarginDeed,
    CloseDeed,
    CloseOneDeed,
    Facts,
    GatherDeed,
    Hold,
    HoldReason,
    MoveStopDeed,
    ReopenDeed,
    WarnDeed,
)
from axisor.features.margin_guard.marks import entry_room, nearer_end
from axisor.features.margin_guard.policy import decide
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Reduce

_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossDepositDeed:
    """Move `amount_sats` (before its tag, never above `cap_sats` with it) from the balance into the cross margin."""

    rung: str
    arming_no: int
    amount_sats: int
    cap_sats: int
    target_liquidation_price: Price
    is_second_send: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossOrderDeed:
    """Reduce or close the position by an order at the market on the other side."""

    rung: str
    arming_no: int
    order_side: PositionSide
    quantity_usd: int
    is_close: bool


type CrossDeed = CrossDepositDeed | CrossOrderDeed | WarnDeed | GatherDeed


def cross_trade(state: CrossState, *, position_id: TradeId) -> Trade | None:
    """Return the position in the shape of a trade, None where there is none.

    Its margin is the collateral: what may be lost before liquidation.
    """
    side, entry_price = state.side, state.entry_price
    if side is None or entry_price is None:
        return None
    quantity_usd = abs(state.quantity_usd)
    reserve_sats = maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=entry_price)
    return Trade(
        trade_id=position_id,
        side=side,
        order_type=OrderType.MARKET,
        status=TradeStatus.RUNNING,
        quantity_usd=quantity_usd,
        margin_sats=state.margin_sats - reserve_sats,
        leverage=Decimal(0),
        price=entry_price,
        liquidation_price=cross_liquidation_price(
            side=side, quantity_usd=quantity_usd, entry_price=entry_price, margin_sats=state.margin_sats
        ),
        stop_loss_price=None,
        take_profit_price=None,
        trailing_distance=None,
        entry_price=entry_price,
        entry_margin_sats=None,
        exit_price=None,
        opening_fee_sats=0,
        closing_fee_sats=0,
        maintenance_margin_sats=reserve_sats,
        pnl_sats=0,
        sum_funding_fees_sats=0,
        sum_cash_in_pnl_sats=0,
        sum_cash_in_margin_sats=0,
        created_at=_NO_TIME,
        filled_at=None,
        closed_at=None,
        client_id=None,
    )


def trade_of_position(position: CrossPositionFact) -> Trade | None:
    """Return a cross position as read in the shape of a trade, None while it is flat.

    Of the liquidation price that the exchange states and the computed one the nearer counts.
    """
    state = CrossState(
        quantity_usd=position.quantity_usd, entry_price=position.entry_price, margin_sats=position.margin_sats
    )
    trade = cross_trade(state, position_id=TradeId(position.position_id))
    if trade is None:
        return None
    nearer = nearer_end(trade.side, trade.liquidation_price, position.liquidation_price)
    return trade if nearer is None else replace(trade, liquidation_price=nearer)


def room_of_position(trade: Trade, kept: Fraction | None) -> Fraction:
    """Return the full room of a cross position: what was kept when its guard began, before that what it has now."""
    return entry_room(trade) if kept is None else kept


def decide_cross(facts: Facts, rule: GuardRule, *, now: datetime) -> CrossDeed | Hold:
    """Return the one thing to do with the cross position now, or why nothing is done; never a stop.

    Args:
        facts: Of `cross_trade`, with `is_cross` and with the full room of the moment the guard was switched on.
    """
    decision = decide(replace(facts, is_cross=True), as_cross_rule(rule), now=now)
    trade, order_side = facts.trade, facts.trade.side.opposite
    match decision:
        case AddMarginDeed():
            return CrossDepositDeed(
                rung=decision.rung,
                arming_no=decision.arming_no,
                amount_sats=decision.amount_sats,
                cap_sats=decision.cap_sats,
                target_liquidation_price=decision.target_liquidation_price,
                is_second_send=decision.is_second_send,
            )
        case CloseDeed(rung=rung, arming_no=number):
            return CrossOrderDeed(
                rung=rung, arming_no=number, order_side=order_side, quantity_usd=trade.quantity_usd, is_close=True
            )
        case Hold(reason=HoldReason.NOTHING_TO_REDUCE, rung=rung) if rung is not None:
            return _reduce(facts, rule, rung)
        case CloseOneDeed(rung=rung):
            return _reduce(facts, rule, rung)
        case MoveStopDeed() | ReopenDeed():
            raise AssertionError(f"a cross position has neither a stop nor a smaller copy: {decision}")
        case _:
            return decision


def _reduce(facts: Facts, rule: GuardRule, key: str) -> CrossOrderDeed:
    """Return the order that takes at least the wanted share off the position, rounded up to a dollar."""
    rung = next(rung for rung in rule.rungs if rung.key == key)
    reduce = rung.action if isinstance(rung.action, Reduce) else rule.shortage_reduce
    state = facts.rungs.get(key)
    quantity_usd = (reduce.share * facts.trade.quantity_usd).__ceil__()
    return CrossOrderDeed(
        rung=key,
        arming_no=1 if state is None else state.arming_no,
        order_side=facts.trade.side.opposite,
        quantity_usd=quantity_usd,
        is_close=quantity_usd == facts.trade.quantity_usd,
    )


def as_cross_rule(rule: GuardRule) -> GuardRule:
    """Return the rule as it is decided for the cross position: without a stop, and reduced by an order alone."""
    rungs = tuple(
        replace(rung, action=Reduce(rung.action.share)) if isinstance(rung.action, Reduce) else rung
        for rung in rule.rungs
    )
    return replace(rule, stop_share=None, rungs=rungs, shortage_reduce=Reduce(rule.shortage_reduce.share))
