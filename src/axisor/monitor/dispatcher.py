"""Acting: the most urgent first, one token, a decision from present facts, one durable attempt, one sending."""

from typing import Any, Final

import structlog

from axisor.domain.commands import AddMargin, CloseTrade, Command, SetStopLoss
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId, usd_number
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
from axisor.features.execution.repository import AttemptExists, SpendingStopped
from axisor.features.margin_guard.policy import AddMarginDeed, CloseDeed, Facts, Hold, MoveStopDeed, WarnDeed
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import AccountBook, WatchedTrade, open_tags
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.reader import MOST_BACK_OFF_S, AccountReader
from axisor.monitor.scribe import Scribe
from axisor.monitor.settler import Settler
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, ExchangeClient, Lane

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 1.0


class Dispatcher:
    """The only place of an account from which commands leave."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        executor: Executor,
        book: AccountBook,
        wallet: Wallet,
        decider: Decider,
        settler: Settler,
        reader: AccountReader,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._executor = executor
        self._book = book
        self._wallet = wallet
        self._decider = decider
        self._settler = settler
        self._reader = reader
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks

    async def run(self) -> None:
        while True:
            trade_id = await self._decider.due.pop()
            watched = self._book.trades.get(trade_id)
            if watched is None:
                continue
            if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
                self._decider.push(watched)
                continue
            try:
                await self._act(watched)
            except SpendingStopped:
                self._wallet.stopped |= {trade_id}
                self._decider.evaluate(trade_id)
            except AttemptExists:
                log.exception("attempt_exists", trade_id=trade_id)
                self._reader.read_soon()
                self._retry_later(watched)
            except OSError:
                log.exception("nothing_durable", trade_id=trade_id)
                self._retry_later(watched)

    async def _act(self, watched: WatchedTrade) -> None:
        facts = self._decider.facts(watched)
        if facts is None or watched.rule is None:
            return
        match self._decider.decide(watched, facts):
            case AddMarginDeed() as deed:
                await self._top_up(watched, facts, deed)
            case MoveStopDeed(stop_price=price, reason=reason):
                cause = Cause(kind=CauseKind.BACKSTOP, cause_id=watched.trade_id, key=f"stop:{price}:{new_id()}")
                record = self._scribe.decision_record(watched, facts, "move_stop", reason, {"stop_price": price})
                watched.own_stops.add(price)
                await self.submit(watched, SetStopLoss(trade_id=watched.trade_id, stop_price=price), cause, record)
            case CloseDeed(rung=rung, arming_no=number):
                cause = self._rule_cause(watched, rung, number)
                record = self._scribe.decision_record(watched, facts, "close", rung, {})
                await self.submit(watched, CloseTrade(trade_id=watched.trade_id), cause, record)
            case WarnDeed() | Hold():
                self._decider.evaluate(watched.trade_id)

    async def _top_up(self, watched: WatchedTrade, facts: Facts, deed: AddMarginDeed) -> None:
        tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
        tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=tag)
        if tagged is None:
            return
        amount_sats, tag = tagged
        record = self._scribe.decision_record(
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
        await self.submit(
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
        self._wallet.reserve(attempt)
        self._tasks.start(self._send(watched, attempt, request), name=f"send {command.name.value}")
        self._chronicle.changed("positions")

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
        self._settler.conclude(watched, advance(sent, state, at=at, reason=reason), answer)
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
        self._chronicle.store(watched, "answer", force=True)

    async def _follow_up(self, watched: WatchedTrade, state: AttemptState, answer: Answer) -> None:
        match state:
            case AttemptState.CONFIRMED | AttemptState.LATE_CONFIRMED:
                watched.failures = 0
                if watched.trade.status is TradeStatus.CLOSED:
                    self._reader.take_end(watched)
                self._reader.read_soon()
                self._decider.evaluate(watched.trade_id)
            case AttemptState.UNKNOWN:
                self._reader.read_soon()
                self._decider.evaluate(watched.trade_id)
            case AttemptState.REFUSED:
                self._reader.read_soon()
                self._retry_later(watched)
            case AttemptState.NOT_PROCESSED:
                if answer.is_auth_failure:
                    self._reader.note_auth_failure()
                    await self._reader.try_sync_clock()
                self._retry_later(watched)
            case AttemptState.SENT | AttemptState.NOT_APPLIED:
                pass

    def _retry_later(self, watched: WatchedTrade) -> None:
        """Decide again: at once after the first failure, then with growing pauses; a new attempt, never the old one."""
        watched.failures += 1
        pause_s = 0.0 if watched.failures == 1 else min(MOST_BACK_OFF_S, 0.05 * (1 << min(watched.failures, 10)))
        self._decider.wake_at(watched.trade_id, self._clock.boottime_s() + pause_s)
