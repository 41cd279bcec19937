"""Commands of the account: its cross position, swaps, withdrawals, new orders. Sent once, settled by the lists."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from axisor.domain.commands import (
    CancelCrossOrder,
    CancelOrder,
    CloseCross,
    Command,
    CommandClass,
    CommandName,
    CrossDeposit,
    CrossOrder,
    CrossWithdraw,
    DepositLightning,
    OpenTrade,
    ReduceCross,
    SetCrossLeverage,
    Swap,
    WithdrawLightning,
)
from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.errors import AmountOutOfRange, ExchangeError, TradeNotRunning
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import ExchangeAccountId, IntentId, Price, TradeId
from axisor.domain.wallet import Asset, NodePayment, NodePaymentState
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, Cause, CauseKind, advance
from axisor.features.execution.command_table import COMMAND_TABLE, SettledBy, class_of
from axisor.features.execution.evidence import (
    AttemptKey,
    Evidence,
    earliest_trace_at,
    key_of,
    node_payment_of,
    prove,
    readings_for,
)
from axisor.features.execution.executor import Draft, Executor, amount_of, with_answer
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.outcome import classify
from axisor.features.execution.recorder import Write
from axisor.features.execution.requests import CommandRequest
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.infra.ids import new_id
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.infra.tasks import TaskSet
from axisor.monitor.book import NO_EFFECT_STATES, AccountBook
from axisor.monitor.chronicle import REQUEST_STATUS, Chronicle
from axisor.monitor.reader import AccountReader
from axisor.monitor.scribe import requested_record
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, ExchangeClient, Lane, Page, Reading, SignedRequest
from axisor.ports.lightning import LightningNode

log = structlog.get_logger(__name__)

TOKEN_DEADLINE_S: Final = 10.0
SETTLE_EVERY_S: Final = 1.0
MOST_BACK_OFF_S: Final = 10.0
MOST_PAGES: Final = 50
LATE_EVIDENCE: Final = timedelta(hours=1)
_LISTED: Final = {"source": "lists"}
"""What proves an outcome of the account: its orders, transfers, swaps and withdrawals as read."""
_MSATS_PER_SAT: Final = 1000
CROSS_COMMANDS: Final = frozenset(
    {
        CommandName.CROSS_DEPOSIT,
        CommandName.CROSS_WITHDRAW,
        CommandName.CROSS_ORDER,
        CommandName.REDUCE_CROSS,
        CommandName.CLOSE_CROSS,
        CommandName.CANCEL_CROSS_ORDER,
        CommandName.SET_CROSS_LEVERAGE,
    }
)
ACCOUNT_COMMANDS: Final = CROSS_COMMANDS | {
    CommandName.SWAP,
    CommandName.WITHDRAW_LIGHTNING,
    CommandName.DEPOSIT_LIGHTNING,
    CommandName.OPEN_TRADE,
    CommandName.CANCEL_ORDER,
}
"""What this desk sends. Canceling concerns an order that rests: nobody watches that as a trade."""


def is_for_account(command: Command) -> bool:
    """Return whether a command is sent and settled here, and not beside the trade that it concerns."""
    return command.name in ACCOUNT_COMMANDS


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOrder:
    """A command of the account, with what it belongs to and what was known before it."""

    command: Command
    scope_id: TradeId
    """The cross position, the resting order, or the account itself."""
    cause: Cause
    tag: int | None = None
    counter_before_sats: int | None = None
    is_second_send: bool = False
    decision: DecisionRecord | None = None


class AccountDesk:
    """Sends and settles the commands of one exchange account that concern no running trade."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        executor: Executor,
        book: AccountBook,
        wallet: Wallet,
        reader: AccountReader,
        chronicle: Chronicle,
        clock: Clock,
        tasks: TaskSet,
        turn: asyncio.Lock,
        late_every_s: float,
        goes: Callable[[CommandClass], bool],
        node: LightningNode | None = None,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._executor = executor
        self._book = book
        self._wallet = wallet
        self._reader = reader
        self._chronicle = chronicle
        self._clock = clock
        self._tasks = tasks
        self._turn = turn
        self._late_every_s = late_every_s
        self._goes = goes
        self._node = node
        self._window = timedelta(seconds=executor.timing.signature_window_s)
        self._intents: dict[Cause, IntentId] = {}
        self._quiet_ends: dict[AttemptKey, float] = {}
        self._seen_before: dict[AttemptKey, frozenset[str]] = {}
        self._seen: frozenset[str] = frozenset()
        self._look_now = asyncio.Event()
        self._late_due_s = float("-inf")
        self.settled: list[Callable[[Attempt], None]] = []
        """Told of every new state of an attempt."""

    @property
    def _attempts(self) -> dict[AttemptKey, Attempt]:
        return self._book.account_attempts

    def take_up(self, attempt: Attempt) -> None:
        """Take an attempt that was just written, or that an earlier process left."""
        key = key_of(attempt)
        quiet_s = (attempt.quiet_until - self._clock.now()).total_seconds()
        self._quiet_ends[key] = self._clock.boottime_s() + quiet_s
        self._seen_before[key] = self._seen
        self._intents[attempt.cause] = attempt.intent_id
        self._attempts[key] = attempt
        self._wallet.reserve(attempt)
        if attempt.state is AttemptState.UNKNOWN:
            self._look_now.set()

    # Sending

    async def carry_out(self, request: CommandRequest) -> None:
        """Send what a person asked for, once; where it must wait, return: the sweep brings it again.

        Raises:
            LeaseLost, AttemptExists: nothing was sent.
            DomainError, KeyError, TypeError, ValueError: it cannot be sent.
        """
        cause = Cause(kind=CauseKind.REQUEST, cause_id=request.request_id, key="1")
        if cause in self._intents:
            return
        left_s = (request.expires_at - self._clock.now()).total_seconds()
        if left_s <= 0:
            self._chronicle.finish_request(request, "expired", None)
            return
        position = None
        if request.command in CROSS_COMMANDS:
            try:
                position = (await self._client.fetch_cross_position(lane=Lane.USER)).value
            except ExchangeError as error:
                log.warning("cross_position_unread", account=self._account_id, error=error.message)
                return
        order = self._order(request, cause, position)
        if not await self._client.limiter.acquire(Lane.USER, deadline_s=min(TOKEN_DEADLINE_S, left_s)):
            return
        async with self._turn:
            if cause not in self._intents and not self._must_wait(order):
                await self._submit(order)

    async def submit(self, order: AccountOrder) -> bool:
        """Send a command of the account; return False where it must wait for another's outcome. Takes a token first.

        Raises:
            LeaseLost, SpendingStopped, AttemptExists, OSError: nothing was sent.
        """
        return await self.submit_decided(lambda: order)

    async def submit_decided(self, decide: Callable[[], AccountOrder | None]) -> bool:
        """Take a token, decide, and send what was decided; return False where nothing was, or where it must wait.

        Raises:
            LeaseLost, SpendingStopped, AttemptExists, OSError: nothing was sent.
        """
        if not await self._client.limiter.acquire(Lane.PROTECT, deadline_s=TOKEN_DEADLINE_S):
            return False
        async with self._turn:
            order = decide()
            if order is None or self._must_wait(order):
                return False
            await self._submit(order)
            return True

    def _must_wait(self, order: AccountOrder) -> bool:
        """Return whether an earlier command of the same kind is in doubt, or too little is known to take a risk.

        A predecessor's money that may be under way counts as that.
        """
        if class_of(order.command) is CommandClass.END:
            return False
        if self._wallet.blocks_money_in() or not self._goes(class_of(order.command)):
            return True
        if order.is_second_send:
            return False
        name = order.command.name
        return any(attempt.is_open and attempt.command.name is name for attempt in self._attempts.values())

    async def _submit(self, order: AccountOrder) -> None:
        command = order.command
        # Our own id of an order is the id of its intent: the lists then name what they prove.
        own_id = getattr(command, "client_id", None)
        draft = Draft(
            command=command,
            trade_id=order.scope_id,
            cause=order.cause,
            intent_id=IntentId(own_id or new_id()),
            attempt_no=1,
            amount_sats=amount_of(command),
            tag=order.tag,
            is_second_send=order.is_second_send,
            counter_before_sats=order.counter_before_sats,
            tick_at=None,
            decision=order.decision,
        )
        attempt, signed = await self._executor.write(draft)
        self.take_up(attempt)
        self._tasks.start(self._send(attempt, signed), name=f"send {command.name.value}")

    async def _send(self, attempt: Attempt, signed: SignedRequest) -> None:
        answer = await self._executor.send(signed)
        present = self._attempts.get(key_of(attempt), attempt)
        if present.state is not AttemptState.SENT:
            return  # a reading was faster
        sent = with_answer(present, answer)
        state, reason = classify(sent, answer, funding_paid_sats=None)
        at = answer.answered_at or self._clock.now()
        self._conclude(advance(sent, state, at=at, reason=reason), answer)
        if answer.is_auth_failure:
            await self._reader.take_auth_failure()

    def _order(self, request: CommandRequest, cause: Cause, position: CrossPositionFact | None) -> AccountOrder:
        command = _command(request, position)
        scope = TradeId(self._account_id)
        if isinstance(command, CancelOrder):
            scope = command.trade_id
        elif position is not None:
            scope = TradeId(position.position_id)
        before_sats = None if position is None else position.margin_sats
        seen = None if position is None else {"cross_margin_sats": before_sats, "cross_position_id": scope}
        record = requested_record(request, at=self._clock.now(), action=command.name.value, seen=seen)
        return AccountOrder(
            command=command, scope_id=scope, cause=cause, counter_before_sats=before_sats, decision=record
        )

    # Settling

    async def run(self) -> None:
        """Settle for ever what is in doubt, and look again for late effects."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._interval_s(failures)):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()
            try:
                await self.settle()
                failures = 0
            except ExchangeError as error:
                failures += 1
                log.warning("lists_unread", account=self._account_id, error=error.message)

    def _interval_s(self, failures: int) -> float | None:
        if failures:
            return min(MOST_BACK_OFF_S, 0.25 * (1 << min(failures, 10)))
        if any(attempt.is_open for attempt in self._attempts.values()):
            ends = [self._quiet_ends[key] for key, attempt in self._attempts.items() if attempt.is_open]
            until_quiet_s = min(ends) - self._clock.boottime_s()
            return min(SETTLE_EVERY_S, until_quiet_s + 0.01) if until_quiet_s > 0 else SETTLE_EVERY_S / 4
        if self._doubted():
            return max(0.0, self._late_due_s - self._clock.boottime_s())
        return None

    def _doubted(self) -> list[Attempt]:
        """Return the attempts that count as without effect and may yet show one.

        One that may be repeated is looked after until its quiet period ends, unless it was refused or repeated: later
        on the same state may be anybody's doing.
        """
        return [
            attempt
            for attempt in self._attempts.values()
            if attempt.state in NO_EFFECT_STATES and (not _is_repeatable(attempt) or self._may_be_applied(attempt))
        ]

    def _may_be_applied(self, attempt: Attempt) -> bool:
        is_repeated = any(
            other.command.name is attempt.command.name and other.signed_at > attempt.signed_at
            for other in self._attempts.values()
        )
        is_quiet = self._clock.boottime_s() <= self._quiet_ends[key_of(attempt)] + SETTLE_EVERY_S
        return is_quiet and attempt.state is not AttemptState.REFUSED and not is_repeated

    async def settle(self) -> None:
        """Read the lists that tell of what is in doubt, and take what they prove.

        Raises:
            ExchangeError: a list could not be read, or not to its end.
        """
        self._forget(self._clock.now() - LATE_EVIDENCE)
        asked = [attempt for attempt in self._attempts.values() if attempt.is_open]
        if self._clock.boottime_s() >= self._late_due_s:
            doubted = self._doubted()
            asked += doubted
            now_s = self._clock.boottime_s()
            is_quiet_over = all(now_s > self._quiet_ends[key_of(attempt)] for attempt in doubted)
            self._late_due_s = now_s + (self._late_every_s if is_quiet_over else SETTLE_EVERY_S / 4)
        if not asked:
            return
        evidence = await self._read(asked)
        now = self._clock.now()
        considered = [attempt for attempt in self._attempts.values() if not _is_repeatable(attempt) or attempt in asked]
        proofs = prove(considered, evidence, signature_window=self._window, seen_before=self._seen_before)
        for attempt in proofs.applied:
            self._conclude(advance(_as_unknown(attempt, now), AttemptState.CONFIRMED, at=now, reason="listed"), None)
        for attempt in proofs.late:
            self._take_late_effect(attempt, now)
        proven = {key_of(attempt) for attempt in proofs.applied}
        for attempt in asked:
            present = self._attempts.get(key_of(attempt))
            is_due = self._proves_absence(attempt, evidence)
            if present is None or not present.is_open or key_of(present) in proven or not is_due:
                continue
            unknown = _as_unknown(present, now)
            if unknown is not present:
                self._executor.record(unknown, None, shown=_LISTED)
            self._conclude(advance(unknown, AttemptState.NOT_APPLIED, at=now, reason="absent_after_quiet"), None)
        # What stands in the lists now is no effect of anything that is signed from now on.
        self._seen = frozenset(
            [item.transfer_id for item in evidence.transfers or ()] + [item.swap_id for item in evidence.swaps or ()]
        )

    def _proves_absence(self, attempt: Attempt, evidence: Evidence) -> bool:
        """Return whether what is not shown did not happen: after the quiet period, and by the node's own word."""
        is_quiet = evidence.requested_boottime_s > self._quiet_ends[key_of(attempt)]
        if not isinstance(attempt.command, DepositLightning):
            return is_quiet
        payment = node_payment_of(attempt, evidence)
        if evidence.node_payments is None:
            return False
        return is_quiet if payment is None else payment.state is NodePaymentState.FAILED

    async def _read(self, attempts: list[Attempt]) -> Evidence:
        client, lane = self._client, Lane.PROTECT
        needed = readings_for(attempts)
        since = min(earliest_trace_at(attempt, signature_window=self._window) for attempt in attempts)
        requested_boottime_s = self._clock.boottime_s()
        position = open_orders = filled_orders = transfers = swaps = withdrawals = trades = node_payments = None
        if needed & {SettledBy.CROSS_FLAT, SettledBy.CROSS_LEVERAGE}:
            position = (await client.fetch_cross_position(lane=lane)).value
        if needed & {SettledBy.CROSS_CLIENT_ID, SettledBy.CROSS_OPEN_ORDERS}:
            # Open ones first: an order that fills between the readings stands in the second.
            open_orders = (await client.list_open_cross_orders(lane=lane)).value
        if SettledBy.CROSS_CLIENT_ID in needed:
            filled_orders = await _all_pages(client.list_filled_cross_orders, since=since, lane=lane)
        if SettledBy.CROSS_TRANSFERS in needed:
            transfers = await _all_pages(client.list_cross_transfers, since=since, lane=lane)
        if SettledBy.SWAPS in needed:
            swaps = await _all_pages(client.list_swaps, since=since, lane=lane)
        if SettledBy.PAYMENT_HASH in needed:
            withdrawals = await _all_pages(client.list_lightning_withdrawals, since=since, lane=lane)
        if SettledBy.NODE_PAYMENT in needed and self._node is not None:
            node_payments = await _node_payments(self._node, attempts)
        if needed & {SettledBy.TRADE_CLIENT_ID, SettledBy.TRADE_STATUS}:
            trades = await self._read_trades(since)
        return Evidence(
            requested_boottime_s=requested_boottime_s,
            position=position,
            open_orders=open_orders,
            filled_orders=filled_orders,
            transfers=transfers,
            swaps=swaps,
            withdrawals=withdrawals,
            node_payments=node_payments,
            trades=trades,
        )

    async def _read_trades(self, since: datetime) -> tuple[Trade, ...]:
        """Return the trades of all states, in the order in which a trade passes through them."""
        client, lane = self._client, Lane.PROTECT
        resting = (await client.list_open_trades(lane=lane)).value
        running = (await client.list_running_trades(lane=lane)).value
        closed = await _all_pages(client.list_closed_trades, since=since, lane=lane)
        canceled = await _all_pages(client.list_canceled_trades, since=since, lane=lane)
        return (*resting, *running, *closed, *canceled)

    def _conclude(self, attempt: Attempt, answer: Answer | None) -> None:
        """Take an attempt's new state: memory first, then the database, then what follows from it."""
        self._attempts[key_of(attempt)] = attempt
        self._wallet.reserve(attempt)
        also: list[Write] = []
        if attempt.cause.kind is CauseKind.REQUEST:
            data: dict[str, Any] = {
                "command": attempt.command.name.value,
                "status": REQUEST_STATUS[attempt.state],
                "amount_sats": attempt.amount_sats,
            }
            activity = self._chronicle.account_activity(ActivityKind.REQUEST_SETTLED, Severity.INFO, data)
            also = [self._chronicle.settle_requested(attempt), self._chronicle.activity_write(activity)]
        self._executor.record(attempt, answer, *also, shown=_LISTED if answer is None else {"source": "answer"})
        if attempt.state in NO_EFFECT_STATES:
            self._late_due_s = self._clock.boottime_s()  # the next reading must agree
        if attempt.is_open or attempt.state in NO_EFFECT_STATES:
            self._look_now.set()
        if attempt.state in APPLIED_STATES:
            self._reader.read_soon()
        for tell in self.settled:
            tell(attempt)

    def _take_late_effect(self, attempt: Attempt, now: datetime) -> None:
        """Book the effect of an attempt that counted as without one: an incident."""
        log.error("late_effect", account=self._account_id, command=attempt.command.name.value)
        self._conclude(advance(attempt, AttemptState.LATE_CONFIRMED, at=now, reason="late_evidence"), None)
        if _is_repeatable(attempt):
            return  # no sat has moved that was not to move
        self._chronicle.store_incident(
            "late_effect",
            {
                "command": attempt.command.name.value,
                "intent_id": attempt.intent_id,
                "attempt_no": attempt.attempt_no,
                "amount_sats": attempt.amount_sats,
                "counted_as": attempt.state.value,
                "signed_at": attempt.signed_at.isoformat(),
            },
        )

    def _forget(self, before: datetime) -> None:
        """Drop attempts whose late evidence is no longer waited for."""
        for key, attempt in list(self._attempts.items()):
            if not attempt.is_open and attempt.signed_at <= before:
                del self._attempts[key]
                self._quiet_ends.pop(key, None)
                self._seen_before.pop(key, None)
                self._intents.pop(attempt.cause, None)


async def _node_payments(node: LightningNode, attempts: list[Attempt]) -> tuple[NodePayment, ...]:
    """Return what the owner's node says of the payments among these attempts."""
    found = [
        await node.find_payment(attempt.command.payment_hash)
        for attempt in attempts
        if isinstance(attempt.command, DepositLightning)
    ]
    return tuple(payment for payment in found if payment is not None)


async def _all_pages[T](
    list_items: Callable[..., Awaitable[Reading[Page[T]]]], *, since: datetime, lane: Lane
) -> tuple[T, ...]:
    """Return the items of every page since an instant.

    Raises:
        ExchangeError: a page could not be read, or they do not come to an end: then absence proves nothing.
    """
    items: list[T] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = (await list_items(lane=lane, since=since, cursor=cursor)).value
        items += page.items
        if page.next_cursor is None:
            return tuple(items)
        if page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    raise ExchangeError("the pages of a list do not come to an end")


def _is_repeatable(attempt: Attempt) -> bool:
    return COMMAND_TABLE[attempt.command.name].is_repeatable


def _as_unknown(attempt: Attempt, now: datetime) -> Attempt:
    if attempt.state is AttemptState.SENT:
        return advance(attempt, AttemptState.UNKNOWN, at=now, reason="read_before_answer")
    return attempt


def _command(request: CommandRequest, position: CrossPositionFact | None) -> Command:
    """Return the command that a person asked for.

    Raises:
        DomainError: it makes no sense at this position.
        KeyError, TypeError, ValueError: the request does not say what is needed.
    """
    arguments = request.arguments
    match request.command:
        case CommandName.CROSS_DEPOSIT:
            return CrossDeposit(amount_sats=_whole(arguments["amount_sats"]))
        case CommandName.CROSS_WITHDRAW:
            return CrossWithdraw(amount_sats=_whole(arguments["amount_sats"]))
        case CommandName.CROSS_ORDER:
            return CrossOrder(
                side=PositionSide(arguments["side"]),
                quantity_usd=_whole(arguments["quantity_usd"]),
                limit_price=_price(arguments.get("limit_price")),
                client_id=new_id(),
            )
        case CommandName.REDUCE_CROSS:
            return _reduction(_whole(arguments["quantity_usd"]), position)
        case CommandName.CLOSE_CROSS:
            return CloseCross()
        case CommandName.CANCEL_CROSS_ORDER:
            return CancelCrossOrder(order_id=str(arguments["order_id"]))
        case CommandName.SET_CROSS_LEVERAGE:
            return SetCrossLeverage(leverage=_whole(arguments["leverage"]))
        case CommandName.SWAP:
            return Swap(
                in_asset=Asset(arguments["in_asset"]),
                out_asset=Asset(arguments["out_asset"]),
                in_amount=_whole(arguments["in_amount"]),
            )
        case CommandName.WITHDRAW_LIGHTNING:
            return _withdrawal(str(arguments["invoice"]))
        case CommandName.OPEN_TRADE:
            return OpenTrade(
                side=PositionSide(arguments["side"]),
                quantity_usd=_whole(arguments["quantity_usd"]),
                leverage=_whole(arguments["leverage"]),
                limit_price=_price(arguments.get("limit_price")),
                stop_loss_price=_price(arguments.get("stop_loss_price")),
                take_profit_price=_price(arguments.get("take_profit_price")),
                client_id=new_id(),
            )
        case CommandName.CANCEL_ORDER:
            return CancelOrder(trade_id=request.trade_id)
        case other:
            raise ValueError(f"{other} is no command of the account")


def _reduction(quantity_usd: int, position: CrossPositionFact | None) -> ReduceCross:
    if position is None or position.side is None:
        raise TradeNotRunning("there is no cross position to reduce")
    if not 0 < quantity_usd < abs(position.quantity_usd):
        raise AmountOutOfRange(
            f"a position of {abs(position.quantity_usd)} USD cannot be reduced by {quantity_usd}",
            quantity_usd=quantity_usd,
        )
    side = PositionSide.SHORT if position.side is PositionSide.LONG else PositionSide.LONG
    return ReduceCross(side=side, quantity_usd=quantity_usd, client_id=new_id())


def _withdrawal(text: str) -> WithdrawLightning:
    invoice = decode_invoice(text)
    if invoice.amount_msat is None or invoice.amount_msat % _MSATS_PER_SAT:
        raise AmountOutOfRange("the invoice must say a whole number of sats")
    return WithdrawLightning(
        invoice=text, payment_hash=invoice.payment_hash.hex(), amount_sats=invoice.amount_msat // _MSATS_PER_SAT
    )


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not a whole number: {value!r}")
    return value


def _price(value: Any) -> Price | None:
    return None if value is None else Price(_whole(value))
