"""One exchange account under guard: the only place that decides and sends for it.

Readings, events and prices change what is known; every change ends in `evaluate`, which asks the policy. A deed goes
into the urgency heap, and the dispatcher takes the most urgent one, gets a token, asks the policy again with present
facts, writes the attempt and sends it. Outcomes come back from answers and from readings.
"""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import text

from axisor import __version__
from axisor.domain.commands import (
    AddMargin,
    CancelOrder,
    CloseTrade,
    Command,
    SetStopLoss,
    SetTakeProfit,
)
from axisor.domain.contract import fee_rate
from axisor.domain.counter import explain_funding
from axisor.domain.equity import closing_value_sats
from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeError,
    LeaseLost,
    TradeNotRunning,
)
from axisor.domain.room import distance
from axisor.domain.trades import CloseReason, FundingFee, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId, Price, TradeId, UserId, usd_number
from axisor.features.execution.attempts import (
    APPLIED_STATES,
    Attempt,
    AttemptState,
    Cause,
    CauseKind,
    advance,
    next_tag,
    tagged_amount_sats,
)
from axisor.features.execution.budget import Budget, Reservation
from axisor.features.execution.executor import Draft, Executor, amount_of, with_answer
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.outcome import classify
from axisor.features.execution.positions import (
    FactsSource,
    StoredPosition,
    find_position,
    list_positions,
    save_facts,
    set_close_reason,
)
from axisor.features.execution.recorder import Recorder, Write
from axisor.features.execution.repository import (
    AttemptExists,
    SpendingStopped,
    insert_decision,
    last_tags,
    list_attempts,
    list_intents,
    list_reservations,
    reservation_state,
    stopped_scopes,
)
from axisor.features.execution.requests import CommandRequest, settle_request
from axisor.features.execution.settlement import explain_growth, shows_effect
from axisor.features.execution.spool import decision_line
from axisor.features.execution.urgency import UrgencyHeap
from axisor.features.margin_guard.plan import opening_cost_sats, with_margin
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CloseDeed,
    Deed,
    Facts,
    Hold,
    HoldReason,
    MoveStopDeed,
    RungState,
    Spending,
    WakeUps,
    WarnDeed,
    decide,
    desired_stop_price,
    mark_price,
    price_wake_ups,
    rungs_ready_again,
)
from axisor.features.margin_guard.repository import list_rules, list_rung_states, save_rung_states
from axisor.features.margin_guard.rule import GuardRule, TopUp
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record as record_activity
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import WatchedTrade, open_tags
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.market import MarketState
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, ExchangeClient, Lane, Reading
from axisor.ports.market_feed import AccountFeed, FeedDown, FeedUp, TradeEvent, TradeEventKind, WalletEvent

log = structlog.get_logger(__name__)

CHANGED_RECENTLY_S: Final = 60.0
SETTLE_EVERY_S: Final = 1.0
FIRST_SETTLE_AFTER_S: Final = 0.1
TOKEN_DEADLINE_S: Final = 1.0
STORE_EVERY_S: Final = 2.0
LEAST_WAKE_S: Final = 0.05
NO_PRICE_RETRY_S: Final = 0.5
NO_DEADLINE_S: Final = 86_400.0
MOST_BACK_OFF_S: Final = 10.0
LATE_EVIDENCE: Final = timedelta(hours=1)
AUTH_FAILURES: Final = 3
AUTH_FAILURES_OVER_S: Final = 60.0


_REQUEST_STATUS: Final = {
    AttemptState.SENT: "sent",
    AttemptState.CONFIRMED: "confirmed",
    AttemptState.LATE_CONFIRMED: "confirmed",
    AttemptState.REFUSED: "refused",
    AttemptState.NOT_PROCESSED: "not_applied",
    AttemptState.NOT_APPLIED: "not_applied",
    AttemptState.UNKNOWN: "unknown",
}
_SAVE_BALANCE: Final = text(
    "update exchange_account set balance_sats = :balance, fee_tier = :tier, balance_read_at = :at "
    "where exchange_account_id = :account"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """How often an account is read, in seconds."""

    near_s: float
    far_s: float


@dataclass(slots=True)
class _Wallet:
    balance_sats: int | None = None
    requested_boottime_s: float = float("-inf")
    fee_tier: int = 0


class AccountRuntime:
    """Everything the monitor does for one exchange account."""

    def __init__(
        self,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        is_guarded: bool,
        client: ExchangeClient,
        feed: AccountFeed,
        executor: Executor,
        recorder: Recorder,
        database: Database,
        lease: FileLease,
        index: GuardIndex,
        market: MarketState,
        clock: Clock,
        timing: WatchTiming,
        tasks: TaskSet,
        money_in_blocked_until: datetime | None,
        changed: Callable[[str], None],
        announce: Callable[[Activity], None],
        allow_second_send: bool,
    ) -> None:
        self.exchange_account_id = exchange_account_id
        self._user_id = user_id
        self._is_guarded = is_guarded
        self._client = client
        self._feed = feed
        self._executor = executor
        self._recorder = recorder
        self._database = database
        self._lease = lease
        self._index = index
        self._market = market
        self._clock = clock
        self._timing = timing
        self._tasks = tasks
        self._blocked_until = money_in_blocked_until
        self._changed = changed
        self._announce = announce
        self._allow_second_send = allow_second_send
        self._trades: dict[TradeId, WatchedTrade] = {}
        self._default_rule: GuardRule | None = None
        self._trade_rules: dict[TradeId, GuardRule] = {}
        self._budget = Budget()
        self._stopped: frozenset[str] = frozenset()
        self._wallet = _Wallet()
        self._heap: UrgencyHeap[TradeId] = UrgencyHeap()
        self._timers: list[tuple[float, TradeId]] = []
        self._timer_set = asyncio.Event()
        self._read_now = asyncio.Event()
        self._read_boottime_s: float | None = None
        self._is_stream_up = False
        self._auth_failures: list[float] = []
        self._requests: dict[str, CommandRequest] = {}

    # --- what is known at start -------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what PostgreSQL knows: positions, rules, steps, budgets, intents, attempts, the owner's switch."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            stored = await list_positions(
                connection, self.exchange_account_id, statuses=(TradeStatus.OPEN, TradeStatus.RUNNING)
            )
            rungs = await list_rung_states(connection, self.exchange_account_id)
            self._budget = Budget(await list_reservations(connection, self.exchange_account_id, now=now))
            intents = await list_intents(connection, self.exchange_account_id)
            attempts = await list_attempts(connection, self.exchange_account_id, now=now)
            tags = await last_tags(connection, self.exchange_account_id)
            # A trade may have ended while an attempt on it was in doubt: it is watched until that is settled.
            unsettled = {attempt.trade_id for attempt in attempts if attempt.is_open}
            for trade_id in unsettled - {position.trade.trade_id for position in stored}:
                if (ended := await find_position(connection, self.exchange_account_id, trade_id)) is not None:
                    stored.append(ended)
        for position in stored:
            self._trades[position.trade.trade_id] = self._watched(position, rungs, tags)
        for intent in intents:
            if (watched := self._trades.get(intent.trade_id)) is not None:
                watched.intents[intent.cause] = (intent.intent_id, intent.attempts)
        for attempt in attempts:
            if (watched := self._trades.get(attempt.trade_id)) is not None:
                watched.put(self._inherited(attempt, now))
        await self.reload_rules()
        self._read_now.set()

    def _watched(
        self, position: StoredPosition, rungs: dict[TradeId, dict[str, RungState]], tags: dict[TradeId, int]
    ) -> WatchedTrade:
        trade = position.trade
        own = position.own_stop_price
        return WatchedTrade(
            trade=trade,
            requested_boottime_s=float("-inf"),
            requested_at=position.requested_at,
            rungs=rungs.get(trade.trade_id, {}),
            last_tag=tags.get(trade.trade_id),
            own_stops=set() if own is None else {own},
            own_stop_price=own,
            funding_paid_sats=position.funding_paid_sats or 0,
            explained_funding_sum=None if position.funding_paid_sats is None else trade.sum_funding_fees_sats,
            close_reason=position.close_reason,
            is_end_told=trade.status in (TradeStatus.CLOSED, TradeStatus.CANCELED),
            stored=trade,
        )

    def _inherited(self, attempt: Attempt, now: datetime) -> Attempt:
        """Return an attempt of an earlier owner: what it left as sent may have left, or not."""
        if attempt.state is not AttemptState.SENT:
            return attempt
        unknown = advance(attempt, AttemptState.UNKNOWN, at=now, reason="sender_gone")
        self._executor.record(unknown, None)
        return unknown

    async def reload_rules(self) -> None:
        """Read rules and the owner's switch anew, and decide again for every trade."""
        async with self._database.transaction() as connection:
            scoped = await list_rules(connection, self.exchange_account_id)
            self._stopped = await stopped_scopes(connection, self.exchange_account_id)
        self._default_rule = next((entry.rule for entry in scoped if entry.trade_id is None), None)
        self._trade_rules = {entry.trade_id: entry.rule for entry in scoped if entry.trade_id is not None}
        for watched in self._trades.values():
            watched.rule = self._rule_of(watched.trade_id)
            watched.hold_reason = None
        self.evaluate_all()

    def _rule_of(self, trade_id: TradeId) -> GuardRule | None:
        return self._trade_rules.get(trade_id, self._default_rule) if self._is_guarded else None

    # --- tasks -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch and guard for ever.

        Raises:
            LeaseLost: another process owns the account now.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="listen")
            tasks.create_task(self._read_for_ever(), name="read")
            tasks.create_task(self._dispatch(), name="dispatch")
            tasks.create_task(self._run_timers(), name="timers")
            if self._is_guarded:
                tasks.create_task(self._keep_warm(), name="keep_warm")

    async def _listen(self) -> None:
        async for event in self._feed.stream():
            match event:
                case FeedUp():
                    self._is_stream_up = True
                    self._read_now.set()
                case FeedDown():
                    self._is_stream_up = False
                    self._read_now.set()
                case TradeEvent():
                    self._take_event(event)
                case WalletEvent():
                    self._read_now.set()

    def _take_event(self, event: TradeEvent) -> None:
        watched = self._trades.get(event.trade_id)
        if watched is not None:
            watched.changed_boottime_s = event.received_boottime_s
            watched.changed_at = event.at
            if event.kind is TradeEventKind.CLOSED and event.close_reason is not None:
                watched.close_reason = event.close_reason
                reason, trade_id = event.close_reason, event.trade_id

                async def run(connection: Any) -> None:
                    await set_close_reason(connection, self.exchange_account_id, trade_id, reason)

                self._recorder.put(Write("close_reason", run))
            if event.kind is TradeEventKind.FUNDED and event.funding_fee_sats:
                self._tell(watched, ActivityKind.FUNDING_PAID, Severity.INFO, {"fee_sats": event.funding_fee_sats})
        self._read_now.set()

    async def _keep_warm(self) -> None:
        while True:
            if any(watched.trade.status is TradeStatus.RUNNING for watched in self._trades.values()):
                await self._client.keep_warm()
            await self._clock.sleep(1.0)

    async def _run_timers(self) -> None:
        while True:
            wait_s = max(0.0, self._timers[0][0] - self._clock.boottime_s()) if self._timers else NO_DEADLINE_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._timer_set.wait()
                self._timer_set.clear()
            except TimeoutError:
                while self._timers and self._timers[0][0] <= self._clock.boottime_s():
                    _, trade_id = heapq.heappop(self._timers)
                    self.evaluate(trade_id)

    def _wake_at(self, trade_id: TradeId, boottime_s: float) -> None:
        heapq.heappush(self._timers, (boottime_s, trade_id))
        self._timer_set.set()

    # --- readings ----------------------------------------------------------------------------------------------------

    async def _read_for_ever(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._read_interval_s(failures)):
                    await self._read_now.wait()
            except TimeoutError:
                pass
            self._read_now.clear()
            try:
                await self.read()
                failures = 0
                self._auth_failures.clear()
            except ExchangeAuthFailed as error:
                failures += 1
                self._auth_failures.append(self._clock.boottime_s())
                log.warning("account_reading_refused", account=self.exchange_account_id, error=error.message)
                await self._try_sync_clock()
            except ExchangeError as error:
                failures += 1
                log.warning("account_reading_failed", account=self.exchange_account_id, error=error.message)

    async def _try_sync_clock(self) -> None:
        try:
            await self._client.sync_clock()
        except ExchangeError as error:
            log.warning("clock_sync_failed", error=error.message)

    def _read_interval_s(self, failures: int) -> float:
        if failures:
            return min(MOST_BACK_OFF_S, 0.25 * (1 << min(failures, 10)))
        now = self._clock.now()
        unsettled = [attempt for watched in self._trades.values() for attempt in watched.open_attempts()]
        unknown = [attempt for attempt in unsettled if attempt.state is AttemptState.UNKNOWN]
        if unknown:
            quiet_s = min((attempt.quiet_until - now).total_seconds() for attempt in unknown)
            return max(FIRST_SETTLE_AFTER_S, min(SETTLE_EVERY_S, quiet_s + 0.01))
        return self._timing.near_s if self._is_near() else self._timing.far_s

    def _is_near(self) -> bool:
        """Return whether any trade is inside twice its trigger distance, or changed within a minute."""
        boottime_s = self._clock.boottime_s()
        for watched in self._trades.values():
            if watched.trade.status is not TradeStatus.RUNNING:
                continue
            if boottime_s - watched.changed_boottime_s < CHANGED_RECENTLY_S:
                return True
            price = self._market.trigger_price(watched.trade.side, watched.trade.quantity_usd, boottime_s)
            if price is None:
                return True
            room = distance(side=watched.trade.side, price=price, liquidation_price=watched.trade.liquidation_price)
            rung = None if watched.rule is None else watched.rule.rung(TopUp)
            mark = watched.full_room if rung is None else rung.room_share * watched.full_room
            if room <= 2 * mark:
                return True
        return False

    async def read(self) -> None:
        """Read balance and trades, settle what they prove, and decide again.

        Raises:
            ExchangeError: the exchange did not answer, or refused.
        """
        is_settling = any(watched.open_attempts() for watched in self._trades.values())
        lane = Lane.PROTECT if is_settling else Lane.ROUTINE
        account = await self._client.fetch_account(lane=lane)
        running = await self._client.list_running_trades(lane=lane)
        self._take_balance(account.value.balance_sats, account.value.fee_tier, account.requested_boottime_s)
        seen = set()
        for trade in running.value:
            seen.add(trade.trade_id)
            await self._take_reading(trade, running, lane=lane)
        for watched in list(self._trades.values()):
            is_gone = (
                watched.trade_id not in seen
                and watched.trade.status is TradeStatus.RUNNING
                and running.requested_boottime_s > watched.requested_boottime_s
            )
            if is_gone or watched.trade.status is not TradeStatus.RUNNING:
                await self._read_closed(watched, lane=lane)
        self._read_boottime_s = running.requested_boottime_s
        self.evaluate_all()

    def _take_balance(self, balance_sats: int, tier: int, requested_boottime_s: float) -> None:
        if requested_boottime_s < self._wallet.requested_boottime_s:
            return
        has_changed = balance_sats != self._wallet.balance_sats or tier != self._wallet.fee_tier
        self._wallet = _Wallet(balance_sats, requested_boottime_s, tier)
        read_at = self._clock.now()

        async def run(connection: Any) -> None:
            await connection.execute(
                _SAVE_BALANCE,
                {"account": self.exchange_account_id, "balance": balance_sats, "tier": tier, "at": read_at},
            )

        after = (lambda: self._changed("accounts")) if has_changed else None
        self._recorder.put(Write("balance", run, after=after))

    async def _take_reading(self, trade: Trade, reading: Reading[tuple[Trade, ...]], *, lane: Lane) -> None:
        watched = self._trades.get(trade.trade_id)
        if watched is None:
            watched = self._adopt(trade, reading.requested_boottime_s, reading.requested_at)
        elif reading.requested_boottime_s < watched.changed_boottime_s:
            return  # asked before the latest command or event: out of date
        elif watched.trade.status in (TradeStatus.CLOSED, TradeStatus.CANCELED):
            return  # closed is final
        if watched.explained_funding_sum != trade.sum_funding_fees_sats:
            await self._explain_funding(watched, trade, lane=lane)
        self._note_stop(watched, trade)
        watched.trade = trade
        watched.requested_boottime_s = reading.requested_boottime_s
        watched.requested_at = reading.requested_at
        self._settle(watched, reading.requested_at)
        self._store(watched, "reading")

    def _adopt(self, trade: Trade, requested_boottime_s: float, requested_at: datetime) -> WatchedTrade:
        """Take a trade that was not known under guard, at once, and tell its owner."""
        watched = WatchedTrade(trade=trade, requested_boottime_s=requested_boottime_s, requested_at=requested_at)
        watched.rule = self._rule_of(trade.trade_id)
        watched.changed_boottime_s = requested_boottime_s
        self._trades[trade.trade_id] = watched
        log.info("trade_seen", account=self.exchange_account_id, trade_id=trade.trade_id, label=watched.label)
        if self._is_guarded:
            self._tell(
                watched,
                ActivityKind.TRADE_SEEN,
                Severity.INFO,
                {
                    "side": trade.side.value,
                    "leverage": float(trade.leverage),
                    "entry_price": usd_number(trade.entry_price or trade.price),
                    "margin_sats": trade.margin_sats,
                    "preset": None if watched.rule is None else watched.rule.preset.value,
                },
            )
        return watched

    async def _explain_funding(self, watched: WatchedTrade, trade: Trade, *, lane: Lane) -> None:
        if trade.sum_funding_fees_sats == 0 and watched.explained_funding_sum is None:
            watched.explained_funding_sum = 0
            return
        fees: Reading[tuple[FundingFee, ...]] = await self._client.list_funding_fees(trade.trade_id, lane=lane)
        paid_sats = explain_funding(trade, fees.value)
        if paid_sats is not None:
            watched.funding_paid_sats = paid_sats
            watched.explained_funding_sum = trade.sum_funding_fees_sats

    def _note_stop(self, watched: WatchedTrade, trade: Trade) -> None:
        """Tell our stops from the owner's: a value we never set is theirs, and one that vanished stays away."""
        stop = trade.stop_loss_price
        had_ours = watched.trade.stop_loss_price is not None and watched.trade.stop_loss_price in watched.own_stops
        if stop is None and had_ours and trade.status is TradeStatus.RUNNING:
            watched.is_stop_removed = True
        if stop is not None and stop in watched.own_stops:
            watched.own_stop_price = stop
            watched.is_stop_removed = False

    async def _read_closed(self, watched: WatchedTrade, *, lane: Lane) -> None:
        """Find a trade that no longer runs in the list of closed ones; until it is found its end is not known."""
        closed = await self._client.list_closed_trades(lane=lane, since=watched.trade.created_at)
        found = next((trade for trade in closed.value.items if trade.trade_id == watched.trade_id), None)
        if found is None:
            canceled = await self._client.list_canceled_trades(lane=lane, since=watched.trade.created_at)
            found = next((trade for trade in canceled.value.items if trade.trade_id == watched.trade_id), None)
        if found is None:
            log.warning("trade_not_found", account=self.exchange_account_id, trade_id=watched.trade_id)
            return
        if watched.explained_funding_sum != found.sum_funding_fees_sats:
            await self._explain_funding(watched, found, lane=lane)
        watched.trade = found
        watched.requested_boottime_s = closed.requested_boottime_s
        watched.requested_at = closed.requested_at
        self._settle(watched, closed.requested_at)
        self._take_end(watched)

    def _drop_if_settled(self, watched: WatchedTrade) -> None:
        """Forget an ended trade once none of its attempts is in doubt; until then readings go on."""
        if not watched.open_attempts():
            self._trades.pop(watched.trade_id, None)

    def _take_end(self, watched: WatchedTrade) -> None:
        trade = watched.trade
        self._index.discard((self.exchange_account_id, watched.trade_id))
        self._heap.discard(watched.trade_id)
        reason = watched.close_reason or _guess_close_reason(trade)
        watched.close_reason = reason
        self._store(watched, "reading", force=True)
        self._drop_if_settled(watched)
        if trade.status is TradeStatus.CANCELED or watched.is_end_told:
            return
        watched.is_end_told = True
        was_liquidated = reason is CloseReason.LIQUIDATION
        returned_sats = (
            0 if was_liquidated else max(0, trade.margin_sats + trade.maintenance_margin_sats + trade.pnl_sats)
        )
        added = watched.counter_of(trade)
        cost_sats = opening_cost_sats(trade)
        self._tell(
            watched,
            ActivityKind.TRADE_CLOSED,
            Severity.DANGER if was_liquidated else Severity.CAUTION,
            {
                "close_reason": reason.value,
                "exit_price": None if trade.exit_price is None else usd_number(trade.exit_price),
                "returned_sats": returned_sats + trade.sum_cash_in_pnl_sats + trade.sum_cash_in_margin_sats,
                "added_sats": added,
                "result_sats": returned_sats
                + trade.sum_cash_in_pnl_sats
                + trade.sum_cash_in_margin_sats
                - cost_sats
                - added,
            },
        )

    # --- settling ----------------------------------------------------------------------------------------------------

    def _settle(self, watched: WatchedTrade, requested_at: datetime) -> None:
        """Take what a reading of the trade proves about its open attempts."""
        now = self._clock.now()
        counter_sats = watched.counter_of(watched.trade)
        growth_sats = watched.growth(counter_sats)
        verdict = explain_growth(watched.open_top_ups(), growth_sats=growth_sats)
        for attempt in verdict.applied:
            self._conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
        for attempt in watched.open_attempts():
            if requested_at < attempt.signed_at:
                continue
            if not isinstance(attempt.command, AddMargin) and shows_effect(attempt, watched.trade):
                self._conclude(watched, advance(self._as_unknown(attempt, now), AttemptState.CONFIRMED, at=now), None)
            elif attempt.state is AttemptState.UNKNOWN and requested_at > attempt.quiet_until:
                if isinstance(attempt.command, AddMargin) and not watched.is_funding_explained:
                    continue  # a fee that is not explained could hide our sats
                self._conclude(
                    watched, advance(attempt, AttemptState.NOT_APPLIED, at=now, reason="absent_after_quiet"), None
                )
        if not watched.open_top_ups():
            if verdict.foreign_sats and watched.counter_sats is not None:
                self._take_foreign_growth(watched, verdict.foreign_sats, now)
            watched.counter_sats = counter_sats
        watched.forget_settled(now - LATE_EVIDENCE)

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
                log.error(
                    "late_effect", account=self.exchange_account_id, trade_id=watched.trade_id, amount_sats=growth_sats
                )
                late = advance(attempt, AttemptState.LATE_CONFIRMED, at=now, reason="late_evidence")
                self._conclude(watched, late, None)
                return
        self._tell(watched, ActivityKind.FOREIGN_TOP_UP, Severity.INFO, {"amount_sats": growth_sats})

    def _conclude(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> None:
        """Take an attempt's new state: memory first, then the database, then what follows from it."""
        watched.put(attempt)
        if attempt.amount_sats is not None and isinstance(attempt.command, AddMargin):
            self._budget.put(
                Reservation(
                    intent_id=attempt.intent_id,
                    attempt_no=attempt.attempt_no,
                    trade_id=attempt.trade_id,
                    amount_sats=attempt.amount_sats,
                    state=reservation_state(attempt.state),
                    reserved_at=attempt.signed_at,
                )
            )
        self._executor.record(attempt, answer, *self._consequences(watched, attempt, answer))

    def _consequences(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> list[Write]:
        also: list[Write] = []
        if attempt.state in APPLIED_STATES:
            if attempt.cause.kind is CauseKind.RULE:
                also.append(self._use_up(watched, attempt.cause.key.partition("#")[0]))
            if isinstance(attempt.command, SetStopLoss):
                watched.own_stops.add(attempt.command.stop_price)
                watched.own_stop_price = attempt.command.stop_price
                watched.is_stop_removed = False
        if attempt.cause.kind is CauseKind.REQUEST and attempt.state is not AttemptState.SENT:
            also.append(self._settle_requested(attempt))
        activity = self._activity_of(watched, attempt, answer)
        if activity is not None:
            also.append(self._activity_write(activity))
        return also

    def _use_up(self, watched: WatchedTrade, rung: str) -> Write:
        state = watched.set_rung(rung, is_armed=False)
        return self._rung_write(watched.trade_id, rung, state)

    def _rung_write(self, trade_id: TradeId, rung: str, state: RungState) -> Write:
        at = self._clock.now()

        async def run(connection: Any) -> None:
            await save_rung_states(connection, self.exchange_account_id, trade_id, [(rung, state)], at=at)

        return Write("rung", run)

    # --- deciding ----------------------------------------------------------------------------------------------------

    def evaluate_all(self) -> None:
        """Decide again for every trade."""
        for trade_id in list(self._trades):
            self.evaluate(trade_id)

    def evaluate(self, trade_id: TradeId, *, tick_at: datetime | None = None) -> None:
        """Decide for one trade from present facts, and set what wakes it next."""
        watched = self._trades.get(trade_id)
        if watched is None or watched.rule is None or watched.trade.status is not TradeStatus.RUNNING:
            return
        facts = self._facts(watched)
        if facts is None:
            self._wake_at(trade_id, self._clock.boottime_s() + NO_PRICE_RETRY_S)
            return
        if tick_at is not None:
            watched.tick_at = tick_at
        facts = self._make_ready_again(watched, facts)
        decision = self._decide(watched, facts)
        while isinstance(decision, WarnDeed):
            self._warn(watched, facts, decision)
            facts = self._facts(watched) or facts
            decision = self._decide(watched, facts)
        wake = price_wake_ups(facts, watched.rule)
        if isinstance(decision, Hold):
            wake = self._take_hold(watched, facts, decision, wake)
        else:
            self._heap.push(trade_id, deadline_s=self._deadline_s(watched))
        bucket = self._market.level_for(watched.trade.quantity_usd)
        self._index.put((self.exchange_account_id, trade_id), wake, bucket=bucket)

    def _decide(self, watched: WatchedTrade, facts: Facts) -> Deed | Hold:
        assert watched.rule is not None
        rule = watched.rule
        if not self._allow_second_send and rule.allow_second_send:
            rule = replace(rule, allow_second_send=False)
        return decide(facts, rule, now=self._clock.now())

    def _facts(self, watched: WatchedTrade) -> Facts | None:
        """Return what a decision may depend on, or None without a price that may move sats."""
        boottime_s = self._clock.boottime_s()
        if not self._market.is_fresh(boottime_s):
            return None
        trade = watched.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, boottime_s)
        if price is None:
            return None
        now = self._clock.now()
        return Facts(
            trade=trade,
            trigger_price=price,
            full_room=watched.full_room,
            rungs=dict(watched.rungs),
            pending=watched.pending(),
            spending=self.spending(watched.trade_id),
            own_stop_price=watched.own_stop_price
            if trade.stop_loss_price not in watched.own_stops
            else trade.stop_loss_price,
            is_stop_removed=watched.is_stop_removed,
            is_stop_pending=watched.is_stop_pending(now),
            is_close_pending=watched.is_close_pending(now),
            seconds_to_liquidation=self._market.seconds_to(trade.side, trade.liquidation_price),
            funding_rate=self._market.funding_rate,
            funding_at=self._market.funding_at,
        )

    def spending(self, trade_id: TradeId) -> Spending:
        """Return what is left to spend on a trade: pending sats count as gone, and unknown is not enough."""
        now = self._clock.now()
        return Spending(
            position_spent_sats=self._budget.position_spent_sats(trade_id),
            position_count=self._budget.position_count(trade_id),
            account_day_spent_sats=self._budget.day_spent_sats(now),
            balance_sats=self._free_balance_sats(),
            is_stopped=bool(self._stopped & {trade_id, self.exchange_account_id}),
            blocked_until=self._blocked_until,
        )

    def _free_balance_sats(self) -> int | None:
        """Return the balance as read, less what left since or may still leave."""
        if self._wallet.balance_sats is None:
            return None
        read_s = self._wallet.requested_boottime_s
        leaving = 0
        for watched in self._trades.values():
            for attempt in watched.attempts.values():
                if not isinstance(attempt.command, AddMargin):
                    continue
                signed_s = self._boottime_of(attempt.signed_at)
                is_later = attempt.state in APPLIED_STATES and signed_s >= read_s
                if attempt.is_open or is_later:
                    leaving += attempt.command.amount_sats
        return self._wallet.balance_sats - leaving

    def _boottime_of(self, at: datetime) -> float:
        age: timedelta = self._clock.now() - at
        return self._clock.boottime_s() - age.total_seconds()

    def _make_ready_again(self, watched: WatchedTrade, facts: Facts) -> Facts:
        assert watched.rule is not None
        ready = rungs_ready_again(facts, watched.rule)
        for rung in ready:
            state = watched.set_rung(rung, is_armed=True)
            self._recorder.put(self._rung_write(watched.trade_id, rung, state))
        return replace(facts, rungs=dict(watched.rungs)) if ready else facts

    def _deadline_s(self, watched: WatchedTrade) -> float:
        """Return when it is too late, on the boot-time clock: the nearer of stop and liquidation."""
        trade = watched.trade
        nearest = trade.liquidation_price if trade.stop_loss_price is None else trade.stop_loss_price
        left_s = self._market.seconds_to(trade.side, nearest)
        if left_s is None:
            price = self._market.last.floor if self._market.last is not None else trade.price
            # Standing still: the nearer to its end, the sooner, behind everything that moves.
            left_s = NO_DEADLINE_S + abs(price - nearest)
        return self._clock.boottime_s() + left_s

    def _take_hold(self, watched: WatchedTrade, facts: Facts, hold: Hold, wake: WakeUps) -> WakeUps:
        key = f"{hold.reason.value}:{hold.rung}"
        if key != watched.hold_reason:
            watched.hold_reason = key
            self._record_hold(watched, facts, hold)
        if hold.wake.at is not None:
            # Never at once: what the wake-up waits for comes from a reading, and a reading needs the loop.
            seconds = max(LEAST_WAKE_S, (hold.wake.at - self._clock.now()).total_seconds())
            self._wake_at(watched.trade_id, self._clock.boottime_s() + seconds)
        if hold.reason in (HoldReason.ROOM, HoldReason.NOT_RUNNING):
            return wake
        # A due step is held: look again on the next per mille of price, on a reading, or at the named time.
        step = max(1, facts.trigger_price // 1000)
        if facts.trade.side.sign > 0:
            return WakeUps(at_or_below=Price(facts.trigger_price - step), at_or_above=wake.at_or_above)
        return WakeUps(at_or_above=Price(facts.trigger_price + step), at_or_below=wake.at_or_below)

    def _warn(self, watched: WatchedTrade, facts: Facts, deed: WarnDeed) -> None:
        record = self._decision_record(watched, facts, "warn", deed.rung, {})
        self._recorder.put(
            Write("decision", lambda connection: insert_decision(connection, record), (decision_line(record),))
        )
        self._recorder.put(self._use_up(watched, deed.rung))
        self._tell(
            watched,
            ActivityKind.ROOM_WARNED,
            Severity.CAUTION,
            {"price": usd_number(facts.trigger_price), "room_share": float(deed.room_share)},
            decision_id=record.decision_id,
        )

    def _record_hold(self, watched: WatchedTrade, facts: Facts, hold: Hold) -> None:
        """Write why nothing happens, when the reason changes; tell the owner where it matters."""
        if hold.reason is HoldReason.ROOM:
            return
        record = self._decision_record(watched, facts, "hold", hold.reason.value, {"rung": hold.rung})
        self._recorder.put(
            Write("decision", lambda connection: insert_decision(connection, record), (decision_line(record),))
        )
        assert watched.rule is not None
        if hold.reason in (HoldReason.LIMIT_USED, HoldReason.COUNT_USED, HoldReason.DAY_LIMIT_USED):
            self._tell(
                watched,
                ActivityKind.LIMIT_USED,
                Severity.CAUTION,
                {
                    "spent_sats": facts.spending.position_spent_sats,
                    "limit_sats": watched.rule.limits.position_sats,
                },
                decision_id=record.decision_id,
            )
        elif hold.reason in (HoldReason.NO_BALANCE, HoldReason.BALANCE_UNKNOWN, HoldReason.SPENDING_STOPPED):
            self._tell(
                watched,
                ActivityKind.RESCUE_HELD,
                Severity.DANGER,
                {"reason": hold.reason.value, "shortfall_sats": hold.shortfall_sats},
                decision_id=record.decision_id,
            )

    # --- acting ------------------------------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        while True:
            trade_id = await self._heap.pop()
            watched = self._trades.get(trade_id)
            if watched is None:
                continue
            if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
                self._heap.push(trade_id, deadline_s=self._deadline_s(watched))
                continue
            try:
                await self._act(watched)
            except SpendingStopped:
                self._stopped |= {trade_id}
                self.evaluate(trade_id)
            except AttemptExists:
                log.exception("attempt_exists", trade_id=trade_id)
                self._read_now.set()
                self._retry_later(watched)
            except OSError:
                log.exception("nothing_durable", trade_id=trade_id)
                self._retry_later(watched)

    async def _act(self, watched: WatchedTrade) -> None:
        facts = self._facts(watched)
        if facts is None or watched.rule is None:
            return
        match self._decide(watched, facts):
            case AddMarginDeed() as deed:
                await self._top_up(watched, facts, deed)
            case MoveStopDeed(stop_price=price, reason=reason):
                cause = Cause(kind=CauseKind.BACKSTOP, cause_id=watched.trade_id, key=f"stop:{price}:{new_id()}")
                record = self._decision_record(watched, facts, "move_stop", reason, {"stop_price": price})
                watched.own_stops.add(price)
                await self._submit(watched, SetStopLoss(trade_id=watched.trade_id, stop_price=price), cause, record)
            case CloseDeed(rung=rung, arming_no=number):
                cause = self._rule_cause(watched, rung, number)
                record = self._decision_record(watched, facts, "close", rung, {})
                await self._submit(watched, CloseTrade(trade_id=watched.trade_id), cause, record)
            case WarnDeed() | Hold():
                self.evaluate(watched.trade_id)

    async def _top_up(self, watched: WatchedTrade, facts: Facts, deed: AddMarginDeed) -> None:
        tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
        tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=tag)
        if tagged is None:
            return
        amount_sats, tag = tagged
        record = self._decision_record(
            watched,
            facts,
            "add_margin",
            deed.rung,
            {
                "amount_sats": amount_sats,
                "tag": tag,
                "wanted_sats": deed.wanted_sats,
                "cap_sats": deed.cap_sats,
                "trigger_mark_price": usd_number(deed.trigger_price),
                "is_second_send": deed.is_second_send,
            },
            arithmetic=deed.arithmetic,
        )
        await self._submit(
            watched,
            AddMargin(trade_id=watched.trade_id, amount_sats=amount_sats),
            self._rule_cause(watched, deed.rung, deed.arming_no),
            record,
            tag=tag,
            is_second_send=deed.is_second_send,
        )

    def _rule_cause(self, watched: WatchedTrade, rung: str, arming_no: int) -> Cause:
        assert watched.rule is not None
        return Cause(kind=CauseKind.RULE, cause_id=watched.rule.rule_id, key=f"{rung}#{arming_no}")

    async def _submit(
        self,
        watched: WatchedTrade,
        command: Command,
        cause: Cause,
        record: DecisionRecord | None,
        *,
        tag: int | None = None,
        is_second_send: bool = False,
    ) -> None:
        intent_id, attempts = watched.intents.get(cause, (IntentId(new_id()), 0))
        draft = Draft(
            command=command,
            trade_id=watched.trade_id,
            cause=cause,
            intent_id=intent_id,
            attempt_no=attempts + 1,
            amount_sats=amount_of(command),
            tag=tag,
            is_second_send=is_second_send,
            counter_before_sats=watched.counter_of(watched.trade),
            tick_at=watched.tick_at,
            decision=record,
        )
        attempt, request = await self._executor.write(draft)
        watched.put(attempt)
        watched.changed_boottime_s = self._clock.boottime_s()
        if attempt.amount_sats is not None and isinstance(command, AddMargin):
            self._budget.put(
                Reservation(
                    intent_id=attempt.intent_id,
                    attempt_no=attempt.attempt_no,
                    trade_id=attempt.trade_id,
                    amount_sats=attempt.amount_sats,
                    state=reservation_state(attempt.state),
                    reserved_at=attempt.signed_at,
                )
            )
        self._tasks.start(self._send(watched, attempt, request), name=f"send {command.name.value}")
        self._changed("positions")

    async def _send(self, watched: WatchedTrade, attempt: Attempt, request: Any) -> None:
        answer = await self._executor.send(request)
        present = watched.attempts.get((attempt.intent_id, attempt.attempt_no), attempt)
        if present.state is not AttemptState.SENT:
            return  # a reading was faster
        sent = with_answer(present, answer)
        paid_sats = None if answer.trade is None else watched.funding_paid_of(answer.trade)
        state, reason = classify(sent, answer, funding_paid_sats=paid_sats)
        if answer.trade is not None and answer.kind is AnswerKind.ACCEPTED:
            self._take_answer(watched, attempt, answer.trade, state)
        at = answer.answered_at or self._clock.now()
        self._conclude(watched, advance(sent, state, at=at, reason=reason), answer)
        await self._follow_up(watched, state, answer)

    def _take_answer(self, watched: WatchedTrade, attempt: Attempt, trade: Trade, state: AttemptState) -> None:
        """Take the facts of an answer: they are as new as the answer itself."""
        if isinstance(attempt.command, SetStopLoss):
            watched.own_stops.add(attempt.command.stop_price)
        if (
            isinstance(attempt.command, AddMargin)
            and state is AttemptState.CONFIRMED
            and watched.counter_sats is not None
        ):
            watched.counter_sats = max(watched.counter_sats, watched.counter_of(trade))
        watched.trade = trade
        watched.requested_boottime_s = watched.changed_boottime_s = self._clock.boottime_s()
        watched.requested_at = self._clock.now()
        self._store(watched, "answer", force=True)

    async def _follow_up(self, watched: WatchedTrade, state: AttemptState, answer: Answer) -> None:
        match state:
            case AttemptState.CONFIRMED | AttemptState.LATE_CONFIRMED:
                watched.failures = 0
                if watched.trade.status is TradeStatus.CLOSED:
                    self._take_end(watched)
                self._read_now.set()
                self.evaluate(watched.trade_id)
            case AttemptState.UNKNOWN:
                self._read_now.set()
                self.evaluate(watched.trade_id)
            case AttemptState.REFUSED:
                self._read_now.set()
                self._retry_later(watched)
            case AttemptState.NOT_PROCESSED:
                if answer.is_auth_failure:
                    self._auth_failures.append(self._clock.boottime_s())
                    await self._try_sync_clock()
                self._retry_later(watched)
            case AttemptState.SENT | AttemptState.NOT_APPLIED:
                pass

    def _retry_later(self, watched: WatchedTrade) -> None:
        """Decide again: at once after the first failure, then with growing pauses; a new attempt, never the old one."""
        watched.failures += 1
        pause_s = 0.0 if watched.failures == 1 else min(MOST_BACK_OFF_S, 0.05 * (1 << min(watched.failures, 10)))
        self._wake_at(watched.trade_id, self._clock.boottime_s() + pause_s)

    # --- requests of people ------------------------------------------------------------------------------------------

    async def take_request(self, request: CommandRequest) -> None:
        """Carry out what a person asked for, once: the request's id is its cause."""
        watched = self._trades.get(request.trade_id)
        cause = Cause(kind=CauseKind.REQUEST, cause_id=request.request_id, key="1")
        if watched is None or watched.trade.status is not TradeStatus.RUNNING:
            self._finish_request(request, "refused", "trade_not_running")
            return
        if request.expires_at <= self._clock.now():
            self._finish_request(request, "expired", None)
            return
        if cause in watched.intents or request.request_id in self._requests:
            return
        self._requests[request.request_id] = request
        try:
            command, tag = self._requested_command(watched, request)
        except TradeNotRunning as error:
            self._finish_request(request, "refused", error.message)
            return
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=10.0):
            del self._requests[request.request_id]
            self._finish_request(request, "expired", "rate_limit")
            return
        facts = self._facts(watched)
        record = None
        if facts is not None:
            record = self._decision_record(watched, facts, command.name.value, "requested", dict(request.arguments))
        try:
            await self._submit(watched, command, cause, record, tag=tag)
        except (AttemptExists, SpendingStopped) as error:
            self._finish_request(request, "refused", error.code)

    def _requested_command(self, watched: WatchedTrade, request: CommandRequest) -> tuple[Command, int | None]:
        trade_id = watched.trade_id
        match request.command:
            case "close_trade":
                return CloseTrade(trade_id=trade_id), None
            case "cancel_order":
                return CancelOrder(trade_id=trade_id), None
            case "add_margin":
                wanted = int(request.arguments["amount_sats"])
                tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
                # A person's amount is taken to the sat: its own last digits are its tag.
                return AddMargin(trade_id=trade_id, amount_sats=wanted), wanted % 1000 or tag
            case "set_stop_loss":
                return SetStopLoss(trade_id=trade_id, stop_price=Price(int(request.arguments["price"]))), None
            case "set_take_profit":
                price = Price(int(request.arguments["price"]))
                return SetTakeProfit(trade_id=trade_id, take_profit_price=price), None
            case other:
                raise TradeNotRunning(f"unknown command {other}")

    def _finish_request(self, request: CommandRequest, status: str, detail: str | None) -> None:
        at = self._clock.now()
        account_id = self.exchange_account_id

        async def run(connection: Any) -> None:
            await settle_request(connection, account_id, request.request_id, status=status, detail=detail, at=at)

        self._recorder.put(Write("request", run, after=lambda: self._changed("requests")))

    def _settle_requested(self, attempt: Attempt) -> Write:
        at = self._clock.now()
        status = _REQUEST_STATUS[attempt.state]
        account_id, request_id, reason = self.exchange_account_id, attempt.cause.cause_id, attempt.reason

        async def run(connection: Any) -> None:
            await settle_request(connection, account_id, request_id, status=status, detail=reason, at=at)

        return Write("request", run)

    # --- telling and storing -----------------------------------------------------------------------------------------

    def _store(self, watched: WatchedTrade, source: FactsSource, *, force: bool = False) -> None:
        """Write the facts of a trade where they changed, and their age every few seconds."""
        boottime_s = self._clock.boottime_s()
        has_changed = watched.has_changed()
        if not (force or has_changed or boottime_s - watched.stored_boottime_s >= STORE_EVERY_S):
            return
        watched.stored, watched.stored_boottime_s = watched.trade, boottime_s
        trade, requested_at = watched.trade, watched.requested_at
        paid = watched.funding_paid_sats if watched.is_funding_explained else None
        reason, own_stop = watched.close_reason, watched.own_stop_price
        account_id = self.exchange_account_id

        async def run(connection: Any) -> None:
            await save_facts(
                connection,
                account_id,
                trade,
                requested_at=requested_at,
                source=source,
                funding_paid_sats=paid,
                close_reason=reason if trade.status is TradeStatus.CLOSED else None,
                own_stop_price=own_stop,
            )

        self._recorder.put(Write("facts", run, after=lambda: self._changed("positions")))

    def _tell(
        self,
        watched: WatchedTrade,
        kind: ActivityKind,
        severity: Severity,
        data: dict[str, Any],
        *,
        decision_id: str | None = None,
    ) -> None:
        self._recorder.put(self._activity_write(self._activity(watched, kind, severity, data, decision_id=decision_id)))

    def _activity(
        self,
        watched: WatchedTrade,
        kind: ActivityKind,
        severity: Severity,
        data: dict[str, Any],
        *,
        decision_id: str | None = None,
    ) -> Activity:
        return Activity(
            user_id=self._user_id,
            at=self._clock.now(),
            kind=kind,
            severity=severity,
            data={"label": watched.label, **data},
            exchange_account_id=self.exchange_account_id,
            trade_id=watched.trade_id,
            decision_id=decision_id,
        )

    def _activity_write(self, activity: Activity) -> Write:
        async def run(connection: Any) -> None:
            await record_activity(connection, activity)

        return Write("activity", run, after=lambda: self._announce(activity))

    def _activity_of(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> Activity | None:
        """Return what an attempt's new state means to its owner, or None."""
        if attempt.cause.kind is CauseKind.REQUEST:
            status = _REQUEST_STATUS[attempt.state]
            data = {"command": attempt.command.name.value, "status": status, "amount_sats": attempt.amount_sats}
            return self._activity(watched, ActivityKind.REQUEST_SETTLED, Severity.INFO, data)
        match attempt.command:
            case AddMargin():
                return self._top_up_activity(watched, attempt, answer)
            case SetStopLoss(stop_price=price) if attempt.state in APPLIED_STATES:
                return self._stop_activity(watched, attempt, price)
            case _:
                return None

    def _stop_activity(self, watched: WatchedTrade, attempt: Attempt, price: Price) -> Activity:
        trade = watched.trade
        returns_sats = None
        if trade.status is TradeStatus.RUNNING:
            rate = fee_rate(self._wallet.fee_tier)
            returns_sats = closing_value_sats(trade=trade, exit_price=price, fee_rate=rate)
        data = {"stop_price": usd_number(price), "returns_sats": returns_sats}
        earlier = [stop for stop in watched.own_stops if stop != price]
        if not earlier:
            return self._activity(watched, ActivityKind.STOP_SET, Severity.INFO, data, decision_id=attempt.decision_id)
        nearest = min(earlier, key=lambda stop: abs(stop - price))
        return self._activity(
            watched,
            ActivityKind.STOP_MOVED,
            Severity.DEED,
            {"old_stop_price": usd_number(nearest), "new_stop_price": usd_number(price), "returns_sats": returns_sats},
            decision_id=attempt.decision_id,
        )

    def _top_up_activity(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> Activity | None:
        amount_sats = attempt.amount_sats or 0
        record = {"decision_id": attempt.decision_id}
        match attempt.state:
            case AttemptState.CONFIRMED if answer is not None:
                return self._activity(
                    watched, ActivityKind.RESCUE_CONFIRMED, Severity.DEED, self._rescue_data(watched, attempt), **record
                )
            case AttemptState.CONFIRMED | AttemptState.LATE_CONFIRMED | AttemptState.NOT_APPLIED:
                after_s = (self._clock.now() - attempt.signed_at).total_seconds()
                applied = attempt.state is not AttemptState.NOT_APPLIED
                data: dict[str, Any] = {"amount_sats": amount_sats, "applied": applied, "after_s": round(after_s, 3)}
                if applied:
                    data |= self._rescue_data(watched, attempt)
                return self._activity(watched, ActivityKind.RESCUE_SETTLED, Severity.DEED, data, **record)
            case AttemptState.UNKNOWN:
                data = {
                    "amount_sats": amount_sats,
                    "reason": attempt.reason,
                    "settles_at": attempt.quiet_until.isoformat(),
                }
                return self._activity(watched, ActivityKind.RESCUE_UNKNOWN, Severity.CAUTION, data, **record)
            case AttemptState.REFUSED if watched.failures == 0:
                data = {"amount_sats": amount_sats, "reason": attempt.reason}
                return self._activity(watched, ActivityKind.RESCUE_REFUSED, Severity.DANGER, data, **record)
            case _:
                return None

    def _rescue_data(self, watched: WatchedTrade, attempt: Attempt) -> dict[str, Any]:
        """Return the figures of a rescue, old liquidation from the margin before, new from the present facts."""
        trade, rule = watched.trade, watched.rule
        amount_sats = attempt.amount_sats or 0
        before = with_margin(trade, trade.margin_sats - amount_sats)
        data: dict[str, Any] = {
            "amount_sats": amount_sats,
            "old_liquidation_price": usd_number(before.liquidation_price),
            "new_liquidation_price": usd_number(trade.liquidation_price),
            "old_stop_price": None if trade.stop_loss_price is None else usd_number(trade.stop_loss_price),
            "new_stop_price": None,
            "was_second_send": attempt.is_second_send,
            "tick_to_request_ms": _milliseconds(attempt.tick_at, attempt.sent_at),
            "tick_to_confirmed_ms": _milliseconds(attempt.tick_at, attempt.answered_at or attempt.settled_at),
        }
        price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s())
        data["price"] = None if price is None else usd_number(price)
        if rule is not None:
            rung = rule.rung(TopUp)
            if rung is not None:
                mark = mark_price(before, share=rung.room_share, full=watched.full_room)
                data["trigger_price"] = usd_number(mark)
                data["room_share"] = float(rung.room_share)
            if rule.stop_share is not None:
                stop = desired_stop_price(trade, stop_share=rule.stop_share, full=watched.full_room)
                data["new_stop_price"] = usd_number(stop)
            data["left_sats"] = rule.limits.position_sats - self._budget.position_spent_sats(watched.trade_id)
        return data

    def _decision_record(
        self,
        watched: WatchedTrade,
        facts: Facts,
        action: str,
        reason: str,
        outcome: dict[str, Any],
        *,
        arithmetic: tuple[tuple[str, str, str], ...] = (),
    ) -> DecisionRecord:
        trade = facts.trade
        return DecisionRecord(
            exchange_account_id=self.exchange_account_id,
            decision_id=new_id(),
            trade_id=watched.trade_id,
            at=self._clock.now(),
            action=action,
            reason=reason,
            inputs={
                "trade": {
                    "side": trade.side.value,
                    "quantity_usd": trade.quantity_usd,
                    "margin_sats": trade.margin_sats,
                    "price": trade.price,
                    "entry_price": trade.entry_price,
                    "entry_margin_sats": trade.entry_margin_sats,
                    "liquidation_price": trade.liquidation_price,
                    "stop_loss_price": trade.stop_loss_price,
                    "requested_at": watched.requested_at.isoformat(),
                },
                "trigger_price": facts.trigger_price,
                "last_price": None if self._market.last is None else self._market.last.floor,
                "price_at": None if self._market.last is None else self._market.last.at.isoformat(),
                "full_room": str(facts.full_room),
                "steps": {key: [state.arming_no, state.is_armed] for key, state in facts.rungs.items()},
                "pending": [[top_up.amount_sats, top_up.is_unknown] for top_up in facts.pending],
                "spending": {
                    "position_spent_sats": facts.spending.position_spent_sats,
                    "position_count": facts.spending.position_count,
                    "account_day_spent_sats": facts.spending.account_day_spent_sats,
                    "balance_sats": facts.spending.balance_sats,
                    "is_stopped": facts.spending.is_stopped,
                },
                "seconds_to_liquidation": facts.seconds_to_liquidation,
                "outcome": outcome,
            },
            arithmetic=[{"name": name, "formula": formula, "value": value} for name, formula, value in arithmetic],
            rule_id=None if watched.rule is None else watched.rule.rule_id,
            rule_version=None if watched.rule is None else watched.rule.version,
            code_version=__version__,
        )

    def forget_triggers(self) -> None:
        """Take every trade out of the index: this runtime ends."""
        for trade_id in self._trades:
            self._index.discard((self.exchange_account_id, trade_id))

    # --- state for others --------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return how well the account is watched: ages, and why anything is less than well."""
        boottime_s = self._clock.boottime_s()
        read_age_s = None if self._read_boottime_s is None else boottime_s - self._read_boottime_s
        reasons = []
        if not self._market.is_fresh(boottime_s):
            reasons.append("price_stale")
        if not self._is_stream_up:
            reasons.append("stream_down")
        if read_age_s is None or read_age_s > 2 * self._timing.far_s:
            reasons.append("account_unread")
        if self._is_key_refused(boottime_s):
            reasons.append("key_refused")
        if self._recorder.is_database_away:
            reasons.append("database_away")
        return {
            "read_age_s": read_age_s,
            "stream_up": self._is_stream_up,
            "price_age_s": self._market.age_s(boottime_s),
            "reasons": reasons,
        }

    def _is_key_refused(self, boottime_s: float) -> bool:
        """Return whether the key failed three times over a minute, the clock being right."""
        recent = [at_s for at_s in self._auth_failures if boottime_s - at_s < 10 * AUTH_FAILURES_OVER_S]
        return len(recent) >= AUTH_FAILURES and recent[-1] - recent[0] >= AUTH_FAILURES_OVER_S

    def check_lease(self) -> None:
        """Raise LeaseLost where this process may send no more."""
        if not self._lease.is_held:
            raise LeaseLost("the lease ran out", account=self.exchange_account_id)


def _guess_close_reason(trade: Trade) -> CloseReason:
    """Return why a trade ended where only its figures tell; unknown where they do not."""
    if trade.exit_price is None:
        return CloseReason.UNKNOWN
    if trade.side.sign * (trade.exit_price - trade.liquidation_price) <= 0:
        return CloseReason.LIQUIDATION
    if trade.exit_price == trade.stop_loss_price:
        return CloseReason.STOP_LOSS
    if trade.exit_price == trade.take_profit_price:
        return CloseReason.TAKE_PROFIT
    return CloseReason.UNKNOWN


def _milliseconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000, 1)
