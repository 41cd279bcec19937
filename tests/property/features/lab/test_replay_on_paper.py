"""A replayed trade against the paper exchange, which is told to do each deed: the same to a sat and a half-dollar."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.factories.paper import CALM, START, PaperMarket

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price, RuleId
from axisor.features.lab.replay import Happening, ReplayedTrade, Stretch, opened_trade
from axisor.features.margin_guard.rule import GuardRule, Limits, Preset, preset_rule
from axisor.features.margin_guard.steps import (
    AtConsumed,
    AtDistance,
    Notify,
    Reduce,
    ReduceHow,
    Rung,
    TopUpShare,
    TopUpTo,
)
from axisor.paper.engine.orders import NewTrade
from axisor.paper.market.ladder import ladder
from axisor.paper.records import PaperTrade

MARGIN_SATS = 400_000
BALANCE_SATS = 10_000_000
RATE = Decimal("0.0004")

presets = st.builds(
    lambda preset, leverage: preset_rule(
        preset, rule_id=RuleId("rule"), leverage=Fraction(leverage), entry_margin_sats=MARGIN_SATS
    ),
    st.sampled_from([Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT]),
    st.sampled_from([5, 25]),
)
OWN = GuardRule(
    rule_id=RuleId("own"),
    version=1,
    preset=Preset.CUSTOM,
    rungs=(
        Rung(key="tell", room_share=Fraction(7, 10), action=Notify()),
        Rung(key="add", trigger=AtDistance(Fraction(1, 100)), action=TopUpTo(Fraction(5, 100))),
        Rung(key="more", trigger=AtConsumed(Fraction(3, 10)), action=TopUpShare(Fraction(1, 4))),
    ),
    limits=Limits(
        position_sats=900_000, account_day_sats=500_000, max_count=6, reserve_sats=100_000, account_sats=800_000
    ),
    stop_share=Fraction(1, 10),
)
SMALLER = replace(
    OWN, rungs=(Rung(key="smaller", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2), ReduceHow.REOPEN)),)
)
GIVES_UP = replace(OWN, give_up_price=Price(119_000))
rules = st.one_of(presets, st.sampled_from([OWN, SMALLER, GIVES_UP]))
moves = st.lists(st.one_of(st.integers(-150, 150), st.integers(-15, 15), st.none()), min_size=1, max_size=60)
"""In tenths of a thousandth of the price; None settles funding."""


def quote(last_price: Price, quantity_usd: int, is_buy: bool) -> Price:
    level = next(level for level in ladder(last_price, CALM) if quantity_usd <= level.max_size_usd)
    price = level.ask_price if is_buy else level.bid_price
    assert price is not None
    return price


@dataclass
class Night:
    """One trade twice: replayed, and on the paper exchange that does what the replay says was done."""

    side: PositionSide
    leverage: int
    rule: GuardRule
    market: PaperMarket = field(default_factory=lambda: PaperMarket.started(balance_sats=BALANCE_SATS))
    told: int = 1
    price: Price = START
    settled: int = 0

    def __post_init__(self) -> None:
        order = NewTrade(
            side=self.side, order_type=OrderType.MARKET, leverage=Fraction(self.leverage), margin_sats=MARGIN_SATS
        )
        self.paper: PaperTrade = self.market.engine.isolated.open_trade(self.market.account, order)
        opened = opened_trade(
            side=self.side,
            leverage=Fraction(self.leverage),
            price=self.paper.entry_price,
            margin_sats=MARGIN_SATS,
            at=self.market.clock.now(),
        )
        self.replayed = ReplayedTrade(
            opened,
            self.rule,
            at=self.market.clock.now(),
            balance_sats=self.market.account.balance_sats,
            funding_rate=Fraction(RATE),
            quote=quote,
            last_price=START,
        )
        self.follow()
        self.compare()

    def move(self, tenths: int) -> None:
        self.price = Price(self.price + self.price * tenths // 10_000)
        self.market.clock.advance(60)
        self.market.engine.advance(self.price, ladder(self.price, CALM))
        self.replayed.see(self.market.clock.now(), self.price)
        self.follow()

    def settle(self) -> None:
        self.market.clock.advance(60)
        self.settled += 1
        self.market.engine.settle_funding(
            settlement_id=str(self.settled),
            rate=RATE,
            fixing_price=self.price,
            at_ms=int(self.market.clock.now().timestamp() * 1000),
        )
        self.replayed.settle_funding(self.market.clock.now())
        self.follow()

    def follow(self) -> None:
        """Do at the paper exchange what was done since the last time."""
        desk, account = self.market.engine.isolated, self.market.account
        for event in self.replayed.events[self.told :]:
            match event.what:
                case Happening.TOPPED_UP:
                    desk.add_margin(account, self.paper.trade_id, amount_sats=event.sats)
                case Happening.STOP_SET:
                    assert event.stop_price is not None
                    desk.set_stop_loss(account, self.paper.trade_id, stop_price=event.stop_price)
                case Happening.CLOSED | Happening.GAVE_UP:
                    desk.close_trade(account, self.paper.trade_id)
                case Happening.REDUCED:
                    desk.close_trade(account, self.paper.trade_id)
                    smaller = self.replayed.trade
                    order = NewTrade(
                        side=self.side,
                        order_type=OrderType.MARKET,
                        leverage=Fraction(smaller.leverage),
                        quantity_usd=smaller.quantity_usd,
                    )
                    self.paper = desk.open_trade(account, order)
                case _:
                    pass
        self.told = len(self.replayed.events)

    def compare(self) -> None:
        outcome, trade = self.replayed.outcome(), self.replayed.trade
        paid_sats = self.market.account.balance_sats - BALANCE_SATS
        assert outcome.result_sats - outcome.value_sats == paid_sats
        is_live = self.paper.trade_id in self.market.account.live
        assert self.replayed.is_running() == is_live
        if not is_live:
            return
        assert trade.margin_sats == self.paper.margin_sats
        assert trade.maintenance_margin_sats == self.paper.maintenance_margin_sats
        assert trade.liquidation_price == self.paper.liquidation_price
        assert trade.stop_loss_price == self.paper.stop_loss_price


@settings(max_examples=60, deadline=None)
@given(side=st.sampled_from(PositionSide), leverage=st.sampled_from([5, 25, 50]), rule=rules, path=moves)
@example(side=PositionSide.LONG, leverage=25, rule=SMALLER, path=[-100, -100, -100, 40, -100, -100, None, -100])
@example(side=PositionSide.SHORT, leverage=25, rule=OWN, path=[100, 90, 80, None, 70, 60, 90, 90, 90, 90, 90, 90])
@example(side=PositionSide.LONG, leverage=25, rule=GIVES_UP, path=[-100, -100, -100, -60, -60, -60])
def test_a_replayed_trade_is_the_one_on_the_paper_exchange_to_a_sat(
    side: PositionSide, leverage: int, rule: GuardRule, path: list[int | None]
) -> None:
    night = Night(side, leverage, rule)
    for tenths in path:
        if tenths is None:
            night.settle()
        else:
            night.move(tenths)
        night.compare()
    outcome = night.replayed.outcome()
    if night.replayed.is_running():
        night.market.engine.isolated.close_trade(night.market.account, night.paper.trade_id)
    assert outcome.result_sats == night.market.account.balance_sats - BALANCE_SATS


def stretches(path: Sequence[Price], *, looks_closer: bool) -> list[Stretch]:
    """Return minutes of six prices; `looks_closer` gives them extremes that nothing can be calm between."""
    made = []
    for number in range(0, len(path), 6):
        way = list(enumerate(path[number : number + 6]))
        prices = [price for _, price in way]
        low, high = (MIN_PRICE, MAX_PRICE) if looks_closer else (min(prices), max(prices))
        at = PaperMarket.started().clock.now() + timedelta(minutes=70 * number)
        made.append(
            Stretch(at, low, high, prices[-1], lambda way=way: ((9_000 * ms, price) for ms, price in way))  # type: ignore[misc] # the default binds the loop's
        )
    return made


@settings(max_examples=40, deadline=None)
@given(
    side=st.sampled_from(PositionSide),
    rule=rules,
    path=st.lists(st.integers(-60, 60), min_size=12, max_size=90),
)
def test_minutes_that_are_not_looked_at_closely_hide_nothing(
    side: PositionSide, rule: GuardRule, path: list[int]
) -> None:
    prices, price = [], START
    for tenths in path:
        price = Price(price + price * tenths // 10_000)
        prices.append(price)
    found = []
    for looks_closer in (True, False):
        at = PaperMarket.started().clock.now()
        opened = opened_trade(side=side, leverage=Fraction(25), price=START, margin_sats=MARGIN_SATS, at=at)
        one = ReplayedTrade(
            opened, rule, at=at, balance_sats=BALANCE_SATS, funding_rate=Fraction(RATE), quote=quote, last_price=START
        )
        for stretch in stretches(prices, looks_closer=looks_closer):
            one.advance(stretch)
        found.append((one.events, one.outcome()))
    assert found[0] == found[1]
