"""What an account may spend: free balance, budgets, the owner's switch, the quiet time after a takeover."""

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from typing import Final

from axisor.domain.commands import AddMargin, CashIn, CrossDeposit, Swap, WithdrawLightning
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.domain.wallet import Asset
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState
from axisor.features.execution.budget import Budget, Reservation, ReservationState
from axisor.features.execution.repository import reservation_state
from axisor.features.margin_guard.policy import Spending
from axisor.ports.clock import Clock

DOUBT_KEPT: Final = timedelta(minutes=1)
"""How long a top-up without visible effect counts against the limits once it was settled so.

Absence is proof within the bound that the exchange keeps. "Spend at most" is to hold beyond it too: an effect that
comes after the bound, as under an exchange in trouble, would otherwise meet sats that were spent a second time.
"""


class Wallet:
    """The sats of one exchange account, as far as the guard may move them."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, clock: Clock, blocked_until: datetime | None) -> None:
        self._account_id = exchange_account_id
        self._clock = clock
        self._blocked_until_s = (
            None if blocked_until is None else clock.boottime_s() + (blocked_until - clock.now()).total_seconds()
        )
        self._doubted: dict[tuple[IntentId, int], float] = {}
        self._requested_boottime_s = float("-inf")
        self.balance_sats: int | None = None
        self.synthetic_usd_cents = 0
        self.node_sats = 0
        self.fee_tier = 0
        self.budget = Budget()
        self.stopped: frozenset[str] = frozenset()

    def take_balance(
        self, balance_sats: int, tier: int, requested_boottime_s: float, *, synthetic_usd_cents: int = 0
    ) -> bool | None:
        """Take a reading of the balance; return whether it is news, None where it is older than what is known."""
        if requested_boottime_s < self._requested_boottime_s:
            return None
        has_changed = balance_sats != self.balance_sats or tier != self.fee_tier
        self.balance_sats, self.fee_tier, self._requested_boottime_s = balance_sats, tier, requested_boottime_s
        self.synthetic_usd_cents = synthetic_usd_cents
        return has_changed

    def is_read_since(self, at: datetime) -> bool:
        """Return whether the balance was asked for after an instant."""
        return self._boottime_of(at) < self._requested_boottime_s

    def blocks_money_in(self) -> bool:
        """Return whether a predecessor's money may still be on its way."""
        return self._blocked_until_s is not None and self._clock.boottime_s() < self._blocked_until_s

    @property
    def blocked_until(self) -> datetime | None:
        """Return the end of the quiet time in present wall time, whatever the wall clock said when it began."""
        if self._blocked_until_s is None:
            return None
        return self._clock.now() + timedelta(seconds=self._blocked_until_s - self._clock.boottime_s())

    def reserve(self, attempt: Attempt) -> None:
        """Book a top-up or what is taken back in the budget, in the state of its attempt."""
        if attempt.amount_sats is None or not isinstance(attempt.command, AddMargin | CrossDeposit | CashIn):
            return
        key = (attempt.intent_id, attempt.attempt_no)
        state = reservation_state(attempt.state)
        self._doubted.pop(key, None)
        if attempt.state is AttemptState.NOT_APPLIED and not isinstance(attempt.command, CashIn):
            # A wall clock that was stepped says nothing about when it was signed: from its settlement on it is kept.
            left = (attempt.settled_at or attempt.signed_at) + DOUBT_KEPT - self._clock.now()
            if left > timedelta(0):
                state = ReservationState.RESERVED
                self._doubted[key] = self._clock.boottime_s() + min(left, DOUBT_KEPT).total_seconds()
        self.budget.put(
            Reservation(
                intent_id=attempt.intent_id,
                attempt_no=attempt.attempt_no,
                trade_id=attempt.trade_id,
                amount_sats=attempt.amount_sats,
                state=state,
                reserved_at=attempt.signed_at,
                is_refill=isinstance(attempt.command, CashIn),
            )
        )

    def spending(self, trade_id: TradeId, attempts: Iterable[Attempt], *, running: Container[TradeId] = ()) -> Spending:
        """Return what is left to spend on a trade: pending sats count as gone, and unknown is not enough.

        Args:
            attempts: Those of the whole account.
            running: Its trades, whose sats count toward the limit of the account.
        """
        now = self._clock.now()
        self._forget_doubts()
        return Spending(
            position_spent_sats=self.budget.position_spent_sats(trade_id),
            position_count=self.budget.position_count(trade_id),
            account_day_spent_sats=self.budget.day_spent_sats(now),
            balance_sats=self._free_balance_sats(attempts),
            is_stopped=bool(self.stopped & {trade_id, self._account_id}),
            blocked_until=self.blocked_until,
            account_spent_sats=self.budget.running_spent_sats(running),
            frees_at=self._frees_at(now),
        )

    def _frees_at(self, now: datetime) -> datetime | None:
        """Return when the next top-up without effect counts no more."""
        if not self._doubted:
            return None
        return now + timedelta(seconds=min(self._doubted.values()) - self._clock.boottime_s())

    def _forget_doubts(self) -> None:
        now_s = self._clock.boottime_s()
        for key in [key for key, until_s in self._doubted.items() if until_s <= now_s]:
            del self._doubted[key]
            self.budget.release(key)

    def _free_balance_sats(self, attempts: Iterable[Attempt]) -> int | None:
        """Return the balance as read, less what left since or may still leave."""
        if self.balance_sats is None:
            return None
        leaving_sats = 0
        now, now_s = self._clock.now(), self._clock.boottime_s()
        for attempt in attempts:
            is_open = attempt.is_open
            if not is_open and attempt.state not in APPLIED_STATES:
                continue
            sats = _leaving_sats(attempt)
            if not sats:
                continue
            # Until a balance is read that was asked for after the outcome was known, it may still hold these sats.
            known_s = now_s - (now - (attempt.settled_at or attempt.signed_at)).total_seconds()
            if is_open or known_s >= self._requested_boottime_s:
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
