"""Readings of the account: when, in which order, and what they say of trades that come, change and go."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import structlog

from axisor.domain.counter import explain_funding
from axisor.domain.errors import ExchangeAuthFailed, ExchangeError
from axisor.domain.room import distance
from axisor.domain.synthetic_usd import CENTS_PER_USD
from axisor.domain.trades import AccountFacts, CloseReason, FundingFee, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, usd_number
from axisor.features.execution.attempts import AttemptState
from axisor.features.execution.positions import probable_close_reason
from axisor.features.margin_guard.marks import step_price
from axisor.features.margin_guard.plan import opening_cost_sats
from axisor.features.margin_guard.steps import TOP_UPS
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.market import MarketState
from axisor.monitor.newcomers import Newcomers
from axisor.monitor.precedence import Precedence
from axisor.monitor.settler import Settler
from axisor.monitor.wakes import AT_ONCE
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane, Reading

log = structlog.get_logger(__name__)

CHANGED_RECENTLY_S: Final = 60.0
SETTLE_EVERY_S: Final = 1.0
FIRST_SETTLE_AFTER_S: Final = 0.1
OVERDUE_S: Final = 60.0
CLOSED_PAGES: Final = 10
MOST_BACK_OFF_S: Final = 10.0
PROVE_EVERY_S: Final = 2.0
PROOF_DEADLINE_S: Final = 2.5
AUTH_FAILURES: Final = 3
AUTH_FAILURES_OVER_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """How often an account is read, in seconds."""

    near_s: float
    far_s: float


class AccountReader:
    """Reads one account for ever, often where it is in danger or in doubt."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        book: AccountBook,
        wallet: Wallet,
        settler: Settler,
        decider: Decider,
        chronicle: Chronicle,
        newcomers: Newcomers,
        market: MarketState,
        clock: Clock,
        timing: WatchTiming,
        precedence: Precedence,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._book = book
        self._wallet = wallet
        self._settler = settler
        self._decider = decider
        self._chronicle = chronicle
        self._newcomers = newcomers
        self._market = market
        self._clock = clock
        self._timing = timing
        self._precedence = precedence
        self._read_now = asyncio.Event()
        self._auth_failures = 0
        self._auth_failed_s = (0.0, 0.0)
        self.read_boottime_s: float | None = None
        self.proven_boottime_s: float | None = None
        """When the exchange last answered a request that this key signed, by the instant it was asked."""
        self.is_failing = False
        """The latest reading was not answered."""

    def read_soon(self) -> None:
        """Read now, or as soon as the reading under way is done."""
        self._read_now.set()

    @property
    def is_key_refused(self) -> bool:
        """Return whether the key failed three times over a minute, the clock being right."""
        return (
            self._auth_failures >= AUTH_FAILURES
            and self._auth_failed_s[1] - self._auth_failed_s[0] >= AUTH_FAILURES_OVER_S
        )

    @property
    def is_key_doubted(self) -> bool:
        """Return whether the key was refused and has not been accepted since, the clock being right."""
        return self._auth_failures > 0

    async def check(self) -> None:
        """Read the balance alone where nothing was read for two seconds: it proves key, connection and balance.

        What fails is shown, and whole readings go on at their own pace.
        """
        now_s = self._clock.boottime_s()
        if self.proven_boottime_s is not None and now_s - self.proven_boottime_s < PROVE_EVERY_S:
            return
        try:
            async with asyncio.timeout(PROOF_DEADLINE_S):
                account = await self._client.fetch_account(lane=Lane.ROUTINE)
        except ExchangeAuthFailed as error:
            self.is_failing = True
            log.warning("account_check_refused", account=self._account_id, error=error.message)
            await self.take_auth_failure()
        except (ExchangeError, TimeoutError) as error:
            self.is_failing = True
            log.info("account_not_checked", account=self._account_id, error=type(error).__name__)
        else:
            self._auth_failures = 0
            self._prove(account)
            if self._take_balance(account):
                self._decider.evaluate_all()

    def _prove(self, account: Reading[AccountFacts]) -> None:
        self.is_failing = False
        self.proven_boottime_s = max(self.proven_boottime_s or 0.0, account.requested_boottime_s)

    async def take_auth_failure(self) -> None:
        """Take note that the exchange refused the key; it counts where the clock is proven right."""
        try:
            await self._client.sync_clock()
        except ExchangeError as error:
            log.warning("clock_sync_failed", error=error.message)
            return
        now_s = self._clock.boottime_s()
        self._auth_failed_s = (now_s if self._auth_failures == 0 else self._auth_failed_s[0], now_s)
        self._auth_failures += 1

    async def run(self) -> None:
        """Read for ever."""
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
                self._auth_failures = 0
            except ExchangeAuthFailed as error:
                failures += 1
                self.is_failing = True
                log.warning("account_reading_refused", account=self._account_id, error=error.message)
                await self.take_auth_failure()
            except ExchangeError as error:
                failures += 1
                self.is_failing = True
                log.warning("account_reading_failed", account=self._account_id, error=error.message)

    def _read_interval_s(self, failures: int) -> float:
        if failures:
            return min(MOST_BACK_OFF_S, 0.25 * (1 << min(failures, 10)))
        now_s = self._clock.boottime_s()
        quiet_s = [
            watched.quiet_ends.get((attempt.intent_id, attempt.attempt_no), now_s) - now_s
            for watched in self._book.trades.values()
            for attempt in watched.open_attempts()
            if attempt.state is AttemptState.UNKNOWN
        ]
        if quiet_s and max(quiet_s) > -OVERDUE_S:
            nearest_s = min((left_s for left_s in quiet_s if left_s > 0), default=SETTLE_EVERY_S)
            return max(FIRST_SETTLE_AFTER_S, min(SETTLE_EVERY_S, nearest_s + 0.01))
        return self._timing.near_s if quiet_s or self._is_near() else self._timing.far_s

    def _is_near(self) -> bool:
        """Return whether any trade is inside twice its trigger distance, or changed within a minute."""
        boottime_s = self._clock.boottime_s()
        for watched in self._book.trades.values():
            if watched.trade.status is not TradeStatus.RUNNING:
                continue
            if boottime_s - watched.changed_boottime_s < CHANGED_RECENTLY_S:
                return True
            price = self._market.trigger_price(watched.trade.side, watched.trade.quantity_usd, boottime_s)
            if price is None:
                return True
            room = distance(side=watched.trade.side, price=price, liquidation_price=watched.trade.liquidation_price)
            if room <= 2 * _trigger_distance(watched):
                return True
        return False

    async def read(self) -> None:
        """Read balance and trades, settle what they prove, and decide again.

        Raises:
            ExchangeError: the exchange did not answer, or refused.
        """
        is_settling = any(watched.open_attempts() for watched in self._book.trades.values())
        lane = Lane.PROTECT if is_settling else Lane.ROUTINE
        account = await self._client.fetch_account(lane=lane)
        self._prove(account)
        running = await self._client.list_running_trades(lane=lane)
        self._take_balance(account)
        seen = {trade.trade_id for trade in running.value}
        for number, trade in enumerate(running.value):
            if number and number % AT_ONCE == 0:
                await self._precedence.give_way()  # others have their turn while hundreds are taken
            await self._isolated(trade.trade_id, self._take_reading(trade, running, lane=lane))
        for watched in list(self._book.trades.values()):
            watched.is_missing = (
                watched.trade_id not in seen
                and watched.trade.status is TradeStatus.RUNNING
                and running.requested_boottime_s > watched.requested_boottime_s
            )
            if watched.is_missing or watched.trade.status is not TradeStatus.RUNNING:
                await self._isolated(watched.trade_id, self._read_end(watched, lane=lane))
        for trade_id in [orphan for orphan in self._book.orphans if orphan not in seen]:
            await self._isolated(trade_id, self._read_orphan(trade_id, lane=lane))
        self.read_boottime_s = running.requested_boottime_s
        self._wallet.budget.forget_ended(self._book.running, self._clock.now())
        self._decider.evaluate_all()

    async def _isolated(self, trade_id: TradeId, work: Coroutine[Any, Any, None]) -> None:
        """Do the work for one trade; what is odd about it must not cost the others their reading."""
        try:
            await work
        except ExchangeError:
            raise
        except Exception:
            log.exception("trade_not_read", account=self._account_id, trade_id=trade_id)

    def _take_balance(self, reading: Reading[AccountFacts]) -> bool:
        """Take a balance; return whether it is another than before."""
        facts = reading.value
        news = self._wallet.take_balance(
            facts.balance_sats,
            facts.fee_tier,
            reading.requested_boottime_s,
            synthetic_usd_cents=int(facts.synthetic_usd * CENTS_PER_USD),
        )
        if news is not None:
            self._chronicle.store_balance(facts.balance_sats, facts.fee_tier, has_changed=news)
        return bool(news)

    async def _take_reading(self, trade: Trade, reading: Reading[tuple[Trade, ...]], *, lane: Lane) -> None:
        if self._book.has_ended(trade.trade_id):
            return  # closed is final
        watched = self._book.trades.get(trade.trade_id)
        if watched is None:
            watched = self._adopt(trade, reading.requested_boottime_s, reading.requested_at)
        if watched.explained_funding_sum != trade.sum_funding_fees_sats:
            await self._explain_funding(watched, trade, lane=lane)
        if reading.requested_boottime_s < watched.changed_boottime_s:
            return  # asked before the latest command or event: out of date
        if watched.trade.status in (TradeStatus.CLOSED, TradeStatus.CANCELED):
            return
        self._note_stop(watched, trade)
        watched.trade = trade
        watched.requested_boottime_s = reading.requested_boottime_s
        watched.requested_at = reading.requested_at
        watched.must_read_until_s = float("-inf")
        self._newcomers.welcome(watched)
        self._settler.settle(watched, reading.requested_boottime_s)
        self._chronicle.store(watched, "reading")

    def _adopt(self, trade: Trade, requested_boottime_s: float, requested_at: datetime) -> WatchedTrade:
        """Take a trade that was not known under guard, at once."""
        watched = WatchedTrade(trade=trade, requested_boottime_s=requested_boottime_s, requested_at=requested_at)
        watched.rule = self._book.rule_of(trade)
        watched.changed_boottime_s = requested_boottime_s
        self._book.trades[trade.trade_id] = watched
        for attempt in self._book.orphans.pop(trade.trade_id, []):
            self._settler.take_up(watched, attempt)
        return watched

    async def _explain_funding(self, watched: WatchedTrade, trade: Trade, *, lane: Lane) -> None:
        if trade.sum_funding_fees_sats == 0 and watched.explained_funding_sum is None:
            watched.explained_funding_sum = 0
            return
        try:
            fees: Reading[tuple[FundingFee, ...]] = await self._client.list_funding_fees(trade.trade_id, lane=lane)
        except ExchangeAuthFailed:
            raise
        except ExchangeError as error:
            # The facts of the trade count without it; only absence proves nothing until it is explained.
            log.warning("funding_unread", account=self._account_id, trade_id=trade.trade_id, error=error.message)
            return
        paid_sats = explain_funding(trade, fees.value)
        if paid_sats is not None:
            watched.funding_paid_sats = paid_sats
            watched.explained_funding_sum = trade.sum_funding_fees_sats

    def _note_stop(self, watched: WatchedTrade, trade: Trade) -> None:
        """Tell our stops from the owner's, and say so where ours was taken away."""
        removed = watched.note_stop(trade)
        if removed is not None:
            data = {"stop_price": usd_number(removed)}
            self._chronicle.tell(watched, ActivityKind.STOP_REMOVED, Severity.CAUTION, data)

    async def _read_end(self, watched: WatchedTrade, *, lane: Lane) -> None:
        """Find a trade that no longer runs in the lists of ended ones; until it is found its end is not known."""
        found = await self._find_ended(watched.trade_id, since=watched.trade.created_at, lane=lane)
        if found is None:
            log.warning("trade_not_found", account=self._account_id, trade_id=watched.trade_id)
            return
        trade, requested_boottime_s, requested_at = found
        if watched.explained_funding_sum != trade.sum_funding_fees_sats:
            await self._explain_funding(watched, trade, lane=lane)
        watched.trade = trade
        watched.requested_boottime_s = requested_boottime_s
        watched.requested_at = requested_at
        self._settler.settle(watched, requested_boottime_s)
        self.take_end(watched)

    async def _read_orphan(self, trade_id: TradeId, *, lane: Lane) -> None:
        """Settle what an earlier process sent for a trade that ended before anybody stored it."""
        found = await self._find_ended(trade_id, since=None, lane=lane)
        if found is None:
            log.warning("trade_not_found", account=self._account_id, trade_id=trade_id)
            return
        watched = self._adopt(*found)
        await self._explain_funding(watched, watched.trade, lane=lane)
        self._settler.settle(watched, watched.requested_boottime_s)
        self.take_end(watched)

    async def _find_ended(
        self, trade_id: TradeId, *, since: datetime | None, lane: Lane
    ) -> tuple[Trade, float, datetime] | None:
        """Return a trade of the closed or canceled ones, with the age of the reading, or None."""
        for list_ended in (self._client.list_closed_trades, self._client.list_canceled_trades):
            cursor: str | None = None
            for _ in range(CLOSED_PAGES):
                page = await list_ended(lane=lane, since=since, cursor=cursor)
                for trade in page.value.items:
                    if trade.trade_id == trade_id:
                        return trade, page.requested_boottime_s, page.requested_at
                if page.value.next_cursor is None or page.value.next_cursor == cursor:
                    break
                cursor = page.value.next_cursor
        return None

    def take_end(self, watched: WatchedTrade) -> None:
        """Store and tell that a trade ended, and watch it no more once nothing of it is in doubt."""
        trade = watched.trade
        self._decider.forget(watched.trade_id)
        reason = watched.close_reason or probable_close_reason(trade)
        watched.close_reason = reason
        if not watched.open_attempts():  # until none is in doubt, readings go on
            self._book.end(watched.trade_id, self._clock.boottime_s())
        if trade.status is TradeStatus.CANCELED or watched.is_end_told or watched.is_reopening:
            self._chronicle.store(watched, "reading", force=True)
            return
        watched.is_end_told = True
        was_liquidated = reason is CloseReason.LIQUIDATION
        returned_sats = (
            0 if was_liquidated else max(0, trade.margin_sats + trade.maintenance_margin_sats + trade.pnl_sats)
        )
        added = watched.counter_of(trade)
        cost_sats = opening_cost_sats(trade)
        given_back_sats = returned_sats + trade.sum_cash_in_pnl_sats + trade.sum_cash_in_margin_sats
        told = self._chronicle.activity(
            watched,
            ActivityKind.TRADE_CLOSED,
            Severity.DANGER if was_liquidated else Severity.CAUTION,
            {
                "close_reason": reason.value,
                "exit_price": None if trade.exit_price is None else usd_number(trade.exit_price),
                "returned_sats": given_back_sats,
                "added_sats": added,
                "result_sats": given_back_sats - cost_sats - added,
            },
        )
        self._chronicle.store_end(watched, told)


def _trigger_distance(watched: WatchedTrade) -> Fraction:
    """Return how far from liquidation the first top-up of a trade is due; full room where its rule has none."""
    rung = None if watched.rule is None else watched.rule.rung(*TOP_UPS)
    if rung is None:
        return watched.full_room
    trade = watched.trade
    mark = step_price(trade, rung, full=watched.full_room)
    return distance(side=trade.side, price=mark, liquidation_price=trade.liquidation_price)
