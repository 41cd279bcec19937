"""What the demo's story relies on, for every seed."""

import math
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from tests.factories.prices import at

from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats, margin_for_liquidation_sats
from axisor.domain.room import distance, liquidation_price_for_distance, price_at_distance
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.paper.market.ladder import StressMeter, ladder
from axisor.paper.market.paths import PathPoint
from axisor.paper.market.scenarios import SCENARIOS, STEP_MS, Scenario, scenario

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
ENTRY = at(62_000)
SEEDS = range(200)
FIVE_MINUTES = 300 * 1000 // STEP_MS


def played(name: str, seed: int, points: int = FIVE_MINUTES) -> list[PathPoint]:
    return list(islice(scenario(name, seed).points(), points))


def liquidation(side: PositionSide, quantity_usd: int, margin_sats: int) -> Price:
    return isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=ENTRY, collateral_sats=margin_sats)


def first_mark_and_refilled(side: PositionSide, quantity_usd: int, margin_sats: int) -> tuple[Price, Price, Fraction]:
    """Return the price of the first top-up at half the room, the liquidation price refilled to, the full room."""
    before = liquidation(side, quantity_usd, margin_sats)
    full = distance(side=side, price=ENTRY, liquidation_price=before)
    mark = price_at_distance(side=side, liquidation_price=before, distance=full / 2)
    return mark, liquidation_price_for_distance(side=side, price=mark, distance=full), full


def check_every_step(points: list[PathPoint], story: Scenario) -> None:
    assert points[0] == PathPoint(0, story.start_price)
    for before, after in pairwise(points):
        assert after.market_ms - before.market_ms == STEP_MS
        assert abs(after.last_price - before.last_price) <= before.last_price * 0.0012


def seconds_between(points: list[PathPoint], side: PositionSide, leaving: Price, reaching: Price) -> float:
    """Return the time from the last point not past `leaving` to the first one past `reaching`."""
    reached = next(index for index, p in enumerate(points) if side.sign * (p.last_price - reaching) < 0)
    left = max(index for index, p in enumerate(points[:reached]) if side.sign * (p.last_price - leaving) >= 0)
    return (reached - left) * STEP_MS / 1000


def test_the_trades_of_the_story_have_the_stated_margins() -> None:
    for quantity_usd, lev, margin_sats in ((6_200, 25, 400_000), (8_990, 50, 290_000), (3_100, 10, 500_000)):
        assert initial_margin_sats(quantity_usd=quantity_usd, price=ENTRY, leverage=Fraction(lev)) == margin_sats


def test_a_crash_kills_the_25x_long_spares_its_guarded_twin_and_comes_back() -> None:
    mark, refilled, full = first_mark_and_refilled(LONG, 6_200, 400_000)
    second_mark = price_at_distance(side=LONG, liquidation_price=refilled, distance=full / 2)
    assert (mark, refilled, second_mark) == (at("60784.5"), at("58446.5"), at("59592.5"))
    for seed in SEEDS:
        story = scenario("crash", seed)
        points = played("crash", seed)
        prices = [point.last_price for point in points]
        check_every_step(points, story)
        low = min(prices)
        assert at(59_597) <= low <= at(59_610)
        assert low < liquidation(LONG, 6_200, 400_000)
        assert 50_500 <= points[prices.index(low)].market_ms <= 54_000
        assert all(abs(p.last_price - story.start_price) <= story.start_price * 0.001 for p in points[: 14 * 5])
        assert abs(prices[35 * 5] - mark) <= at(40)
        assert seconds_between(points, LONG, at(61_900), at(60_770)) >= 8
        assert max(prices[88 * 5 : 95 * 5]) >= at(61_400)
        assert min(prices[95 * 5 :]) >= at(61_000)
        # The quoted bid of a small order, which may fire a top-up before the last price does.
        meter = StressMeter()
        lowest_bid = min(ladder(price, meter.observe(price))[0].bid_price or price for price in prices)
        assert lowest_bid > second_mark


def test_a_crash_never_brings_the_10x_long_below_four_tenths_of_its_room() -> None:
    at_risk = liquidation(LONG, 3_100, 500_000)
    full = distance(side=LONG, price=ENTRY, liquidation_price=at_risk)
    for seed in SEEDS:
        low = min(point.last_price for point in played("crash", seed, 60 * 5))
        assert distance(side=LONG, price=low, liquidation_price=at_risk) >= full * 4 / 10


def test_a_crash_uses_up_the_50x_longs_limit_before_the_low() -> None:
    # With twice its margin it would be liquidated at the 25x's price; its stop lies 12 % of its room before that.
    full = distance(side=LONG, price=ENTRY, liquidation_price=liquidation(LONG, 8_990, 290_000))
    stop = price_at_distance(side=LONG, liquidation_price=liquidation(LONG, 8_990, 580_000), distance=full * 12 / 100)
    for seed in SEEDS:
        points = played("crash", seed, 60 * 5)
        stopped_ms = next(p.market_ms for p in points if p.last_price <= stop)
        assert 43_000 <= stopped_ms <= 48_000


def test_a_squeeze_kills_the_25x_short_spares_its_guarded_twin_and_comes_back() -> None:
    mark, refilled, full = first_mark_and_refilled(SHORT, 6_200, 400_000)
    second_mark = price_at_distance(side=SHORT, liquidation_price=refilled, distance=full / 2)
    refilled_again = liquidation_price_for_distance(side=SHORT, price=second_mark, distance=full)
    third_mark = price_at_distance(side=SHORT, liquidation_price=refilled_again, distance=full / 2)
    # A short's marks lie closer together than a long's: two top-ups, which its limit of one margin still pays.
    spent = (
        margin_for_liquidation_sats(side=SHORT, quantity_usd=6_200, price=ENTRY, liquidation_price=refilled_again)
        - 400_000
    )
    assert spent <= 400_000
    killed_at = liquidation(SHORT, 6_200, 400_000)
    for seed in SEEDS:
        story = scenario("squeeze", seed)
        points = played("squeeze", seed)
        prices = [point.last_price for point in points]
        check_every_step(points, story)
        high = max(prices)
        assert killed_at + at("5.5") <= high <= killed_at + at("18.5")
        assert high < third_mark - at(100)
        assert 50_500 <= points[prices.index(high)].market_ms <= 54_000
        assert abs(prices[35 * 5] - mark) <= at(40)
        assert seconds_between(points, SHORT, at(62_100), Price(mark + at("14.5"))) >= 8
        assert min(prices[88 * 5 : 95 * 5]) <= at(62_600)
        assert max(prices[95 * 5 :]) <= at(63_000)


def test_a_squeeze_never_brings_the_10x_short_below_four_tenths_of_its_room() -> None:
    at_risk = liquidation(SHORT, 3_100, 500_000)
    full = distance(side=SHORT, price=ENTRY, liquidation_price=at_risk)
    for seed in SEEDS:
        high = max(point.last_price for point in played("squeeze", seed, 60 * 5))
        assert distance(side=SHORT, price=high, liquidation_price=at_risk) >= full * 4 / 10


def test_a_bleed_falls_nine_percent_in_four_minutes_and_never_rebounds() -> None:
    for seed in SEEDS:
        story = scenario("bleed", seed)
        points = played("bleed", seed, 420 * 5)
        check_every_step(points, story)
        assert Fraction(905, 1000) <= Fraction(points[240 * 5].last_price, story.start_price) <= Fraction(915, 1000)
        lowest = points[0].last_price
        for point in points:
            lowest = min(lowest, point.last_price)
            assert point.last_price <= lowest * 1.006


def test_a_chop_swings_both_ways_within_its_bounds() -> None:
    for seed in SEEDS:
        story = scenario("chop", seed)
        points = played("chop", seed)
        check_every_step(points, story)
        moves = [Fraction(point.last_price, story.start_price) - 1 for point in points]
        assert Fraction(-12, 1000) <= min(moves) <= Fraction(-6, 1000)
        assert Fraction(6, 1000) <= max(moves) <= Fraction(12, 1000)


def test_calm_stays_within_its_bounds_and_leaves_the_spread_alone() -> None:
    for seed in range(20):
        story = scenario("calm", seed)
        points = played("calm", seed, 20 * 60 * 5)
        check_every_step(points, story)
        assert all(abs(point.last_price - story.start_price) <= story.start_price * 0.003 for point in points)
        meter = StressMeter()
        widest = max(meter.observe(point.last_price) for point in points)
        assert widest < Fraction(1, 2)


def test_a_chop_never_leaves_its_bounds_in_hours_and_keeps_moving() -> None:
    points = played("chop", 3, 6 * 3_600 * 5)
    moves = [Fraction(point.last_price, points[0].last_price) - 1 for point in points]
    assert Fraction(-12, 1000) <= min(moves) <= max(moves) <= Fraction(12, 1000)
    by_hour = [moves[start : start + 3_600 * 5] for start in range(0, len(moves), 3_600 * 5)]
    assert all(max(hour) - min(hour) >= Fraction(2, 1000) for hour in by_hour)


def test_a_flash_crash_falls_within_two_minutes_and_most_of_it_is_back_within_ten() -> None:
    for seed in range(40):
        story = scenario("flash", seed)
        points = played("flash", seed, story.story_ms // STEP_MS)
        check_every_step(points, story)
        prices = [point.last_price for point in points]
        start, low = prices[0], min(prices)
        at_low = prices.index(low)
        assert Fraction(8, 100) <= 1 - Fraction(low, start) <= Fraction(15, 100)
        above = max(index for index, price in enumerate(prices[:at_low]) if price >= start * 0.997)
        assert (at_low - above) * STEP_MS <= 120_000
        back = max(prices[at_low : at_low + 600_000 // STEP_MS])
        assert Fraction(65, 100) <= Fraction(back - low, start - low) <= Fraction(95, 100)


def test_a_gap_jumps_four_times_both_ways_and_moves_as_others_do_between() -> None:
    for seed in range(40):
        story = scenario("gap", seed)
        points = played("gap", seed, story.story_ms // STEP_MS)
        steps = [Fraction(after.last_price, before.last_price) - 1 for before, after in pairwise(points)]
        jumps = [step for step in steps if abs(step) > Fraction(12, 10_000)]
        assert [step > 0 for step in jumps] == [False, True, False, True]
        assert all(Fraction(2, 100) <= abs(step) <= Fraction(65, 1000) for step in jumps)
        assert all(story.lowest <= point.last_price <= story.highest for point in points)


def test_in_an_outage_the_price_moves_on_while_the_exchange_is_away_for_the_stated_times() -> None:
    for seed in range(50):
        story = scenario("outage", seed)
        assert [outage.end_ms - outage.start_ms for outage in story.outages] == [90_000, 30_000, 240_000]
        assert all(before.end_ms + 60_000 <= after.start_ms for before, after in pairwise(story.outages))
        points = played("outage", seed, story.story_ms // STEP_MS)
        check_every_step(points, story)
        for outage in story.outages:
            before, after = points[outage.start_ms // STEP_MS], points[outage.end_ms // STEP_MS]
            assert abs(Fraction(after.last_price, before.last_price) - 1) >= Fraction(4, 1000)


@pytest.mark.parametrize(("name", "sign"), [("bull", 1), ("bear", -1)])
def test_a_trend_goes_its_way_in_a_day_and_comes_back_for_hours_on_it(name: str, sign: int) -> None:
    story = scenario(name, 5)
    points = played(name, 5, story.story_ms // STEP_MS)
    check_every_step(points, story)
    prices = [point.last_price for point in points]
    assert Fraction(107, 1000) <= sign * (Fraction(prices[-1], prices[0]) - 1) <= Fraction(113, 1000)
    assert 15 * 3_600_000 <= story.story_ms <= 32 * 3_600_000
    hourly = prices[:: 3_600 * 5]
    against = [sign * (after - before) < 0 for before, after in pairwise(hourly)]
    assert len(against) / 4 <= sum(against) <= len(against) / 2
    best, deepest = hourly[0], 0.0
    for price in hourly:
        best = max(best, price) if sign > 0 else min(best, price)
        deepest = max(deepest, sign * (best - price) / best)
    assert deepest >= 0.008


BRIEFLY_TOLD = [name for name in SCENARIOS if name not in {"bull", "bear", "chop"}]


@pytest.mark.parametrize("name", BRIEFLY_TOLD)
def test_after_its_story_a_market_goes_on_calmly_around_where_it_ended(name: str) -> None:
    for seed in range(10):
        story = scenario(name, seed)
        points = list(islice(story.points(), story.story_ms // STEP_MS + 15 * 60 * 5))
        level = math.prod(jump.ratio for jump in story.jumps)
        end = at(round(story.beats[-1].usd * level))
        for point in points[story.story_ms // STEP_MS :]:
            assert abs(point.last_price - end) <= end * 0.003


@pytest.mark.parametrize("name", ["bull", "bear"])
def test_after_its_day_a_trend_goes_on_calmly_too(name: str) -> None:
    story = scenario(name, 2)
    points = list(islice(story.points(), story.story_ms // STEP_MS + 15 * 60 * 5))
    end = at(round(story.beats[-1].usd))
    for point in points[story.story_ms // STEP_MS :]:
        assert abs(point.last_price - end) <= end * 0.003
