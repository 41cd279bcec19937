from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from axisor.domain.units import Price
from axisor.features.market_data.bars import BarBuilder, bar_start

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEALS = st.lists(
    st.tuples(st.integers(0, 9_000).map(lambda ms: START + timedelta(milliseconds=ms)), st.integers(1, 1000)),
    min_size=1,
    max_size=60,
)


@given(DEALS)
def test_every_bar_holds_exactly_the_deals_of_its_time(deals: list[tuple[datetime, int]]) -> None:
    builder = BarBuilder()
    for at, price in deals:
        builder.add(Price(price), at)
    bars = builder.take_changed()
    for bar in bars:
        own = [(at, price) for at, price in deals if bar_start(at, bar.interval_s) == bar.at]
        assert bar.open == own[0][1]
        assert (bar.high, bar.low) == (max(price for _, price in own), min(price for _, price in own))
        newest = max(at for at, _ in own)
        assert bar.close == [price for at, price in own if at == newest][-1]
    assert {(bar.interval_s, bar.at) for bar in bars} == {
        (interval_s, bar_start(at, interval_s)) for at, _ in deals for interval_s in (1, 60)
    }


def test_a_bar_is_taken_again_only_after_it_changed_or_could_not_be_stored() -> None:
    builder = BarBuilder((1,))
    builder.add(Price(5), START)
    first = builder.take_changed()
    assert builder.take_changed() == []
    builder.put_back(first)
    assert builder.take_changed() == first
    builder.add(Price(7), START + timedelta(milliseconds=10))
    assert [bar.close for bar in builder.take_changed()] == [7]


def test_bars_long_past_are_forgotten_and_the_newest_stays() -> None:
    builder = BarBuilder((1,))
    for second in range(100):
        builder.add(Price(second + 1), START + timedelta(seconds=second))
        old = builder.take_changed()
    builder.put_back(old)
    assert len(builder.take_changed()) == 1
    newest = builder.newest(1)
    assert newest is not None
    assert newest.close == 100
    builder.add(Price(1), START)
    assert builder.newest(1) == newest
