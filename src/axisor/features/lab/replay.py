"""What the guard would have done to one trade on a price history: the live decisions, the exchange's own sats.

Every decision is `policy.decide`, every figure comes from `axisor.domain`. The guard acts on the price it sees, at
once and with success: delays, refusals and outages are not in a price history. The exchange comes first at every
price: stop, then liquidation, then the guard. Sats that a rule takes back when it is calm again stay in here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.adjustments import after_add_margin, after_funding
from axisor.domain.contract import MAX_PRICE, MIN_PRICE, RESERVE_FEE_RATE, check_leverage, check_quantity
from axisor.domain.equity import closing_value_sats, sats_of_close
from axisor.domain.errors import InsufficientMargin
from axisor.domain.fees import fee_reserve_sats, trading_fee_sats
from axisor.domain.funding import funding_fee_sats, next_funding_at
from axisor.domain.liquidation import collateral_sats_at_leverage, isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats, quantity_usd_for_margin
from axisor.domain.trades import OrderType, PositionSide, Trade, TradeStatus
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.deeds import (
    AddMarginDeed,
    CloseDeed,
    CloseOneDeed,
    Deed,
    Facts,
    Hold,
    HoldReason,
    MoveStopDeed,
    ReopenDeed,
    RungState,
    Spending,
    WarnDeed,
)
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond, with_margin
from axisor.features.margin_guard.policy import (
    FUNDING_LOOK_AHEAD,
    decide,
    margin_at_leverage_one_sats,
    payable_funding_sats,
    price_wake_ups,
    rungs_ready_again,
)
from axisor.features.margin_guard.rule import GIVE_UP, GuardRule

_DAY: Final = timedelta(hours=24)
_MOST_DEEDS: Final = 100
_SLACK: Final = 200
"""A minute whose extremes stay a two-hundredth away from every level is not looked at closer: no quote is as far."""

type Quote = Callable[[Price, int, bool], Price]
"""(last price, quantity in USD, whether one buys) → the price of a market order."""
type Points = Callable[[], Iterator[tuple[int, Price]]]
"""The way of the price: milliseconds after the stretch's start, last price."""


def at_last(price: Price, quantity_usd: int, is_buy: bool) -> Price:
    """Return the last price itself: a market without a spread."""
    del quantity_usd, is_buy
    return price


@dataclass(frozen=True, slots=True)
class Stretch:
    """A minute of a history: its extremes, and its way when it is asked for."""

    at: datetime
    low: Price
    high: Price
    close: Price
    points: Points


class Happening(StrEnum):
    OPENED = "opened"
    WARNED = "warned"
    TOPPED_UP = "topped_up"
    STOP_SET = "stop_set"
    HELD = "held"
    """A step is due and nothing can be done."""
    REDUCED = "reduced"
    CLOSED = "closed"
    GAVE_UP = "gave_up"
    STOPPED = "stopped"
    LIQUIDATED = "liquidated"
    FUNDING = "funding"


ENDS: Final = frozenset({Happening.CLOSED, Happening.GAVE_UP, Happening.STOPPED, Happening.LIQUIDATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; `sats` went in (opening, top-up, funding paid) or came back (whatever ends)."""

    at: datetime
    price: Price
    what: Happening
    step: str | None = None
    sats: int = 0
    liquidation_price: Price | None = None
    """After it."""
    stop_price: Price | None = None
    reason: HoldReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trade stands at the end of a history; `result_sats` after all costs, the sats added counted as paid in."""

    ended_by: Happening | None
    """None: it still runs."""
    ended_at: datetime | None
    added_sats: int
    top_ups: int
    funding_sats: int
    value_sats: int
    """What closing it would give now; 0 once it has ended."""
    result_sats: int
    stop_price: Price | None
    liquidation_price: Price


def opened_trade(
    *,
    side: PositionSide,
    leverage: Fraction,
    price: Price,
    at: datetime,
    margin_sats: int | None = None,
    quantity_usd: int | None = None,
) -> Trade:
    """Return the trade that a market order sized by its margin (or its quantity) becomes, as the exchange computes it.

    Raises:
        DomainError: leverage or quantity is out of range.

    >>> from datetime import UTC
    >>> trade = opened_trade(
    ...     side=PositionSide.LONG, leverage=Fraction(25), price=Price(124_000), margin_sats=400_000,
    ...     at=datetime(2018, 1, 1, tzinfo=UTC),
    ... )
    >>> trade.quantity_usd, trade.liquidation_price, trade.maintenance_margin_sats
    (6200, 119231, 10399)
    """
    check_leverage(leverage)
    if quantity_usd is None:
        assert margin_sats is not None
        quantity_usd = quantity_usd_for_margin(margin_sats=margin_sats, price=price, leverage=leverage)
    check_quantity(quantity_usd)
    if margin_sats is None:
        margin_sats = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=leverage)
    collateral_sats = collateral_sats_at_leverage(quantity_usd=quantity_usd, price=price, leverage=leverage)
    liquidation_price = isolated_liquidation_price(
        side=side, quantity_usd=quantity_usd, price=price, collateral_sats=collateral_sats
    )
    reserve = fee_reserve_sats(
        quantity_usd=quantity_usd, entry_price=price, initial_liquidation_price=liquidation_price
    )
    opening_fee_sats = trading_fee_sats(quantity_usd=quantity_usd, price=price, rate=RESERVE_FEE_RATE)
    return Trade(
        trade_id=TradeId("replayed"),
        side=side,
        order_type=OrderType.MARKET,
        status=TradeStatus.RUNNING,
        quantity_usd=quantity_usd,
        margin_sats=margin_sats,
        leverage=Decimal(leverage.numerator) / leverage.denominator,
        price=price,
        liquidation_price=liquidation_price,
        stop_loss_price=None,
        take_profit_price=None,
        trailing_distance=None,
        entry_price=price,
        entry_margin_sats=margin_sats,
        exit_price=None,
        opening_fee_sats=opening_fee_sats,
        closing_fee_sats=0,
        maintenance_margin_sats=reserve.total_sats - opening_fee_sats,
        pnl_sats=0,
        sum_funding_fees_sats=0,
        sum_cash_in_pnl_sats=0,
        sum_cash_in_margin_sats=0,
        created_at=at,
        filled_at=at,
        closed_at=None,
        client_id=None,
    )


class ReplayedTrade:
    """One trade on its way through a history, guarded by a rule or left alone."""

    def __init__(
        self,
        trade: Trade,
        rule: GuardRule | None,
        *,
        at: datetime,
        balance_sats: int = 0,
        put_in_sats: int = 0,
        funding_rate: Fraction = Fraction(0),
        quote: Quote = at_last,
        last_price: Price | None = None,
    ) -> None:
        """Begin right after the trade was opened at `at`, with `put_in_sats` added by its owner at once.

        Args:
            balance_sats: What is free for top-ups beside the trade.
            funding_rate: Of every settlement at 00:00, 08:00 and 16:00 UTC; positive: longs pay.
            last_price: The market's then, where it is not the trade's own.
        """
        self._rule = rule
        self._quote = quote
        self._rate = funding_rate
        self._full = full_room(trade)
        self._rungs: dict[str, RungState] = {}
        self._parked: set[str] = set()
        self._own_stop: Price | None = None
        self._balance_sats = balance_sats
        self._day: list[tuple[datetime, int]] = []
        self._ended: Event | None = None
        self._ended_sats = 0
        self._flow_sats = -(trade.margin_sats + trade.opening_fee_sats + trade.maintenance_margin_sats)
        self._funding_sats = 0
        self._top_ups = 0
        self._toward: Price | None = None
        self._away: Price | None = None
        self._funding_at = next_funding_at(at)
        self._is_looking_ahead = False
        self.events: list[Event] = []
        self.trade = trade
        self.spent_sats = 0
        self._last = trade.price if last_price is None else last_price
        self._calm_from, self._calm_to = MIN_PRICE, MAX_PRICE
        self._happened(at, Happening.OPENED, sats=-self._flow_sats)
        put_in_sats = min(put_in_sats, margin_at_leverage_one_sats(trade) - trade.margin_sats)
        if put_in_sats > 0:
            self._add(put_in_sats)
        self._consider(at)

    def is_running(self) -> bool:
        """Return whether the trade has not ended."""
        return self._ended is None

    def advance(self, stretch: Stretch) -> None:
        """Let one stretch of the history pass."""
        while self.is_running() and stretch.at >= self._funding_at:
            self._settle(self._funding_at)
        if not self.is_running():
            return
        is_day_limited = self._rule is not None and self._rule.limits.account_day_sats is not None
        if not self._is_looking_ahead and stretch.at >= self._funding_at - FUNDING_LOOK_AHEAD:
            self._is_looking_ahead = True
            self._consider(stretch.at)
        elif self._parked and is_day_limited:  # time alone may free the step
            self._consider(stretch.at)
        if self._calm_from < stretch.low and stretch.high < self._calm_to:
            self._last = stretch.close
            return
        for after_ms, price in stretch.points() if self.is_running() else ():
            self.see(stretch.at + timedelta(milliseconds=after_ms), price)
            if not self.is_running():
                return

    def see(self, at: datetime, price: Price) -> None:
        """Let the price be here: what the exchange does, then what the guard does."""
        if self._ended is not None:
            return
        self._last = price
        side, stop = self.trade.side, self.trade.stop_loss_price
        if stop is not None and is_at_or_beyond(side, price, stop):
            self._end(at, Happening.STOPPED, exit_price=stop)
        elif is_at_or_beyond(side, price, self.trade.liquidation_price):
            self._end(at, Happening.LIQUIDATED, exit_price=self.trade.liquidation_price)
        elif self._is_worth_a_decision(self._trigger_price()):
            self._consider(at)

    def settle_funding(self, at: datetime) -> None:
        """Settle funding now, at the last price."""
        if self._ended is None:
            self._settle(at)

    def consider(self, at: datetime) -> None:
        """Let the guard decide now."""
        if self._ended is None:
            self._consider(at)

    def outcome(self) -> Outcome:
        """Return how the trade stands at the last price."""
        value_sats = 0
        if self._ended is None:
            value_sats = closing_value_sats(
                trade=self.trade, exit_price=self._exit_price(), fee_rate=RESERVE_FEE_RATE, last_price=self._last
            )
        return Outcome(
            ended_by=None if self._ended is None else self._ended.what,
            ended_at=None if self._ended is None else self._ended.at,
            added_sats=self.spent_sats,
            top_ups=self._top_ups,
            funding_sats=self._funding_sats,
            value_sats=value_sats,
            result_sats=self._flow_sats + value_sats,
            stop_price=self.trade.stop_loss_price,
            liquidation_price=self.trade.liquidation_price,
        )

    # The exchange's side

    def _exit_price(self) -> Price:
        return self._quote(self._last, self.trade.quantity_usd, self.trade.side is PositionSide.SHORT)

    def _trigger_price(self) -> Price:
        """Return the worse of the last price and the one at which the trade could be closed."""
        exit_price = self._exit_price()
        return min(self._last, exit_price) if self.trade.side is PositionSide.LONG else max(self._last, exit_price)

    def _add(self, amount_sats: int) -> None:
        trade = self.trade
        state = after_add_margin(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
        )
        self.trade = replace(trade, margin_sats=state.margin_sats, liquidation_price=state.liquidation_price)
        self.spent_sats += amount_sats
        self._flow_sats -= amount_sats

    def _settle(self, at: datetime) -> None:
        trade = self.trade
        fee_sats = funding_fee_sats(
            side=trade.side, quantity_usd=trade.quantity_usd, fixing_price=self._last, rate=self._rate
        )
        self._funding_at = next_funding_at(at)
        self._is_looking_ahead = False
        if fee_sats < 0:
            self._flow_sats -= fee_sats
            self._balance_sats -= fee_sats
        elif fee_sats > 0:
            try:
                state = after_funding(
                    side=trade.side,
                    quantity_usd=trade.quantity_usd,
                    price=trade.price,
                    margin_sats=trade.margin_sats,
                    fee_sats=fee_sats,
                )
            except InsufficientMargin:
                self._end(at, Happening.LIQUIDATED, exit_price=self._last)
                return
            self.trade = with_margin(trade, state.margin_sats)
        self._funding_sats += fee_sats
        if fee_sats:
            self._happened(at, Happening.FUNDING, sats=fee_sats)
        self._parked.clear()
        self.see(at, self._last)
        if self._ended is None:
            self._consider(at)

    def _end(self, at: datetime, what: Happening, *, exit_price: Price, step: str | None = None) -> None:
        returned_sats = 0
        if what is not Happening.LIQUIDATED:
            returned_sats = self._closed_sats(exit_price)
        self._flow_sats += returned_sats
        self._happened(at, what, price=exit_price, sats=returned_sats, step=step)
        self._ended = self.events[-1]

    def _closed_sats(self, exit_price: Price) -> int:
        return sats_of_close(trade=self.trade, exit_price=exit_price, fee_rate=RESERVE_FEE_RATE)

    # The guard's side

    def _facts(self, at: datetime) -> Facts:
        self._day = [(spent_at, sats) for spent_at, sats in self._day if at - spent_at < _DAY]
        payable_sats = payable_funding_sats(
            self.trade, price=self._last, settlements=((self._rate, self._funding_at),), read_at=at, now=at
        )
        return Facts(
            trade=self.trade,
            trigger_price=self._trigger_price(),
            full_room=self._full,
            rungs=self._rungs,
            pending=(),
            spending=Spending(
                position_spent_sats=self.spent_sats,
                position_count=self._top_ups,
                account_day_spent_sats=sum(sats for _, sats in self._day),
                balance_sats=self._balance_sats,
                is_stopped=False,
                account_spent_sats=self.spent_sats,
            ),
            own_stop_price=self._own_stop,
            is_stop_removed=False,
            is_stop_pending=False,
            is_close_pending=False,
            seconds_to_liquidation=None,
            funding_rate=self._rate,
            funding_at=self._funding_at,
            payable_sats=payable_sats,
        )

    def _consider(self, at: datetime) -> None:
        """Carry out what the policy decides, one deed after the other, until it holds."""
        if self._rule is None:
            self._rest(at)
            return
        for _ in range(_MOST_DEEDS):
            facts = self._facts(at)
            if ready := rungs_ready_again(facts, self._rule):
                for key in ready:
                    self._rungs[key] = RungState(arming_no=self._rungs[key].arming_no + 1, is_armed=True)
                facts = self._facts(at)
            deed = decide(facts, self._rule, now=at)
            if isinstance(deed, Hold):
                self._held(at, deed)
                self._rest(at)
                return
            self._do(at, deed)
            if self._ended is not None:
                return
        raise AssertionError(f"the guard does not come to rest at {at}")

    def _held(self, at: datetime, hold: Hold) -> None:
        if hold.rung is None or hold.rung in self._parked:
            return
        if hold.reason is not HoldReason.REFILL_REACHED:
            self._happened(at, Happening.HELD, step=hold.rung, reason=hold.reason)
            self._parked.add(hold.rung)

    def _do(self, at: datetime, deed: Deed) -> None:
        match deed:
            case AddMarginDeed(rung=rung, arming_no=arming_no, amount_sats=sats):
                self._add(sats)
                self._top_ups += 1
                self._balance_sats -= sats
                self._day.append((at, sats))
                self._parked.discard(rung)
                self._rungs[rung] = RungState(arming_no=arming_no, is_armed=False)
                self._happened(at, Happening.TOPPED_UP, sats=sats, step=rung)
            case MoveStopDeed(stop_price=stop):
                self.trade = replace(self.trade, stop_loss_price=stop)
                self._own_stop = stop
                self._happened(at, Happening.STOP_SET, sats=self._closed_sats(stop))
            case WarnDeed(rung=rung, arming_no=arming_no):
                self._rungs[rung] = RungState(arming_no=arming_no, is_armed=False)
                self._happened(at, Happening.WARNED, step=rung)
            case CloseDeed(rung=rung):
                what = Happening.GAVE_UP if rung == GIVE_UP else Happening.CLOSED
                self._end(at, what, exit_price=self._exit_price(), step=rung)
            case CloseOneDeed(rung=rung):  # the only trade there is
                self._end(at, Happening.CLOSED, exit_price=self._exit_price(), step=rung)
            case ReopenDeed():
                self._reopen(at, deed)
            case _:
                raise AssertionError(f"a trade alone has nothing to fund {deed}")

    def _reopen(self, at: datetime, deed: ReopenDeed) -> None:
        """Close the trade and go on with a smaller one, under the same rule and what is left of its limits."""
        returned_sats = self._closed_sats(self._exit_price())
        is_buy = self.trade.side is PositionSide.LONG
        step = deed.open_step
        opened = opened_trade(
            side=step.side,
            leverage=Fraction(step.leverage),
            price=self._quote(self._last, step.quantity_usd, is_buy),
            quantity_usd=step.quantity_usd,
            at=at,
        )
        cost_sats = opened.margin_sats + opened.opening_fee_sats + opened.maintenance_margin_sats
        self._flow_sats += returned_sats - cost_sats
        self._balance_sats += returned_sats - cost_sats
        self.trade, self._full = opened, full_room(opened)
        self._own_stop, self._rungs = None, {}
        self._parked.clear()
        self._happened(at, Happening.REDUCED, sats=returned_sats, step=deed.rung)

    def _is_worth_a_decision(self, trigger_price: Price) -> bool:
        side = self.trade.side
        is_toward = self._toward is not None and is_at_or_beyond(side, trigger_price, self._toward)
        return is_toward or (self._away is not None and is_at_or_beyond(side.opposite, trigger_price, self._away))

    def _rest(self, at: datetime) -> None:
        """Find where the next decision is worth it, and between which prices nothing at all can happen."""
        trade = self.trade
        self._toward = self._away = None
        if self._rule is not None:
            # A step that is due and held is not asked again at every price: only an event can free it.
            rungs = tuple(rung for rung in self._rule.rungs if rung.key not in self._parked)
            wake = price_wake_ups(self._facts(at), replace(self._rule, rungs=rungs))
            is_long = trade.side is PositionSide.LONG
            self._toward = wake.at_or_below if is_long else wake.at_or_above
            self._away = wake.at_or_above if is_long else wake.at_or_below
        levels = [
            price for price in (self._toward, trade.stop_loss_price, trade.liquidation_price) if price is not None
        ]
        if trade.side is PositionSide.LONG:
            nearest = max(levels)
            self._calm_from = Price(nearest + nearest // _SLACK + 2)
            self._calm_to = Price(MAX_PRICE + 1) if self._away is None else self._away
        else:
            nearest = min(levels)
            self._calm_from = Price(0) if self._away is None else self._away
            self._calm_to = Price(nearest - nearest // _SLACK - 2)

    def _happened(
        self,
        at: datetime,
        what: Happening,
        *,
        price: Price | None = None,
        sats: int = 0,
        step: str | None = None,
        reason: HoldReason | None = None,
    ) -> None:
        self.events.append(
            Event(
                at=at,
                price=self._last if price is None else price,
                what=what,
                step=step,
                sats=sats,
                liquidation_price=self.trade.liquidation_price,
                stop_price=self.trade.stop_loss_price,
                reason=reason,
            )
        )


def pass_through(trades: Iterable[ReplayedTrade], history: Iterable[Stretch]) -> None:
    """Let every trade live through the whole history, or until all have ended."""
    running = list(trades)
    for stretch in history:
        for trade in running:
            trade.advance(stretch)
        if any(not trade.is_running() for trade in running):
            running = [trade for trade in running if trade.is_running()]
            if not running:
                return
