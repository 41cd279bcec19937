"""Acting: the most urgent first, one token, a decision from present facts, one durable attempt, one sending."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from axisor.domain.commands import AddMargin, CashIn, CloseTrade, Command, CommandName, SetStopLoss
from axisor.domain.counter import cashed_in_sats
from axisor.domain.errors import LeaseLost
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId
from axisor.features.execution.attempts import (
    Attempt,
    AttemptState,
    Cause,
    CauseKind,
    advance,
    next_tag,
    tagged_amount_sats,
)
from axisor.features.execution.executor import Draft, Executor, amount_of, with_answer
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.outcome import classify
from axisor.features.execution.recorder import AWAY
from axisor.features.execution.repository import AttemptExists, SpendingStopped, list_attempts
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CashInDeed,
    CloseDeed,
    CloseOneDeed,
    DepositDeed,
    GatherDeed,
    Hold,
    MoveStopDeed,
    ReopenDeed,
    SwapDeed,
    WarnDeed,
)
from axisor.features.margin_guard.record import Case
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import AccountBook, Setback, WatchedTrade, open_tags
from axisor.monitor.causes import part_key, step_key
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.precedence import Precedence
from axisor.monitor.reader import AccountReader
from axisor.monitor.scribe import Scribe
from axisor.monitor.settler import Settler
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, ExchangeClient, Lane, SignedRequest

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 1.0
LEARN_DEADLINE_S: Final = 2.0
SECOND_SEND_AFTER_S: Final = 0.5
MOST_PAUSE_S: Final = 2.0


class Dispatcher:
    """The only place of an account from which commands leave."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        executor: Executor,
        database: Database,
        book: AccountBook,
        wallet: Wallet,
        decider: Decider,
        settler: Settler,
        reader: AccountReader,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
        precedence: Precedence,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._executor = executor
        self._database = database
        self._book = book
        self._wallet = wallet
        self._decider = decider
        self._settler = settler
        self._reader = reader
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._precedence = precedence
        self.turn = asyncio.Lock()
        """Whoever holds it is the only one that decides and writes an attempt."""
        self._gather: Callable[[WatchedTrade, GatherDeed], None] | None = None
        self._reopen: Callable[[WatchedTrade, Case, ReopenDeed], Awaitable[None]] | None = None

    def use(
        self,
        *,
        gather: Callable[[WatchedTrade, GatherDeed], None],
        reopen: Callable[[WatchedTrade, Case, ReopenDeed], Awaitable[None]],
    ) -> None:
        """Set who carries out the deeds of several steps."""
        self._gather, self._reopen = gather, reopen

    async def run(self) -> None:
        """Act for ever, the most urgent first.

        Raises:
            LeaseLost: another process may send for this account now.
        """
        while True:
            watched = self._book.trades.get(await self._decider.due.pop())
            if watched is None or not self._decider.wants(watched):
                continue
            if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
                self._decider.push(watched)
                continue
            if watched.trade_id in self._book.trades:
                self._decider.push(watched)
            # Whoever became more urgent while the token was awaited goes first.
            if len(self._decider.due):
                urgent = self._book.trades.get(await self._decider.due.pop())
                if urgent is not None:
                    await self._try(urgent)

    async def _try(self, watched: WatchedTrade) -> None:
        trade_id = watched.trade_id
        try:
            with self._precedence.taken():
                async with self.turn:
                    await self._act(watched)
        except LeaseLost:
            raise
        except SpendingStopped:
            self._wallet.stopped |= {trade_id}
            self._decider.evaluate(trade_id)
        except AttemptExists:
            log.exception("attempt_exists", trade_id=trade_id)
            await self._learn_attempts()
            self._reader.read_soon()
            self._retry_later(watched, None)
        except Exception:
            # Neither database nor disk took the attempt, or it could not be made: nothing was sent.
            log.exception("command_not_sent", trade_id=trade_id)
            self._retry_later(watched, None)

    async def _learn_attempts(self) -> None:
        """Take up what the database knows and memory does not: it stands in the way of a new attempt."""
        try:
            async with asyncio.timeout(LEARN_DEADLINE_S), self._database.transaction() as connection:
                stored = await list_attempts(connection, self._account_id, now=self._clock.now())
        except AWAY as error:
            log.warning("attempts_unread", account=self._account_id, error=type(error).__name__)
            return
        for attempt in stored:
            watched = self._book.trades.get(attempt.trade_id)
            if watched is not None and (attempt.intent_id, attempt.attempt_no) not in watched.attempts:
                self._settler.learn(watched, attempt)

    async def _act(self, watched: WatchedTrade) -> None:
        facts = self._decider.facts(watched)
        if facts is None or watched.rule is None:
            self._decider.evaluate(watched.trade_id)
            return
        case = self._decider.decide(watched, facts)
        match case.decision:
            case WarnDeed() | Hold():
                self._decider.evaluate(watched.trade_id)
            case deed if self._decider.is_held_back(watched, deed):
                self._decider.evaluate(watched.trade_id)
            case AddMarginDeed() as deed:
                await self._top_up(watched, case, deed)
            case MoveStopDeed(stop_price=price, reason=reason):
                cause = Cause(kind=CauseKind.BACKSTOP, cause_id=watched.trade_id, key=f"stop:{price}:{new_id()}")
                record = self._scribe.decision_record(watched, case, "move_stop", reason, {"stop_price": price})
                watched.own_stops.add(price)
                await self.submit(watched, SetStopLoss(trade_id=watched.trade_id, stop_price=price), cause, record)
            case CloseDeed(rung=rung, arming_no=number):
                cause = self.rule_cause(watched, step_key(rung, number))
                record = self._scribe.decision_record(watched, case, "close", rung, {})
                await self.submit(watched, CloseTrade(trade_id=watched.trade_id), cause, record)
            case CloseOneDeed() as deed:
                await self._close_one(watched, case, deed)
            case CashInDeed() | SwapDeed() | DepositDeed() as deed:
                assert self._gather is not None
                self._gather(watched, deed)
            case ReopenDeed() as deed:
                assert self._reopen is not None
                await self._reopen(watched, case, deed)

    async def _close_one(self, watched: WatchedTrade, case: Case, deed: CloseOneDeed) -> None:
        chosen = self._book.trades[deed.trade_id]
        key = part_key(deed.rung, deed.arming_no, for_trade_id=watched.trade_id, part="close_one")
        cause = self.rule_cause(watched, key)
        outcome = {"closes": deed.trade_id, "quantity_usd": deed.quantity_usd}
        record = self._scribe.decision_record(watched, case, "close_one", deed.rung, outcome)
        await self.submit(chosen, CloseTrade(trade_id=deed.trade_id), cause, record)

    async def _top_up(self, watched: WatchedTrade, case: Case, deed: AddMarginDeed) -> None:
        offered_tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
        tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=offered_tag)
        if tagged is None:
            return
        amount_sats, tag = tagged
        record = self._scribe.decision_record(
            watched,
            case,
            "add_margin",
            deed.rung,
            {
                "amount_sats": amount_sats,
                "tag": tag,
                "offered_tag": offered_tag,
                "wanted_sats": deed.wanted_sats,
                "cap_sats": deed.cap_sats,
                "trigger_mark_price": deed.trigger_price,
                "is_second_send": deed.is_second_send,
            },
            arithmetic=deed.arithmetic,
        )
        await self.submit(
            watched,
            AddMargin(trade_id=watched.trade_id, amount_sats=amount_sats),
            self.rule_cause(watched, step_key(deed.rung, deed.arming_no)),
            record,
            tag=tag,
            is_second_send=deed.is_second_send,
        )

    def rule_cause(self, watched: WatchedTrade, key: str) -> Cause:
        """Return the cause of what a trade's rule does."""
        assert watched.rule is not None
        return Cause(kind=CauseKind.RULE, cause_id=watched.rule.rule_id, key=key)

    async def submit(
        self,
        watched: WatchedTrade,
        command: Command,
        cause: Cause,
        record: DecisionRecord | None,
        *,
        tag: int | None = None,
        is_second_send: bool = False,
    ) -> None:
        """Make one attempt durable and send it in the background; whoever calls holds `turn` and took a token.

        Raises:
            LeaseLost: this process may not send any more.
            SpendingStopped, AttemptExists: the database knows a reason against it; nothing was sent.
            EntryMarginUnknown: a top-up whose effect could not be told.
            OSError: neither the database nor the local disk takes the attempt; nothing was sent.
        """
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
            counter_before_sats=_counter_before(watched, command),
            tick_at=watched.tick_at,
            decision=record,
        )
        attempt, request = await self._executor.write(draft)
        self._settler.take_up(watched, attempt, signed_boottime_s=request.signed_boottime_s)
        watched.changed_boottime_s = self._clock.boottime_s()
        self._precedence.keep()
        self._tasks.start(self._send(watched, attempt, request), name=f"send {command.name.value}")
        self._chronicle.changed("positions")

    async def _send(self, watched: WatchedTrade, attempt: Attempt, request: SignedRequest) -> None:
        answer = await self._executor.send(request)
        present = watched.attempts.get((attempt.intent_id, attempt.attempt_no), attempt)
        if present.state is not AttemptState.SENT:
            return  # a reading was faster
        sent = with_answer(present, answer)
        paid_sats = None if answer.trade is None else watched.funding_paid_of(answer.trade)
        state, reason = classify(sent, answer, funding_paid_sats=paid_sats)
        is_shown = answer.trade is not None and answer.kind is AnswerKind.ACCEPTED
        if is_shown and answer.trade is not None:
            self._take_answer(watched, attempt, answer.trade, state)
        at = answer.answered_at or self._clock.now()
        self._settler.conclude(watched, advance(sent, state, at=at, reason=reason), answer)
        if is_shown:
            self._chronicle.store(watched, "answer", force=True)
        await self._follow_up(watched, attempt.command.name, state, answer)

    def _take_answer(self, watched: WatchedTrade, attempt: Attempt, trade: Trade, state: AttemptState) -> None:
        """Take the facts of an answer: they are as new as the answer itself."""
        command = attempt.command
        if isinstance(command, AddMargin) and state is AttemptState.CONFIRMED and watched.counter_sats is not None:
            # Only what is ours: whatever else the counter grew by is told or taken as late by the next reading.
            watched.counter_sats += command.amount_sats
        watched.trade = trade
        watched.requested_boottime_s = watched.changed_boottime_s = self._clock.boottime_s()
        watched.requested_at = self._clock.now()

    async def _follow_up(
        self, watched: WatchedTrade, command: CommandName, state: AttemptState, answer: Answer
    ) -> None:
        match state:
            case AttemptState.CONFIRMED | AttemptState.LATE_CONFIRMED:
                if watched.trade.status is TradeStatus.CLOSED:
                    self._reader.take_end(watched)
                self._reader.read_soon()
                self._decider.evaluate(watched.trade_id)
            case AttemptState.UNKNOWN:
                watched.changed_boottime_s = self._clock.boottime_s()
                watched.must_read_until_s = watched.changed_boottime_s + SECOND_SEND_AFTER_S
                self._reader.read_soon()
                self._decider.evaluate(watched.trade_id)
            case AttemptState.REFUSED:
                watched.must_read_until_s = float("inf")
                watched.changed_boottime_s = self._clock.boottime_s()
                self._reader.read_soon()
                self._retry_later(watched, command)
            case AttemptState.NOT_PROCESSED:
                if answer.is_auth_failure:
                    await self._reader.take_auth_failure()
                self._retry_later(watched, command)
            case AttemptState.SENT | AttemptState.NOT_APPLIED:
                pass

    def _retry_later(self, watched: WatchedTrade, command: CommandName | None) -> None:
        """Decide again: at once after the first failure, then with growing pauses; a new attempt, never the old one.

        Without `command` nothing of any kind went out.
        """
        now_s = self._clock.boottime_s()
        names = CommandName if command is None else (command,)
        for name in names:
            setback = watched.setbacks.get(name)
            failures = 1 if setback is None else setback.failures + 1
            pause_s = (
                0.0 if command is not None and failures == 1 else min(MOST_PAUSE_S, 0.05 * (1 << min(failures, 10)))
            )
            watched.setbacks[name] = Setback(failures, now_s + pause_s)
        self._decider.wake_at(watched.trade_id, max(watched.setbacks[name].retry_boottime_s for name in names))


def _counter_before(watched: WatchedTrade, command: Command) -> int | None:
    """Return what the counter that settles a command shows before it; None where none does."""
    match command:
        case AddMargin():
            return watched.counter_of(watched.trade)
        case CashIn():
            return cashed_in_sats(watched.trade)
        case _:
            return None
