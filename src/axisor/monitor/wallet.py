"""What an account may spend: free balance, budgets, the owner's switch, the quiet time after a takeover."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from axisor.domain.commands import AddMargin, CashIn, CrossDeposit, Swap, WithdrawLightning
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.domain.wallet import Asset
from axisor.features.execution.attempts import APPLIED_STATES, Attempt
from axisor.features.execution.budget import Budget, Reservation
from axisor.features.execution.repository import reservation_state
from axisor.features.margin_guard.policy import Spending
from axisor.ports.clock import Clock


class Wallet:
    """The sats of one exchange account, as far as the guard may move them."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, clock: Clock, blocked_until: datetime | None) -> None:
        self._account_id = exchange_account_id
        self._clock = clock
        self._blocked_until = blocked_until
        self._requested_boottime_s = float("-inf")
        self.balance_sats: int | None = None
        self.fee_tier = 0
        self.budget = Budget()
        self.stopped: frozenset[str] = frozenset()

    def take_balance(self, balance_sats: int, tier: int, requested_boottime_s: float) -> bool | None:
        """Take a reading of the balance; return whether it is news, None where it is older than what is known."""
        if requested_boottime_s < self._requested_boottime_s:
            return None
        has_changed = balance_sats != self.balance_sats or tier != self.fee_tier
        self.balance_sats, self.fee_tier, self._requested_boottime_s = balance_sats, tier, requested_boottime_s
        return has_changed

    def blocks_money_in(self) -> bool:
        """Return whether a predecessor's money may still be on its way."""
        return self._blocked_until is not None and self._clock.now() < self._blocked_until

    def reserve(self, attempt: Attempt) -> None:
        """Book a top-up or what is taken back in the budget, in the state of its attempt."""
        if attempt.amount_sats is None or not isinstance(attempt.command, AddMargin | CrossDeposit | CashIn):
            return
        self.budget.put(
            Reservation(
                intent_id=attempt.intent_id,
                attempt_no=attempt.attempt_no,
                trade_id=attempt.trade_id,
                amount_sats=attempt.amount_sats,
                state=reservation_state(attempt.state),
                reserved_at=attempt.signed_at,
                is_refill=isinstance(attempt.command, CashIn),
            )
        )

    def spending(self, trade_id: TradeId, attempts: Iterable[Attempt]) -> Spending:
        """Return what is left to spend on a trade: pending sats count as gone, and unknown is not enough.

        Args:
            attempts: Those of the whole account.
        """
        now = self._clock.now()
        return Spending(
            position_spent_sats=self.budget.position_spent_sats(trade_id),
            position_count=self.budget.position_count(trade_id),
            account_day_spent_sats=self.budget.day_spent_sats(now),
            balance_sats=self._free_balance_sats(attempts),
            is_stopped=bool(self.stopped & {trade_id, self._account_id}),
            blocked_until=self._blocked_until,
        )

    def _free_balance_sats(self, attempts: Iterable[Attempt]) -> int | None:
        """Return the balance as read, less what left since or may still leave."""
        if self.balance_sats is None:
            return None
        leaving_sats = 0
        for attempt in attempts:
            sats = _leaving_sats(attempt)
            if not sats:
                continue
            # Until a balance is read that was asked for after the outcome was known, it may still hold these sats.
            known_s = self._boottime_of(attempt.settled_at or attempt.signed_at)
            is_later = attempt.state in APPLIED_STATES and known_s >= self._requested_boottime_s
            if attempt.is_open or is_later:
                leaving_sats += sats
        return self.balance_sats - leaving_sats

    def _boottime_of(self, at: datetime) -> float:
        age: timedelta = self._clock.now() - at
        return self._clock.boottime_s() - age.total_seconds()


def _leaving_sats(attempt: Attempt) -> int:
    """Return what a command takes out of the free balance, in sats; 0 where it takes nothing, or brings some.

    What a Lightning payment may cost is held back by the exchange as well and known only from its next reading.
    """
    match attempt.command:
        case AddMargin(amount_sats=sats) | CrossDeposit(amount_sats=sats) | WithdrawLightning(amount_sats=sats):
            return sats
        case Swap(in_asset=Asset.BTC, in_amount=sats):
            return sats
        case _:
            return 0
