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
from axisor.features.lab.simulate import FUNDING_MINUTES, NIGHT_MINUTES, Minutes
from axisor.features.margin_guard.plan import opening_cost_sats, with_margin
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    Facts,
    Spending,
    decide,
    desired_stop_price,
    full_room,
    is_at_or_beyond,
    mark_price,
)
from axisor.features.margin_guard.rule import GuardRule, Limits, Preset, Rung, TopUp

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
    top_ups: int
    result: float


def a_rule(*, top_up_share: Fraction, limit_sats: int, stop_share: Fraction | None = Fraction(12, 100)) -> GuardRule:
    return GuardRule(
        rule_id=RuleId("rule"),
        version=1,
        preset=Preset.CUSTOM,
        rungs=(Rung(key="top_up", room_share=top_up_share, action=TopUp(Fraction(1))),),
        limits=Limits(position_sats=limit_sats, account_day_sats=None, max_count=None, reserve_sats=0),
        stop_share=stop_share,
    )


def exact_night(
    market: Minutes,
    start: int,
    *,
    side: PositionSide,
    leverage: int,
    top_up_share: Fraction,
    limit: Fraction | None,
) -> ExactNight:
    """Return how the night that begins at minute `start` ends; `limit` None leaves the position alone."""
    night = _Night(market, start, side=side, leverage=leverage, top_up_share=top_up_share, limit=limit)
    for minute in range(start, start + NIGHT_MINUTES):
        if minute > start and minute % FUNDING_MINUTES == 0:
            night.settle_funding(_ticks(market.open[minute]))
        worst = market.low if side is PositionSide.LONG else market.high
        if night.jump(_ticks(market.open[minute])) or night.slide(_ticks(worst[minute])):
            return night.outcome()
    return night.outcome(_ticks(market.close[start + NIGHT_MINUTES - 1]))


class _Night:
    def __init__(
        self,
        market: Minutes,
        start: int,
        *,
        side: PositionSide,
        leverage: int,
        top_up_share: Fraction,
        limit: Fraction | None,
    ) -> None:
        price = _ticks(market.open[start])
        self._entry_margin = initial_margin_sats(quantity_usd=QUANTITY_USD, price=price, leverage=Fraction(leverage))
        self._trade: Trade = a_running_trade(
            side=side, quantity_usd=QUANTITY_USD, price=price, margin_sats=self._entry_margin
        )
        self._full = full_room(self._trade)
        self._rule = None
        if limit is not None:
            self._rule = a_rule(top_up_share=top_up_share, limit_sats=int(limit * self._entry_margin))
        self._added = 0
        self._credited = 0
        self._top_ups = 0
        self._liquidated = False
        self._stop_fill: Price | None = None
        self._known: tuple[Price, Price, Price] | None = None

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
        elif self._rule is not None and self._is_reached(self._stop(), price):
            self._stop_out(price)
        elif self._rule is not None and self._is_reached(self._mark(), price) and self._top_up(price):
            return self.jump(price)
        return self._has_ended

    def slide(self, price: Price) -> bool:
        if self._rule is not None:
            while self._is_reached(self._mark(), price) and self._top_up(self._mark()):
                pass
            if self._is_reached(self._stop(), price):
                self._stop_out(self._stop())
        elif self._is_reached(self._trade.liquidation_price, price):
            self._liquidated = True
        return self._has_ended

    def outcome(self, price: Price | None = None) -> ExactNight:
        exit_price = self._stop_fill if price is None else price
        value = 0
        if exit_price is not None:
            value = closing_value_sats(trade=self._trade, exit_price=exit_price, fee_rate=RATE)
        gain = value + self._credited - opening_cost_sats(self._trade) - self._added
        return ExactNight(
            liquidated=self._liquidated,
            stopped=self._stop_fill is not None,
            top_ups=self._top_ups,
            result=gain / self._entry_margin,
        )

    @property
    def _has_ended(self) -> bool:
        return self._liquidated or self._stop_fill is not None

    def _is_reached(self, mark: Price, price: Price) -> bool:
        return is_at_or_beyond(self._trade.side, price, mark)

    def _stop(self) -> Price:
        return self._layers()[0]

    def _mark(self) -> Price:
        return self._layers()[1]

    def _layers(self) -> tuple[Price, Price]:
        """Return the stop and the mark that belong to the present liquidation price."""
        if self._known is None or self._known[0] != self._trade.liquidation_price:
            assert self._rule is not None
            assert self._rule.stop_share is not None
            self._known = (
                self._trade.liquidation_price,
                desired_stop_price(self._trade, stop_share=self._rule.stop_share, full=self._full),
                mark_price(self._trade, share=self._rule.rungs[0].room_share, full=self._full),
            )
        return self._known[1:]

    def _stop_out(self, price: Price) -> None:
        self._stop_fill = Price(round(price * (1 - self._trade.side.sign * SLIPPAGE)))

    def _top_up(self, price: Price) -> bool:
        assert self._rule is not None
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
        if not isinstance(deed, AddMarginDeed):
            return False
        self._trade = with_margin(self._trade, self._trade.margin_sats + deed.amount_sats)
        self._added += deed.amount_sats
        self._top_ups += 1
        return True


def _ticks(usd: float) -> Price:
    return Price(round(usd * TICKS))
