"""Taking added sats back: the stop inside first, then the cash-in, each settled before the next."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from axisor.domain.commands import CashIn, CommandClass, CommandName, SetStopLoss
from axisor.domain.errors import AxisorError
from axisor.features.execution.attempts import Cause, CauseKind, next_tag, tagged_amount_sats
from axisor.features.margin_guard.policy import Facts
from axisor.features.margin_guard.record import TakeBackCase
from axisor.features.margin_guard.take_back import (
    Keep,
    KeepReason,
    TakeBack,
    TakeBackFacts,
    returnable_sats,
    take_back,
)
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import AccountBook, WatchedTrade, open_tags
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.scribe import Scribe
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 10.0
STOP_DEADLINE_S: Final = 10.0
AUTOMATIC_SHARE: Final = 4
"""By itself no less than a quarter of what can come back is taken: each time is a call and a stop moved twice."""


class TakeBackDesk:
    """Takes added sats back out of one account's trades: when asked to, or by a rule that says so."""

    def __init__(
        self,
        *,
        client: ExchangeClient,
        book: AccountBook,
        wallet: Wallet,
        decider: Decider,
        dispatcher: Dispatcher,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
        look_every_s: float,
        goes: Callable[[CommandClass], bool],
    ) -> None:
        self._client = client
        self._book = book
        self._wallet = wallet
        self._decider = decider
        self._dispatcher = dispatcher
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._look_every_s = look_every_s
        self._goes = goes

    async def run(self) -> None:
        """Take back for ever what rules say to be taken back by itself."""
        while True:
            await self._clock.sleep(self._look_every_s)
            for watched in list(self._book.trades.values()):
                if self._is_due(watched):
                    self._tasks.start(self._take_back_by_rule(watched), name="take back")

    def _is_due(self, watched: WatchedTrade) -> bool:
        rule = watched.rule
        if rule is None or not rule.takes_back or watched.is_taking_back:
            return False
        if watched.is_held_back(CommandName.CASH_IN, self._clock.boottime_s()):
            return False
        case = self._ask(watched, None)
        plan = None if case is None else case.decision
        if case is None or not isinstance(plan, TakeBack):
            self._note_kept(watched, case)
            return False
        watched.kept_reason = None
        returnable = returnable_sats(watched.trade, added_sats=watched.counter_of(watched.trade))
        return plan.amount_sats * AUTOMATIC_SHARE >= returnable

    async def _take_back_by_rule(self, watched: WatchedTrade) -> None:
        assert watched.rule is not None
        cause = Cause(kind=CauseKind.RULE, cause_id=watched.rule.rule_id, key=f"take_back:{new_id()}")
        try:
            keep = await self.carry_out(watched, cause, asked_sats=None, lane=Lane.ROUTINE)
        except (AxisorError, OSError):
            log.exception("take_back_failed", trade_id=watched.trade_id)
            return
        if keep is not None:
            log.info("take_back_held", trade_id=watched.trade_id, reason=keep.reason.value)

    async def carry_out(
        self, watched: WatchedTrade, cause: Cause, *, asked_sats: int | None, lane: Lane
    ) -> Keep | None:
        """Take back at most `asked_sats`; return why nothing is taken, None once the command is sent.

        Raises:
            LeaseLost, AttemptExists, OSError: nothing was sent.
        """
        if watched.is_taking_back:
            return Keep(reason=KeepReason.UNDER_WAY)
        watched.is_taking_back = True
        try:
            if not await self._stops_settled(watched):
                return Keep(reason=KeepReason.STOP_NOT_MOVED)
            case = self._ask(watched, asked_sats)
            if case is None:
                return Keep(reason=KeepReason.UNKNOWN_FACTS)
            plan = case.decision
            if isinstance(plan, Keep):
                if cause.kind is CauseKind.REQUEST:
                    self._store_kept(watched, case, plan)
                return plan
            if plan.stop_before is not None and not await self._move_stop(watched, asked_sats, lane):
                return Keep(reason=KeepReason.STOP_NOT_MOVED)
            return await self._cash_in(watched, cause, asked_sats=plan.cap_sats, lane=lane)
        finally:
            watched.is_taking_back = False
            self._decider.evaluate(watched.trade_id)

    def _ask(self, watched: WatchedTrade, asked_sats: int | None) -> TakeBackCase | None:
        """Return what may be taken back now with all that it depends on, None without facts that may move sats."""
        facts = self._decider.facts(watched)
        if facts is None or not self._goes(CommandClass.RISK):
            return None
        known, now = self._facts(watched, facts), self._clock.now()
        plan = take_back(known, now=now, asked_sats=asked_sats)
        return TakeBackCase(facts=known, rule=watched.rule, asked_sats=asked_sats, now=now, decision=plan)

    def _note_kept(self, watched: WatchedTrade, case: TakeBackCase | None) -> None:
        """Write why a rule takes nothing back, when the reason changes; with nothing added there is no question."""
        if case is None or not isinstance(case.decision, Keep):
            return
        reason = case.decision.reason
        if reason.value == watched.kept_reason or reason in (KeepReason.NOTHING_ADDED, KeepReason.NOT_RUNNING):
            return
        watched.kept_reason = reason.value
        self._store_kept(watched, case, case.decision)

    def _store_kept(self, watched: WatchedTrade, case: TakeBackCase, keep: Keep) -> None:
        self._chronicle.store_decision(self._scribe.decision_record(watched, case, "keep", keep.reason.value, {}))

    def _facts(self, watched: WatchedTrade, facts: Facts) -> TakeBackFacts:
        trade = watched.trade
        is_counted = watched.is_funding_explained and trade.entry_margin_sats is not None
        return TakeBackFacts(
            trade=trade,
            trigger_price=facts.trigger_price,
            full_room=facts.full_room,
            stop_share=None if watched.rule is None else watched.rule.stop_share,
            own_stop_price=facts.own_stop_price,
            added_sats=watched.counter_of(trade) if is_counted else None,
            last_rescue_at=watched.last_top_up_at(),
            funding_at=facts.funding_at,
            is_top_up_open=bool(watched.open_top_ups()),
            is_take_back_open=bool(watched.open_cash_ins()),
            is_after_takeover=self._wallet.blocks_money_in(),
        )

    async def _move_stop(self, watched: WatchedTrade, asked_sats: int | None, lane: Lane) -> bool:
        """Move our stop to where it must be first; return whether the exchange is known to have it there."""
        if not await self._client.limiter.acquire(lane, deadline_s=TOKEN_DEADLINE_S):
            return False
        async with self._dispatcher.turn:
            case = self._ask(watched, asked_sats)
            if case is None or watched.trade.stop_loss_price != case.facts.own_stop_price:
                return False
            if not isinstance(case.decision, TakeBack) or case.decision.stop_before is None:
                return isinstance(case.decision, TakeBack)
            price = case.decision.stop_before
            cause = Cause(kind=CauseKind.BACKSTOP, cause_id=watched.trade_id, key=f"stop:{price}:{new_id()}")
            record = self._scribe.decision_record(watched, case, "move_stop", "take_back", {"stop_price": price})
            watched.own_stops.add(price)
            command = SetStopLoss(trade_id=watched.trade_id, stop_price=price)
            await self._dispatcher.submit(watched, command, cause, record)
        return await self._until(watched, lambda: watched.trade.stop_loss_price == price)

    async def _cash_in(self, watched: WatchedTrade, cause: Cause, *, asked_sats: int, lane: Lane) -> Keep | None:
        if not await self._client.limiter.acquire(lane, deadline_s=TOKEN_DEADLINE_S):
            return Keep(reason=KeepReason.UNKNOWN_FACTS)
        async with self._dispatcher.turn:
            case = self._ask(watched, asked_sats)
            if case is None:
                return Keep(reason=KeepReason.UNKNOWN_FACTS)
            plan = case.decision
            if isinstance(plan, Keep):
                return plan
            if plan.stop_before is not None or watched.open_stops():
                return Keep(reason=KeepReason.STOP_NOT_MOVED)
            offered_tag = next_tag(open_tags(watched.attempts.values()), last_tag=watched.last_tag)
            tagged = tagged_amount_sats(amount_sats=plan.amount_sats, cap_sats=plan.cap_sats, tag=offered_tag)
            if tagged is None:
                return Keep(reason=KeepReason.UNKNOWN_FACTS)
            amount_sats, tag = tagged
            outcome = {
                "amount_sats": amount_sats,
                "tag": tag,
                "offered_tag": offered_tag,
                "cap_sats": plan.cap_sats,
                "from_pnl_sats": plan.from_pnl_sats,
                "from_margin_sats": plan.from_margin_sats,
                "liquidation_price": plan.liquidation_price,
            }
            record = self._scribe.decision_record(
                watched, case, "take_back", cause.kind.value, outcome, arithmetic=plan.arithmetic
            )
            command = CashIn(trade_id=watched.trade_id, amount_sats=amount_sats)
            await self._dispatcher.submit(watched, command, cause, record, tag=tag)
            return None

    async def _stops_settled(self, watched: WatchedTrade) -> bool:
        """Return whether no stop is on its way any more: one sent outward may not arrive behind the cash-in."""
        async with self._dispatcher.turn:  # whatever was decided before this has been sent
            pass
        return await self._until(watched, lambda: not watched.open_stops())

    async def _until(self, watched: WatchedTrade, is_so: Callable[[], bool]) -> bool:
        """Return True once something is known of the trade, False where it is not within the deadline."""
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                while not is_so():
                    watched.news.clear()
                    await watched.news.wait()
        except TimeoutError:
            return False
        return True
