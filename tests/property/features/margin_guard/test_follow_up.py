"""What a rescue is said to have kept is the difference between two trades at the paper exchange: one with, one without."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import NOW
from tests.factories.paper import PaperMarket
from tests.factories.trades import a_running_trade
from tests.property.domain.strategies import sides

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import CloseReason, PositionSide, PriceLevel, Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.follow_up import FollowUp, Note, Present, Rescue, follow_up
from axisor.features.market_data.bars import Bar
from axisor.paper.records import PaperTrade

MINUTE = timedelta(minutes=1)


def move(market: PaperMarket, price: Price) -> None:
    levels = tuple(
        PriceLevel(min_size_usd=low, max_size_usd=high, ask_price=price, bid_price=price)
        for low, high in ((0, 250_000), (250_000, 500_000))
    )
    market.engine.advance(price, levels)


def stated(paper: PaperTrade) -> Trade:
    trade = a_running_trade(
        side=paper.side, quantity_usd=paper.quantity_usd, price=paper.price, margin_sats=paper.margin_sats
    )
    return replace(
        trade,
        status=paper.status,
        liquidation_price=paper.liquidation_price,
        maintenance_margin_sats=paper.maintenance_margin_sats,
        opening_fee_sats=paper.opening_fee_sats,
        entry_margin_sats=paper.entry_margin_sats,
        exit_price=paper.exit_price,
        pnl_sats=paper.pnl_sats if paper.status is TradeStatus.CLOSED else 0,
        closing_fee_sats=paper.closing_fee_sats,
    )


def bars_of(prices: list[Price]) -> list[Bar]:
    return [
        Bar(
            interval_s=60, at=NOW + number * MINUTE, open=first, high=max(first, last), low=min(first, last), close=last
        )
        for number, (first, last) in enumerate(pairwise(prices))
    ]


@settings(max_examples=80, deadline=None)
@given(
    side=sides,
    leverage=st.integers(5, 50),
    share=st.integers(20, 90),
    added=st.integers(1, 400_000),
    steps=st.lists(st.integers(-400, 400), min_size=1, max_size=12),
)
def test_the_difference_is_that_of_two_trades_at_the_exchange(
    side: PositionSide, leverage: int, share: int, added: int, steps: list[int]
) -> None:
    market = PaperMarket.started(balance_sats=1_000_000_000)
    move(market, market.engine.last_price)
    guarded = market.open(side=side, leverage=leverage, quantity_usd=6_200)
    alone = market.open(side=side, leverage=leverage, quantity_usd=6_200)
    way = guarded.liquidation_price - guarded.price
    at_rescue = Price(guarded.price + way * (100 - share) // 100)
    move(market, at_rescue)
    before = stated(guarded)
    market.engine.isolated.add_margin(market.account, guarded.trade_id, amount_sats=added)
    rescue = Rescue(decision_id="d", at=NOW, amount_sats=added, price=at_rescue, before=before, counter_before_sats=0)
    prices = [at_rescue]
    for step in steps:
        prices.append(Price(max(1_000, prices[-1] + step * 10)))
        move(market, prices[-1])
        if guarded.status is TradeStatus.CLOSED:
            break
    died = alone.status is TradeStatus.CLOSED
    present = Present(
        trade=stated(guarded),
        funding_paid_sats=0,
        close_reason=None if guarded.status is TradeStatus.RUNNING else CloseReason.LIQUIDATION,
        exit_price=prices[-1],
        fee_rate=FEE_RATES[0],
    )
    found = follow_up(rescue, present, bars_of(prices), at=NOW + (len(prices) - 1) * MINUTE)

    def returned(paper: PaperTrade) -> int:
        balance = market.account.balance_sats
        if paper.status is TradeStatus.RUNNING:
            market.engine.isolated.close_trade(market.account, paper.trade_id)
        return market.account.balance_sats - balance

    with_value, without_value = returned(guarded), returned(alone)
    assert (found.would_have_died, found.added_sats) == (died, added)
    assert found.with_value_sats == with_value
    assert found.without_value_sats == without_value
    assert found.kept_sats == with_value - added - without_value


def a_rescue() -> tuple[Rescue, Present]:
    before = a_running_trade()
    rescue = Rescue(
        decision_id="d", at=NOW, amount_sats=208_001, price=Price(121_768), before=before, counter_before_sats=0
    )
    after = replace(before, margin_sats=before.margin_sats + 208_001)
    return rescue, Present(
        trade=after, funding_paid_sats=0, close_reason=None, exit_price=Price(123_000), fee_rate=FEE_RATES[0]
    )


def told(rescue: Rescue, present: Present, bars: list[Bar], minutes: int) -> FollowUp:
    return follow_up(rescue, present, bars, at=NOW + minutes * MINUTE)


def test_where_both_live_it_neither_kept_nor_cost() -> None:
    rescue, present = a_rescue()
    found = told(rescue, present, bars_of([Price(122_000)] * 4), 3)
    assert (found.kept_sats, found.would_have_died, found.note) == (0, False, None)


def test_a_hole_in_the_prices_proves_no_survival() -> None:
    rescue, present = a_rescue()
    found = told(rescue, present, bars_of([Price(122_000)] * 4), 30)
    assert (found.kept_sats, found.would_have_died, found.note) == (None, None, Note.PRICE_GAP)
    assert found.with_value_sats is not None


def test_a_death_that_was_seen_is_one_whatever_hole_follows() -> None:
    rescue, present = a_rescue()
    bars = bars_of([Price(121_768), rescue.before.liquidation_price, Price(123_000)])
    found = told(rescue, present, bars, 30)
    assert (found.would_have_died, found.without_value_sats) == (True, 0)
    assert found.kept_sats is not None
    assert found.kept_sats > 0


def test_a_death_in_the_minute_under_way_is_seen_in_the_price() -> None:
    rescue, present = a_rescue()
    beyond = Price(rescue.before.liquidation_price - 1)
    found = told(rescue, replace(present, exit_price=beyond), [], 0)
    assert (found.would_have_died, found.without_value_sats) == (True, 0)


def test_funding_that_both_paid_is_no_cost_of_the_rescue() -> None:
    rescue, present = a_rescue()
    paid = replace(
        present, trade=replace(present.trade, margin_sats=present.trade.margin_sats - 500), funding_paid_sats=500
    )
    assert told(rescue, paid, bars_of([Price(122_000)] * 4), 3).kept_sats == 0


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    rescue, present = a_rescue()
    calm = bars_of([Price(122_000)] * 4)
    assert told(rescue, replace(present, funding_paid_sats=None), calm, 3).note is Note.UNKNOWN_FUNDING
    assert told(rescue, replace(present, exit_price=None), calm, 3).note is Note.UNKNOWN_PRICE
