from dataclasses import replace
from typing import Any

import pytest
from tests.factories.guard import an_attempt
from tests.factories.prices import at
from tests.factories.trades import TRADE_ID, a_running_trade

from axisor.domain.commands import CloseTrade, SetStopLoss
from axisor.domain.trades import TradeStatus
from axisor.features.execution.attempts import AttemptState
from axisor.features.execution.outcome import classify
from axisor.ports.exchange import Answer, AnswerKind

GROWN = a_running_trade(margin_sats=608_001, entry_margin_sats=400_000)


def accepted(**changes: Any) -> Answer:
    return replace(Answer(kind=AnswerKind.ACCEPTED, reason="http_200", trade=GROWN), **changes)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (AnswerKind.REFUSED, AttemptState.REFUSED),
        (AnswerKind.NOT_PROCESSED, AttemptState.NOT_PROCESSED),
        (AnswerKind.UNKNOWN, AttemptState.UNKNOWN),
    ],
)
def test_the_class_of_an_answer_is_its_state_with_its_reason(kind: AnswerKind, state: AttemptState) -> None:
    found = classify(an_attempt(), Answer(kind=kind, reason="because", trade=GROWN), funding_paid_sats=0)
    assert found == (state, "because")


def test_a_top_up_is_confirmed_by_the_counter() -> None:
    assert classify(an_attempt(), accepted(), funding_paid_sats=0) == (AttemptState.CONFIRMED, "http_200")


def test_growth_beyond_the_amount_confirms_too() -> None:
    other_arrived_too = accepted(trade=a_running_trade(margin_sats=700_000, entry_margin_sats=400_000))
    assert classify(an_attempt(), other_arrived_too, funding_paid_sats=0)[0] is AttemptState.CONFIRMED


def test_funding_taken_meanwhile_does_not_hide_a_top_up() -> None:
    trade = a_running_trade(margin_sats=607_901, entry_margin_sats=400_000, sum_funding_fees_sats=100)
    assert classify(an_attempt(), accepted(trade=trade), funding_paid_sats=100)[0] is AttemptState.CONFIRMED
    found = classify(an_attempt(), accepted(trade=trade), funding_paid_sats=0)
    assert found == (AttemptState.UNKNOWN, "counter_has_not_grown")


def test_a_margin_that_was_high_before_proves_nothing() -> None:
    found = classify(an_attempt(counter_before_sats=1), accepted(), funding_paid_sats=0)
    assert found == (AttemptState.UNKNOWN, "counter_has_not_grown")


@pytest.mark.parametrize(
    ("answer", "funding_paid_sats", "counter_before_sats", "reason"),
    [
        (accepted(trade=None), 0, 0, "accepted_without_trade"),
        (accepted(), None, 0, "counter_not_known"),
        (accepted(), 0, None, "counter_not_known"),
        (accepted(trade=replace(GROWN, entry_margin_sats=None)), 0, 0, "counter_not_known"),
    ],
)
def test_an_acceptance_that_shows_nothing_is_unknown(
    answer: Answer, funding_paid_sats: int | None, counter_before_sats: int | None, reason: str
) -> None:
    attempt = an_attempt(counter_before_sats=counter_before_sats)
    assert classify(attempt, answer, funding_paid_sats=funding_paid_sats) == (AttemptState.UNKNOWN, reason)


def test_other_commands_are_confirmed_by_what_the_trade_shows() -> None:
    close = an_attempt(CloseTrade(trade_id=TRADE_ID))
    closed = accepted(trade=a_running_trade(status=TradeStatus.CLOSED))
    assert classify(close, closed, funding_paid_sats=None) == (AttemptState.CONFIRMED, "http_200")
    assert classify(close, accepted(), funding_paid_sats=None) == (AttemptState.UNKNOWN, "effect_not_shown")
    stop = an_attempt(SetStopLoss(trade_id=TRADE_ID, stop_price=at("59892")))
    moved = accepted(trade=a_running_trade(stop_loss_price=at("59892")))
    assert classify(stop, moved, funding_paid_sats=None)[0] is AttemptState.CONFIRMED
