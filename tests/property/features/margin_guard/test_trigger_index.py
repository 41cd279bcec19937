"""The trigger index against a list that is searched from end to end."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from axisor.domain.units import Price
from axisor.features.margin_guard.triggers import TriggerIndex


class Put(NamedTuple):
    key: int
    below: int | None
    above: int | None


class Discard(NamedTuple):
    key: int


class Advance(NamedTuple):
    down: int
    up: int


keys = st.integers(0, 12)
# Near each other, across the borders of the bitmap's words, and at the ends of the range.
levels = st.one_of(
    st.integers(120_000, 120_130), st.integers(4_090, 4_100), st.sampled_from([2, 63, 64, 4_095, 4_096, 200_000_000])
)
deeds = st.one_of(
    st.builds(Put, keys, st.none() | levels, st.none() | levels),
    st.builds(Discard, keys),
    st.builds(Advance, levels, levels),
    levels.map(lambda level: Advance(level, level)),
)


class Oracle:
    def __init__(self) -> None:
        self.rows: dict[int, tuple[int | None, int | None]] = {}

    def put(self, deed: Put) -> None:
        self.rows.pop(deed.key, None)
        if deed.below is not None or deed.above is not None:
            self.rows[deed.key] = (deed.below, deed.above)

    def advance(self, deed: Advance) -> set[int]:
        due = {
            key
            for key, (below, above) in self.rows.items()
            if (below is not None and deed.down <= below) or (above is not None and deed.up >= above)
        }
        for key in due:
            del self.rows[key]
        return due


def price(level: int | None) -> Price | None:
    return None if level is None else Price(level)


@settings(max_examples=300)
@given(st.lists(deeds, max_size=60))
def test_the_index_answers_as_a_search_through_everything(sequence: list[Put | Discard | Advance]) -> None:
    index: TriggerIndex[int] = TriggerIndex()
    oracle = Oracle()
    for deed in sequence:
        match deed:
            case Put(key, below, above):
                index.put(key, at_or_below=price(below), at_or_above=price(above))
                oracle.put(deed)
            case Discard(key):
                index.discard(key)
                oracle.rows.pop(key, None)
            case Advance(down, up):
                fired = index.advance(down_price=Price(down), up_price=Price(up))
                assert len(fired) == len(set(fired))
                assert set(fired) == oracle.advance(deed)
        assert len(index) == len(oracle.rows)
        assert all(key in index for key in oracle.rows)
    everything = index.advance(down_price=Price(0), up_price=Price(1 << 29))
    assert set(everything) == set(oracle.rows)
    assert len(index) == 0
