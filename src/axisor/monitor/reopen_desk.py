"""Closing a trade and opening it again, smaller: two steps, the second only after the first.

Both steps are attempts, and the decision with its figures stands in the ledger before the first leaves: whoever takes
over between them goes on from there. What is opened is paid for by what came back and by nothing else. Where it cannot
be opened within a bound, what came back stays in the balance, and the owner is told.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from axisor.domain.commands import CloseTrade, OpenTrade
from axisor.domain.errors import AxisorError, LeaseLost
from axisor.domain.trades import CloseReason, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, usd_number
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, Cause, CauseKind
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.positions import find_position, probable_close_reason
from axisor.features.execution.reopenings import find_decision_inputs, list_opened_for_others
from axisor.features.execution.repository import list_trade_reservations
from axisor.features.margin_guard.deeds import OpenStep
from axisor.features.margin_guard.policy import ReopenDeed, RungState
from axisor.features.margin_guard.record import Case
from axisor.features.margin_guard.reducing import cost_sats, smallest_open_step
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.infra.code_version import code_version
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.monitor.account_desk import AccountDesk, AccountOrder
from axisor.monitor.book import NO_EFFECT_STATES, AccountBook, Succession, WatchedTrade
from axisor.monitor.causes import part_key, read_key
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.market import MarketState
from axisor.monitor.scribe import Scribe
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

CLOSE_PART: Final = "reopen"
OPEN_PART: Final = "open_again"
GIVE_UP_AFTER: Final = timedelta(minutes=5)
"""How long after the close a trade is opened again: later, the price is another one."""
LOOK_EVERY_S: Final = 0.25
MOST_TRIES: Final = 3
SLIPPAGE_PARTS: Final = 500
"""What opening may cost more than at the price seen is kept back: one part in 500 of what came back."""


@dataclass(slots=True, kw_only=True)
class Reopening:
    """One trade between its close and its opening."""

    watched: WatchedTrade
    rung: str
    arming_no: int
    cause: Cause
    decision_id: str | None
    inputs: dict[str, Any]
    quantity_usd: int
    rungs: dict[str, RungState]
    own_rule: GuardRule | None
    is_closed: bool = False
    tries: int = 0
    client_id: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trade(self) -> Trade:
        return self.watched.trade

    @property
    def trade_id(self) -> TradeId:
        return self.watched.trade_id


class ReopenDesk:
    """Carries out what closes a trade and opens a smaller one, for one account."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        book: AccountBook,
        wallet: Wallet,
        market: MarketState,
        dispatcher: Dispatcher,
        account_desk: AccountDesk,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
    ) -> None:
        self._account_id = exchange_account_id
        self._book = book
        self._wallet = wallet
        self._market = market
        self._dispatcher = dispatcher
        self._account_desk = account_desk
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._under_way: dict[TradeId, Reopening] = {}

    # The first step

    async def begin(self, watched: WatchedTrade, case: Case, deed: ReopenDeed) -> None:
        """Close a trade, to open it again; whoever calls holds the turn and took a token.

        Raises:
            LeaseLost, AttemptExists, OSError: nothing was sent.
        """
        outcome = {"returns_sats": deed.close_step.returns_sats, "quantity_usd": deed.open_step.quantity_usd}
        record = self._scribe.decision_record(watched, case, "reopen", deed.rung, outcome)
        key = part_key(deed.rung, deed.arming_no, for_trade_id=watched.trade_id, part=CLOSE_PART)
        cause = self._dispatcher.rule_cause(watched, key)
        self._under_way[watched.trade_id] = Reopening(
            watched=watched,
            rung=deed.rung,
            arming_no=deed.arming_no,
            cause=cause,
            decision_id=record.decision_id,
            inputs=record.inputs,
            quantity_usd=deed.open_step.quantity_usd,
            rungs=watched.rungs,
            own_rule=self._book.rules.by_trade.get(watched.trade_id),
        )
        watched.is_reopening = True
        await self._dispatcher.submit(watched, CloseTrade(trade_id=watched.trade_id), cause, record)

    def take_settled(self, attempt: Attempt) -> None:
        """Open again once the close is proven, and go on from what became of the opening."""
        if attempt.cause.kind is not CauseKind.RULE or (cause := read_key(attempt.cause.key)) is None:
            return
        reopening = None if cause.for_trade_id is None else self._under_way.get(cause.for_trade_id)
        if reopening is None:
            return
        watched = reopening.watched
        if cause.part == OPEN_PART:
            reopening.changed.set()
        elif cause.part == CLOSE_PART and attempt.state in APPLIED_STATES:
            if _ended_by_itself(watched):
                self._under_way.pop(watched.trade_id)
                watched.is_reopening = False  # told as what it is
            elif not reopening.is_closed:
                reopening.is_closed = True
                self._tasks.start(self._open_again(reopening), name="open again")
        elif cause.part == CLOSE_PART and attempt.state in NO_EFFECT_STATES and not watched.open_attempts():
            # It runs on; the next decision may be another one.
            self._under_way.pop(watched.trade_id)
            watched.is_reopening = False

    # After a restart

    async def load(self, connection: Any, attempts: list[Attempt]) -> set[TradeId]:
        """Find what an earlier process left between its steps; return the trades that are closed to be opened again."""
        for opened in await list_opened_for_others(connection, self._account_id):
            cause = read_key(opened.cause_key)
            if cause is not None and cause.part == OPEN_PART and cause.for_trade_id is not None:
                for row in await list_trade_reservations(connection, self._account_id, [cause.for_trade_id]):
                    self._wallet.budget.put(row)
                self._wallet.budget.succeed(cause.for_trade_id, opened.trade_id)
        for attempt in attempts:
            cause = read_key(attempt.cause.key) if attempt.cause.kind is CauseKind.RULE else None
            if cause is None or cause.part != CLOSE_PART or attempt.state in NO_EFFECT_STATES:
                continue
            openings = [other for other in attempts if _opens_for(other, attempt.trade_id)]
            live = [other for other in openings if other.state not in NO_EFFECT_STATES]
            if not live and attempt.signed_at + GIVE_UP_AFTER < self._clock.now():
                continue
            reopening = await self._stored(connection, attempt)
            if reopening is not None:
                reopening.tries = len(openings)
                reopening.client_id = next((str(other.intent_id) for other in live), None)
                self._under_way[attempt.trade_id] = reopening
        return set(self._under_way)

    def resume(self, rungs: dict[TradeId, dict[str, RungState]]) -> None:
        """Go on with what was found, once trades, steps and rules are known again."""
        for trade_id, reopening in list(self._under_way.items()):
            reopening.watched = self._book.trades.get(trade_id, reopening.watched)
            reopening.watched.is_reopening = True
            reopening.rungs = dict(rungs.get(trade_id, {}))
            state = reopening.rungs.get(reopening.rung)
            if state is None or state.arming_no == reopening.arming_no:
                reopening.rungs[reopening.rung] = RungState(arming_no=reopening.arming_no, is_armed=False)
            reopening.own_rule = self._book.rules.by_trade.get(trade_id)
            if reopening.client_id is not None:
                self._expect(reopening, reopening.client_id)
            if reopening.is_closed:
                self._tasks.start(self._open_again(reopening), name="open again")

    async def _stored(self, connection: Any, attempt: Attempt) -> Reopening | None:
        position = await find_position(connection, self._account_id, attempt.trade_id)
        inputs = (
            None
            if attempt.decision_id is None
            else await find_decision_inputs(connection, self._account_id, attempt.decision_id)
        )
        cause = read_key(attempt.cause.key)
        if position is None or inputs is None or cause is None:
            log.error("reopening_lost", account=self._account_id, trade_id=attempt.trade_id)
            return None
        watched = WatchedTrade(
            trade=position.trade,
            requested_boottime_s=float("-inf"),
            requested_at=position.requested_at,
            close_reason=position.close_reason,
        )
        if position.trade.status is TradeStatus.CLOSED and _ended_by_itself(watched):
            return None
        return Reopening(
            watched=watched,
            is_closed=attempt.state in APPLIED_STATES,
            rung=cause.rung,
            arming_no=cause.arming_no,
            cause=attempt.cause,
            decision_id=attempt.decision_id,
            inputs=inputs,
            quantity_usd=int(inputs["decision"]["open_step"]["quantity_usd"]),
            rungs={},
            own_rule=None,
        )

    # The second step

    async def _open_again(self, reopening: Reopening) -> None:
        why = "not_opened"
        try:
            why = await self._try(reopening)
        except LeaseLost:
            log.warning("reopening_without_lease", trade_id=reopening.trade_id)
            return  # the next owner goes on
        except (AxisorError, OSError):
            log.exception("reopening_failed", trade_id=reopening.trade_id)
        finally:
            self._under_way.pop(reopening.trade_id, None)
        if why != "opened":
            self._tell(self._activity(reopening, None, why=why))

    async def _try(self, reopening: Reopening) -> str:
        """Open the smaller trade; return `opened`, or why it is not."""
        last_try_at = self._clock.now() + GIVE_UP_AFTER
        while True:
            state = self._newest(reopening)
            if state is not None and state.state in APPLIED_STATES:
                return "opened"
            if state is not None and state.is_open:
                reopening.changed.clear()
                await self._wait(reopening)
                continue
            if self._wallet.stopped & {reopening.trade_id, self._account_id}:
                return "spending_stopped"
            if reopening.tries >= MOST_TRIES or self._clock.now() > last_try_at:
                return "not_opened"
            if reopening.trade.status is not TradeStatus.CLOSED:
                await self._clock.sleep(LOOK_EVERY_S)  # the close is proven, its figures are not read yet
                continue
            last_try_at = min(last_try_at, (reopening.trade.closed_at or last_try_at) + GIVE_UP_AFTER)
            if not await self._account_desk.submit_decided(lambda: self._order(reopening)):
                await self._clock.sleep(LOOK_EVERY_S)

    async def _wait(self, reopening: Reopening) -> None:
        try:
            async with asyncio.timeout(1.0):
                await reopening.changed.wait()
        except TimeoutError:
            return

    def _newest(self, reopening: Reopening) -> Attempt | None:
        found = [attempt for attempt in self._book.account_attempts.values() if _opens_for(attempt, reopening.trade_id)]
        return max(found, key=lambda attempt: attempt.signed_at, default=None)

    def _order(self, reopening: Reopening) -> AccountOrder | None:
        """Return the opening at present prices, None without them or where what came back does not pay for it."""
        now, boottime_s = self._clock.now(), self._clock.boottime_s()
        side = reopening.trade.side
        price = self._market.trigger_price(side.opposite, reopening.quantity_usd, boottime_s)
        if price is None or not self._market.is_fresh(boottime_s) or self._wallet.blocks_money_in():
            return None
        came_back_sats = _came_back_sats(reopening.trade)
        budget_sats = came_back_sats - came_back_sats // SLIPPAGE_PARTS
        step = smallest_open_step(side=side, quantity_usd=reopening.quantity_usd, price=price, budget_sats=budget_sats)
        if step is None:
            reopening.tries = MOST_TRIES
            return None
        reopening.tries += 1
        client_id = new_id()
        command = OpenTrade(
            side=side,
            quantity_usd=step.quantity_usd,
            leverage=step.leverage,
            limit_price=None,
            stop_loss_price=None,
            take_profit_price=None,
            client_id=client_id,
        )
        self._expect(reopening, client_id)
        key = part_key(
            reopening.rung,
            reopening.arming_no,
            for_trade_id=reopening.trade_id,
            part=OPEN_PART,
            number=str(reopening.tries),
        )
        record = self._record(reopening, step, came_back_sats=came_back_sats, cost=cost_sats(step, price), at=now)
        return AccountOrder(
            command=command,
            scope_id=reopening.trade_id,
            cause=replace(reopening.cause, key=key),
            decision=record,
        )

    def _expect(self, reopening: Reopening, client_id: str) -> None:
        reopening.client_id = client_id
        self._book.successions[client_id] = Succession(
            before=reopening.trade_id,
            rungs=reopening.rungs,
            own_rule=reopening.own_rule,
            activity=lambda watched: self._activity(reopening, watched),
        )

    def _record(
        self, reopening: Reopening, step: OpenStep, *, came_back_sats: int, cost: int, at: datetime
    ) -> DecisionRecord:
        outcome = {
            "came_back_sats": came_back_sats,
            "cost_sats": cost,
            "quantity_usd": step.quantity_usd,
            "leverage": step.leverage,
            "margin_sats": step.margin_sats,
            "liquidation_price": step.liquidation_price,
        }
        return DecisionRecord(
            exchange_account_id=self._account_id,
            decision_id=new_id(),
            trade_id=reopening.trade_id,
            at=at,
            action="open_again",
            reason=reopening.rung,
            inputs={"decided_by": reopening.decision_id, "outcome": outcome},
            arithmetic=[
                {
                    "name": "leverage",
                    "formula": "the lowest whole one that what came back pays for, 1/500 kept back",
                    "value": str(step.leverage),
                }
            ],
            rule_id=reopening.cause.cause_id,
            rule_version=None,
            code_version=code_version(),
        )

    # Telling

    def _activity(self, reopening: Reopening, opened: WatchedTrade | None, *, why: str | None = None) -> Activity:
        trade = reopening.trade
        data = {
            "done": opened is not None,
            "reason": why,
            "returned_sats": _came_back_sats(trade),
            "old_quantity_usd": trade.quantity_usd,
            "quantity_usd": None if opened is None else opened.trade.quantity_usd,
            "leverage": None if opened is None else float(opened.trade.leverage),
            "price": None if opened is None else usd_number(opened.trade.price),
            "liquidation_price": None if opened is None else usd_number(opened.trade.liquidation_price),
            "trade_id": None if opened is None else opened.trade_id,
        }
        severity = Severity.DEED if opened is not None else Severity.DANGER
        return self._chronicle.activity(
            reopening.watched, ActivityKind.REOPENED, severity, data, decision_id=reopening.decision_id
        )

    def _tell(self, activity: Activity) -> None:
        self._chronicle.put(self._chronicle.activity_write(activity))


def _opens_for(attempt: Attempt, trade_id: TradeId) -> bool:
    """Return whether an attempt opens a trade in the place of this one."""
    if not isinstance(attempt.command, OpenTrade) or attempt.cause.kind is not CauseKind.RULE:
        return False
    cause = read_key(attempt.cause.key)
    return cause is not None and cause.part == OPEN_PART and cause.for_trade_id == trade_id


def _ended_by_itself(watched: WatchedTrade) -> bool:
    """Return whether a trade ended otherwise than by a close on request: then the plan is over."""
    reason = watched.close_reason or probable_close_reason(watched.trade)
    return reason in (CloseReason.LIQUIDATION, CloseReason.STOP_LOSS, CloseReason.TAKE_PROFIT)


def _came_back_sats(trade: Trade) -> int:
    """Return what a closed trade gave back in sats."""
    return max(0, trade.margin_sats + trade.maintenance_margin_sats + trade.pnl_sats)
