"""Settling attempts: what answers and readings prove, and what follows from it."""

from datetime import datetime, timedelta
from typing import Final

import structlog

from axisor.domain.commands import AddMargin, SetStopLoss
from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, CauseKind, advance
from axisor.features.execution.executor import Executor
from axisor.features.execution.recorder import Write
from axisor.features.execution.settlement import explain_growth, shows_effect
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.monitor.book import WatchedTrade
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
        clock: Clock,
    ) -> None:
        self._account_id = exchange_account_id
        self._executor = executor
        self._wallet = wallet
        self._chronicle = chronicle
        self._narrator = narrator
        self._clock = clock

    def settle(self, watched: WatchedTrade, requested_at: datetime) -> None:
        """Take what a reading of the trade proves about its open attempts."""
        now = self._clock.now()
        counter_sats = watched.counter_of(watched.trade)
        growth_sats = watched.growth(counter_sats)
        verdict = explain_growth(watched.open_top_ups(), growth_sats=growth_sats)
        for attempt in verdict.applied:
            self.conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
        for attempt in watched.open_attempts():
            if requested_at < attempt.signed_at:
                continue
            if not isinstance(attempt.command, AddMargin) and shows_effect(attempt, watched.trade):
                self.conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
            elif attempt.state is AttemptState.UNKNOWN and requested_at > attempt.quiet_until:
                if isinstance(attempt.command, AddMargin) and not watched.is_funding_explained:
                    continue  # a fee that is not explained could hide our sats
                self.conclude(
                    watched, advance(attempt, AttemptState.NOT_APPLIED, at=now, reason="absent_after_quiet"), None
                )
        if not watched.open_top_ups():
            if verdict.foreign_sats and watched.counter_sats is not None:
                self._take_foreign_growth(watched, verdict.foreign_sats, now)
            watched.counter_sats = counter_sats
        watched.forget_settled(now - LATE_EVIDENCE)

    def conclude(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> None:
        """Take an attempt's new state: memory first, then the database, then what follows from it."""
        watched.put(attempt)
        self._wallet.reserve(attempt)
        self._executor.record(attempt, answer, *self._consequences(watched, attempt, answer))

    def _as_unknown(self, attempt: Attempt, now: datetime) -> Attempt:
        """Return the attempt as one whose answer never came, where a reading was faster than the answer."""
        if attempt.state is AttemptState.SENT:
            return advance(attempt, AttemptState.UNKNOWN, at=now, reason="read_before_answer")
        return attempt

    def _take_foreign_growth(self, watched: WatchedTrade, growth_sats: int, now: datetime) -> None:
        """Find the late effect of an attempt that counted as not applied; else it was somebody else's top-up."""
        for attempt in watched.attempts.values():
            is_candidate = attempt.state in (
                AttemptState.NOT_APPLIED,
                AttemptState.REFUSED,
                AttemptState.NOT_PROCESSED,
            )
            if is_candidate and attempt.amount_sats == growth_sats:
                log.error("late_effect", account=self._account_id, trade_id=watched.trade_id, amount_sats=growth_sats)
                late = advance(attempt, AttemptState.LATE_CONFIRMED, at=now, reason="late_evidence")
                self.conclude(watched, late, None)
                return
        self._chronicle.tell(watched, ActivityKind.FOREIGN_TOP_UP, Severity.INFO, {"amount_sats": growth_sats})

    def _consequences(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> list[Write]:
        also: list[Write] = []
        if attempt.state in APPLIED_STATES:
            if attempt.cause.kind is CauseKind.RULE:
                also.append(self._chronicle.use_up(watched, attempt.cause.key.partition("#")[0]))
            if isinstance(attempt.command, SetStopLoss):
                watched.own_stops.add(attempt.command.stop_price)
                watched.own_stop_price = attempt.command.stop_price
                watched.is_stop_removed = False
        if attempt.cause.kind is CauseKind.REQUEST and attempt.state is not AttemptState.SENT:
            also.append(self._chronicle.settle_requested(attempt))
        activity = self._narrator.activity_of(watched, attempt, answer)
        if activity is not None:
            also.append(self._chronicle.activity_write(activity))
        return also
