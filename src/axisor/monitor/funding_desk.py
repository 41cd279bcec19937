"""Fetching sats for a top-up from where else they are: another trade's profit, synthetic dollars, the owner's node.

Each is an attempt of its own, caused by the step it is for. While its outcome is unknown only money-in of that trade
waits; the top-up follows as a decision of its own once the balance shows the sats. A source that fails is passed over
for a while, so that the next one is used.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid5

import structlog

from axisor.domain.commands import CashIn, Command, CommandName, DepositLightning, SetStopLoss, Swap
from axisor.domain.errors import AxisorError, ExchangeError, LeaseLost
from axisor.domain.units import ExchangeAccountId, Price, TradeId
from axisor.domain.wallet import Asset
from axisor.features.execution.attempts import (
    APPLIED_STATES,
    Attempt,
    AttemptState,
    Cause,
    CauseKind,
    next_tag,
    tagged_amount_sats,
)
from axisor.features.margin_guard.policy import CashInDeed, DepositDeed, GatherDeed, SwapDeed
from axisor.features.margin_guard.profit import ProfitTaken, take_profit
from axisor.features.margin_guard.record import Case
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.infra.ids import new_id
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.infra.tasks import TaskSet
from axisor.monitor.account_desk import AccountDesk, AccountOrder
from axisor.monitor.book import NO_EFFECT_STATES, AccountBook, Setback, WatchedTrade, open_tags
from axisor.monitor.causes import part_key, read_key
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.decider import Decider
from axisor.monitor.dispatcher import Dispatcher
from axisor.monitor.market import MarketState
from axisor.monitor.means import GATHER_COMMANDS, own_stop_price
from axisor.monitor.reader import AccountReader
from axisor.monitor.scribe import Scribe
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane
from axisor.ports.lightning import LightningNode

log = structlog.get_logger(__name__)

GATHER_WITHIN_S: Final = 3.0
"""How long a top-up waits for what comes before the sending: an invoice, a stop that moves. Seldom a tenth of it."""
TOKEN_DEADLINE_S: Final = 5.0
STOP_DEADLINE_S: Final = 5.0
NODE_EVERY_S: Final = 5.0
PASSED_OVER_S: Final = 30.0
"""How long a source that refused is passed over."""
RETRY_S: Final = 0.5
_PAUSE_S: Final = {
    AttemptState.REFUSED: PASSED_OVER_S,
    AttemptState.NOT_PROCESSED: RETRY_S,  # the lists are read first: an exchange may be wrong about itself
    AttemptState.NOT_APPLIED: 0.0,
}
"""How long a source waits after a sending without effect; longer each time."""
_SOURCE: Final = {
    CommandName.CASH_IN: "cash_in",
    CommandName.SWAP: "swap",
    CommandName.DEPOSIT_LIGHTNING: "deposit",
}


class FundingDesk:
    """Carries out what brings sats into the balance of one account."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        book: AccountBook,
        market: MarketState,
        decider: Decider,
        dispatcher: Dispatcher,
        account_desk: AccountDesk,
        reader: AccountReader,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
        wallet: Wallet,
        node: LightningNode | None,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._book = book
        self._market = market
        self._decider = decider
        self._dispatcher = dispatcher
        self._account_desk = account_desk
        self._reader = reader
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._wallet = wallet
        self._node = node

    async def watch_node(self) -> None:
        """Keep knowing what the owner's node can pay, for ever; one that does not answer pays nothing."""
        if self._node is None:
            return
        while True:
            try:
                self._wallet.node_sats = await self._node.fetch_spendable_sats()
            except ExchangeError as error:
                self._wallet.node_sats = 0
                log.warning("node_unread", account=self._account_id, error=error.message)
            await self._clock.sleep(NODE_EVERY_S)

    def start(self, watched: WatchedTrade, deed: GatherDeed) -> None:
        """Begin to fetch sats for a trade; it waits for them, but no longer than it may."""
        if watched.gathering_until_s is not None:
            return
        watched.gathering_until_s = self._clock.boottime_s() + GATHER_WITHIN_S
        self._tasks.start(self._gather(watched, deed), name=f"gather {type(deed).__name__}")

    async def _gather(self, watched: WatchedTrade, deed: GatherDeed) -> None:
        command = _COMMAND_OF[type(deed)]
        is_sent = False
        try:
            match deed:
                case CashInDeed():
                    is_sent = await self._cash_in(watched, deed)
                case SwapDeed():
                    is_sent = await self._account_desk.submit_decided(lambda: self._swap_order(watched))
                case DepositDeed():
                    is_sent = await self._deposit(watched, deed)
        except LeaseLost:
            log.warning("gathering_without_lease", trade_id=watched.trade_id)
        except (AxisorError, OSError):
            log.exception("gathering_failed", trade_id=watched.trade_id, command=command.value)
        finally:
            watched.gathering_until_s = None
        if not is_sent:
            self._pass_over(watched, command, 0.0)
        self._decider.evaluate(watched.trade_id)

    def _decide_again(self, watched: WatchedTrade) -> Case | None:
        """Return the decision from present facts, as if nothing were under way yet."""
        gathering_until_s, watched.gathering_until_s = watched.gathering_until_s, None
        try:
            facts = self._decider.facts(watched)
            if facts is None or self._book.trades.get(watched.trade_id) is not watched or watched.rule is None:
                return None
            return self._decider.decide(watched, facts)
        finally:
            watched.gathering_until_s = gathering_until_s

    def _cause(self, watched: WatchedTrade, deed: GatherDeed, part: str, *, sats: int) -> Cause:
        key = part_key(deed.rung, deed.arming_no, for_trade_id=watched.trade_id, part=part, sats=sats, number=new_id())
        return self._dispatcher.rule_cause(watched, key)

    # Another trade's profit

    async def _cash_in(self, watched: WatchedTrade, deed: CashInDeed) -> bool:
        other = self._book.trades.get(deed.from_trade_id)
        if other is None or other.is_taking_back:
            return False
        other.is_taking_back, other.taking_for = True, watched.trade_id
        try:
            async with self._dispatcher.turn:  # whatever was decided before this has been sent
                pass
            if not await self._until(other, lambda: not other.open_stops()):
                return False
            taken = self._taken(other, deed.amount_sats)
            if taken is None:
                return False
            if taken.stop_before is not None and not await self._move_stop(other, taken.stop_before):
                return False
            return await self._send_cash_in(watched, other)
        finally:
            other.is_taking_back, other.taking_for = False, None
            self._decider.evaluate(other.trade_id)

    def _taken(self, other: WatchedTrade, amount_sats: int) -> ProfitTaken | None:
        trade = other.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s())
        if price is None or other.is_missing:
            return None
        return take_profit(
            trade,
            amount_sats=amount_sats,
            price=price,
            own_stop_price=own_stop_price(other),
            stop_share=None if other.rule is None else other.rule.stop_share,
        )

    async def _move_stop(self, other: WatchedTrade, price: Price) -> bool:
        """Move our stop inside its future liquidation; return whether the exchange is known to have it there."""
        if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
            return False
        async with self._dispatcher.turn:
            facts = self._decider.facts(other)
            if facts is None or other.trade.stop_loss_price != facts.own_stop_price:
                return False
            cause = Cause(kind=CauseKind.BACKSTOP, cause_id=other.trade_id, key=f"stop:{price}:{new_id()}")
            case = self._decider.decide(other, facts)
            record = self._scribe.decision_record(other, case, "move_stop", "cash_in", {"stop_price": price})
            other.own_stops.add(price)
            command = SetStopLoss(trade_id=other.trade_id, stop_price=price)
            await self._dispatcher.submit(other, command, cause, record)
        return await self._until(other, lambda: other.trade.stop_loss_price == price)

    async def _send_cash_in(self, watched: WatchedTrade, other: WatchedTrade) -> bool:
        if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
            return False
        async with self._dispatcher.turn:
            case = self._decide_again(watched)
            if case is None or not isinstance(deed := case.decision, CashInDeed):
                return False
            if deed.from_trade_id != other.trade_id:
                return False
            cap_sats = max(found.profit_sats for found in case.facts.means.others if found.trade_id == other.trade_id)
            offered_tag = next_tag(open_tags(other.attempts.values()), last_tag=other.last_tag)
            tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=cap_sats, tag=offered_tag)
            if tagged is None:
                return False
            amount_sats, tag = tagged
            taken = self._taken(other, amount_sats)
            if taken is None or taken.stop_before is not None or other.open_stops():
                return False
            outcome = {"from_trade_id": other.trade_id, "amount_sats": amount_sats, "tag": tag, "cap_sats": cap_sats}
            record = self._scribe.decision_record(watched, case, "cash_in", deed.rung, outcome)
            cause = self._cause(watched, deed, "cash_in", sats=amount_sats)
            command = CashIn(trade_id=other.trade_id, amount_sats=amount_sats)
            await self._dispatcher.submit(other, command, cause, record, tag=tag)
            return True

    async def _until(self, watched: WatchedTrade, is_so: Callable[[], bool]) -> bool:
        """Return True once something is known of a trade, False where it is not within the deadline."""
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                while not is_so():
                    watched.news.clear()
                    await watched.news.wait()
        except TimeoutError:
            return False
        return True

    # Synthetic dollars, the owner's node

    def _swap_order(self, watched: WatchedTrade) -> AccountOrder | None:
        case = self._decide_again(watched)
        if case is None or not isinstance(deed := case.decision, SwapDeed):
            return None
        outcome = {"amount_cents": deed.amount_cents, "expected_sats": deed.expected_sats}
        command = Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=deed.amount_cents)
        cause = self._cause(watched, deed, "swap", sats=deed.expected_sats)
        return self._order(watched, case, command, cause, action="swap", outcome=outcome, scope=self._account_id)

    async def _deposit(self, watched: WatchedTrade, deed: DepositDeed) -> bool:
        invoice = await self._client.create_deposit_invoice(
            amount_sats=deed.amount_sats, comment=None, lane=Lane.PROTECT
        )
        request = invoice.value.payment_request
        said = decode_invoice(request)
        if said.amount_msat != deed.amount_sats * 1000:
            log.error("invoice_of_another_amount", account=self._account_id)
            return False
        command = DepositLightning(invoice=request, payment_hash=said.payment_hash.hex(), amount_sats=deed.amount_sats)
        return await self._account_desk.submit_decided(lambda: self._deposit_order(watched, command))

    def _deposit_order(self, watched: WatchedTrade, command: DepositLightning) -> AccountOrder | None:
        case = self._decide_again(watched)
        if case is None or not isinstance(deed := case.decision, DepositDeed):
            return None
        outcome = {"amount_sats": command.amount_sats, "payment_hash": command.payment_hash}
        cause = self._cause(watched, deed, "deposit", sats=command.amount_sats)
        scope = str(uuid5(UUID(self._account_id), "node"))
        return self._order(watched, case, command, cause, action="deposit", outcome=outcome, scope=scope)

    def _order(
        self,
        watched: WatchedTrade,
        case: Case,
        command: Command,
        cause: Cause,
        *,
        action: str,
        outcome: dict[str, Any],
        scope: str,
    ) -> AccountOrder:
        assert isinstance(case.decision, SwapDeed | DepositDeed)
        record = self._scribe.decision_record(watched, case, action, case.decision.rung, outcome)
        return AccountOrder(command=command, scope_id=TradeId(scope), cause=cause, decision=record)

    # What becomes of them

    def take_settled(self, attempt: Attempt) -> None:
        """Go on with the trade for which sats were fetched, or another was closed, as soon as that is settled."""
        if attempt.cause.kind is not CauseKind.RULE or (cause := read_key(attempt.cause.key)) is None:
            return
        watched = None if cause.for_trade_id is None else self._book.trades.get(cause.for_trade_id)
        if watched is None:
            return
        if attempt.command.name in GATHER_COMMANDS:
            if attempt.state in APPLIED_STATES:
                watched.setbacks.pop(attempt.command.name, None)
                self._tell_moved(watched, attempt, attempt.amount_sats or cause.sats)
                self._reader.read_soon()
            elif attempt.state in NO_EFFECT_STATES:
                self._pass_over(watched, attempt.command.name, _PAUSE_S[attempt.state])
        elif cause.part == "close_one" and attempt.state in APPLIED_STATES:
            self._tell_closed(watched, attempt)
        self._decider.evaluate(watched.trade_id)

    def _pass_over(self, watched: WatchedTrade, command: CommandName, seconds: float) -> None:
        setback = watched.setbacks.get(command)
        failures = 1 if setback is None else setback.failures + 1
        pause_s = min(PASSED_OVER_S, seconds + RETRY_S * ((1 << min(failures - 1, 6)) - 1))
        retry_s = self._clock.boottime_s() + pause_s
        watched.setbacks[command] = Setback(failures, retry_s)
        self._decider.wake_at(watched.trade_id, retry_s)

    def _tell_closed(self, watched: WatchedTrade, attempt: Attempt) -> None:
        closed = self._book.trades.get(attempt.trade_id)
        self._chronicle.tell(
            watched,
            ActivityKind.REDUCED,
            Severity.DEED,
            {
                "how": "close_one",
                "done": True,
                "quantity_usd": None if closed is None else closed.trade.quantity_usd,
                "closed_label": None if closed is None else closed.label,
            },
            decision_id=attempt.decision_id,
        )

    def _tell_moved(self, watched: WatchedTrade, attempt: Attempt, amount_sats: int) -> None:
        other = self._book.trades.get(attempt.trade_id)
        self._chronicle.tell(
            watched,
            ActivityKind.FUNDS_MOVED,
            Severity.DEED,
            {
                "source": _SOURCE[attempt.command.name],
                "amount_sats": amount_sats,
                "from_label": None if other is None else other.label,
            },
            decision_id=attempt.decision_id,
        )


_COMMAND_OF: Final[dict[type[GatherDeed], CommandName]] = {
    CashInDeed: CommandName.CASH_IN,
    SwapDeed: CommandName.SWAP,
    DepositDeed: CommandName.DEPOSIT_LIGHTNING,
}
