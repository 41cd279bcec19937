from datetime import timedelta
from itertools import islice, pairwise

import pytest
from tests.factories.prices import at

from axisor.domain.errors import ConfigurationError
from axisor.domain.trades import PositionSide
from axisor.paper.market.paths import INVENTED_START, PathPoint
from axisor.paper.market.scenarios import SCENARIOS, scenario
from axisor.paper.market.stories import STORIES


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seed_gives_the_same_market_every_time(name: str) -> None:
    first, second = scenario(name, 7), scenario(name, 7)
    assert first == second
    assert list(islice(first.points(), 600)) == list(islice(second.points(), 600))
    assert list(islice(first.points(), 600)) == list(islice(first.points(), 600))
    assert first.history(minutes=50) == second.history(minutes=50)


@pytest.mark.parametrize("name", SCENARIOS)
def test_another_seed_gives_another_market(name: str) -> None:
    assert list(islice(scenario(name, 1).points(), 600)) != list(islice(scenario(name, 2).points(), 600))
    assert scenario(name, 1).history(minutes=50) != scenario(name, 2).history(minutes=50)


KNOWN_CRASH = (
    "61999.5",
    "61992.0",
    "61495.5",
    "60699.0",
    "59654.5",
    "59955.5",
    "60769.0",
    "61371.5",
    "61502.5",
    "61488.5",
    "61546.0",
)


def test_a_known_seed_keeps_its_path_from_release_to_release() -> None:
    points = list(islice(scenario("crash", 1).points(), 601))
    assert points[::60] == [PathPoint(index * 12_000, at(usd)) for index, usd in enumerate(KNOWN_CRASH)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_history_ends_at_the_start_and_is_a_chain_of_whole_candles(name: str) -> None:
    story = scenario(name, 3)
    candles = story.history(minutes=1_440)
    assert len(candles) == 1_440
    assert candles[-1].close == story.start_price
    assert candles[-1].at == INVENTED_START - timedelta(minutes=1)
    for candle in candles:
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.volume > 0
        assert abs(candle.close - story.start_price) <= story.start_price * 0.04
    for before, after in pairwise(candles):
        assert before.close == after.open
        assert after.at - before.at == timedelta(minutes=1)
    assert story.history(minutes=60) == candles[-60:]
    assert list(story.history(minutes=0)) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_market_says_in_one_line_what_happens(name: str) -> None:
    story = scenario(name, 0).story
    assert story.endswith(".")
    assert len(story) <= 85
    assert story == STORIES[name]
    assert "\n" not in story


def test_a_buyer_of_the_crash_and_a_seller_of_the_squeeze_enter_at_62000() -> None:
    assert scenario("crash", 1).start_price == at("61999.5")
    assert scenario("squeeze", 1).start_price == at("62000.5")
    assert scenario("crash", 1).suggested_side is PositionSide.LONG
    assert scenario("squeeze", 1).suggested_side is PositionSide.SHORT


def test_an_unknown_market_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"choose one of crash, squeeze, flash, chop, .*, calm or manual"):
        scenario("moon", 1)


def test_every_market_has_a_line_in_the_help() -> None:
    assert list(STORIES) == list(SCENARIOS)
