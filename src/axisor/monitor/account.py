"""One exchange account under guard: the only place that decides and sends for it.

Readings (`reader`), events and prices change what is known (`book`, `wallet`); every change ends in the `decider`,
which asks the policy. A deed goes into the queue of rescues, and the `dispatcher` takes the most urgent one, gets a
token, asks the policy again with present facts, writes the attempt and sends it. Outcomes come back from answers and
from readings (`settler`), and what happened is stored and told (`chronicle`, `narrator`, `scribe`).
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from axisor.domain.errors import InvalidRule, LeaseLost
from axisor.domain.trades import TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.budget import Budget
from axisor.features.execution.executor import Executor
from axisor.features.execution.positions import StoredPosition, find_position, list_positions, list_untold_ends
from axisor.features.execution.recorder import Recorder
from axisor.features.execution.repository import (
    last_tags,
    list_attempts,
    list_intents,
    list_reservations,
    stopped_scopes,
)
from axisor.features.execution.requests import CommandRequest
from axisor.features.margin_guard.policy import RungState
from axisor.features.margin_guard.repository import list_rung_states, read_rule_book
from axisor.features.margin_guard.rulebook import RuleBook
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.infra.db.session import Database
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.monitor.account_desk import AccountDesk, is_for_account
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.cross_guard import CrossGuard
from axisor.monitor.cross_stop_desk import CrossStopDesk
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.drill_desk import DrillDesk
from axisor.monitor.funding_desk import FundingDesk
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.health import AccountHealth, HealthTeller, wire_problems
from axisor.monitor.invoice_desk import InvoiceDesk
from axisor.monitor.market import MarketState
from axisor.monitor.market_check import MarketCheck
from axisor.monitor.narrator import Narrator
from axisor.monitor.newcomers import Newcomers
from axisor.monitor.precedence import Precedence
from axisor.monitor.pressure import Pressure
from axisor.monitor.reader import PROVE_EVERY_S, AccountReader, WatchTiming
from axisor.monitor.reopen_desk import ReopenDesk
from axisor.monitor.requests import RequestDesk
from axisor.monitor.scribe import Scribe
from axisor.monitor.settler import Settler
from axisor.monitor.take_backs import TakeBackDesk
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient
from axisor.ports.lightning import LightningNode
from axisor.ports.market_feed import AccountFeed, FeedDown, FeedUp, TradeEvent, TradeEventKind, WalletEvent

TELL_ENDS_OF: Final = timedelta(days=1)
LOAD_DEADLINE_S: Final = 10.0

log = structlog.get_logger(__name__)


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
        check: MarketCheck | None = None,
        node: LightningNode | None = None,
        imitates_cross_stop: bool = False,
        precedence: Precedence | None = None,
    ) -> None:
        precedence = precedence or Precedence()
        self._account_id = exchange_account_id
        self._client = client
        self._feed = feed
        self._executor = executor
        self._recorder = recorder
        self._database = database
        self._lease = lease
        self._market = market
        self._clock = clock
        self._timing = timing
        self._book = book = AccountBook(exchange_account_id=exchange_account_id, is_guarded=is_guarded)
        self._wallet = wallet = Wallet(
            exchange_account_id=exchange_account_id, clock=clock, blocked_until=money_in_blocked_until
        )
        self._chronicle = chronicle = Chronicle(
            user_id=user_id,
            exchange_account_id=exchange_account_id,
            recorder=recorder,
            clock=clock,
            changed=changed,
            announce=announce,
        )
        scribe = Scribe(exchange_account_id=exchange_account_id, market=market)
        self._settler = settler = Settler(
            exchange_account_id=exchange_account_id,
            executor=executor,
            wallet=wallet,
            chronicle=chronicle,
            narrator=Narrator(chronicle=chronicle, wallet=wallet, market=market, clock=clock),
            book=book,
            clock=clock,
        )
        self._decider = decider = Decider(
            exchange_account_id=exchange_account_id,
            book=book,
            wallet=wallet,
            market=market,
            index=index,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            allow_second_send=allow_second_send,
            limiter=client.limiter,
            precedence=precedence,
        )
        self._pressure = Pressure(book=book, market=market, decider=decider, rates=decider.rates, clock=clock)
        self._reader = reader = AccountReader(
            exchange_account_id=exchange_account_id,
            client=client,
            book=book,
            wallet=wallet,
            settler=settler,
            decider=decider,
            chronicle=chronicle,
            newcomers=Newcomers(
                exchange_account_id=exchange_account_id, book=book, wallet=wallet, chronicle=chronicle, clock=clock
            ),
            market=market,
            clock=clock,
            timing=timing,
            precedence=precedence,
        )
        self._dispatcher = dispatcher = Dispatcher(
            exchange_account_id=exchange_account_id,
            client=client,
            executor=executor,
            database=database,
            book=book,
            wallet=wallet,
            decider=decider,
            settler=settler,
            reader=reader,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
            precedence=precedence,
        )
        self._health = health = AccountHealth(
            book=book,
            wallet=wallet,
            reader=reader,
            recorder=recorder,
            market=market,
            check=check,
            timing=timing,
            clock=clock,
        )
        self._teller = HealthTeller(health=health, book=book, chronicle=chronicle, clock=clock)
        self._account_desk = AccountDesk(
            exchange_account_id=exchange_account_id,
            client=client,
            executor=executor,
            book=book,
            wallet=wallet,
            reader=reader,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
            turn=dispatcher.turn,
            late_every_s=timing.far_s,
            goes=health.goes,
            node=node,
        )
        self._funding = FundingDesk(
            exchange_account_id=exchange_account_id,
            client=client,
            book=book,
            market=market,
            decider=decider,
            dispatcher=dispatcher,
            account_desk=self._account_desk,
            reader=reader,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
            wallet=wallet,
            node=node,
        )
        self._reopenings = ReopenDesk(
            exchange_account_id=exchange_account_id,
            book=book,
            wallet=wallet,
            market=market,
            dispatcher=dispatcher,
            account_desk=self._account_desk,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
        )
        self._cross = CrossGuard(
            exchange_account_id=exchange_account_id,
            client=client,
            book=book,
            wallet=wallet,
            market=market,
            index=index,
            account_desk=self._account_desk,
            decider=decider,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            timing=timing,
            allow_second_send=allow_second_send,
        )
        self._account_desk.settled.append(self._cross.take_settled)
        self._cross_stop = CrossStopDesk(
            exchange_account_id=exchange_account_id,
            client=client,
            book=book,
            watch=self._cross.watch,
            account_desk=self._account_desk,
            market=market,
            clock=clock,
            is_on=imitates_cross_stop and is_guarded,
        )
        health.also.append(self._cross.watch.problems)
        dispatcher.use(gather=self._funding.start, reopen=self._reopenings.begin)
        for settled in (settler.settled, self._account_desk.settled):
            settled += [self._funding.take_settled, self._reopenings.take_settled]
        self._take_backs = TakeBackDesk(
            client=client,
            book=book,
            wallet=wallet,
            decider=decider,
            dispatcher=dispatcher,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
            look_every_s=timing.far_s,
            goes=health.goes,
        )
        drills = DrillDesk(
            exchange_account_id=exchange_account_id,
            client=client,
            decider=decider,
            dispatcher=dispatcher,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
            tasks=tasks,
            goes=health.goes,
        )
        self._invoices = InvoiceDesk(
            exchange_account_id=exchange_account_id,
            client=client,
            database=database,
            reader=reader,
            chronicle=chronicle,
            clock=clock,
        )
        self._desk = RequestDesk(
            account_desk=self._account_desk,
            take_backs=self._take_backs,
            drills=drills,
            invoices=self._invoices,
            client=client,
            tasks=tasks,
            reader=reader,
            wallet=wallet,
            book=book,
            decider=decider,
            dispatcher=dispatcher,
            scribe=scribe,
            chronicle=chronicle,
            clock=clock,
        )

    async def load(self) -> None:
        """Read what PostgreSQL knows: positions, rules, steps, budgets, intents, attempts, the owner's switch."""
        now = self._clock.now()
        async with asyncio.timeout(LOAD_DEADLINE_S), self._database.transaction() as connection:
            stored = await list_positions(connection, self._account_id, statuses=(TradeStatus.RUNNING,))
            rungs = await list_rung_states(connection, self._account_id)
            self._wallet.budget = Budget(await list_reservations(connection, self._account_id, now=now))
            intents = await list_intents(connection, self._account_id)
            attempts = await list_attempts(connection, self._account_id, now=now)
            tags = await last_tags(connection, self._account_id)
            untold = await list_untold_ends(connection, self._account_id, since=now - TELL_ENDS_OF)
            reopening = await self._reopenings.load(connection, attempts)
            await self._cross.watch.load(connection, rungs)
            await self._cross_stop.load(connection)
            await self._invoices.load(connection)
            # A trade may have ended while an attempt on it was in doubt: it is watched until that is settled.
            unsettled = {attempt.trade_id for attempt in attempts if attempt.is_open}
            for trade_id in unsettled - {position.trade.trade_id for position in stored}:
                if (ended := await find_position(connection, self._account_id, trade_id)) is not None:
                    stored.append(ended)
        for position in stored:
            self._book.trades[position.trade.trade_id] = self._watched(position, rungs, tags)
        for intent in intents:
            if (watched := self._book.trades.get(intent.trade_id)) is not None:
                watched.intents[intent.cause] = (intent.intent_id, intent.attempts)
        for attempt in attempts:
            if is_for_account(attempt.command):
                self._account_desk.take_up(self._settler.inherited(attempt))
            elif (watched := self._book.trades.get(attempt.trade_id)) is not None:
                self._settler.take_up(watched, self._settler.inherited(attempt))
            elif attempt.is_open:
                # Its trade was never stored. The reading that finds the trade takes it up.
                self._book.orphans.setdefault(attempt.trade_id, []).append(self._settler.inherited(attempt))
        for position in stored:
            watched = self._book.trades[position.trade.trade_id]
            watched.expect_counter(position.requested_at)
            watched.remember_stop(position.requested_at)
        for position in untold:
            if position.trade.trade_id in reopening:
                continue  # told together with what is opened in its place
            # Ended while nobody watched: found by the sync of the account, told by whoever watches next.
            known = self._book.trades.get(position.trade.trade_id)
            untold_trade = known or self._watched(position, rungs, tags)
            untold_trade.is_end_told = False
            if known is None:
                self._reader.take_end(untold_trade)
        await self.reload_rules()
        self._reopenings.resume(rungs)
        self._reader.read_soon()

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
            told_stop_price=own,
            is_stop_removed=own is not None and trade.stop_loss_price is None,
            funding_paid_sats=position.funding_paid_sats or 0,
            explained_funding_sum=None if position.funding_paid_sats is None else trade.sum_funding_fees_sats,
            close_reason=position.close_reason,
            is_end_told=trade.status in (TradeStatus.CLOSED, TradeStatus.CANCELED),
            stored=trade,
        )

    async def reload_rules(self) -> None:
        """Read rules and the owner's switch anew, and decide again for every trade that they are other for."""
        rules: RuleBook | None = None
        asked_boottime_s = self._clock.boottime_s()
        async with asyncio.timeout(LOAD_DEADLINE_S), self._database.transaction() as connection:
            stopped = await stopped_scopes(connection, self._account_id)
            try:
                rules = await read_rule_book(connection, self._account_id)
                self._health.is_rule_unreadable = False
            except InvalidRule:
                # The rules in force stay, and the account says what is wrong with it.
                log.exception("rule_unreadable", account=self._account_id)
                self._health.is_rule_unreadable = True
        other = [] if rules is None else self._book.take_rules(rules, asked_boottime_s=asked_boottime_s)
        if stopped != self._wallet.stopped:
            self._wallet.stopped, other = stopped, list(self._book.trades)
        self._decider.evaluate_each(other)
        self._cross.evaluate()

    async def run(self) -> None:
        """Watch and guard for ever.

        Raises:
            LeaseLost: another process owns the account now.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="listen")
            tasks.create_task(self._reader.run(), name="read")
            tasks.create_task(self._dispatcher.run(), name="dispatch")
            tasks.create_task(self._decider.run_timers(), name="timers")
            tasks.create_task(self._decider.wakes.run(), name="woken")
            tasks.create_task(self._account_desk.run(), name="settle account")
            tasks.create_task(self._invoices.run(), name="watch invoices")
            tasks.create_task(self._cross_stop.run(), name="cross stop")
            if self._book.is_guarded:
                tasks.create_task(self._take_backs.run(), name="take back")
                tasks.create_task(self._keep_warm(), name="keep_warm")
                tasks.create_task(self._pressure.run(), name="pressure")
                tasks.create_task(self._keep_proven(), name="keep_proven")
                tasks.create_task(self._teller.run(), name="tell health")
                tasks.create_task(self._funding.watch_node(), name="node")
                tasks.create_task(self._cross.watch.run(), name="read cross")
                tasks.create_task(self._cross.act(), name="act on cross")

    async def _listen(self) -> None:
        async for event in self._feed.stream():
            match event:
                case FeedUp():
                    self._health.is_stream_up = True
                    self._reader.read_soon()
                case FeedDown():
                    self._health.is_stream_up = False
                    self._reader.read_soon()
                case TradeEvent():
                    self._take_event(event)
                case WalletEvent():
                    self._reader.read_soon()
                    self._invoices.look_soon()

    def _take_event(self, event: TradeEvent) -> None:
        watched = self._book.trades.get(event.trade_id)
        if watched is not None:
            watched.changed_boottime_s = event.received_boottime_s
            watched.changed_at = event.at
            if event.kind is TradeEventKind.CLOSED and event.close_reason is not None:
                watched.close_reason = event.close_reason
                self._chronicle.store_close_reason(event.trade_id, event.close_reason)
            if event.kind is TradeEventKind.FUNDED and event.funding_fee_sats:
                self._chronicle.tell(
                    watched, ActivityKind.FUNDING_PAID, Severity.INFO, {"fee_sats": event.funding_fee_sats}
                )
        self._reader.read_soon()

    async def _keep_warm(self) -> None:
        while True:
            if any(watched.trade.status is TradeStatus.RUNNING for watched in self._book.trades.values()):
                await self._client.keep_warm()
            await self._clock.sleep(1.0)

    async def _keep_proven(self) -> None:
        while True:
            await self._clock.sleep(PROVE_EVERY_S / 4)
            if self._book.has_running and self._reader.read_boottime_s is not None:
                await self._reader.check()

    def note_database(self, *, is_away: bool) -> None:
        """Take note of whether the database answered just now."""
        self._health.is_database_unread = is_away

    def evaluate(self, trade_id: TradeId, *, tick_at: datetime | None = None) -> None:
        """Decide for one trade, or the cross position, from present facts."""
        if trade_id == self._cross.position_id:
            self._cross.evaluate()
        else:
            self._decider.evaluate(trade_id, tick_at=tick_at)

    def wake(self, trade_id: TradeId, *, tick_at: datetime | None = None) -> None:
        """Decide for one trade when its turn comes: a few of the account's at a time."""
        if trade_id == self._cross.position_id:
            self._cross.evaluate()
        else:
            self._decider.wakes.put(trade_id, tick_at)

    def take_request(self, request: CommandRequest) -> None:
        """Carry out what a person asked for, once, without making the caller wait."""
        self._desk.take(request)

    @property
    def is_cross_calm(self) -> bool:
        """Return whether nothing is to be done with the cross position by what is known of it."""
        return self._cross.is_calm

    def forget_triggers(self) -> None:
        """Take every trade out of the index: this runtime ends."""
        self._decider.forget_triggers()
        self._cross.forget_triggers()

    def status(self) -> dict[str, Any]:
        """Return how well the account is watched: ages, and why anything is less than well."""
        boottime_s = self._clock.boottime_s()
        read_s, problems = self._reader.read_boottime_s, self._health.problems()
        rates = self._decider.rates()
        return {
            "read_age_s": None if read_s is None else boottime_s - read_s,
            "stream_up": self._health.is_stream_up,
            "price_age_s": self._market.age_s(boottime_s),
            "reasons": list(dict.fromkeys(problem.code.value for problem in problems)),
            "problems": wire_problems(problems),
            "rates": {"per_s": rates.per_s, "burst": rates.burst},
        }

    def check_lease(self) -> None:
        """Raise LeaseLost where this process may send no more."""
        if not self._lease.is_held:
            raise LeaseLost("the lease ran out", account=self._account_id)
