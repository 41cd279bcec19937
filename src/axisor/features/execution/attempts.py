"""Attempts: what was sent for an intent, in which state it is, and how its amount is tagged.

sent ─▶ confirmed | refused | not_processed | unknown
unknown ─▶ confirmed | not_applied
refused | not_processed | not_applied | unknown ─▶ late_confirmed   (evidence after the fact: an incident)

Steps go forward only. "Unknown" is a state of its own: it is never resent and never called a failure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from axisor.domain.commands import Command, CommandClass
from axisor.domain.errors import Conflict
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId

TAG_RANGE: Final = 1000


class AttemptState(StrEnum):
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    NOT_PROCESSED = "not_processed"
    UNKNOWN = "unknown"
    NOT_APPLIED = "not_applied"
    LATE_CONFIRMED = "late_confirmed"


OPEN_STATES: Final = frozenset({AttemptState.SENT, AttemptState.UNKNOWN})
APPLIED_STATES: Final = frozenset({AttemptState.CONFIRMED, AttemptState.LATE_CONFIRMED})

_NEXT: Final[dict[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.SENT: frozenset(
        {AttemptState.CONFIRMED, AttemptState.REFUSED, AttemptState.NOT_PROCESSED, AttemptState.UNKNOWN}
    ),
    AttemptState.UNKNOWN: frozenset({AttemptState.CONFIRMED, AttemptState.NOT_APPLIED, AttemptState.LATE_CONFIRMED}),
    AttemptState.REFUSED: frozenset({AttemptState.LATE_CONFIRMED}),
    AttemptState.NOT_PROCESSED: frozenset({AttemptState.LATE_CONFIRMED}),
    AttemptState.NOT_APPLIED: frozenset({AttemptState.LATE_CONFIRMED}),
    AttemptState.CONFIRMED: frozenset(),
    AttemptState.LATE_CONFIRMED: frozenset(),
}


class CauseKind(StrEnum):
    RULE = "rule"
    REQUEST = "request"
    BACKSTOP = "backstop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an intent exists; together with the position it can exist once."""

    kind: CauseKind
    cause_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed request, sent at most once. Amounts include the tag."""

    exchange_account_id: ExchangeAccountId
    intent_id: IntentId
    attempt_no: int
    trade_id: TradeId
    cause: Cause
    decision_id: str | None
    command: Command
    command_class: CommandClass
    state: AttemptState
    amount_sats: int | None
    tag: int | None
    is_second_send: bool
    fence: int
    signature_ms: int
    signed_at: datetime
    quiet_until: datetime
    counter_before_sats: int | None
    tick_at: datetime | None = None
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Return whether its effect is still in doubt."""
        return self.state in OPEN_STATES


def advance(attempt: Attempt, state: AttemptState, *, at: datetime, reason: str | None = None) -> Attempt:
    """Return the attempt in its next state.

    Raises:
        Conflict: the step would go backward.
    """
    if state not in _NEXT[attempt.state]:
        raise Conflict(f"an attempt that is {attempt.state} cannot become {state}", intent_id=attempt.intent_id)
    settled_at = None if state is AttemptState.UNKNOWN else at
    return replace(attempt, state=state, settled_at=settled_at, reason=reason or attempt.reason)


def next_tag(used: Iterable[int], *, last_tag: int | None) -> int:
    """Return a tag of 1-999 after `last_tag` that none of the open attempts of the trade carries."""
    taken = set(used)
    tag = last_tag or 0
    for _ in range(TAG_RANGE):
        tag = tag % (TAG_RANGE - 1) + 1
        if tag not in taken:
            return tag
    raise Conflict("every tag is in use by an open attempt of this trade")


def tagged_amount_sats(*, amount_sats: int, cap_sats: int, tag: int) -> tuple[int, int] | None:
    """Return (amount, tag): the least amount that is not below `amount_sats` and ends in the tag, within the cap.

    Where the cap does not allow that, the greatest amount within the cap that ends in the tag. Of a cap below 2,000
    sats that could be next to nothing: there the amount's own last digits are its tag. None where nothing may be spent.

    >>> tagged_amount_sats(amount_sats=207_947, cap_sats=400_000, tag=1)
    (208001, 1)
    >>> tagged_amount_sats(amount_sats=192_053, cap_sats=192_053, tag=2)
    (192002, 2)
    """
    if cap_sats <= 0 or amount_sats <= 0:
        return None
    if cap_sats < TAG_RANGE:
        whole = min(amount_sats, cap_sats)
        return whole, whole
    base = amount_sats - amount_sats % TAG_RANGE
    up = base + tag if base + tag >= amount_sats else base + TAG_RANGE + tag
    if up <= cap_sats:
        return up, tag
    if cap_sats < 2 * TAG_RANGE:
        whole = min(amount_sats, cap_sats)
        whole -= whole % TAG_RANGE == 0
        return whole, whole % TAG_RANGE
    down = cap_sats - cap_sats % TAG_RANGE + tag
    return (down if down <= cap_sats else down - TAG_RANGE), tag
