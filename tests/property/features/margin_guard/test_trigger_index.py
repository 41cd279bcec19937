"""Both trigger indices against a list that is searched from end to end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.features.margin_guard.native import NativeTriggerIndex
from axisor.features.margin_guard.triggers import End, Trail, TriggerIndex, Triggers

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


class Put(NamedTuple):
    key: int
    below: int | None
    above: int | None
    trail: Trail | None
    end: End | None


class Discard(NamedTuple):
    key: int


class Advance(NamedTuple):
    down: int
    up: int


keys = st.integers(0, 12)
# Near each other, across the borders of the bitmap's words, around the last level, and at the ends of the range.
levels = st.one_of(
    st.integers(120_000, 120_130),
    st.integers(4_090, 4_100),
    st.integers((1 << 21) - 3, (1 << 21) + 3),
    st.sampled_from([2, 63, 64, 4_095, 4_096, 262_143, 262_144, 200_000_000]),
)
near = st.integers(119_800, 120_300)
trails = st.builds(Trail, side=st.sampled_from(PositionSide), basis_points=st.sampled_from([1, 2, 10, 11, 500, 9_999]))
ends = st.builds(End, side=st.sampled_from(PositionSide), price=st.integers(119_000, 121_000).map(Price))
deeds = st.one_of(
    st.builds(Put, keys, st.none() | levels, st.none() | levels, st.none() | trails, st.none() | ends),
    st.builds(Discard, keys),
    st.builds(Advance, levels, levels),
    levels.map(lambda level: Advance(level, level)),
    near.map(lambda level: Advance(level, level)),
    near.map(lambda level: Advance(level - 20, level + 20)),
)


@dataclass
class Row:
    put: Put
    best: int | None
    """The best price since it was put: the highest for a stop below, the lowest for one above."""


class Oracle:
    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.last: Advance | None = None

    def put(self, deed: Put) -> None:
        self.rows.pop(deed.key, None)
        if deed.below is None and deed.above is None and deed.trail is None:
            return
        best = None
        if deed.trail is not None and self.last is not None:
            best = self.last.up if deed.trail.side is LONG else self.last.down
        self.rows[deed.key] = Row(deed, best)

    def advance(self, deed: Advance) -> dict[int, float]:
        self.last = deed
        due = {}
        for key, row in self.rows.items():
            if row.put.trail is not None:
                self._see(row, row.put.trail, deed)
            if self._is_due(row, deed):
                end = row.put.end
                due[key] = (
                    float("-inf")
                    if end is None
                    else float(deed.down - end.price if end.side is LONG else end.price - deed.up)
                )
        for key in due:
            del self.rows[key]
        return due

    def _see(self, row: Row, trail: Trail, deed: Advance) -> None:
        seen = deed.up if trail.side is LONG else deed.down
        better = max if trail.side is LONG else min
        row.best = seen if row.best is None else better(row.best, seen)

    def _is_due(self, row: Row, deed: Advance) -> bool:
        put, trail = row.put, row.put.trail
        if (put.below is not None and deed.down <= put.below) or (put.above is not None and deed.up >= put.above):
            return True
        if trail is None or row.best is None:
            return False
        if trail.side is LONG:
            return deed.down * 10_000 <= row.best * (10_000 - trail.basis_points)
        return deed.up * 10_000 >= row.best * (10_000 + trail.basis_points)


def price(level: int | None) -> Price | None:
    return None if level is None else Price(level)


@pytest.mark.parametrize("make", [TriggerIndex, NativeTriggerIndex])
@settings(max_examples=600, deadline=None)
@given(sequence=st.lists(deeds, max_size=60))
def test_the_index_answers_as_a_search_through_everything(
    make: Callable[[], Triggers[int]], sequence: list[Put | Discard | Advance]
) -> None:
    index = make()
    oracle = Oracle()
    for deed in sequence:
        match deed:
            case Put(key, below, above, trail, end):
                index.put(key, at_or_below=price(below), at_or_above=price(above), trail=trail, end=end)
                oracle.put(deed)
            case Discard(key):
                index.discard(key)
                oracle.rows.pop(key, None)
            case Advance(down, up):
                fired = index.advance(down_price=Price(down), up_price=Price(up))
                due = oracle.advance(deed)
                assert len(fired) == len(set(fired))
                assert set(fired) == set(due)
                assert [due[key] for key in fired] == sorted(due.values())
        assert len(index) == len(oracle.rows)
        assert all((key in index) == (key in oracle.rows) for key in range(13))
    everything = index.advance(down_price=Price(0), up_price=Price(1 << 29))
    assert set(everything) == set(oracle.advance(Advance(0, 1 << 29)))
    assert len(index) == len(oracle.rows)


@pytest.mark.parametrize("make", [TriggerIndex, NativeTriggerIndex])
@pytest.mark.parametrize("side", PositionSide)
def test_a_stop_keeps_its_best_price_when_another_begins_after_it(
    make: Callable[[], Triggers[str]], side: PositionSide
) -> None:
    index = make()
    trail = Trail(side=side, basis_points=100)
    for deed in (120_000, "first", 120_000 + side.sign * 1_000, 120_000, "second"):
        if isinstance(deed, str):
            index.put(deed, at_or_below=None, at_or_above=None, trail=trail)
        else:
            assert index.advance(down_price=Price(deed), up_price=Price(deed)) == ()
    # 1 % behind 121,000 (119,000) is 119,790 (120,190); behind 120,000 it is 118,800 (121,200).
    assert index.advance(down_price=Price(119_790), up_price=Price(120_190)) == ("first",)


@pytest.mark.parametrize("make", [TriggerIndex, NativeTriggerIndex])
def test_prices_beyond_the_last_level_fire_at_their_own_price(make: Callable[[], Triggers[str]]) -> None:
    index = make()
    top = 1 << 21  # 1,048,576 USD in half-dollars, the number of levels
    index.put("below", at_or_below=Price(top + 100), at_or_above=None)
    index.put("above", at_or_below=None, at_or_above=Price(top + 300))
    assert index.advance(down_price=Price(top + 101), up_price=Price(top + 299)) == ()
    assert index.advance(down_price=Price(top + 100), up_price=Price(top + 299)) == ("below",)
    assert index.advance(down_price=Price(top + 200), up_price=Price(top + 300)) == ("above",)
