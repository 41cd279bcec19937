from datetime import UTC, datetime, timedelta

from axisor.adapters.lnmarkets.feeds import TwinMerge
from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price
from axisor.ports.market_feed import FeedDown, FeedUp, Funding, Ladder, LastPrice, MarketEvent

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UP = FeedUp(boottime_s=1.0)
DOWN = FeedDown(boottime_s=2.0, reason="silent")


def price(usd: int, *, at_s: float, received_s: float = 0.0) -> LastPrice:
    ticks = Price(usd * 2)
    return LastPrice(at=START + timedelta(seconds=at_s), floor=ticks, ceil=ticks, received_boottime_s=received_s)


def taken(merge: TwinMerge, *events: tuple[int, MarketEvent]) -> list[MarketEvent]:
    return [news for source, event in events if (news := merge.take(source, event)) is not None]


def test_the_first_frame_wins_and_its_twin_is_dropped() -> None:
    first, second = price(60_000, at_s=1, received_s=5.0), price(60_000, at_s=1, received_s=5.1)
    assert taken(TwinMerge(), (1, first), (0, second)) == [first]


def test_two_prices_of_one_moment_both_count() -> None:
    first, second = price(60_000, at_s=1), price(59_999, at_s=1)
    assert taken(TwinMerge(), (0, first), (0, second), (1, first), (1, second)) == [first, second]


def test_the_slower_source_never_brings_an_old_price_back() -> None:
    merge = TwinMerge()
    newest = price(60_000, at_s=4)
    assert taken(merge, (0, newest), (1, price(59_000, at_s=3.9))) == [newest]


def test_an_exchange_that_sets_its_clock_back_is_still_heard() -> None:
    before, after, next_price = price(60_000, at_s=3600), price(59_000, at_s=0), price(58_000, at_s=1)
    assert taken(TwinMerge(), (0, before), (0, after), (0, next_price)) == [before, after, next_price]


def test_it_is_down_only_while_both_sources_are() -> None:
    merge = TwinMerge()
    events = taken(merge, (0, UP), (1, UP), (0, DOWN), (0, UP), (1, DOWN), (0, DOWN), (1, DOWN), (1, UP))
    assert events == [UP, DOWN, UP]


def test_two_sources_that_never_came_up_are_told_down_once() -> None:
    assert taken(TwinMerge(), (0, DOWN), (0, DOWN), (1, DOWN), (1, DOWN)) == [DOWN]


def test_ladders_are_told_once_and_funding_always() -> None:
    level = PriceLevel(min_size_usd=0, max_size_usd=100, ask_price=Price(3), bid_price=Price(2))
    ladder = Ladder(at=START, levels=(level,), received_boottime_s=1.0)
    funding = Funding(rate=None, settles_at=None, received_boottime_s=1.0)
    assert taken(TwinMerge(), (0, ladder), (1, ladder), (0, funding), (1, funding)) == [ladder, funding, funding]


def test_what_was_seen_long_ago_is_forgotten() -> None:
    merge = TwinMerge()
    for second in range(5_000):
        merge.take(0, price(60_000, at_s=second))
    assert len(merge._seen) == len(merge._order) == 2048
