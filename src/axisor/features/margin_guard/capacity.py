"""Who is served first when the rate limit is short, and how long the others wait: pure.

A rescue is two calls (the top-up, then the safety stop), a close is one. The exchange answers a key so many calls a
second, so of a hundred trades that become due together the last is done after forty seconds at five a second.

The order, for one key:

1. The least slack first, where slack is the time until it is too late less the service time. Among rescues that can
   all be done in time, going by the end of each trade does them all (Jackson's rule), so nothing else is needed.
2. Where not all can be done in time, the ones that keep the fewest sats per call give way until the rest can
   (Moore and Hodgson's rule; for rescues of equal length it keeps the most sats that any order keeps).
3. What gave way is closed instead, where one call is still in time and no stop at the exchange does it anyway.
4. What neither can be topped up nor closed in time goes last: it takes nothing from those that can.

Times are seconds from now; `None` for an end means that the price does not approach it.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import inf
from typing import Final

RESCUE_CALLS: Final = 2
"""A top-up, and the safety stop that follows it."""
CLOSE_CALLS: Final = 1
MOST_CLOSES_WEIGHED: Final = 32
"""Of hopeless trades so many, the most valuable, are weighed for a close at a time: the next turn weighs again."""


class Way(StrEnum):
    """What a turn in the queue is for."""

    RESCUE = "rescue"
    CLOSE = "close"  # a rescue would come too late, a close does not
    LATE = "late"  # both would


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast a key may call: `per_s` calls a second, `tokens` at once now, at most `burst` saved up.

    `paused_s` is how long nothing leaves at all. `round_trip_s` passes from a call to its effect.
    """

    per_s: float
    burst: int = 1
    tokens: float | None = None
    """None: as many as the burst."""
    paused_s: float = 0.0
    round_trip_s: float = 0.0

    @property
    def ready_tokens(self) -> float:
        return float(self.burst) if self.tokens is None else min(self.tokens, float(self.burst))

    def leaves_s(self, call: int) -> float:
        """Return when the `call`-th call from now leaves, counted from 1, where all are there already."""
        return self.paused_s + max(0.0, call - self.ready_tokens) / self.per_s

    def service_s(self, calls: int) -> float:
        """Return the service time of so many calls: their tokens at the lasting rate and one way to the exchange."""
        return calls / self.per_s + self.round_trip_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What one trade wants of the queue.

    `end_s` is the nearer of its stop and its liquidation, `due_s` when it joins the queue. `close_calls` is what a
    close costs, 0 where none is to be had: a stop at the exchange does it, or the trade is to be closed already.
    `kept_sats` is what its end would take, `close_sats` what a close gives back.
    """

    due_s: float = 0.0
    end_s: float | None = None
    calls: int = RESCUE_CALLS
    close_calls: int = 0
    kept_sats: int = 0
    close_sats: int = 0

    @property
    def ends_s(self) -> float:
        return inf if self.end_s is None else self.end_s

    @property
    def sats_per_call(self) -> Fraction:
        return Fraction(max(0, self.kept_sats), max(1, self.calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn in the queue: whose, what for, and how many calls it takes."""

    number: int
    way: Way
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What the queue does to one rescue.

    `wait_s` passes from being due until its first call leaves, `done_s` from now until its last has its effect.
    """

    way: Way
    wait_s: float
    done_s: float

    @property
    def is_in_time(self) -> bool:
        return self.way is not Way.LATE


def slack_s(rescue: Rescue, rates: Rates) -> float:
    """Return the time in seconds that may pass before a rescue, served alone, begins too late; infinite for no end."""
    return rescue.ends_s - max(0.0, rescue.due_s) - rates.service_s(rescue.calls)


def order(rescues: Sequence[Rescue], rates: Rates) -> tuple[Turn, ...]:
    """Return every rescue's turn, first to last, as if all were due now."""
    by_end = sorted(
        range(len(rescues)), key=lambda number: (rescues[number].ends_s, -rescues[number].sats_per_call, number)
    )
    kept, gave_way = _most_in_time(rescues, by_end, rates)
    turns = [Turn(number=number, way=Way.RESCUE, calls=rescues[number].calls) for number in kept]
    closes = _closes_in_time(rescues, turns, gave_way, rates)
    placed = sorted([*turns, *closes], key=lambda turn: rescues[turn.number].ends_s)
    closing = {turn.number for turn in closes}
    late = [
        Turn(number=number, way=Way.LATE, calls=rescues[number].calls) for number in gave_way if number not in closing
    ]
    late.sort(key=lambda turn: (-rescues[turn.number].sats_per_call, -rescues[turn.number].ends_s))
    return (*placed, *late)


def simulate_queue(rescues: Sequence[Rescue], rates: Rates) -> tuple[Wait, ...]:
    """Return what each rescue waits, in the order given, where each joins the queue at its `due_s`.

    The queue is put in order anew whenever a rescue joins it; a turn that has begun is finished first.
    """
    waits: dict[int, Wait] = {}
    joining = sorted(range(len(rescues)), key=lambda number: rescues[number].due_s)
    waiting: list[int] = []
    bucket = _Bucket(rates)
    now_s = 0.0
    while joining or waiting:
        if not waiting:
            now_s = max(now_s, rescues[joining[0]].due_s)
        while joining and rescues[joining[0]].due_s <= now_s:
            waiting.append(joining.pop(0))
        next_s = rescues[joining[0]].due_s if joining else inf
        here = [_from(rescues[number], now_s) for number in waiting]
        for turn in order(here, bucket.rates_at(now_s)):
            number = waiting[turn.number]
            leaves = [bucket.take(now_s) for _ in range(turn.calls)] or [now_s]
            now_s = max(now_s, leaves[-1])
            waits[number] = Wait(
                way=turn.way,
                wait_s=leaves[0] - max(0.0, rescues[number].due_s),
                done_s=leaves[-1] + rates.round_trip_s,
            )
            if now_s >= next_s:
                break
        waiting = [number for number in waiting if number not in waits]
    return tuple(waits[number] for number in range(len(rescues)))


def expected_wait_s(before: int, rates: Rates, *, calls: int = RESCUE_CALLS) -> float:
    """Return how long a rescue waits for its first call behind `before` others of `calls` calls each, in seconds."""
    return rates.leaves_s(before * calls + 1)


def expected_done_s(before: int, rates: Rates, *, calls: int = RESCUE_CALLS) -> float:
    """Return when a rescue's last call has its effect behind `before` others of `calls` calls each, in seconds."""
    return rates.leaves_s((before + 1) * calls) + rates.round_trip_s


def leads_s(due_s: Sequence[float | None], rates: Rates, *, calls: int = RESCUE_CALLS) -> tuple[float, ...]:
    """Return how much earlier than its mark each rescue must begin, in seconds, so that none waits past its mark.

    `due_s` is when the price reaches each mark at the present speed; None where it does not approach it. Of a crowd
    that becomes due together the first leads the most, the last not at all, and a rescue on its own by nothing: an
    idle key serves at once. Backward: the i-th of n must begin by min over j ≥ i of
    t_j − ((j − i + 1) · calls − burst) / rate, and by t_i. Nothing leads by more than the time that is left.
    """
    coming = sorted((max(0.0, at_s), number) for number, at_s in enumerate(due_s) if at_s is not None)
    leads = [0.0] * len(due_s)
    spare_s = (rates.burst - calls) / rates.per_s
    begins_s = inf
    for at_s, number in reversed(coming):
        begins_s = min(at_s, begins_s - calls / rates.per_s)
        leads[number] = min(at_s, max(0.0, at_s - (begins_s + spare_s)))
    return tuple(leads)


def _from(rescue: Rescue, now_s: float) -> Rescue:
    """Return a rescue as it stands at a later instant, due."""
    return replace(rescue, due_s=0.0, end_s=None if rescue.end_s is None else rescue.end_s - now_s)


def _most_in_time(rescues: Sequence[Rescue], by_end: Sequence[int], rates: Rates) -> tuple[list[int], list[int]]:
    """Return the rescues that are done in time, by their end, and those that gave way."""
    kept: list[int] = []
    worst: list[tuple[Fraction, int, int]] = []
    gave_way: list[int] = []
    calls = 0
    for number in by_end:
        rescue = rescues[number]
        kept.append(number)
        calls += rescue.calls
        insort(worst, (rescue.sats_per_call, -rescue.calls, -number))
        while rates.leaves_s(calls) + rates.round_trip_s > rescue.ends_s and worst:
            dropped = -worst.pop(0)[2]
            kept.remove(dropped)
            gave_way.append(dropped)
            calls -= rescues[dropped].calls
            if dropped == number:
                break
    return kept, gave_way


def _closes_in_time(
    rescues: Sequence[Rescue], turns: Sequence[Turn], gave_way: Sequence[int], rates: Rates
) -> list[Turn]:
    """Return the closes that fit between the rescues without making one of them late, the most valuable first."""
    wanted = sorted(
        (number for number in gave_way if rescues[number].close_calls),
        key=lambda number: (-Fraction(rescues[number].close_sats, rescues[number].close_calls), number),
    )
    closes: list[Turn] = []
    for number in wanted[:MOST_CLOSES_WEIGHED]:
        close = Turn(number=number, way=Way.CLOSE, calls=rescues[number].close_calls)
        if _are_in_time(rescues, [*turns, *closes, close], rates):
            closes.append(close)
    return closes


def _are_in_time(rescues: Sequence[Rescue], turns: Sequence[Turn], rates: Rates) -> bool:
    calls = 0
    for turn in sorted(turns, key=lambda turn: rescues[turn.number].ends_s):
        calls += turn.calls
        if rates.leaves_s(calls) + rates.round_trip_s > rescues[turn.number].ends_s:
            return False
    return True


class _Bucket:
    """The tokens of a key as time goes by."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._tokens = rates.ready_tokens
        self._at_s = max(0.0, rates.paused_s)

    def take(self, now_s: float) -> float:
        """Return when the next call leaves that is there at `now_s`."""
        self._fill(now_s)
        leaves_s = self._at_s + max(0.0, 1.0 - self._tokens) / self._rates.per_s
        self._fill(leaves_s)
        self._tokens = max(0.0, self._tokens - 1.0)
        return leaves_s

    def rates_at(self, now_s: float) -> Rates:
        """Return the rates as they stand at an instant."""
        self._fill(now_s)
        return replace(self._rates, tokens=self._tokens, paused_s=max(0.0, self._at_s - now_s))

    def _fill(self, now_s: float) -> None:
        if now_s > self._at_s:
            self._tokens = min(float(self._rates.burst), self._tokens + (now_s - self._at_s) * self._rates.per_s)
            self._at_s = now_s
