"""What the growth of the counter proves."""

from datetime import UTC, datetime

from axisor.domain.commands import AddMargin, CommandClass
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.settlement import explain_growth

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def an_attempt(amount_sats: int, state: AttemptState = AttemptState.UNKNOWN) -> Attempt:
    return Attempt(
        exchange_account_id=ExchangeAccountId("account"),
        intent_id=IntentId(f"intent {amount_sats}"),
        attempt_no=1,
        trade_id=TradeId("trade"),
        cause=Cause(kind=CauseKind.RULE, cause_id="rule", key="top_up#1"),
        decision_id=None,
        command=AddMargin(trade_id=TradeId("trade"), amount_sats=amount_sats),
        command_class=CommandClass.MONEY_IN,
        state=state,
        amount_sats=amount_sats,
        tag=amount_sats % 1000,
        is_second_send=False,
        fence=1,
        signature_ms=0,
        signed_at=NOON,
        quiet_until=NOON,
        counter_before_sats=0,
    )


def test_a_late_effect_is_not_mistaken_for_the_open_top_up() -> None:
    late, still_open = an_attempt(208_001, AttemptState.NOT_APPLIED), an_attempt(192_002)

    verdict = explain_growth([still_open], growth_sats=208_001, settled=[late])

    assert verdict.late is late
    assert verdict.applied == ()
    assert verdict.foreign_sats == 0


def test_a_late_effect_beside_the_open_top_up_explains_both() -> None:
    late, still_open = an_attempt(208_001, AttemptState.NOT_APPLIED), an_attempt(192_002)

    verdict = explain_growth([still_open], growth_sats=400_003, settled=[late])

    assert verdict.late is late
    assert verdict.applied == (still_open,)


def test_open_top_ups_are_matched_before_settled_ones() -> None:
    settled, still_open = an_attempt(208_001, AttemptState.NOT_APPLIED), an_attempt(208_001)

    verdict = explain_growth([still_open], growth_sats=208_001, settled=[settled])

    assert verdict.applied == (still_open,)
    assert verdict.late is None


def test_growth_that_nothing_matches_is_believed_as_far_as_it_goes() -> None:
    still_open = an_attempt(208_001)

    verdict = explain_growth([still_open], growth_sats=210_001)

    assert verdict.applied == (still_open,)
    assert verdict.foreign_sats == 2_000
