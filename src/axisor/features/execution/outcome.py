"""From an answer to a state: pure. The rows are those of "Outcome over HTTP" in docs/architecture.md."""

from typing import Final

from axisor.domain.commands import AddMargin, CashIn
from axisor.domain.counter import added_sats, cashed_in_sats
from axisor.features.execution.attempts import Attempt, AttemptState
from axisor.features.execution.evidence import answer_shows
from axisor.features.execution.settlement import cash_in_tolerance_sats, shows_effect
from axisor.ports.exchange import Answer, AnswerKind

_STATES: Final = {
    AnswerKind.REFUSED: AttemptState.REFUSED,
    AnswerKind.NOT_PROCESSED: AttemptState.NOT_PROCESSED,
    AnswerKind.UNKNOWN: AttemptState.UNKNOWN,
}


def classify(attempt: Attempt, answer: Answer, *, funding_paid_sats: int | None) -> tuple[AttemptState, str]:
    """Return the state that an answer proves, and why.

    An accepted answer confirms only what it shows: for add-margin the counter must have grown by at least the
    amount since the signature, for cash-in its own counter. Funding that is not explained leaves the outcome unknown,
    to be settled by reading.
    """
    if answer.kind is not AnswerKind.ACCEPTED:
        return _STATES[answer.kind], answer.reason
    if answer.shown is not None:
        shown = answer_shows(attempt, answer.shown)
        return (AttemptState.CONFIRMED, answer.reason) if shown else (AttemptState.UNKNOWN, "effect_not_shown")
    if answer.trade is None:
        return AttemptState.UNKNOWN, "accepted_without_trade"
    match attempt.command:
        case AddMargin(amount_sats=amount_sats):
            if funding_paid_sats is None or answer.trade.entry_margin_sats is None:
                return AttemptState.UNKNOWN, "counter_not_known"
            counter_sats = added_sats(answer.trade, funding_paid_from_margin_sats=funding_paid_sats)
        case CashIn(amount_sats=asked_sats):
            counter_sats = cashed_in_sats(answer.trade)
            amount_sats = asked_sats - cash_in_tolerance_sats(answer.trade)
        case _:
            is_shown = shows_effect(attempt, answer.trade)
            return (AttemptState.CONFIRMED, answer.reason) if is_shown else (AttemptState.UNKNOWN, "effect_not_shown")
    if attempt.counter_before_sats is None:
        return AttemptState.UNKNOWN, "counter_not_known"
    if counter_sats - attempt.counter_before_sats >= amount_sats:
        return AttemptState.CONFIRMED, answer.reason
    return AttemptState.UNKNOWN, "counter_has_not_grown"
