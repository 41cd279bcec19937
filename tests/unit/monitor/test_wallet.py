"""What an account may spend while an outcome is not certain."""

from datetime import timedelta

from tests.factories.guard import ACCOUNT_ID, an_attempt
from tests.factories.trades import TRADE_ID
from tests.fakes.manual_clock import ManualClock

from axisor.domain.commands import CrossDeposit
from axisor.features.execution.attempts import Attempt, AttemptState
from axisor.features.margin_guard.policy import Spending
from axisor.monitor.wallet import DOUBT_KEPT, Wallet

QUIET_S = 40.0


def a_wallet(clock: ManualClock) -> Wallet:
    wallet = Wallet(exchange_account_id=ACCOUNT_ID, clock=clock, blocked_until=None)
    wallet.take_balance(5_000_000, 0, clock.boottime_s())
    return wallet


def sent_now(clock: ManualClock) -> Attempt:
    now = clock.now()
    return an_attempt(signed_at=now, quiet_until=now + timedelta(seconds=QUIET_S))


def settle(wallet: Wallet, attempt: Attempt, state: AttemptState, *, clock: ManualClock) -> Spending:
    settled = an_attempt(
        signed_at=attempt.signed_at, quiet_until=attempt.quiet_until, state=state, settled_at=clock.now()
    )
    wallet.reserve(settled)
    return wallet.spending(TRADE_ID, [settled], running=(TRADE_ID,))


def test_a_top_up_without_effect_counts_for_a_minute_beyond_the_bound_and_says_until_when() -> None:
    clock = ManualClock()
    wallet, attempt = a_wallet(clock), sent_now(clock)
    wallet.reserve(attempt)
    clock.advance(QUIET_S + 1)

    absent = settle(wallet, attempt, AttemptState.NOT_APPLIED, clock=clock)

    assert absent.position_spent_sats == absent.account_spent_sats == absent.account_day_spent_sats == 208_001
    assert absent.frees_at == clock.now() + DOUBT_KEPT
    assert absent.balance_sats == 5_000_000, "the balance was read: it holds them"
    clock.advance(DOUBT_KEPT.total_seconds())
    free = wallet.spending(TRADE_ID, [], running=(TRADE_ID,))
    assert (free.position_spent_sats, free.position_count, free.frees_at) == (0, 0, None)


def test_what_the_exchange_refused_or_never_saw_is_free_at_once() -> None:
    clock = ManualClock()
    for state in (AttemptState.REFUSED, AttemptState.NOT_PROCESSED):
        wallet, attempt = a_wallet(clock), sent_now(clock)
        wallet.reserve(attempt)
        free = settle(wallet, attempt, state, clock=clock)
        assert (free.position_spent_sats, free.frees_at) == (0, None)


def test_an_effect_that_comes_after_all_is_spent_and_not_free_again() -> None:
    clock = ManualClock()
    wallet, attempt = a_wallet(clock), sent_now(clock)
    wallet.reserve(attempt)
    clock.advance(QUIET_S + 1)
    settle(wallet, attempt, AttemptState.NOT_APPLIED, clock=clock)
    late = settle(wallet, attempt, AttemptState.LATE_CONFIRMED, clock=clock)
    assert (late.position_spent_sats, late.frees_at) == (208_001, None)
    clock.advance(600)
    assert wallet.spending(TRADE_ID, [], running=(TRADE_ID,)).position_spent_sats == 208_001


def test_a_cross_deposit_is_counted_as_a_top_up_is() -> None:
    clock = ManualClock()
    wallet = a_wallet(clock)
    deposit = an_attempt(
        CrossDeposit(amount_sats=50_001), amount_sats=50_001, signed_at=clock.now(), quiet_until=clock.now()
    )
    wallet.reserve(deposit)
    spending = wallet.spending(TRADE_ID, [deposit], running=(TRADE_ID,))
    assert (spending.position_spent_sats, spending.balance_sats) == (50_001, 4_949_999)
