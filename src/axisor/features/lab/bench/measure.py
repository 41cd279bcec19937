"""Measuring sides in turn, and what comes out of it."""

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from axisor.domain.errors import AxisorError

ROUNDS: Final = 7

type Say = Callable[[str], None]
"""Told what goes on; anything over a second shows it."""


class BenchDisagrees(AxisorError):
    """Two sides of a benchmark did not compute the same: its times mean nothing."""

    code = "bench_disagrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What we are measured against, in the same run."""

    name: str
    seconds: float
    ratio: float
    goal: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound of our own, as information: times depend on the machine."""

    name: str
    measured: float
    at_most: float
    unit: str

    @property
    def is_kept(self) -> bool:
        return self.measured <= self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark found; seconds are for one unit of its work."""

    name: str
    work: str
    unit: str
    seconds: float
    peers: tuple[Peer, ...]
    limits: tuple[Limit, ...]
    checked: str
    details: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {
            "name": self.name,
            "work": self.work,
            "unit": self.unit,
            "seconds": self.seconds,
            "checked": self.checked,
            "peers": [
                {"name": peer.name, "seconds": peer.seconds, "ratio": round(peer.ratio, 2), "goal": peer.goal}
                for peer in self.peers
            ],
            "limits": [
                {
                    "name": limit.name,
                    "measured": limit.measured,
                    "at_most": limit.at_most,
                    "unit": limit.unit,
                    "is_kept": limit.is_kept,
                }
                for limit in self.limits
            ],
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One benchmark: `run(is_short, say)` measures it; the short form is for ratios in CI."""

    name: str
    work: str
    run: Callable[[bool, Say], Result]


def in_turn(sides: Mapping[str, Callable[[], float]], *, rounds: int, say: Say) -> dict[str, float]:
    """Return the median of each side's seconds a unit, the sides taking turns in every round.

    A side that works in one thread counts its seconds on a processor, one that waits for another process real ones.

    A first round is not counted: it compiles, and fills caches. The garbage collector rests for all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number in range(rounds + 1):
            for name, side in sides.items():
                say(f"round {number} of {rounds}: {name}")
                measured = side()
                if number:
                    seconds[name].append(measured)
    finally:
        gc.enable()
        gc.unfreeze()
    return {name: statistics.median(values) for name, values in seconds.items()}


def peer(name: str, seconds: float, ours: float, goal: float | None) -> Peer:
    """Return a peer with its ratio to our seconds."""
    return Peer(name=name, seconds=seconds, ratio=seconds / ours, goal=goal)


def check(is_same: bool, what: str) -> None:
    """Raise BenchDisagrees where the sides do not agree."""
    if not is_same:
        raise BenchDisagrees(f"the sides disagree: {what}")
