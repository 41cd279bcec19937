"""What may go wrong, and at which step of a rescue."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.virtual.world import Process


class Step(StrEnum):
    """The steps of one top-up, in their order."""

    DECIDE = "decide"
    TOKEN = "token"
    SIGN = "sign"
    COMMIT = "commit"
    ACK = "ack"
    WRITE = "write"
    APPLY = "apply"
    ANSWER = "answer"
    READ = "read"
    SETTLE = "settle"


class FaultKind(StrEnum):
    """Each strikes once. Those of the second group befall the next thing of their kind after the step."""

    CRASH = "crash"
    CRASH_UNSEEN = "crash_that_nobody_saw"  # no supervisor: the lease must run out
    FREEZE_PAST_LEASE = "freeze_past_the_lease"
    FREEZE_PAST_QUIET = "freeze_past_lease_and_quiet_period"
    CLOCK_FORWARD = "clock_5_minutes_forward"
    CLOCK_BACK = "clock_5_minutes_back"
    DATABASE_AWAY = "database_away_for_a_minute"
    FUNDING = "funding_settles"
    ROUTINE_STORM = "storm_of_routine_readings"
    TWO_HOSTS = "a_second_host_guards_by_mistake"

    FAIL_COMMIT = "commit_fails"
    SLOW_COMMIT = "commit_is_slow"
    LOSE_ACK = "acknowledgement_lost"
    LOSE_REQUEST = "request_lost"
    LOSE_ANSWER = "answer_lost"
    RESET_BEFORE = "reset_before_it_is_applied"
    RESET_AFTER = "reset_after_it_is_applied"
    APPLY_LATE = "applied_late_within_the_bound"
    APPLY_TOO_LATE = "applied_later_than_the_bound"
    DUPLICATE_FRAMES = "frames_twice"
    STALE_READING = "readings_out_of_date"
    LOSE_READING = "readings_lost"
    REFUSE_BUSY = "rate_limited"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one step, before or after it."""

    kind: FaultKind
    step: Step
    is_before: bool

    def __str__(self) -> str:
        return f"{self.kind}-{'before' if self.is_before else 'after'}-{self.step}"


class Plan:
    """The faults of one run; `strike` does what the world must do, the others wait for their victim."""

    def __init__(
        self, strikes: list[Strike], act: Callable[[FaultKind, Process], None], now_s: Callable[[], float]
    ) -> None:
        self._now_s = now_s
        self._left = list(strikes)
        self._act = act
        self._lurking: Counter[FaultKind] = Counter()
        self.is_armed = False
        self.seen: Counter[Step] = Counter()
        self.injected: Counter[FaultKind] = Counter()
        self.struck_s = float("-inf")
        """When the last fault struck."""

    @property
    def is_spent(self) -> bool:
        """Return whether every fault has struck, or never will."""
        return not self._left

    async def before(self, step: Step, process: Process) -> None:
        self.strike(step, process, is_before=True)
        await process.breathe()

    async def after(self, step: Step, process: Process) -> None:
        self.strike(step, process, is_before=False)
        await process.breathe()

    def strike(self, step: Step, process: Process, *, is_before: bool) -> None:
        """Let the first fault that waits for this step happen."""
        if not self.is_armed:
            return
        self.seen[step] += is_before
        found = next((entry for entry in self._left if entry.step is step and entry.is_before is is_before), None)
        if found is not None:
            self._left.remove(found)
            self.let_happen(found.kind, process)

    def let_happen(self, kind: FaultKind, process: Process) -> None:
        """Start a fault now."""
        if kind in _OF_THE_WAY:
            self._lurking[kind] += 1
        else:
            self._note(kind)
            self._act(kind, process)

    def takes(self, kind: FaultKind, *, when: bool = True) -> bool:
        """Return whether a fault of this kind befalls what happens now; it is used up."""
        if not when or not self._lurking[kind]:
            return False
        self._lurking[kind] -= 1
        self._note(kind)
        return True

    def _note(self, kind: FaultKind) -> None:
        self.injected[kind] += 1
        self.struck_s = self._now_s()


_OF_THE_WAY = frozenset(list(FaultKind)[list(FaultKind).index(FaultKind.FAIL_COMMIT) :])
