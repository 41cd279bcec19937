"""Markets that last for hours move as the recorded ones of 2018 do: in clusters, with fat tails, without direction."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.factories.minutes import minutes_of_2018

from axisor.paper.market.scenarios import STEP_MS, scenario

LAGS_MIN = (1, 10, 60)
HOURS = 20
SEEDS = (1, 2, 3, 4)
POINTS_PER_MINUTE = 60_000 // STEP_MS
LASTING = ("calm", "chop", "bear")

type Returns = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """What the one-minute returns of a market have in common, whatever their size."""

    kurtosis: float
    memory_of_size: tuple[float, ...]
    memory_of_sign: tuple[float, ...]


def shape(parts: list[Returns]) -> Shape:
    """Return the shape of several stretches of one market taken together."""

    def memory(of: Callable[[Returns], Returns]) -> tuple[float, ...]:
        series = [of(part) for part in parts]
        together = np.concatenate(series)
        mean, variance = together.mean(), together.var()
        return tuple(
            float(np.concatenate([(s[:-lag] - mean) * (s[lag:] - mean) for s in series]).mean() / variance)
            for lag in LAGS_MIN
        )

    together = np.concatenate(parts)
    away = together - together.mean()
    return Shape(
        kurtosis=float((away**4).mean() / (away**2).mean() ** 2),
        memory_of_size=memory(np.abs),
        memory_of_sign=memory(lambda part: part),
    )


@cache
def invented(name: str) -> Shape:
    parts = []
    for seed in SEEDS:
        # After the first minutes of a chop, whose swings are told.
        points = islice(scenario(name, seed).points(), 0, (HOURS * 60 + 15) * POINTS_PER_MINUTE, POINTS_PER_MINUTE)
        prices = np.array([point.last_price for point in points], dtype=np.float64)[15:]
        parts.append(np.diff(np.log(prices)))
    return shape(parts)


@cache
def recorded() -> tuple[Shape, ...]:
    """Return the shape of each 30 days of 2018."""
    returns = np.diff(np.log(minutes_of_2018().close))
    month = 30 * 24 * 60
    return tuple(shape([returns[start : start + month]]) for start in range(0, len(returns) - month, month))


@pytest.mark.parametrize("name", LASTING)
def test_returns_have_fat_tails(name: str) -> None:
    assert invented(name).kurtosis > 5


@pytest.mark.parametrize("name", LASTING)
def test_wild_minutes_follow_wild_ones_for_an_hour_and_the_nearer_the_more(name: str) -> None:
    memory = invented(name).memory_of_size
    assert memory[0] > memory[1] > memory[2] > 0.03


@pytest.mark.parametrize("name", LASTING)
def test_the_sign_of_a_return_is_not_remembered(name: str) -> None:
    assert all(abs(memory) < 0.1 for memory in invented(name).memory_of_sign)


@pytest.mark.parametrize("name", LASTING)
def test_the_memory_of_size_is_of_the_order_of_the_recorded_year(name: str) -> None:
    months = recorded()
    for lag, memory in enumerate(invented(name).memory_of_size):
        usual = float(np.median([month.memory_of_size[lag] for month in months]))
        assert usual / 3 < memory < usual * 3


def test_the_recorded_year_has_the_same_shape_itself() -> None:
    for month in recorded():
        assert month.kurtosis > 5
        assert month.memory_of_size[0] > month.memory_of_size[2] > 0
        assert all(abs(memory) < 0.1 for memory in month.memory_of_sign)
