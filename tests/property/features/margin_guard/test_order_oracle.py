"""The order of rescues against every other order there is, for a handful of trades."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor.features.margin_guard.capacity import Rates, Rescue, Turn, Way, leads_s, order, simulate_queue

type Order = Callable[[Sequence[Rescue], Rates], Sequence[Turn]]


def first_in_first_out(rescues: Sequence[Rescue], rates: Rates) -> Sequence[Turn]:
    """The mistake: whoever asked first is served first."""
    return [Turn(number=number, way=Way.RESCUE, calls=rescue.calls) for number, rescue in enumerate(rescues)]


def saved_by(turns: Sequence[tuple[int, int]], rescues: Sequence[Rescue], rates: Rates) -> list[int]:
    """Return whose last call has its effect in time, where turns of so many calls are served one after another."""
    saved, calls = [], 0
    for number, needed in turns:
        calls += needed
        if rates.leaves_s(calls) + rates.round_trip_s <= rescues[number].ends_s:
            saved.append(number)
    return saved


def saved_by_order(make: Order, rescues: Sequence[Rescue], rates: Rates) -> list[int]:
    turns = make(rescues, rates)
    in_time = saved_by([(turn.number, turn.calls) for turn in turns], rescues, rates)
    return [turn.number for turn in turns if turn.way is Way.RESCUE and turn.number in in_time]


def most_saved(rescues: Sequence[Rescue], rates: Rates) -> int:
    numbers = range(len(rescues))
    return max(
        len(saved_by([(number, rescues[number].calls) for number in numbers], rescues, rates))
        for numbers in permutations(numbers)
    )


def a_crowd(lot: random.Random, *, calls: Sequence[int]) -> list[Rescue]:
    """Trades at their distances from their ends, all falling at one speed, as a crash finds them."""
    speed = lot.uniform(0.0002, 0.004)  # of the price, a second
    return [
        Rescue(end_s=lot.uniform(0.0005, 0.008) / speed, calls=lot.choice(calls), kept_sats=lot.randint(1, 1_000))
        for _ in range(lot.randint(2, 6))
    ]


some_rates = st.builds(
    Rates,
    per_s=st.sampled_from([1.0, 2.0, 5.0]),
    burst=st.integers(1, 4),
    tokens=st.floats(0, 4),
    round_trip_s=st.floats(0, 0.3),
)
crowds = st.lists(
    st.builds(Rescue, end_s=st.none() | st.floats(0, 6), kept_sats=st.integers(0, 1_000)), min_size=1, max_size=6
)


@given(crowds, some_rates)
def test_of_rescues_of_one_length_no_other_order_keeps_more_sats(rescues: list[Rescue], rates: Rates) -> None:
    kept = sum(rescues[number].kept_sats for number in saved_by_order(order, rescues, rates))
    numbers = range(len(rescues))
    best = max(
        sum(rescues[number].kept_sats for number in saved_by([(n, 2) for n in one], rescues, rates))
        for one in permutations(numbers)
    )

    assert kept == best


@given(crowds, some_rates)
def test_of_rescues_alike_no_other_order_saves_more(rescues: list[Rescue], rates: Rates) -> None:
    alike = [replace(rescue, kept_sats=1) for rescue in rescues]

    assert len(saved_by_order(order, alike, rates)) == most_saved(alike, rates)


@given(crowds, some_rates)
def test_every_trade_has_one_turn_and_what_is_late_comes_last(rescues: list[Rescue], rates: Rates) -> None:
    turns = order([replace(rescue, close_calls=1, close_sats=5) for rescue in rescues], rates)

    assert sorted(turn.number for turn in turns) == list(range(len(rescues)))
    late = [turn.way is Way.LATE for turn in turns]
    assert late == sorted(late)
    kept = [(turn.number, turn.calls) for turn in turns if turn.way is not Way.LATE]
    assert len(saved_by(kept, rescues, rates)) == len(kept)


@dataclass
class Regret:
    """How many trades an order lost that another order of the same crowd would have saved."""

    crowds: int = 0
    worse: int = 0
    lost: int = 0
    savable: int = 0

    def check(self) -> None:
        """Raise AssertionError where it is not rare."""
        assert self.worse <= 0.05 * self.crowds
        assert self.lost <= 0.02 * self.savable


def regret_of(make: Order) -> Regret:
    """Return the regret over crowds of trades that need one or two calls, at one to five calls a second."""
    lot, regret = random.Random(20180118), Regret()
    for _ in range(300):
        rates = Rates(per_s=lot.choice((1.0, 2.0, 5.0)), burst=lot.randint(1, 3), tokens=lot.uniform(0, 3))
        rescues = [replace(rescue, kept_sats=100) for rescue in a_crowd(lot, calls=(1, 2, 2))]
        lot.shuffle(rescues)
        best = most_saved(rescues, rates)
        lost = best - len(saved_by_order(make, rescues, rates))
        regret.crowds += 1
        regret.worse += lost > 0
        regret.lost += lost
        regret.savable += best
    return regret


def test_where_lengths_differ_another_order_rarely_saves_more() -> None:
    regret_of(order).check()


def test_serving_in_order_of_arrival_is_found_out() -> None:
    with pytest.raises(AssertionError):
        regret_of(first_in_first_out).check()


def served_in(sequence: Sequence[int], rescues: Sequence[Rescue], rates: Rates) -> int:
    """Return how many are saved where a clairvoyant serves them in this sequence, waiting for those not yet due."""
    saved, free_s = 0, 0.0
    for number in sequence:
        free_s = max(free_s, rescues[number].due_s) + 2 / rates.per_s
        saved += free_s <= rescues[number].ends_s
    return saved


def test_trades_that_become_due_one_after_another_lose_little_against_a_clairvoyant() -> None:
    lot, regret = random.Random(2), Regret()
    rates = Rates(per_s=2.0, burst=1, tokens=0.0)
    for _ in range(150):
        rescues = []
        for _ in range(5):
            due_s = lot.uniform(0, 3)
            rescues.append(Rescue(due_s=due_s, end_s=due_s + lot.uniform(1.0, 5.0), kept_sats=1))
        waits = simulate_queue(rescues, rates)
        saved = sum(wait.done_s <= rescue.ends_s for wait, rescue in zip(waits, rescues, strict=True))
        best = max(served_in(sequence, rescues, rates) for sequence in permutations(range(5)))
        regret.crowds += 1
        regret.lost += max(0, best - saved)
        regret.savable += best
    assert regret.lost <= 0.05 * regret.savable


@given(
    st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=30),
    st.sampled_from([1.0, 5.0, 20.0]),
    st.integers(1, 8),
)
def test_whoever_leads_as_told_never_waits_past_its_mark(due_s: list[float | None], per_s: float, burst: int) -> None:
    rates = Rates(per_s=per_s, burst=burst)
    leads = leads_s(due_s, rates)
    # Only what has the time to lead is promised anything.
    joining = [(at_s - lead, at_s) for at_s, lead in zip(due_s, leads, strict=True) if at_s is not None and lead < at_s]
    if len(joining) < sum(at_s is not None for at_s in due_s):
        return
    waits = simulate_queue([Rescue(due_s=begin_s, end_s=at_s + 1e-6) for begin_s, at_s in joining], rates)

    for (begin_s, at_s), wait in zip(joining, waits, strict=True):
        assert begin_s + wait.wait_s <= at_s + 2 / per_s + 1e-6
