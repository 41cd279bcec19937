"""Prices that count, and triggers that change while they fire."""

from datetime import UTC, datetime, timedelta

from axisor.domain.trades import PositionSide, PriceLevel
from axisor.domain.units import ExchangeAccountId, Price, TradeId
from axisor.features.margin_guard.policy import WakeUps
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.market import MarketState
from axisor.ports.market_feed import Ladder, LastPrice

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_price(floor: int, *, at_s: float, dated_s: float | None = None) -> LastPrice:
    dated = NOON + timedelta(seconds=at_s if dated_s is None else dated_s)
    return LastPrice(at=dated, floor=Price(floor), ceil=Price(floor), received_boottime_s=at_s)


def a_market() -> MarketState:
    return MarketState(stale_after_s=5, use_quotes=True)


def test_no_price_of_nothing_counts() -> None:
    market = a_market()
    assert not market.take_price(a_price(0, at_s=0))
    assert market.last is None


def test_a_frame_dated_in_the_future_blinds_for_no_longer_than_a_price_stays_fresh() -> None:
    market = a_market()
    assert market.take_price(a_price(120_000, at_s=0, dated_s=1_000_000))
    assert not market.take_price(a_price(120_010, at_s=1))
    assert market.take_price(a_price(120_020, at_s=6))


def test_a_jump_counts_only_when_the_next_frame_confirms_it() -> None:
    market = a_market()
    assert market.take_price(a_price(120_000, at_s=0))
    assert not market.take_price(a_price(60_000, at_s=1))
    assert market.take_price(a_price(119_000, at_s=2))
    assert not market.take_price(a_price(60_000, at_s=3))
    assert market.take_price(a_price(60_100, at_s=4))


def test_a_trade_may_move_to_a_new_size_bucket_while_it_fires() -> None:
    market, index = a_market(), GuardIndex()
    key = (ExchangeAccountId("account"), TradeId("trade"))
    market.take_price(a_price(120_000, at_s=0))
    index.put(key, WakeUps(at_or_below=Price(120_000)), bucket=None)
    level = PriceLevel(min_size_usd=0, max_size_usd=10_000, ask_price=Price(120_000), bid_price=Price(119_990))
    market.take_ladder(Ladder(at=NOON, levels=(level,), received_boottime_s=0))

    fired = []
    for due in index.due(market, 0):
        fired.append(due)
        index.put(due, WakeUps(at_or_below=Price(110_000)), bucket=0)

    assert fired == [key]


def test_a_jump_is_fast_and_not_steady_a_fall_of_seconds_is_both() -> None:
    jumped, falling = a_market(), a_market()
    for second in range(20):
        jumped.take_price(a_price(124_000 if second < 19 else 122_000, at_s=second))
        falling.take_price(a_price(124_000 - 100 * second, at_s=second))

    assert jumped.seconds_to(PositionSide.LONG, Price(121_000)) == 1.0
    steady = jumped.steady_seconds_to(PositionSide.LONG, Price(121_000))
    assert steady is not None
    assert steady > 9
    assert falling.seconds_to(PositionSide.LONG, Price(121_100)) == 10.0
    assert falling.steady_seconds_to(PositionSide.LONG, Price(121_100)) == 10.0
    assert falling.steady_seconds_to(PositionSide.SHORT, Price(130_000)) is None


def test_what_was_seen_for_a_moment_is_not_steady() -> None:
    market = a_market()
    for tick in range(4):
        market.take_price(a_price(124_000 - 100 * tick, at_s=tick))

    assert market.seconds_to(PositionSide.LONG, Price(121_000)) is not None
    assert market.steady_seconds_to(PositionSide.LONG, Price(121_000)) is None
    assert market.steady_speed(PositionSide.LONG) == 0.0


def test_frames_that_were_held_up_and_arrive_in_a_burst_are_no_crash() -> None:
    market = a_market()
    for second in range(10):
        market.take_price(a_price(124_000, at_s=second))
    for number in range(4):  # four seconds of a fall, delivered within a tenth of a second
        market.take_price(a_price(123_900 - 100 * number, at_s=13 + number / 40, dated_s=10 + number))
    assert market.seconds_to(PositionSide.LONG, Price(122_600)) == 10.0


def test_dates_that_cannot_be_believed_slow_no_fall_down() -> None:
    market = a_market()
    market.take_price(a_price(124_000, at_s=0))
    market.take_price(a_price(123_000, at_s=1, dated_s=1_000_000))
    assert market.seconds_to(PositionSide.LONG, Price(122_000)) == 1.0
