"""Drills on a person's own trade: one sat added and proven, the stop moved by a tick and back."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from axisor.domain.commands import AddMargin, CommandClass, SetStopLoss
from axisor.domain.errors import AxisorError
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.recorder import Write
from axisor.features.execution.requests import CommandRequest
from axisor.features.margin_guard.drills import DRILL_SATS, Drill, DrillStatus, DrillStep, StepName, save_drill
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import WatchedTrade, open_tags
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.scribe import Scribe
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 10.0
STOP_DEADLINE_S: Final = 15.0
PROOF_DEADLINE_S: Final = 120.0
"""Longer than any quiet period: an outcome that is in doubt is certain by then."""
_ENDED: Final = APPLIED_STATES | {AttemptState.REFUSED, AttemptState.NOT_PROCESSED, AttemptState.NOT_APPLIED}


class DrillDesk:
    """Carries out the drills of one account, one at a time."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        decider: Decider,
        dispatcher: Dispatcher,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
        goes: Callable[[CommandClass], bool],
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._decider = decider
        self._dispatcher = dispatcher
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._goes = goes
        self._is_busy = False

    async def begin(self, watched: WatchedTrade, request: CommandRequest, cause: Cause) -> str | None:
        """Send the first request of a drill and go on in the background; return why nothing is sent, else None.

        Raises:
            LeaseLost, AttemptExists, SpendingStopped, OSError: nothing was sent.
        """
        if self._is_busy or watched.is_taking_back or watched.open_top_ups():
            return self._refused(request, "under_way")
        if DRILL_SATS in open_tags(watched.attempts.values()):
            return self._refused(request, "under_way")
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=TOKEN_DEADLINE_S):
            return self._refused(request, "rate_limited")
        async with self._dispatcher.turn:
            facts = self._decider.facts(watched)
            if facts is None or not self._goes(CommandClass.MONEY_IN):
                return self._refused(request, "unknown_facts")
            if facts.spending.is_stopped:
                return self._refused(request, "spending_stopped")
            case = self._decider.decide(watched, facts)
            outcome = {"amount_sats": DRILL_SATS, "drill_id": request.request_id}
            record = self._scribe.decision_record(watched, case, "add_margin", "drill", outcome)
            command = AddMargin(trade_id=watched.trade_id, amount_sats=DRILL_SATS)
            self._is_busy = True
            try:
                await self._dispatcher.submit(watched, command, cause, record, tag=DRILL_SATS)
            except BaseException:
                self._is_busy = False
                raise
        drill = self._new(request, DrillStep(name=StepName.ADD_MARGIN, intent_id=watched.intents[cause][0]))
        self._save(drill)
        self._tasks.start(self._go_on(watched, drill), name="drill")
        return None

    async def _go_on(self, watched: WatchedTrade, drill: Drill) -> None:
        try:
            drill = await self._prove(watched, drill)
            if drill.status is DrillStatus.RUNNING:
                drill = await self._move_stop_twice(watched, drill)
        except (AxisorError, OSError) as error:
            log.exception("drill_broke", trade_id=watched.trade_id)
            code = error.code if isinstance(error, AxisorError) else "disk"
            last = replace(drill.steps[-1], ok=False, detail=code)
            drill = replace(drill, steps=(*drill.steps[:-1], last), status=DrillStatus.FAILED)
        finally:
            self._is_busy = False
            self._save(replace(drill, finished_at=self._clock.now()))
            log.info("drill_ended", trade_id=watched.trade_id, status=drill.status.value)

    async def _prove(self, watched: WatchedTrade, drill: Drill) -> Drill:
        """Wait until the added sat is certain, by the counter that only adding moves."""
        step = drill.steps[0]
        assert step.intent_id is not None
        intent_id = step.intent_id
        await self._until(watched, lambda: _state(watched, intent_id) in _ENDED, PROOF_DEADLINE_S)
        state = _state(watched, intent_id)
        ok = True if state in APPLIED_STATES else False if state in _ENDED else None
        added = replace(step, ok=ok, detail=None if ok else state.value)
        proof = DrillStep(name=StepName.VERIFY, ok=ok, detail="counter" if ok else state.value)
        status = {True: DrillStatus.RUNNING, False: DrillStatus.FAILED, None: DrillStatus.UNKNOWN}[ok]
        drill = replace(drill, steps=(added, proof), status=status)
        self._save(drill)
        return drill

    async def _move_stop_twice(self, watched: WatchedTrade, drill: Drill) -> Drill:
        """Move our stop by a tick toward the price and back; without one of ours there is nothing to move."""
        stop = watched.trade.stop_loss_price
        if stop is None or stop != watched.own_stop_price or watched.is_taking_back:
            detail = "no_stop" if stop is None else "users_stop" if stop != watched.own_stop_price else "under_way"
            skipped = tuple(
                DrillStep(name=name, ok=None, detail=detail) for name in (StepName.MOVE_STOP, StepName.MOVE_STOP_BACK)
            )
            return replace(drill, steps=drill.steps + skipped, status=DrillStatus.PASSED)
        watched.is_taking_back = True  # nobody else moves the stop meanwhile
        try:
            moved = Price(stop + watched.trade.side.sign)
            for name, price in ((StepName.MOVE_STOP, moved), (StepName.MOVE_STOP_BACK, stop)):
                step = await self._move_stop(watched, drill, name, price)
                status = {True: DrillStatus.RUNNING, False: DrillStatus.FAILED, None: DrillStatus.UNKNOWN}[step.ok]
                drill = replace(drill, steps=(*drill.steps, step), status=status)
                self._save(drill)
                if status is not DrillStatus.RUNNING:
                    return drill
            return replace(drill, status=DrillStatus.PASSED)
        finally:
            watched.is_taking_back = False
            self._decider.evaluate(watched.trade_id)

    async def _move_stop(self, watched: WatchedTrade, drill: Drill, name: StepName, price: Price) -> DrillStep:
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=TOKEN_DEADLINE_S):
            return DrillStep(name=name, ok=False, detail="rate_limited")
        async with self._dispatcher.turn:
            facts = self._decider.facts(watched)
            if facts is None:
                return DrillStep(name=name, ok=False, detail="unknown_facts")
            cause = Cause(kind=CauseKind.BACKSTOP, cause_id=watched.trade_id, key=f"stop:{price}:{new_id()}")
            case = self._decider.decide(watched, facts)
            outcome = {"stop_price": price, "drill_id": drill.drill_id}
            record = self._scribe.decision_record(watched, case, "move_stop", "drill", outcome)
            watched.own_stops.add(price)
            command = SetStopLoss(trade_id=watched.trade_id, stop_price=price)
            await self._dispatcher.submit(watched, command, cause, record)
        intent_id = watched.intents[cause][0]
        is_there = await self._until(watched, lambda: watched.trade.stop_loss_price == price, STOP_DEADLINE_S)
        state = _state(watched, intent_id)
        ok = True if is_there else False if state in _ENDED else None
        return DrillStep(name=name, intent_id=intent_id, ok=ok, detail=None if ok else state.value)

    async def _until(self, watched: WatchedTrade, is_so: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not is_so():
                    watched.news.clear()
                    await watched.news.wait()
        except TimeoutError:
            return False
        return True

    def _refused(self, request: CommandRequest, reason: str) -> str:
        step = DrillStep(name=StepName.ADD_MARGIN, ok=False, detail=reason)
        drill = replace(self._new(request, step), status=DrillStatus.FAILED, finished_at=self._clock.now())
        self._save(drill)
        return reason

    def _new(self, request: CommandRequest, step: DrillStep) -> Drill:
        return Drill(
            drill_id=request.request_id,
            exchange_account_id=self._account_id,
            trade_id=request.trade_id,
            started_at=self._clock.now(),
            finished_at=None,
            status=DrillStatus.RUNNING,
            steps=(step,),
        )

    def _save(self, drill: Drill) -> None:
        self._chronicle.put(
            Write(
                "drill",
                lambda connection: save_drill(connection, drill),
                after=lambda: self._chronicle.changed("drill"),
            )
        )


def _state(watched: WatchedTrade, intent_id: str) -> AttemptState:
    """Return the state of the newest attempt of an intent; sent where none is known yet."""
    attempts: list[Attempt] = [each for each in watched.attempts.values() if each.intent_id == intent_id]
    return attempts[-1].state if attempts else AttemptState.SENT
