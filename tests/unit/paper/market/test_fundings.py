from decimal import Decimal
from itertools import pairwise

from axisor.paper.market.fundings import FUNDING_INTERVAL_MS, LARGEST_RATE, FundingModel

YEARS_OF_SETTLEMENTS = range(-3_000, 3_000)


def rates(seed: int) -> list[Decimal]:
    model = FundingModel(seed)
    return [model.rate_at(index * FUNDING_INTERVAL_MS) for index in YEARS_OF_SETTLEMENTS]


def test_a_seed_gives_the_same_rates_in_whatever_order_they_are_asked_for() -> None:
    model = FundingModel(5)
    backwards = [model.rate_at(index * FUNDING_INTERVAL_MS) for index in reversed(YEARS_OF_SETTLEMENTS)]
    assert backwards[::-1] == rates(5)
    assert rates(5) != rates(6)


def test_one_rate_holds_for_eight_hours() -> None:
    model = FundingModel(1)
    assert model.rate_at(0) == model.rate_at(FUNDING_INTERVAL_MS - 1)
    assert model.rate_at(-1) == model.rate_at(-FUNDING_INTERVAL_MS)
    assert len({model.rate_at(index * FUNDING_INTERVAL_MS) for index in range(20)}) > 10


def test_rates_are_bounded_centred_on_the_usual_one_and_stated_in_millionths() -> None:
    seen = rates(3)
    assert all(abs(rate) <= LARGEST_RATE and rate == round(rate, 6) for rate in seen)
    assert abs(sum(seen, Decimal(0)) / len(seen) - Decimal("0.0001")) < Decimal("0.00003")
    assert min(seen) < 0 < max(seen)


def test_high_rates_come_together() -> None:
    seen = rates(3)
    mean = sum(seen, Decimal(0)) / len(seen)
    away = [rate - mean for rate in seen]
    neighbours = sum((a * b for a, b in pairwise(away)), Decimal(0)) / sum((a * a for a in away), Decimal(0))
    assert neighbours > Decimal("0.2")


def test_a_rise_adds_to_the_rate_and_the_bounds_hold() -> None:
    model = FundingModel(3)
    assert model.rate_at(0, momentum=0.05) - model.rate_at(0) == Decimal("0.0004")
    assert model.rate_at(0, momentum=-0.05) - model.rate_at(0) == Decimal("-0.0004")
    assert model.rate_at(0, momentum=9.0) == LARGEST_RATE
    assert model.rate_at(0, momentum=-9.0) == -LARGEST_RATE
