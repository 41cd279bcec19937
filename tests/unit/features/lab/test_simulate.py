import gzip
from pathlib import Path

import numpy as np
import pytest
from tests.factories.minutes import a_stormy_market, minutes_of_2018
from tests.unit.features.lab.exact_night import exact_night

from axisor.domain.trades import PositionSide
from axisor.features.lab.simulate import (
    NIGHT_MINUTES,
    UNGUARDED,
    Guard,
    Indices,
    Minutes,
    both_sides,
    load_minutes,
    simulate,
)
from axisor.features.lab.tally import tally

GUARDS = {
    "5x": (5, Guard(top_up_share=0.35, limit=1)),
    "10x": (10, Guard(top_up_share=0.35, limit=2)),
    "25x Hold": (25, Guard(top_up_share=0.5, limit=1)),
    "25x early": (25, Guard(top_up_share=0.7, limit=3)),
    "40x": (40, Guard(top_up_share=0.25, limit=0.5)),
    "50x Hold longer": (50, Guard(top_up_share=0.5, limit=2)),
    "25x Hold, late": (25, Guard(top_up_share=0.5, limit=1, is_late=True)),
    "25x Cut": (25, Guard(close_share=0.35)),
    "50x Cut, late": (50, Guard(close_share=0.35, is_late=True)),
    "25x stop": (25, Guard(stop_share=0.35)),
    "50x at entry": (50, Guard(stop_share=None, at_entry=1)),
    "10x alone": (10, UNGUARDED),
}


def check_against_the_policy(
    market: Minutes, starts: Indices, *, side: PositionSide, leverage: int, guard: Guard
) -> None:
    fast = simulate(market, starts, side=side, leverage=leverage, guard=guard)
    for number, start in enumerate(starts):
        exact = exact_night(market, int(start), side=side, leverage=leverage, guard=guard)
        found = (
            bool(fast.liquidated[number]),
            bool(fast.stopped[number]),
            bool(fast.closed[number]),
            int(fast.top_ups[number]),
        )
        assert found == (exact.liquidated, exact.stopped, exact.closed, exact.top_ups), start
        assert fast.result[number] == pytest.approx(exact.result, abs=2e-5), start


@pytest.mark.parametrize("side", PositionSide)
@pytest.mark.parametrize("name", GUARDS)
def test_nights_in_a_storm_agree_with_the_policy_and_the_exact_maths(side: PositionSide, name: str) -> None:
    leverage, guard = GUARDS[name]
    market = a_stormy_market(days=4, seed=leverage)
    starts = market.hourly_starts(minutes=NIGHT_MINUTES)[::4]
    check_against_the_policy(market, starts, side=side, leverage=leverage, guard=guard)


@pytest.mark.parametrize("side", PositionSide)
@pytest.mark.parametrize("name", GUARDS)
def test_nights_of_2018_agree_with_the_policy_and_the_exact_maths(side: PositionSide, name: str) -> None:
    leverage, guard = GUARDS[name]
    market = minutes_of_2018()
    every = market.hourly_starts(minutes=NIGHT_MINUTES)
    alone = simulate(market, every, side=side, leverage=leverage, guard=UNGUARDED)
    dead = every[alone.liquidated]
    sample = np.concatenate([dead[:: max(1, len(dead) // 8)], every[leverage::1200]])
    check_against_the_policy(market, sample, side=side, leverage=leverage, guard=guard)


@pytest.mark.parametrize(
    ("leverage", "share", "limit", "died", "acted", "saved", "better", "worse"),
    [
        (10, 35, 1, 1.7, 5, 96, 66, 32),
        (10, 35, 2, 1.7, 5, 100, 67, 31),
        (25, 50, 1, 14.7, 34, 75, 48, 50),
        (25, 50, 2, 14.7, 34, 93, 51, 48),
        (50, 50, 1, 34.5, 58, 53, 40, 59),
        (50, 50, 2, 34.5, 58, 79, 49, 51),
    ],
)
def test_the_presets_figures_agree_with_the_study_they_were_chosen_by(
    leverage: int, share: int, limit: int, died: float, acted: int, saved: int, better: int, worse: int
) -> None:
    market = minutes_of_2018()
    starts = market.hourly_starts(minutes=NIGHT_MINUTES)
    rule = Guard(top_up_share=share / 100, limit=limit)
    alone = both_sides(market, starts, leverage=leverage, guard=UNGUARDED)
    guarded = both_sides(market, starts, leverage=leverage, guard=rule)
    found = tally(guarded, alone=alone, at_entry=None, starts=starts)
    assert len(alone.liquidated) == 17_500
    assert 100 * alone.liquidated.mean() == pytest.approx(died, abs=0.1)
    assert found.acted / 175 == pytest.approx(acted, abs=1)
    percent = [100 * count / alone.liquidated.sum() for count in (found.saved, found.better, found.worse)]
    assert percent == pytest.approx([saved, better, worse], abs=2)


def test_absent_minutes_repeat_the_last_close(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv.gz"
    start_ms = 1_514_764_800_000  # 2018-01-01 00:00 UTC
    rows = [f"{start_ms + 60_000 * minute},10,13,9,{close},1" for minute, close in ((1, 11), (2, 12), (5, 10))]
    path.write_bytes(gzip.compress("\n".join(["time,open,high,low,close,volume", *rows]).encode()))
    market = load_minutes(path)
    assert market.rows == 3
    assert market.close.tolist() == [11, 11, 12, 12, 12, 10]
    assert market.low.tolist() == [11, 9, 9, 12, 12, 9]
    assert market.open.tolist() == [11, 10, 10, 12, 12, 10]
    assert market.high.tolist() == [11, 13, 13, 12, 12, 13]


def test_a_night_needs_all_its_minutes() -> None:
    market = a_stormy_market(days=1, seed=1)
    assert market.hourly_starts(minutes=NIGHT_MINUTES).tolist() == [hour * 60 for hour in range(14)]
