from tests.factories.prices import at

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.units import Price
from axisor.features.margin_guard.triggers import TriggerIndex


def an_index(**triggers: tuple[str | None, str | None]) -> TriggerIndex[str]:
    index: TriggerIndex[str] = TriggerIndex()
    for key, (below, above) in triggers.items():
        index.put(
            key,
            at_or_below=None if below is None else at(below),
            at_or_above=None if above is None else at(above),
        )
    return index


def tick(index: TriggerIndex[str], usd: str) -> set[str]:
    return set(index.advance(down_price=at(usd), up_price=at(usd)))


def test_a_trigger_fires_at_its_price_and_not_a_tick_before() -> None:
    index = an_index(a=("60784.5", None), b=(None, "62000"))
    assert tick(index, "60785") == set()
    assert tick(index, "61999.5") == set()
    assert tick(index, "60784.5") == {"a"}
    assert tick(index, "62000") == {"b"}


def test_a_key_that_fired_is_gone_until_it_is_put_again() -> None:
    index = an_index(a=("60000", "62000"))
    assert tick(index, "59000") == {"a"}
    assert "a" not in index
    assert tick(index, "63000") == set()
    index.put("a", at_or_below=at("59000"), at_or_above=None)
    assert tick(index, "58000") == {"a"}


def test_a_fall_through_many_levels_fires_all_of_them_and_no_more() -> None:
    index = an_index(a=("60000", None), b=("60000", "70000"), c=("59000", None), d=("40000", None))
    assert tick(index, "58999.5") == {"a", "b", "c"}
    assert len(index) == 1
    assert "d" in index


def test_a_rise_fires_from_the_lowest_on() -> None:
    index = an_index(a=(None, "60000"), b=("50000", "61000"), c=(None, "99000"))
    assert tick(index, "61000") == {"a", "b"}
    assert tick(index, "50000") == set()
    assert len(index) == 1


def test_low_and_high_count_apart_where_quotes_do() -> None:
    index = an_index(a=("60000", None), b=(None, "61000"))
    assert set(index.advance(down_price=at("59999"), up_price=at("61000.5"))) == {"a", "b"}


def test_putting_again_moves_both_triggers() -> None:
    index = an_index(a=("60000", "62000"))
    index.put("a", at_or_below=at("50000"), at_or_above=at("70000"))
    assert len(index) == 1
    assert tick(index, "55000") == set()
    assert tick(index, "65000") == set()
    assert tick(index, "50000") == {"a"}


def test_a_key_without_triggers_is_not_kept() -> None:
    index = an_index(a=("60000", None))
    index.put("a", at_or_below=None, at_or_above=None)
    assert len(index) == 0
    assert tick(index, "1") == set()


def test_discarding_twice_is_no_error_and_leaves_the_others_of_the_level() -> None:
    index = an_index(a=("60000", "62000"), b=("60000", "62000"))
    index.discard("a")
    index.discard("a")
    assert "a" not in index
    assert tick(index, "60000") == {"b"}


def test_the_ends_of_the_price_range_can_be_waited_for() -> None:
    index: TriggerIndex[str] = TriggerIndex()
    index.put("low", at_or_below=MIN_PRICE, at_or_above=None)
    index.put("high", at_or_below=None, at_or_above=MAX_PRICE)
    middle = Price(120_000)
    assert index.advance(down_price=middle, up_price=middle) == ()
    assert index.advance(down_price=MIN_PRICE, up_price=MIN_PRICE) == ("low",)
    assert index.advance(down_price=MAX_PRICE, up_price=MAX_PRICE) == ("high",)


def test_discarding_leaves_neighbours_near_and_far_where_they_are() -> None:
    index = an_index(
        a=("60000", None), near=("60000.5", None), same_block=("59900", None), far=("30000", None), up=(None, "90000")
    )
    for key in ("near", "same_block", "up"):
        index.discard(key)
    assert tick(index, "95000") == set()
    assert tick(index, "59900") == {"a"}
    assert tick(index, "30000") == {"far"}
