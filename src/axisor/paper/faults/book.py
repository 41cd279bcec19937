"""The faults in force, and which occasion meets which of them.

Time is an argument and chance is seeded: the same faults and the same occasions at the same times meet alike.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from axisor.domain.errors import ConfigurationError
from axisor.paper.faults.fault import Fault
from axisor.paper.faults.kinds import Occasion


@dataclass(frozen=True, slots=True)
class _InForce:
    fault: Fault
    since_s: float
    chances: random.Random
    durations: random.Random

    def is_in_window(self, now_s: float) -> bool:
        elapsed_s = now_s - self.since_s - self.fault.after_s
        return elapsed_s >= 0 and (self.fault.for_s is None or elapsed_s < self.fault.for_s)

    def sees(self) -> bool:
        """Return whether it would meet this matching occasion, and count it as seen; one chance is used up."""
        fault = self.fault
        fault.seen += 1
        chance = self.chances.random()
        is_turn = fault.seen >= fault.nth and (fault.seen - fault.nth) % fault.every == 0
        return is_turn and chance < fault.probability


class FaultBook:
    """The faults in force, oldest first. An occasion meets one fault at most: the oldest that would have it."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 1, now_s: float = 0.0) -> None:
        self._seed = seed
        self._added = 0
        self._in_force: list[_InForce] = []
        for fault in faults:
            self.add(fault, now_s=now_s)

    @property
    def faults(self) -> list[Fault]:
        return [each.fault for each in self._in_force]

    def add(self, fault: Fault, *, now_s: float = 0.0) -> None:
        """Put a fault in force.

        Raises:
            ConfigurationError: its values make no sense, or its id is in use.
        """
        fault.check()
        if self.find(fault.fault_id) is not None:
            raise ConfigurationError(f"fault_id {fault.fault_id} is in use")
        self._added += 1
        seed = f"{self._seed}:{self._added}" if fault.seed is None else str(fault.seed)
        chances = random.Random(f"{seed}:chances")  # noqa: S311 - chooses faults, guards no secret
        durations = random.Random(f"{seed}:durations")  # noqa: S311 - the same
        self._in_force.append(_InForce(fault, now_s, chances, durations))

    def find(self, fault_id: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.fault_id == fault_id), None)

    def clear(self, fault_id: str | None = None) -> int:
        """Return how many faults were withdrawn: one, or all without an id."""
        kept = [each for each in self._in_force if fault_id is not None and each.fault.fault_id != fault_id]
        withdrawn = len(self._in_force) - len(kept)
        self._in_force = kept
        return withdrawn

    def seconds_of(self, fault: Fault) -> float:
        """Return how long this time: `seconds`, or the next random time up to `max_seconds`."""
        if fault.max_seconds is None:
            return fault.seconds
        for each in self._in_force:
            if each.fault is fault:
                return each.durations.uniform(fault.seconds, fault.max_seconds)
        return fault.seconds

    def left_s(self, fault: Fault, *, now_s: float) -> float | None:
        """Return the seconds until the fault's window ends, None without an end."""
        if fault.for_s is None:
            return None
        return next((e.since_s + fault.after_s + fault.for_s - now_s for e in self._in_force if e.fault is fault), 0.0)

    def meet(
        self, *, method: str, path: str, account: frozenset[str], is_command: bool = True, now_s: float = 0.0
    ) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        return self._meet(
            Occasion.REQUEST,
            lambda fault: fault.matches_request(method=method, path=path, account=account, is_command=is_command),
            now_s=now_s,
        )

    def meet_frame(self, *, topic: str, account: frozenset[str], now_s: float) -> Fault | None:
        """Return the fault that this frame meets on its way to one socket, and count it."""
        return self._meet(Occasion.FRAME, lambda fault: fault.matches_frame(topic=topic, account=account), now_s=now_s)

    def meet_upgrade(self, *, now_s: float) -> Fault | None:
        """Return the fault that this WebSocket handshake meets, and count it."""
        return self._meet(Occasion.UPGRADE, lambda _: True, now_s=now_s)

    def meet_connection(self, *, now_s: float) -> Fault | None:
        """Return the fault that this new connection meets, and count it."""
        return self._meet(Occasion.CONNECTION, lambda _: True, now_s=now_s)

    def watches_connections(self) -> bool:
        """Return whether a fault waits for new connections."""
        return any(each.fault.traits.occasion is Occasion.CONNECTION for each in self._in_force)

    def triggered(
        self, *, method: str, path: str, account: frozenset[str], is_command: bool, now_s: float
    ) -> list[Fault]:
        """Return the faults that strike because this request came. The caller counts those that found something."""
        return [
            each.fault
            for each in self._matching(
                Occasion.MOMENT,
                lambda fault: (
                    fault.waits_for_request
                    and fault.matches_request(method=method, path=path, account=account, is_command=is_command)
                ),
                now_s=now_s,
            )
            if each.sees()
        ]

    def is_due(self, fault: Fault, *, now_s: float) -> bool:
        """Return whether a fault strikes at this moment of its own timetable, and count it as seen."""
        return any(each.sees() for each in self._matching(Occasion.MOMENT, lambda other: other is fault, now_s=now_s))

    def _meet(self, occasion: Occasion, is_match: Callable[[Fault], bool], *, now_s: float) -> Fault | None:
        met: Fault | None = None
        for each in self._matching(occasion, is_match, now_s=now_s):
            if each.sees() and met is None:
                met = each.fault
                met.met += 1
        return met

    def _matching(self, occasion: Occasion, is_match: Callable[[Fault], bool], *, now_s: float) -> Iterator[_InForce]:
        for each in self._in_force:
            fault = each.fault
            if fault.traits.occasion is not occasion or fault.is_spent or not each.is_in_window(now_s):
                continue
            if is_match(fault):
                yield each
