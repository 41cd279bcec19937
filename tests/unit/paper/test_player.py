"""How a path is played: prelude, start, speed, pause, plunges, funding, and going on after a restart."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

import msgspec
import pytest

from axisor.domain.trades import Candle
from axisor.domain.units import Price
from axisor.paper.market.fundings import FundingModel
from axisor.paper.market.paths import Outage, PathPoint
from axisor.paper.market.scenarios import scenario
from axisor.paper.player import (
    PRELUDE_POINTS,
    AvailabilityChange,
    FundingDue,
    FundingMode,
    ManualPath,
    MarketStatus,
    Player,
    PlayerState,
    PricePoint,
    Speed,
    Step,
)

NOW = datetime(2026, 11, 23, 7, 59, 50, tzinfo=UTC)
START = Price(124_000)
HOUR_MS = 3_600_000


class StairPath:
    """One tick down every 200 ms."""

    name = "stairs"
    start_price = START

    def __init__(self, *outages: Outage) -> None:
        self.outages = outages

    def points(self) -> Iterator[PathPoint]:
        number = 0
        while True:
            yield PathPoint(number * 200, Price(START - number))
            number += 1

    def history(self, *, minutes: int) -> list[Candle]:
        raise NotImplementedError(minutes)


def a_player(
    *outages: Outage,
    is_started: bool = True,
    speed: Speed = 1.0,
    mode: FundingMode = FundingMode.MARKET,
    offset_ms: int = 0,
) -> Player:
    return Player(
        StairPath(*outages),
        funding=FundingModel(1),
        funding_mode=mode,
        speed=speed,
        is_started=is_started,
        now=NOW,
        funding_offset_ms=offset_ms,
    )


def prices(steps: Iterator[Step]) -> list[int]:
    return [step.last_price - START for step in steps if isinstance(step, PricePoint)]


def test_a_started_path_gives_every_point_once_and_in_order() -> None:
    player = a_player()
    assert prices(player.advance(0.1, now=NOW)) == [0]
    assert prices(player.advance(0.6, now=NOW)) == [-1, -2, -3]
    assert player.state.story_ms == pytest.approx(700)


def test_a_step_without_a_new_point_repeats_the_price() -> None:
    player = a_player()
    list(player.advance(0.2, now=NOW))
    assert prices(player.advance(0.05, now=NOW)) == [-1]


def test_speed_plays_several_points_in_one_step() -> None:
    player = a_player(speed=10)
    assert prices(player.advance(0.2, now=NOW)) == [0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10]
    player.set_speed(0.5)
    assert prices(player.advance(0.4, now=NOW)) == [-11]


@pytest.mark.parametrize("speed", [0, -1, 1e9, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        a_player().set_speed(speed)


def test_the_prelude_is_calm_begins_and_ends_at_the_start_price_and_repeats() -> None:
    player = a_player(is_started=False)
    loop = [prices(player.advance(0.2, now=NOW))[0] for _ in range(2 * PRELUDE_POINTS)]
    shifted = loop[-1:] + loop[:-1]
    assert shifted[0] == shifted[PRELUDE_POINTS - 1] == 0
    assert loop[:PRELUDE_POINTS] == loop[PRELUDE_POINTS:]
    assert max(map(abs, loop)) <= START * 0.0005
    assert len(set(loop)) > 10
    assert player.state.story_ms == 0


@pytest.mark.parametrize("asked_after_steps", [1, 7, 24])
def test_a_start_takes_effect_at_the_end_of_the_loop_so_that_the_story_is_the_same(asked_after_steps: int) -> None:
    player = a_player(is_started=False)
    for _ in range(asked_after_steps):
        list(player.advance(0.2, now=NOW))
    player.start()
    seen: list[int] = []
    while player.state.status is MarketStatus.PRELUDE:
        seen = prices(player.advance(0.2, now=NOW))
    seen += prices(player.advance(0.6, now=NOW))
    assert seen == [0, -1, -2, -3]


def test_a_pause_holds_the_price_and_start_goes_on() -> None:
    player = a_player()
    list(player.advance(1.0, now=NOW))
    player.pause()
    player.pause()
    assert prices(player.advance(30, now=NOW)) == [-5]
    player.start()
    assert prices(player.advance(0.2, now=NOW)) == [-6]


def test_a_pause_within_the_prelude_goes_back_to_it() -> None:
    player = a_player(is_started=False)
    player.pause()
    player.start()
    assert player.state.status is MarketStatus.PRELUDE
    assert player.state.is_start_requested


def test_a_plunge_lowers_the_price_evenly_and_for_good() -> None:
    player = Player(
        ManualPath(START),
        funding=FundingModel(1),
        funding_mode=FundingMode.MARKET,
        speed=1,
        is_started=True,
        now=NOW,
    )
    player.plunge(fraction=Decimal("0.1"), duration_s=10)
    list(player.advance(5, now=NOW))
    assert player.last_price == START * 95 // 100
    list(player.advance(5, now=NOW))
    list(player.advance(100, now=NOW))
    assert player.last_price == START * 90 // 100


def test_market_funding_settles_every_eight_hours_of_play_at_the_price_before() -> None:
    player = a_player(speed=8 * 3_600)
    steps = list(player.advance(1.1, now=NOW))
    settlements = [number for number, step in enumerate(steps) if isinstance(step, FundingDue)]
    assert len(settlements) == 1
    before = steps[settlements[0] - 1]
    assert isinstance(before, PricePoint)
    assert before.market_ms == 8 * HOUR_MS - 200
    due = steps[settlements[0]]
    assert isinstance(due, FundingDue)
    assert due.rate == FundingModel(1).rate_at(8 * HOUR_MS)


def test_a_tapes_own_clock_says_when_funding_settles() -> None:
    player = a_player(speed=3_600, offset_ms=7 * HOUR_MS)
    assert player.funding_at(NOW) == NOW + timedelta(seconds=1)
    assert len(settlement_ids(player, seconds=1)) == 1
    assert player.funding_at(NOW) == NOW + timedelta(seconds=8)


def test_wall_funding_settles_at_the_exchanges_hours() -> None:
    player = a_player(mode=FundingMode.WALL)
    assert player.funding_at(NOW) == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert not any(isinstance(s, FundingDue) for s in player.advance(5, now=NOW + timedelta(seconds=5)))
    later = NOW + timedelta(seconds=11)
    assert sum(isinstance(s, FundingDue) for s in player.advance(6, now=later)) == 1
    assert player.funding_at(later) == datetime(2026, 11, 23, 16, tzinfo=UTC)
    assert not any(isinstance(s, FundingDue) for s in player.advance(1, now=later))


def test_a_restored_player_goes_on_with_the_next_point() -> None:
    first = a_player()
    list(first.advance(2.5, now=NOW))
    second = a_player()
    second.restore(first.state)
    assert second.last_price == first.last_price
    assert prices(second.advance(0.3, now=NOW)) == [-13, -14]


def test_a_settlement_that_is_run_again_after_a_crash_has_the_same_identity() -> None:
    first = a_player(speed=28_800)
    saved = msgspec.json.encode(first.state)
    second = a_player(speed=28_800)
    second.restore(msgspec.json.decode(saved, type=PlayerState))
    assert settlement_ids(first, seconds=2) == settlement_ids(second, seconds=2)
    assert len(set(settlement_ids(first, seconds=3))) == 3


def settlement_ids(player: Player, *, seconds: int) -> list[str]:
    return [step.settlement_id for step in player.advance(seconds, now=NOW) if isinstance(step, FundingDue)]


def test_a_scenario_is_the_same_for_a_seed_however_it_is_played() -> None:
    def played(chunks: list[float]) -> list[int]:
        player = Player(
            scenario("crash", 3),
            funding=FundingModel(3),
            funding_mode=FundingMode.MARKET,
            speed=1,
            is_started=True,
            now=NOW,
        )
        return [
            step.last_price
            for chunk in chunks
            for step in player.advance(chunk, now=NOW)
            if isinstance(step, PricePoint)
        ]

    assert played([60.0]) == played([0.2] * 300)[: len(played([60.0]))]


def test_a_price_put_by_hand_stays_where_no_path_moves_it() -> None:
    player = Player(
        ManualPath(START), funding=FundingModel(1), funding_mode=FundingMode.MARKET, speed=1, is_started=True, now=NOW
    )
    assert not player.has_points
    player.set_price(Price(100_000))
    assert [s.last_price for s in player.advance(1, now=NOW) if isinstance(s, PricePoint)] == [100_000]
    assert player.path.history(minutes=5) == []
    assert a_player().has_points


def test_steps_are_as_frequent_as_points_within_reason() -> None:
    assert a_player(speed=1).tick_s == pytest.approx(0.2)
    assert a_player(speed=10).tick_s == pytest.approx(0.02)
    assert a_player(speed=10_000).tick_s == pytest.approx(0.01)
    assert a_player(speed=0.1).tick_s == pytest.approx(0.2)


AWAY = Outage(600, 1_200)


def told(steps: Iterator[Step]) -> list[object]:
    """Return what happened: the price's distance from the start, whether the exchange is there, or a settlement."""
    happened: list[object] = []
    for step in steps:
        match step:
            case PricePoint():
                happened.append(step.last_price - START)
            case AvailabilityChange():
                happened.append("back" if step.is_available else "away")
            case FundingDue():
                happened.append("settled")
    return happened


def test_in_an_outage_no_price_is_seen_and_the_return_is_one_step_to_the_present_one() -> None:
    assert told(a_player(AWAY).advance(1.5, now=NOW)) == [0, -1, -2, "away", "back", -6, -7]


@pytest.mark.parametrize("step_s", [0.05, 0.2, 0.3, 0.7])
def test_an_outage_is_the_same_in_however_small_steps_it_is_played(step_s: float) -> None:
    player = a_player(AWAY)
    seen: list[object] = []
    was_away_in_steps = 0
    while player.state.story_ms < 1_450:
        seen += told(player.advance(step_s, now=NOW))
        was_away_in_steps += not player.is_available
    once_each = [event for index, event in enumerate(seen) if index == 0 or event != seen[index - 1]]
    assert once_each[:7] == [0, -1, -2, "away", "back", -6, -7]
    assert was_away_in_steps >= (step_s < 0.6)


def test_a_settlement_of_an_outage_waits_for_the_return() -> None:
    eight_hours = 8 * HOUR_MS
    player = a_player(Outage(eight_hours - 300, eight_hours + 500), speed=28_800)
    steps = told(player.advance(1.0001, now=NOW))
    gone = steps.index("away")
    price = -(eight_hours // 200) - 2
    assert steps[gone - 1 : gone + 5] == [price + 4, "away", "back", price, "settled", price - 1]


def test_a_wall_settlement_of_an_outage_waits_for_the_return() -> None:
    player = a_player(Outage(0, 1_000), mode=FundingMode.WALL)
    assert told(player.advance(0.5, now=NOW)) == ["away"]
    later = NOW + timedelta(seconds=11)
    assert told(player.advance(0.1, now=later)) == []
    assert told(player.advance(0.5, now=later)) == ["back", -5]
    assert told(player.advance(0.1, now=later)) == ["settled", -6]


def test_a_player_restored_within_an_outage_is_still_away() -> None:
    first = a_player(AWAY)
    list(first.advance(0.9, now=NOW))
    assert not first.is_available
    second = a_player(AWAY)
    second.restore(first.state)
    assert not second.is_available
    assert told(second.advance(0.5, now=NOW)) == ["back", -6, -7]


def test_as_fast_as_possible_gives_every_point_for_as_long_as_it_is_asked() -> None:
    player = a_player(speed="max")
    assert player.tick_s == 0
    assert prices(islice(player.advance(0.001, now=NOW), 5)) == [0, -1, -2, -3, -4]
    assert player.state.story_ms == 800
    assert prices(islice(player.advance(0.001, now=NOW), 2)) == [-5, -6]
    player.set_speed(1)
    assert prices(player.advance(0.2, now=NOW)) == [-7]
    player.set_speed("max")
    steps = player.advance(0.001, now=NOW)
    assert prices(islice(steps, 1)) == [-8]
    player.pause()
    assert prices(steps) == []
    assert prices(player.advance(1, now=NOW)) == [-8]


def test_as_fast_as_possible_settles_where_the_market_does() -> None:
    wanted = 2 * 8 * 18_000
    fast, slow = a_player(speed="max"), a_player(speed=57_600)
    seen = list(islice(fast.advance(0.001, now=NOW), wanted))
    paced = list(slow.advance(1, now=NOW))[:wanted]
    assert told(iter(seen)) == told(iter(paced))
    assert told(iter(seen)).count("settled") == 1
    assert fast.state.played_ms == fast.state.story_ms


def test_as_fast_as_possible_a_start_does_not_wait_and_a_still_market_follows_the_clock() -> None:
    waiting = a_player(is_started=False, speed="max")
    assert waiting.tick_s > 0
    assert len(list(waiting.advance(0.2, now=NOW))) == 1
    waiting.start()
    assert prices(islice(waiting.advance(0.2, now=NOW), 3)) == [0, -1, -2]
    still = Player(
        ManualPath(START),
        funding=FundingModel(1),
        funding_mode=FundingMode.MARKET,
        speed="max",
        is_started=True,
        now=NOW,
    )
    assert prices(still.advance(0.2, now=NOW)) == [0]
    assert still.state.story_ms == 200
    assert still.funding_at(NOW) == NOW + timedelta(hours=8) - timedelta(milliseconds=200)


def test_the_rate_that_is_shown_before_a_settlement_is_the_one_that_is_used() -> None:
    player = a_player(speed=3_600)
    shown, used = [], []
    for _ in range(40):
        before = player.funding_rate()
        for step in player.advance(0.999, now=NOW):
            if isinstance(step, FundingDue):
                shown.append(before)
                used.append(step.rate)
    assert len(used) == 4
    assert shown == used


def test_after_a_fall_longs_pay_less_than_the_seed_alone_says() -> None:
    player = a_player(speed=3_600)
    dues = [step for step in player.advance(17, now=NOW) if isinstance(step, FundingDue)]
    alone = [FundingModel(1).rate_at(number * 8 * HOUR_MS) for number in (1, 2)]
    assert dues[0].rate == alone[0]
    assert dues[1].rate < alone[1]


def test_a_restored_player_keeps_the_rate_that_was_shown() -> None:
    first = a_player(speed=3_600)
    list(first.advance(20, now=NOW))
    second = a_player(speed=3_600)
    second.restore(msgspec.json.decode(msgspec.json.encode(first.state), type=PlayerState))
    assert second.funding_rate() == first.funding_rate()
    of_before = msgspec.json.decode(
        msgspec.json.encode(first.state).replace(b'"next_rate"', b'"old"'), type=PlayerState
    )
    third = a_player(speed=3_600)
    third.restore(of_before)
    assert third.funding_rate() != 0
    rates = [[s.rate for s in p.advance(30, now=NOW) if isinstance(s, FundingDue)] for p in (first, second)]
    assert rates[0] == rates[1] != []
