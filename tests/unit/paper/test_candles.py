"""Bars of one minute as they form, and longer ones made from them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from axisor.domain.trades import Candle
from axisor.domain.units import Price
from axisor.paper.candles import Bar, CandleBook, start_of
from axisor.paper.clock import epoch_ms

MINUTE = 60_000
NOON = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=UTC))


def test_a_bar_holds_open_extremes_and_close_of_its_minute() -> None:
    book = CandleBook()
    began = [book.observe(Price(price), now_ms=NOON + at) for at, price in ((0, 10), (200, 14), (400, 8), (59_999, 9))]
    assert began == [True, False, False, False]
    assert book.bars == [Bar(NOON, Price(10), Price(14), Price(8), Price(9), 4_000)]


def test_a_bar_opens_where_the_last_one_closed() -> None:
    book = CandleBook()
    book.observe(Price(10), now_ms=NOON)
    book.observe(Price(12), now_ms=NOON + MINUTE)
    assert book.bars[-1] == Bar(NOON + MINUTE, Price(10), Price(12), Price(10), Price(12), 1_000)


def test_a_clock_that_steps_back_never_makes_a_bar_before_the_last() -> None:
    book = CandleBook()
    book.observe(Price(10), now_ms=NOON + MINUTE)
    assert not book.observe(Price(11), now_ms=NOON)
    assert len(book.bars) == 1


def test_the_past_of_a_path_ends_with_the_last_full_minute() -> None:
    rows = [
        Candle(
            at=datetime(1970, 1, 1, tzinfo=UTC),
            open=Price(n),
            high=Price(n),
            low=Price(n),
            close=Price(n),
            volume=Decimal(n),
        )
        for n in (1, 2, 3)
    ]
    book = CandleBook.with_history(rows, now_ms=NOON + 30_000)
    assert [bar.start_ms - NOON for bar in book.bars] == [-3 * MINUTE, -2 * MINUTE, -MINUTE]
    assert book.price_before(NOON - MINUTE) == 2
    assert book.price_before(NOON - 60 * MINUTE) == 1
    assert CandleBook().price_before(NOON) is None


def test_longer_bars_add_up_and_come_newest_first() -> None:
    book = CandleBook(
        Bar(NOON + n * MINUTE, Price(100 + n), Price(110 + n), Price(90 - n), Price(101 + n), 5) for n in range(7)
    )
    fives = list(book.newest_first("5m"))
    assert fives == [
        Bar(NOON + 5 * MINUTE, Price(105), Price(116), Price(84), Price(107), 10),
        Bar(NOON, Price(100), Price(114), Price(86), Price(105), 25),
    ]
    assert [bar.start_ms for bar in book.newest_first("1m")] == [NOON + n * MINUTE for n in range(6, -1, -1)]
    assert list(CandleBook().newest_first("1h")) == []


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ("45m", datetime(2026, 11, 23, 12, 0, tzinfo=UTC)),
        ("4h", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("1d", datetime(2026, 11, 23, tzinfo=UTC)),
        ("1w", datetime(2026, 11, 23, tzinfo=UTC)),
        ("1month", datetime(2026, 11, 1, tzinfo=UTC)),
        ("3months", datetime(2026, 10, 1, tzinfo=UTC)),
    ],
)
def test_bars_begin_on_the_utc_grid(interval: str, start: datetime) -> None:
    at_ms = epoch_ms(datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC))
    assert start_of(interval, at_ms) == epoch_ms(start)
