"""Settling attempts: what answers and readings prove, and what follows from it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from axisor.domain.commands import AddMargin, CashIn, SetStopLoss
from axisor.domain.counter import cashed_in_sats
from axisor.domain.trades import TradeStatus
from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, CauseKind, advance
from axisor.features.execution.executor import Executor
from axisor.features.execution.recorder import Write
from axisor.features.execution.settlement import (
    cash_in_tolerance_sats,
    explain_cash_in,
    explain_growth,
    shows_effect,
)
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.causes import read_key
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.narrator import Narrator
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer

log = structlog.get_logger(__name__)

LATE_EVIDENCE: Final = timedelta(hours=1)


class Settler:
    """Takes the new states of one account's attempts: memory first, then the database."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        executor: Executor,
        wallet: Wallet,
        chronicle: Chronicle,
        narrator: Narrator,
        book: AccountBook,
        clock: Clock,
    ) -> None:
        self._account_id = exchange_account_id
        self._executor = executor
        self._wallet = wallet
        self._chronicle = chronicle
        self._narrator = narrator
        self._book = book
        self._clock = clock
        self.settled: list[Callable[[Attempt], None]] = []
        """Told of every new state of an attempt."""

    def take_up(self, watched: WatchedTrade, attempt: Attempt, *, signed_boottime_s: float | None = None) -> None:
        """Take an attempt that was just written, or that an earlier process left.

        Args:
            signed_boottime_s: When it was signed. None: only the wall clock of that time is known, which may have been
                put right since, so the whole quiet period counts from now.
        """
        start_s = self._clock.boottime_s() if signed_boottime_s is None else signed_boottime_s
        quiet_s = (attempt.quiet_until - attempt.signed_at).total_seconds()
        watched.quiet_ends[(attempt.intent_id, attempt.attempt_no)] = start_s + quiet_s
        watched.put(attempt)
        self._wallet.reserve(attempt)

    def learn(self, watched: WatchedTrade, attempt: Attempt) -> None:
        """Take up an attempt that only the database knew; one with an effect has used up its step."""
        self.take_up(watched, self.inherited(attempt))
        if attempt.state in APPLIED_STATES and attempt.cause.kind is CauseKind.RULE:
            self._use_up(watched, attempt)

    def inherited(self, attempt: Attempt) -> Attempt:
        """Return an attempt of an earlier owner: what it left as sent may have left, or not."""
        if attempt.state is not AttemptState.SENT:
            return attempt
        unknown = advance(attempt, AttemptState.UNKNOWN, at=self._clock.now(), reason="sender_gone")
        self._executor.record(unknown, None, shown={"source": "none"})
        return unknown

    def settle(self, watched: WatchedTrade, requested_boottime_s: float) -> None:
        """Take what a reading of the trade, requested at that instant, proves about its attempts."""
        now = self._clock.now()
        if watched.trade.entry_margin_sats is not None:
            self._settle_by_counter(watched, now)
        self._settle_cash_ins(watched, now)
        self._settle_refused_stop(watched, now)
        for attempt in watched.open_attempts():
            is_top_up = isinstance(attempt.command, AddMargin)
            is_counted = is_top_up or isinstance(attempt.command, CashIn)
            if not is_counted and shows_effect(attempt, watched.trade):
                self.conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
            elif requested_boottime_s > self._quiet_end_s(watched, attempt):
                if is_top_up and not watched.is_funding_explained:
                    continue  # a fee that is not explained could hide our sats
                unknown = self._as_unknown(attempt, now)
                if unknown is not attempt:
                    self._executor.record(unknown, None, shown=self._shown(watched, None))
                self.conclude(
                    watched, advance(unknown, AttemptState.NOT_APPLIED, at=now, reason="absent_after_quiet"), None
                )
        watched.forget_settled(now - LATE_EVIDENCE)
        watched.news.set()

    def _settle_by_counter(self, watched: WatchedTrade, now: datetime) -> None:
        counter_sats = watched.counter_of(watched.trade)
        settled = watched.settled_top_ups()
        verdict = explain_growth(watched.open_top_ups(), growth_sats=watched.growth(counter_sats), settled=settled)
        for attempt in verdict.applied:
            self.conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
        if verdict.late is not None:
            self._take_late_effect(watched, verdict.late, now)
        if watched.open_top_ups():
            return
        if verdict.foreign_sats and watched.counter_sats is not None:
            self._chronicle.tell(
                watched, ActivityKind.FOREIGN_TOP_UP, Severity.INFO, {"amount_sats": verdict.foreign_sats}
            )
        watched.counter_sats = counter_sats

    def _settle_cash_ins(self, watched: WatchedTrade, now: datetime) -> None:
        present_sats = cashed_in_sats(watched.trade)
        tolerance_sats = cash_in_tolerance_sats(watched.trade)
        for attempt in watched.open_cash_ins():
            growth_sats = watched.cash_in_growth(attempt, present_sats)
            # Growth beyond it is somebody else's, beside ours: it is rather believed than repeated.
            if growth_sats >= (attempt.amount_sats or 0) - tolerance_sats:
                self.conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
        if watched.open_cash_ins():
            return
        for attempt in watched.settled_cash_ins():
            growth_sats = watched.cash_in_growth(attempt, present_sats)
            if explain_cash_in([attempt], growth_sats=growth_sats, tolerance_sats=tolerance_sats) is not None:
                self._take_late_effect(watched, attempt, now)

    def _settle_refused_stop(self, watched: WatchedTrade, now: datetime) -> None:
        """Take a refused stop as set where the next reading shows it: the exchange refuses what stands already."""
        refused, watched.refused_stop = watched.refused_stop, None
        if refused is None or not isinstance(refused.command, SetStopLoss):
            return
        if watched.trade.status is TradeStatus.RUNNING and shows_effect(refused, watched.trade):
            self.conclude(watched, advance(refused, AttemptState.LATE_CONFIRMED, at=now, reason="stood_already"), None)

    def _quiet_end_s(self, watched: WatchedTrade, attempt: Attempt) -> float:
        return watched.quiet_ends.get((attempt.intent_id, attempt.attempt_no), float("inf"))

    def conclude(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> None:
        """Take an attempt's new state: memory first, then the database, then what follows from it."""
        watched.put(attempt)
        watched.news.set()
        self._wallet.reserve(attempt)
        is_stop_of_ours = isinstance(attempt.command, SetStopLoss) and attempt.cause.kind is not CauseKind.REQUEST
        if is_stop_of_ours and isinstance(attempt.command, SetStopLoss) and attempt.state is AttemptState.REFUSED:
            watched.refuse_stop(attempt, attempt.command.stop_price, boottime_s=self._clock.boottime_s())
        if attempt.state in APPLIED_STATES:
            watched.setbacks.pop(attempt.command.name, None)
        shown = self._shown(watched, answer)
        self._executor.record(attempt, answer, *self._consequences(watched, attempt, answer), shown=shown)
        for tell in self.settled:
            tell(attempt)

    def _shown(self, watched: WatchedTrade, answer: Answer | None) -> dict[str, Any]:
        """Return the facts as they stand after an answer or a reading, prices in half-dollars, and when it was asked.

        `source` is `answer` only where the answer itself showed the trade; a refusal or silence shows nothing new.
        """
        trade = watched.trade
        return {
            "source": "answer" if answer is not None and answer.trade is not None else "reading",
            "requested_at": watched.requested_at.isoformat(),
            "status": trade.status.value,
            "margin_sats": trade.margin_sats,
            "liquidation_price": trade.liquidation_price,
            "stop_loss_price": trade.stop_loss_price,
            "take_profit_price": trade.take_profit_price,
            "added_sats": None if trade.entry_margin_sats is None else watched.counter_of(trade),
        }

    def _as_unknown(self, attempt: Attempt, now: datetime) -> Attempt:
        """Return the attempt as one whose answer never came, where a reading was faster than the answer."""
        if attempt.state is AttemptState.SENT:
            return advance(attempt, AttemptState.UNKNOWN, at=now, reason="read_before_answer")
        return attempt

    def _take_late_effect(self, watched: WatchedTrade, attempt: Attempt, now: datetime) -> None:
        """Book the effect of an attempt that counted as without one: an incident, and its sats are spent."""
        log.error("late_effect", account=self._account_id, trade_id=watched.trade_id, amount_sats=attempt.amount_sats)
        self.conclude(watched, advance(attempt, AttemptState.LATE_CONFIRMED, at=now, reason="late_evidence"), None)
        self._chronicle.store_incident(
            "late_effect",
            {
                "trade_id": watched.trade_id,
                "intent_id": attempt.intent_id,
                "attempt_no": attempt.attempt_no,
                "amount_sats": attempt.amount_sats,
                "counted_as": attempt.state.value,
                "signed_at": attempt.signed_at.isoformat(),
            },
        )

    def _use_up(self, watched: WatchedTrade, attempt: Attempt) -> list[Write]:
        """Return what uses up the step behind an attempt: on its own trade, or on the one it was done for."""
        cause = read_key(attempt.cause.key)
        if cause is None:
            return []
        of = watched if cause.for_trade_id is None else self._book.trades.get(cause.for_trade_id)
        if of is None:
            return []
        state = of.rungs.get(cause.rung)
        if state is not None and state.arming_no != cause.arming_no:
            return []  # a late effect of an earlier arming is history
        return [self._chronicle.use_up(of, cause.rung)]

    def _consequences(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> list[Write]:
        also: list[Write] = []
        if attempt.state in APPLIED_STATES:
            if attempt.cause.kind is CauseKind.RULE and not isinstance(attempt.command, CashIn):
                also += self._use_up(watched, attempt)
            if isinstance(attempt.command, SetStopLoss):
                if attempt.cause.kind is CauseKind.REQUEST:
                    watched.take_users_stop(attempt.command.stop_price)
                else:
                    watched.take_own_stop(attempt.command.stop_price)
        if attempt.cause.kind is CauseKind.REQUEST and attempt.state is not AttemptState.SENT:
            also.append(self._chronicle.settle_requested(attempt))
        activity = self._narrator.activity_of(watched, attempt, answer)
        if attempt.state in APPLIED_STATES and isinstance(attempt.command, SetStopLoss):
            watched.told_stop_price = attempt.command.stop_price
        if activity is not None:
            also.append(self._chronicle.activity_write(activity))
        return also
