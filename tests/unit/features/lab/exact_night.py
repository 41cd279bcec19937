"""One simulated night once more, slowly: the shipped policy and the domain's integers instead of vectors of floats."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from tests.factories.trades import a_running_trade

from axisor.domain.adjustments import after_funding
from axisor.domain.contract import FEE_RATES
from axisor.domain.equity import closing_value_sats
from axisor.domain.funding import funding_fee_sats
from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, RuleId
from axisor.features.lab.simulate import FUNDING_MINUTES, NIGHT_MINUTES, Guard, Minutes
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond, step_price
from axisor.features.margin_guard.plan import opening_cost_sats, with_margin
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CloseDeed,
    Facts,
    Spending,
    decide,
    safety_stop_price,
)
from axisor.features.margin_guard.rule import Close, GuardRule, Limits, Preset, Rung, TopUp

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
TICKS = 4_000
"""Half-dollars per recorded dollar: so many that the exchange's tick plays no part, as in the simulation."""
QUANTITY_USD = 10**11
RATE = FEE_RATES[0]
FUNDING = Decimal("0.0001")
SLIPPAGE = Fraction(5, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactNight:
    liquidated: bool
    stopped: bool
    closed: bool
    top_ups: int
    result: float


def a_rule(guard: Guard, *, entry_margin_sats: int) -> GuardRule | None:
    """Return the rule that a simulated guard stands for; None where nothing is done."""
    rungs: tuple[Rung, ...] = ()
    if guard.close_share is not None:
        rungs = (Rung(key="cut", room_share=_share(guard.close_share), action=Close()),)
    elif guard.limit > 0:
        rungs = (Rung(key="top_up", room_share=_share(guard.top_up_share), action=TopUp(_share(guard.refill_share))),)
    if not rungs and guard.stop_share is None:
        return None
    return GuardRule(
        rule_id=RuleId("rule"),
        version=1,
        preset=Preset.CUSTOM,
        rungs=rungs,
        limits=Limits(
            position_sats=int(_share(guard.limit) * entry_margin_sats),
            account_day_sats=None,
            max_count=None,
            reserve_sats=0,
        ),
        stop_share=None if guard.stop_share is None else _share(guard.stop_share),
    )


def exact_night(market: Minutes, start: int, *, side: PositionSide, leverage: int, guard: Guard) -> ExactNight:
    """Return how the night that begins at minute `start` ends."""
    night = _Night(market, start, side=side, leverage=leverage, guard=guard)
    for minute in range(start, start + NIGHT_MINUTES):
        if minute > start and minute % FUNDING_MINUTES == 0:
            night.settle_funding(_ticks(market.open[minute]))
        worst = market.low if side is PositionSide.LONG else market.high
        if night.jump(_ticks(market.open[minute])) or night.slide(_ticks(worst[minute])):
            return night.outcome()
        if guard.is_late and night.end_minute(_ticks(market.close[minute])):
            return night.outcome()
    return night.outcome(_ticks(market.close[start + NIGHT_MINUTES - 1]))


class _Night:
    def __init__(self, market: Minutes, start: int, *, side: PositionSide, leverage: int, guard: Guard) -> None:
        price = _ticks(market.open[start])
        self._entry_margin = initial_margin_sats(quantity_usd=QUANTITY_USD, price=price, leverage=Fraction(leverage))
        opened = a_running_trade(side=side, quantity_usd=QUANTITY_USD, price=price, margin_sats=self._entry_margin)
        self._full = full_room(opened)
        self._added = int(_share(guard.at_entry) * self._entry_margin)
        self._trade: Trade = with_margin(opened, self._entry_margin + self._added)
        self._rule = a_rule(guard, entry_margin_sats=self._entry_margin)
        self._is_late = guard.is_late
        self._credited = 0
        self._top_ups = 0
        self._liquidated = self._closed = False
        self._exit_price: Price | None = None
        self._known: tuple[Price, Price | None, Price | None] | None = None

    def settle_funding(self, price: Price) -> None:
        fee = funding_fee_sats(side=self._trade.side, quantity_usd=QUANTITY_USD, fixing_price=price, rate=FUNDING)
        self._credited -= min(0, fee)
        state = after_funding(
            side=self._trade.side,
            quantity_usd=QUANTITY_USD,
            price=self._trade.price,
            margin_sats=self._trade.margin_sats,
            fee_sats=fee,
        )
        self._trade = with_margin(self._trade, state.margin_sats)

    def jump(self, price: Price) -> bool:
        if self._is_reached(self._trade.liquidation_price, price):
            self._liquidated = True
        elif self._is_reached(self._stop(), price):
            self._fill(price)
        elif not self._is_late and self._act(price):
            return self.jump(price)
        return self._has_ended

    def slide(self, price: Price) -> bool:
        while not self._is_late and self._is_reached(mark := self._mark(), price) and mark and self._act(mark):
            pass
        if self._has_ended:
            return True
        if (stop := self._stop()) is not None:
            if self._is_reached(stop, price):
                self._fill(stop)
        elif self._is_reached(self._trade.liquidation_price, price):
            self._liquidated = True
        return self._has_ended

    def end_minute(self, price: Price) -> bool:
        while self._act(price):
            pass
        return self._has_ended

    def outcome(self, price: Price | None = None) -> ExactNight:
        exit_price = self._exit_price if price is None else price
        value = 0
        if exit_price is not None:
            value = closing_value_sats(trade=self._trade, exit_price=exit_price, fee_rate=RATE)
        gain = value + self._credited - opening_cost_sats(self._trade) - self._added
        return ExactNight(
            liquidated=self._liquidated,
            stopped=self._exit_price is not None and not self._closed,
            closed=self._closed,
            top_ups=self._top_ups,
            result=gain / self._entry_margin,
        )

    @property
    def _has_ended(self) -> bool:
        return self._liquidated or self._exit_price is not None

    def _is_reached(self, mark: Price | None, price: Price) -> bool:
        return mark is not None and is_at_or_beyond(self._trade.side, price, mark)

    def _stop(self) -> Price | None:
        return self._layers()[0]

    def _mark(self) -> Price | None:
        return self._layers()[1]

    def _layers(self) -> tuple[Price | None, Price | None]:
        """Return the stop and the mark that belong to the present liquidation price."""
        if self._known is None or self._known[0] != self._trade.liquidation_price:
            stop = mark = None
            if self._rule is not None:
                stop = safety_stop_price(self._trade, self._rule, full=self._full)
                if self._rule.rungs:
                    mark = step_price(self._trade, self._rule.rungs[0], full=self._full)
            self._known = (self._trade.liquidation_price, stop, mark)
        return self._known[1:]

    def _fill(self, price: Price) -> None:
        self._exit_price = Price(round(price * (1 - self._trade.side.sign * SLIPPAGE)))

    def _act(self, price: Price) -> bool:
        """Let the policy decide at a price; return whether it acted and the trade goes on."""
        if self._rule is None or self._has_ended or not self._is_reached(self._mark(), price):
            return False
        trade = replace(self._trade, stop_loss_price=self._stop())
        facts = Facts(
            trade=trade,
            trigger_price=price,
            full_room=self._full,
            rungs={},
            pending=(),
            spending=Spending(
                position_spent_sats=self._added,
                position_count=self._top_ups,
                account_day_spent_sats=self._added,
                balance_sats=100 * self._entry_margin,
                is_stopped=False,
            ),
            own_stop_price=trade.stop_loss_price,
            is_stop_removed=False,
            is_stop_pending=False,
            is_close_pending=False,
            seconds_to_liquidation=None,
        )
        deed = decide(facts, self._rule, now=NOW)
        if isinstance(deed, CloseDeed):
            self._closed = True
            self._fill(price)
            return False
        if not isinstance(deed, AddMarginDeed):
            return False
        self._trade = with_margin(self._trade, self._trade.margin_sats + deed.amount_sats)
        self._added += deed.amount_sats
        self._top_ups += 1
        return True


def _share(number: float) -> Fraction:
    return Fraction(str(number))


def _ticks(usd: float) -> Price:
    return Price(round(usd * TICKS))
