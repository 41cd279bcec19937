"""The whole table of fault × step."""

from typing import Final

from tests.virtual.faults import FaultKind, Step, Strike

_AT_ONCE: Final = (
    FaultKind.CRASH,
    FaultKind.CRASH_UNSEEN,
    FaultKind.FREEZE_PAST_LEASE,
    FaultKind.FREEZE_PAST_QUIET,
    FaultKind.CLOCK_FORWARD,
    FaultKind.CLOCK_BACK,
    FaultKind.DATABASE_AWAY,
    FaultKind.DUPLICATE_FRAMES,
    FaultKind.STALE_READING,
    FaultKind.LOSE_READING,
)
"""These may strike at any step."""
_UP_TO: Final = {
    FaultKind.FAIL_COMMIT: Step.COMMIT,
    FaultKind.SLOW_COMMIT: Step.COMMIT,
    FaultKind.LOSE_ACK: Step.ACK,
    FaultKind.LOSE_REQUEST: Step.WRITE,
    FaultKind.RESET_BEFORE: Step.WRITE,
    FaultKind.REFUSE_BUSY: Step.WRITE,
    FaultKind.APPLY_LATE: Step.WRITE,
    FaultKind.APPLY_TOO_LATE: Step.WRITE,
    FaultKind.RESET_AFTER: Step.ANSWER,
    FaultKind.LOSE_ANSWER: Step.ANSWER,
}
"""These befall what happens at a step: they begin before it."""


def whole_table() -> list[Strike]:
    """Return every fault at every step at which it can strike, before and after it."""
    strikes = [Strike(kind, step, is_before) for kind in _AT_ONCE for step in Step for is_before in (True, False)]
    order = list(Step)
    for kind, last in _UP_TO.items():
        strikes += [Strike(kind, step, is_before=True) for step in order[: order.index(last) + 1]]
    return strikes
