"""Every figure of a trade that follows from its facts and a quote: pure, exact, computed on the server alone.

Prices leave as USD numbers (halves are exact), sats as integers, shares as numbers of 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from axisor.domain.counter import added_sats as counted_added_sats
from axisor.domain.equity import kept_sats, returned_sats
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import leverage
from axisor.domain.pnl import pnl_sats
from axisor.domain.room import distance
from axisor.domain.trades import CloseReason, PositionSide, Trade, TradeStatus
from axisor.domain.units import Price, usd_number
from axisor.features.execution.positions import StoredPosition
from axisor.features.trading.coverage_views import CoverageView
from axisor.infra.wire import Instant, instant, optional_instant

type StopOwner = Literal["axisor", "user"]
type GuardState = Literal[
    "calm", "warned", "acting", "unknown_outcome", "limit_used", "spending_stopped", "unwatched", "closed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    rule_id: str
    version: int
    preset: str
    warn_share: float | None
    top_up_share: float | None
    refill_share: float | None
    position_limit_sats: int
    account_day_limit_sats: int | None
    max_count: int | None
    reserve_sats: int
    stop_share: float | None
    cut_share: float | None
    takes_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardView:
    """What the guard has done for a trade, will do, and what that may cost at most."""

    rule: RuleView | None
    warn_price: float | None
    top_up_price: float | None
    safety_stop_price: float | None
    give_up_price: float | None
    next_top_up_sats: int | None
    spent_sats: int
    limit_sats: int
    left_sats: int
    count_left: int | None
    worst_case_sats: int | None
    unguarded_worst_case_sats: int | None
    stop_returns_sats: int | None
    covered_to_price: float | None
    state: GuardState
    is_spending_stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackView:
    """What of the added sats could come back now; `amount_sats` is 0 and `held_by` says why where nothing can.

    `realizes_profit`: profit is taken first, and only what is left leaves the margin.
    """

    amount_sats: int
    returnable_sats: int
    from_profit_sats: int
    from_margin_sats: int
    realizes_profit: bool
    liquidation_price: float | None
    room_share: float | None
    safety_stop_price: float | None
    held_by: str | None
    held_until: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeView:
    """A trade with its figures at the present quote; a figure that is not known is null, never 0."""

    exchange_account_id: str
    trade_id: str
    label: str | None
    side: PositionSide
    status: TradeStatus
    quantity_usd: int
    leverage: float
    entry_leverage: float
    entry_price: float
    exit_price: float | None
    last_price: float | None
    liquidation_price: float
    initial_liquidation_price: float
    stop_loss_price: float | None
    stop_owner: StopOwner | None
    take_profit_price: float | None
    margin_sats: int
    entry_margin_sats: int
    added_sats: int
    pnl_sats: int
    opening_fee_sats: int
    closing_fee_sats: int
    funding_fees_sats: int
    value_sats: int | None
    result_sats: int | None
    room: float | None
    full_room: float
    room_share: float | None
    close_reason: CloseReason | None
    opened_at: Instant
    closed_at: Instant | None
    guard: GuardView | None
    age_s: float
    facts_source: str
    twin_trade_id: str | None
    kept_sats: int | None
    coverage: CoverageView | None
    """Null where the trade does not run."""
    take_back: TakeBackView | None
    """Null where nothing was added, or nothing is guarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The exchange's market at one instant: the last price, and what a small order would get."""

    last_price: Price
    bid_price: Price | None
    ask_price: Price | None
    at: datetime

    def closing_price(self, side: PositionSide) -> Price:
        """Return the price at which a trade of this side would be closed now: bid for a long, ask for a short."""
        quoted = self.bid_price if side is PositionSide.LONG else self.ask_price
        return self.last_price if quoted is None else quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a trade is worth now, in sats; None where no price is known."""

    pnl_sats: int
    added_sats: int
    value_sats: int | None


def funding_out_of_margin_sats(position: StoredPosition) -> int:
    """Return the funding that left the margin; where the list of fees does not tell, what the sum proves at least."""
    if position.funding_paid_sats is not None:
        return position.funding_paid_sats
    return max(0, position.trade.sum_funding_fees_sats)


def added_sats(position: StoredPosition) -> int:
    """Return the sats that were ever added to the trade's margin; 0 where the entry margin is not stated yet."""
    if position.trade.entry_margin_sats is None:
        return 0
    return counted_added_sats(position.trade, funding_paid_from_margin_sats=funding_out_of_margin_sats(position))


def figures(position: StoredPosition, quote: Quote | None, *, fee_rate: Fraction) -> Figures:
    """Return P&L, sats added and value of a trade.

    P&L of a running trade counts from its reference price to the closing quote, as the exchange's own; that of a
    closed one is the exchange's. Value is everything that came back or would come back now: cash-ins and credited
    funding included, fees of closing deducted; of an order that rests or was canceled all that was set aside.
    """
    trade = position.trade
    added = added_sats(position)
    if trade.status in {TradeStatus.OPEN, TradeStatus.CANCELED}:
        return Figures(pnl_sats=0, added_sats=added, value_sats=trade.margin_sats + trade.maintenance_margin_sats)
    exit_price = trade.exit_price if trade.status is TradeStatus.CLOSED else None
    if trade.status is TradeStatus.RUNNING and quote is not None:
        exit_price = quote.closing_price(trade.side)
    if exit_price is None and trade.status is TradeStatus.RUNNING:
        return Figures(pnl_sats=trade.pnl_sats, added_sats=added, value_sats=None)
    value = returned_sats(
        trade,
        exit_price=trade.price if exit_price is None else exit_price,
        fee_rate=fee_rate,
        credited_funding_sats=funding_out_of_margin_sats(position) - trade.sum_funding_fees_sats,
        was_liquidated=_was_liquidated(position),
        last_price=None if quote is None else quote.last_price,
    )
    return Figures(pnl_sats=_pnl_sats(trade, exit_price), added_sats=added, value_sats=value)


def _pnl_sats(trade: Trade, exit_price: Price | None) -> int:
    if trade.status is not TradeStatus.RUNNING or exit_price is None:
        return trade.pnl_sats
    return pnl_sats(side=trade.side, quantity_usd=trade.quantity_usd, entry_price=trade.price, exit_price=exit_price)


def _was_liquidated(position: StoredPosition) -> bool | None:
    if position.close_reason in {None, CloseReason.UNKNOWN}:
        return None
    return position.close_reason is CloseReason.LIQUIDATION


def initial_liquidation_price(trade: Trade) -> Price:
    """Return the liquidation price that the trade had when it was opened."""
    return isolated_liquidation_price(
        side=trade.side,
        quantity_usd=trade.quantity_usd,
        price=_entry_price(trade),
        collateral_sats=_entry_margin_sats(trade),
    )


def trade_view(
    position: StoredPosition,
    *,
    quote: Quote | None,
    fee_rate: Fraction,
    full_room: Fraction,
    opening_cost_sats: int,
    guard: GuardView | None,
    twin: StoredPosition | None,
    now: datetime,
    take_back: TakeBackView | None = None,
    coverage: CoverageView | None = None,
) -> TradeView:
    """Return the trade as its owner sees it.

    Args:
        full_room: Distance to liquidation at entry, as a fraction of the entry price.
        opening_cost_sats: What opening took from the balance: entry margin, opening fee and fee reserve.
        twin: The same trade without a guard, where there is one.
    """
    trade = position.trade
    own = figures(position, quote, fee_rate=fee_rate)
    is_resting = trade.status in {TradeStatus.OPEN, TradeStatus.CANCELED}
    room = None
    if trade.status is TradeStatus.RUNNING and quote is not None:
        room = distance(side=trade.side, price=quote.last_price, liquidation_price=trade.liquidation_price)
    result = None
    if own.value_sats is not None:
        result = 0 if is_resting else own.value_sats - opening_cost_sats - own.added_sats
    return TradeView(
        exchange_account_id=position.exchange_account_id,
        trade_id=trade.trade_id,
        label=trade.client_id,
        side=trade.side,
        status=trade.status,
        quantity_usd=trade.quantity_usd,
        leverage=round(float(trade.leverage), 4),
        entry_leverage=round(
            float(
                leverage(
                    quantity_usd=trade.quantity_usd, price=_entry_price(trade), margin_sats=_entry_margin_sats(trade)
                )
            ),
            4,
        ),
        entry_price=usd_number(_entry_price(trade)),
        exit_price=_optional_usd(trade.exit_price),
        last_price=None if quote is None else usd_number(quote.last_price),
        liquidation_price=usd_number(trade.liquidation_price),
        initial_liquidation_price=usd_number(initial_liquidation_price(trade)),
        stop_loss_price=_optional_usd(trade.stop_loss_price),
        stop_owner=_stop_owner(position),
        take_profit_price=_optional_usd(trade.take_profit_price),
        margin_sats=trade.margin_sats,
        entry_margin_sats=_entry_margin_sats(trade),
        added_sats=own.added_sats,
        pnl_sats=own.pnl_sats,
        opening_fee_sats=trade.opening_fee_sats,
        closing_fee_sats=trade.closing_fee_sats,
        funding_fees_sats=trade.sum_funding_fees_sats,
        value_sats=own.value_sats,
        result_sats=result,
        room=None if room is None else share_number(room),
        full_room=share_number(full_room),
        room_share=None if room is None or full_room <= 0 else share_number(room / full_room),
        close_reason=position.close_reason,
        opened_at=instant(trade.filled_at or trade.created_at),
        closed_at=optional_instant(trade.closed_at),
        guard=guard,
        age_s=round(max(0.0, (now - position.requested_at).total_seconds()), 1),
        facts_source=position.source,
        twin_trade_id=None if twin is None else twin.trade.trade_id,
        kept_sats=_kept_sats(own, twin, quote, fee_rate=fee_rate),
        coverage=coverage,
        take_back=take_back,
    )


def find_twin(position: StoredPosition, others: Sequence[StoredPosition]) -> StoredPosition | None:
    """Return the trade of another account that was opened as the same: same label, side and quantity."""
    trade = position.trade
    if trade.client_id is None:
        return None
    return next(
        (
            other
            for other in others
            if (other.trade.client_id, other.trade.side, other.trade.quantity_usd)
            == (trade.client_id, trade.side, trade.quantity_usd)
        ),
        None,
    )


def share_number(share: Fraction) -> float:
    """Return a share as a JSON number with six decimals."""
    return round(float(share), 6)


def _kept_sats(own: Figures, twin: StoredPosition | None, quote: Quote | None, *, fee_rate: Fraction) -> int | None:
    if twin is None or own.value_sats is None:
        return None
    unguarded = figures(twin, quote, fee_rate=fee_rate)
    if unguarded.value_sats is None:
        return None
    return kept_sats(
        guarded_value_sats=own.value_sats,
        added_sats=own.added_sats,
        unguarded_value_sats=unguarded.value_sats - unguarded.added_sats,
    )


def _stop_owner(position: StoredPosition) -> StopOwner | None:
    if position.trade.stop_loss_price is None:
        return None
    return "axisor" if position.trade.stop_loss_price == position.own_stop_price else "user"


def _entry_price(trade: Trade) -> Price:
    return trade.price if trade.entry_price is None else trade.entry_price


def _entry_margin_sats(trade: Trade) -> int:
    return trade.margin_sats if trade.entry_margin_sats is None else trade.entry_margin_sats


def _optional_usd(price: Price | None) -> float | None:
    return None if price is None else usd_number(price)
