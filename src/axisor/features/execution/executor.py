"""The executor: token, signature, one durable `sent`, exactly those bytes, and the truth about what happened.

The order is the promise. A token is taken first, then the command is signed, then intent, attempt and reservation are
committed in state `sent`, and only after that commit is acknowledged (or, with the database away, after the same facts
are on the local disk) do exactly the signed bytes leave, once. Whoever wakes late sends bytes that the exchange
refuses: the signature is the fence.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.exc import IntegrityError

from axisor.domain.commands import (
    AddMargin,
    CashIn,
    Command,
    CommandClass,
    CrossDeposit,
    CrossWithdraw,
    DepositLightning,
    WithdrawLightning,
)
from axisor.domain.errors import ConfigurationError
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause
from axisor.features.execution.command_table import class_of
from axisor.features.execution.ledger import DecisionRecord, outcome_record
from axisor.features.execution.recorder import AWAY, Recorder, Write, is_away
from axisor.features.execution.repository import AttemptExists, insert_decision, insert_sent, record_state
from axisor.features.execution.spool import Spool, sent_line, state_line
from axisor.infra.db.session import Database
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, ExchangeClient, SignedRequest
from axisor.ports.lightning import LightningNode

log = structlog.get_logger(__name__)

MESSAGE_EXCERPT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The bounds everything rests on, in seconds.

    `quiet_period_s` counts from the signature: the signature window plus the longest time the exchange may take to
    apply what it accepted in time.
    """

    signature_window_s: float
    quiet_period_s: float
    send_deadline_s: float
    commit_deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A command on its way to become an attempt."""

    command: Command
    trade_id: TradeId
    cause: Cause
    intent_id: IntentId
    attempt_no: int
    amount_sats: int | None
    tag: int | None
    is_second_send: bool
    counter_before_sats: int | None
    tick_at: datetime | None
    decision: DecisionRecord | None


class Executor:
    """Sends the commands of one exchange account; the monitor that holds the lease owns it."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        database: Database,
        recorder: Recorder,
        spool: Spool,
        lease: FileLease,
        clock: Clock,
        timing: Timing,
        tasks: TaskSet,
        node: LightningNode | None = None,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._database = database
        self._recorder = recorder
        self._spool = spool
        self._lease = lease
        self._clock = clock
        self._timing = timing
        self._tasks = tasks
        self._node = node
        self._unwritten: dict[TradeId, asyncio.Event] = {}

    @property
    def timing(self) -> Timing:
        return self._timing

    async def write(self, draft: Draft) -> tuple[Attempt, SignedRequest]:
        """Sign a command and make its attempt durable in state `sent`; the token was taken before.

        Raises:
            LeaseLost: this process may not send any more.
            SpendingStopped, AttemptExists: the database knows a reason against it; nothing was sent.
            OSError: neither the database nor the local disk takes the attempt; nothing was sent.
        """
        await self._until_written(draft.trade_id)
        fence = self._lease.fence
        signed_at = self._clock.now()
        request = self._sign(draft.command)
        decision = None if draft.decision is None else with_request(draft.decision, draft, request)
        attempt = Attempt(
            exchange_account_id=self._account_id,
            intent_id=draft.intent_id,
            attempt_no=draft.attempt_no,
            trade_id=draft.trade_id,
            cause=draft.cause,
            decision_id=None if draft.decision is None else draft.decision.decision_id,
            command=draft.command,
            command_class=class_of(draft.command),
            state=AttemptState.SENT,
            amount_sats=draft.amount_sats,
            tag=draft.tag,
            is_second_send=draft.is_second_send,
            fence=fence,
            signature_ms=request.timestamp_ms,
            signed_at=signed_at,
            quiet_until=signed_at + timedelta(seconds=self._timing.quiet_period_s),
            counter_before_sats=draft.counter_before_sats,
            tick_at=draft.tick_at,
        )
        await self._make_durable(attempt, decision)
        return attempt, request

    def _sign(self, command: Command) -> SignedRequest:
        if not isinstance(command, DepositLightning):
            return self._client.sign(command)
        if self._node is None:
            raise ConfigurationError("no Lightning node pays for this account")
        return self._node.sign(command)

    async def _until_written(self, trade_id: TradeId) -> None:
        """Wait until the database holds the states of the trade's earlier attempts: an open one would be in the way."""
        written = self._unwritten.get(trade_id)
        if written is None or self._recorder.is_database_away:
            return
        try:
            async with asyncio.timeout(self._timing.commit_deadline_s):
                await written.wait()
        except TimeoutError:
            log.warning("attempt_state_not_written_yet", trade_id=trade_id)

    async def _make_durable(self, attempt: Attempt, decision: DecisionRecord | None) -> None:
        if not self._recorder.is_database_away:
            commit = self._tasks.start(self._commit(attempt, decision), name="commit_attempt")
            done, _ = await asyncio.wait({commit}, timeout=self._timing.commit_deadline_s)
            if done:
                error = commit.exception()
                if error is None:
                    return
                if isinstance(error, IntegrityError):
                    raise AttemptExists("an attempt like this one stands already") from error
                # An end is not held up by a row that the database refuses; money-in is.
                if not is_away(error) and not (isinstance(error, AWAY) and is_end(attempt.command)):
                    raise error
        # The commit's acknowledgement is late or lost. The spool line carries the same intent id: a row that surfaces
        # later is this very attempt.
        log.warning("attempt_spooled", intent_id=attempt.intent_id, attempt_no=attempt.attempt_no)
        self._spool.write(sent_line(attempt, decision))
        self._recorder.put(Write("attempt_sent", lambda connection: self._insert(connection, attempt, decision)))

    async def _commit(self, attempt: Attempt, decision: DecisionRecord | None) -> None:
        async with self._database.transaction() as connection:
            await insert_sent(connection, attempt, decision=decision)

    async def _insert(self, connection: Any, attempt: Attempt, decision: DecisionRecord | None) -> None:
        await insert_sent(connection, attempt, decision=decision, from_spool=True)

    async def send(self, request: SignedRequest) -> Answer:
        """Send the signed bytes once, unless the lease or the signature has run out meanwhile."""
        if not self._lease.is_held:
            return Answer(kind=AnswerKind.NOT_PROCESSED, reason="lease_expired")
        if self._clock.boottime_s() - request.signed_boottime_s >= self._timing.signature_window_s:
            return Answer(kind=AnswerKind.NOT_PROCESSED, reason="signature_expired")
        if self._node is not None and isinstance(request.command, DepositLightning):
            return await self._node.send(request, deadline_s=self._timing.send_deadline_s)
        return await self._client.send(request, deadline_s=self._timing.send_deadline_s)

    def record(self, attempt: Attempt, answer: Answer | None, *also: Write, shown: dict[str, Any]) -> None:
        """Queue the attempt's new state, its entry in the ledger and what belongs to it for the database.

        `shown` are the facts that prove the state, with the answer or reading they come from.
        """
        body = None if answer is None else answer_body(answer)
        outcome = outcome_record(attempt, body, shown)

        async def run(connection: Any) -> None:
            await record_state(connection, attempt, answer=body)
            await insert_decision(connection, outcome)
            for write in also:
                await write.run(connection)

        written = self._unwritten[attempt.trade_id] = asyncio.Event()

        def after() -> None:
            written.set()
            if self._unwritten.get(attempt.trade_id) is written:
                del self._unwritten[attempt.trade_id]
            for write in also:
                if write.after is not None:
                    write.after()

        self._recorder.put(Write(f"attempt_{attempt.state.value}", run, (state_line(attempt, body, outcome),), after))


def with_request(decision: DecisionRecord, draft: Draft, request: SignedRequest) -> DecisionRecord:
    """Return the decision with the request that leaves for it, as its bytes are; headers carry the key and stay out."""
    sent = {
        "intent_id": draft.intent_id,
        "attempt_no": draft.attempt_no,
        "method": request.method,
        "target": request.target,
        "body": request.body.decode(),
        "signature_ms": request.timestamp_ms,
    }
    return replace(decision, inputs={**decision.inputs, "request": sent})


def with_answer(attempt: Attempt, answer: Answer) -> Attempt:
    """Return the attempt with the instants of its answer."""
    return replace(attempt, sent_at=answer.first_byte_at, answered_at=answer.answered_at)


def is_end(command: Command) -> bool:
    """Return whether a command ends a trade or bounds its loss: nothing blocks it."""
    return class_of(command) is CommandClass.END


def amount_of(command: Command) -> int | None:
    """Return the sats that a command moves, into a margin or out of one; None where it moves none."""
    moving = AddMargin | CashIn | CrossDeposit | CrossWithdraw | WithdrawLightning
    return command.amount_sats if isinstance(command, moving) else None


def answer_body(answer: Answer) -> dict[str, Any]:
    """Return what is kept of an answer: never headers, never secrets."""
    return {
        "kind": answer.kind.value,
        "reason": answer.reason,
        "status": answer.status,
        "body_digest": answer.body_digest,
        "code": answer.code,
        "message": None if answer.message is None else answer.message[:MESSAGE_EXCERPT],
        "margin_sats": None if answer.trade is None else answer.trade.margin_sats,
        "liquidation_price": None if answer.trade is None else answer.trade.liquidation_price,
    }
