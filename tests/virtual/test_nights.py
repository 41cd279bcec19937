"""Seeded nights: adversarial tapes and random faults. A failing one is had again with AXISOR_SEED=number.

AXISOR_NIGHTS=short plays 1,000 tapes and 2,000 nights, `--long` 100,000 nights, AXISOR_NIGHTS=FIRST:COUNT those seeds.
"""

import os
import random
from collections.abc import Callable, Iterable
from typing import Final

import pytest
from tests.virtual.judge import Summary
from tests.virtual.nights import Shape, seeded_night, tape_of
from tests.virtual.scenario import Night, live

SIZES: Final = {"sample": (100, 200), "short": (1_000, 2_000), "long": (1_000, 100_000)}
LONG: Final = "long" if "AXISOR_TEST_LONG" in os.environ else "sample"


def sizes(chosen: str) -> tuple[int, range]:
    """Return how many tapes are played, and which nights."""
    if ":" in chosen:
        first, count = map(int, chosen.split(":"))
        return SIZES["sample"][0], range(first, first + count)
    tapes, nights = SIZES[chosen]
    return tapes, range(nights)


TAPES, NIGHTS = sizes(os.environ.get("AXISOR_NIGHTS", LONG))
PARTS: Final = 10


def seeds_of(part: int) -> Iterable[int]:
    if (one := os.environ.get("AXISOR_SEED")) is not None:
        return [int(one)] if part == 0 else []
    return NIGHTS[part::PARTS]


def play(nights: Iterable[Night]) -> Summary:
    summary = Summary()
    for night in nights:
        verdict = live(night)
        assert verdict.complaints() == [], f"AXISOR_SEED={night.seed}: {verdict.complaints()} in {night}"
        summary.add(verdict)
    return summary


@pytest.mark.parametrize("part", range(PARTS))
def test_no_night_of_faults_loses_or_doubles_a_top_up(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    summary = play(seeded_night(seed) for seed in seeds_of(part))

    print(summary)  # noqa: T201 - the figures are what this test is run for
    record_property("figures", str(summary))


@pytest.mark.parametrize("shape", Shape)
def test_every_due_top_up_of_a_tape_is_paid_once(shape: Shape, record_property: Callable[[str, object], None]) -> None:
    def nights() -> Iterable[Night]:
        for number in range(TAPES // len(Shape)):
            lot = random.Random(f"{shape} {number}")
            yield Night(seed=number, tape=tape_of(shape, lot, seconds=90))

    summary = play(nights())

    print(summary)  # noqa: T201 - as above
    record_property("figures", str(summary))
    assert summary.served == summary.due > 0


def test_a_night_comes_again_from_its_number() -> None:
    first, second = live(seeded_night(7)), live(seeded_night(7))

    assert first == second


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(12559, id="the outcome of a frozen process's draft was written onto its successor's attempt"),
        pytest.param(30369, id="the same, with a single trade and old readings"),
        pytest.param(14862, id="a stepped wall clock freed the sats of a top-up that came later than the bound"),
        pytest.param(57325, id="the same after a takeover"),
        pytest.param(85664, id="a wall clock stepped back hid that one effect explained all growth"),
    ],
)
def test_a_night_that_once_broke_a_promise_keeps_it(seed: int) -> None:
    assert live(seeded_night(seed)).complaints() == []
