"""Intents, attempts and reservations in PostgreSQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain import commands
from axisor.domain.commands import Command, CommandClass, CommandName
from axisor.domain.errors import AxisorError, LeaseLost
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.budget import DAY, Reservation, ReservationState
from axisor.features.execution.ledger import INSERT_DECISION, DecisionRecord, decision_values

_COMMANDS: Final[dict[CommandName, type[Command]]] = {
    kind.name: kind
    for kind in (
        commands.AddMargin,
        commands.CashIn,
        commands.CloseTrade,
        commands.CancelOrder,
        commands.SetStopLoss,
        commands.SetTakeProfit,
        commands.OpenTrade,
        commands.CrossDeposit,
        commands.CrossWithdraw,
        commands.CrossOrder,
        commands.ReduceCross,
        commands.CloseCross,
        commands.CancelCrossOrder,
        commands.SetCrossLeverage,
        commands.Swap,
        commands.WithdrawLightning,
        commands.DepositLightning,
    )
}
LATE_EVIDENCE_FOR: Final = timedelta(hours=1)


class SpendingStopped(AxisorError):
    """The owner pressed "stop spending" before this attempt was written."""

    code = "spending_stopped"


class AttemptExists(AxisorError):
    """Another attempt stands in the way: the same one again, or an open top-up of the same trade."""

    code = "attempt_exists"


def dump_command(command: Command) -> dict[str, Any]:
    """Return a command as JSON values, with its name."""
    body: dict[str, Any] = msgspec.to_builtins(command)
    return {"command": command.name.value, **body}


def load_command(body: dict[str, Any]) -> Command:
    """Return the command of a stored body."""
    name = CommandName(body["command"])
    arguments = {key: value for key, value in body.items() if key != "command"}
    return msgspec.convert(arguments, type=_COMMANDS[name])


# One round trip, for the request waits for it. The function writes nothing where it does not say "written".
_WRITE_ATTEMPT: Final = text(
    """
    select write_attempt(
        its_account => :account, its_intent => :intent, its_attempt_no => :attempt_no, its_trade => :trade,
        its_command => :command, its_command_class => :command_class, its_cause_kind => :cause_kind,
        its_cause_id => :cause_id, its_cause_key => :cause_key, its_decision => :decision,
        its_arguments => :arguments, its_amount => :amount, its_tag => :tag, its_second_send => :is_second_send,
        its_fence => :fence, its_signature_ms => :signature_ms, its_signed_at => :signed_at,
        its_quiet_until => :quiet_until, its_counter_before => :counter_before, its_tick_at => :tick_at,
        is_from_spool => :from_spool, is_spent_by_rule => :is_spent_by_rule, decided_at => :decided_at,
        decided_trade => :decided_trade, decided_action => :decided_action, decided_reason => :decided_reason,
        decided_inputs => :decided_inputs, decided_arithmetic => :decided_arithmetic, decided_rule => :decided_rule,
        decided_rule_version => :decided_rule_version, decided_code_version => :decided_code_version
    )
    """
)


async def insert_sent(
    connection: AsyncConnection, attempt: Attempt, *, decision: DecisionRecord | None, from_spool: bool = False
) -> None:
    """Write an attempt in state `sent`, with its intent, reservation and decision, in one statement.

    A spooled attempt is history: it is written whoever holds the lease by now.

    Raises:
        LeaseLost: a newer owner wrote already.
        SpendingStopped: money-in while the owner's switch is off.
        AttemptExists: see there; raised by the database's unique keys as `IntegrityError` as well.
    """
    by_rule = attempt.command_class is CommandClass.MONEY_IN and attempt.cause.kind is CauseKind.RULE
    outcome = await connection.scalar(
        _WRITE_ATTEMPT,
        {
            "account": attempt.exchange_account_id,
            "intent": attempt.intent_id,
            "attempt_no": attempt.attempt_no,
            "trade": attempt.trade_id,
            "command": attempt.command.name.value,
            "command_class": attempt.command_class.value,
            "cause_kind": attempt.cause.kind.value,
            "cause_id": attempt.cause.cause_id,
            "cause_key": attempt.cause.key,
            "decision": attempt.decision_id,
            "arguments": msgspec.json.encode(dump_command(attempt.command)).decode(),
            "amount": attempt.amount_sats,
            "tag": attempt.tag,
            "is_second_send": attempt.is_second_send,
            "fence": attempt.fence,
            "signature_ms": attempt.signature_ms,
            "signed_at": attempt.signed_at,
            "quiet_until": attempt.quiet_until,
            "counter_before": attempt.counter_before_sats,
            "tick_at": attempt.tick_at,
            "from_spool": from_spool,
            "is_spent_by_rule": by_rule,
            **_decided(decision),
        },
    )
    if outcome == "newer_owner":
        raise LeaseLost("a newer owner of the lease has written already", fence=attempt.fence)
    if outcome == "stopped":
        raise SpendingStopped("spending is stopped", trade_id=attempt.trade_id)


def _decided(decision: DecisionRecord | None) -> dict[str, Any]:
    """Return the columns of an attempt's decision; its id is the attempt's."""
    if decision is None:
        names = ("at", "trade", "action", "reason", "inputs", "arithmetic", "rule", "rule_version", "code_version")
        return dict.fromkeys([f"decided_{name}" for name in names])
    return {
        "decided_at": decision.at,
        "decided_trade": decision.trade_id,
        "decided_action": decision.action,
        "decided_reason": decision.reason,
        "decided_inputs": msgspec.json.encode(decision.inputs).decode(),
        "decided_arithmetic": msgspec.json.encode(decision.arithmetic).decode(),
        "decided_rule": decision.rule_id,
        "decided_rule_version": decision.rule_version,
        "decided_code_version": decision.code_version,
    }


async def insert_decision(connection: AsyncConnection, decision: DecisionRecord) -> None:
    """Append a decision to the ledger; the same decision again changes nothing."""
    await connection.execute(INSERT_DECISION, decision_values(decision))


_UPDATE_STATE: Final = text(
    """
    update attempt set state = :state, reason = :reason, sent_at = coalesce(:sent_at, sent_at),
        answered_at = coalesce(:answered_at, answered_at), settled_at = :settled_at,
        answer = coalesce(cast(:answer as jsonb), answer)
    where exchange_account_id = :account and intent_id = :intent and attempt_no = :attempt_no
      and fence = :fence and signature_ms = :signature_ms and state = any(:earlier)
    """
)
_EARLIER: Final[dict[AttemptState, list[str]]] = {
    AttemptState.CONFIRMED: ["sent", "unknown"],
    AttemptState.REFUSED: ["sent"],
    AttemptState.NOT_PROCESSED: ["sent"],
    AttemptState.UNKNOWN: ["sent"],
    AttemptState.NOT_APPLIED: ["unknown"],
    AttemptState.LATE_CONFIRMED: ["unknown", "refused", "not_processed", "not_applied"],
}


async def record_state(connection: AsyncConnection, attempt: Attempt, *, answer: dict[str, Any] | None) -> bool:
    """Write an attempt's new state, its step and its reservation's; return False where it stood there already.

    A process that was frozen may have drafted an attempt under a number that its successor has used since: what became
    of the draft is nothing that the successor's attempt may be told by. The signature says whose the row is.
    """
    changed = await connection.execute(
        _UPDATE_STATE,
        {
            "state": attempt.state.value,
            "reason": attempt.reason,
            "sent_at": attempt.sent_at,
            "answered_at": attempt.answered_at,
            "settled_at": attempt.settled_at,
            "answer": None if answer is None else msgspec.json.encode(answer).decode(),
            "account": attempt.exchange_account_id,
            "intent": attempt.intent_id,
            "attempt_no": attempt.attempt_no,
            "fence": attempt.fence,
            "signature_ms": attempt.signature_ms,
            "earlier": _EARLIER[attempt.state],
        },
    )
    if changed.rowcount != 1:
        return False
    at = attempt.settled_at or attempt.answered_at or attempt.signed_at
    await connection.execute(
        text(
            """
            insert into attempt_step (exchange_account_id, intent_id, attempt_no, step_no, state, at, detail)
            select :account, :intent, :attempt_no, coalesce(max(step_no), 0) + 1, :state, :at, cast(:detail as jsonb)
            from attempt_step where exchange_account_id = :account and intent_id = :intent
              and attempt_no = :attempt_no
            """
        ),
        {
            "account": attempt.exchange_account_id,
            "intent": attempt.intent_id,
            "attempt_no": attempt.attempt_no,
            "state": attempt.state.value,
            "at": at,
            "detail": msgspec.json.encode({"reason": attempt.reason}).decode(),
        },
    )
    reservation = reservation_state(attempt.state)
    if attempt.amount_sats is not None and reservation is not ReservationState.RESERVED:
        await connection.execute(
            text(
                "update budget_reservation set state = :state, changed_at = :at where exchange_account_id = :account "
                "and intent_id = :intent and attempt_no = :attempt_no"
            ),
            {
                "state": reservation.value,
                "at": at,
                "account": attempt.exchange_account_id,
                "intent": attempt.intent_id,
                "attempt_no": attempt.attempt_no,
            },
        )
    return True


def reservation_state(state: AttemptState) -> ReservationState:
    """Return what becomes of the reserved sats of an attempt in `state`."""
    if state in (AttemptState.CONFIRMED, AttemptState.LATE_CONFIRMED):
        return ReservationState.SPENT
    if state in (AttemptState.SENT, AttemptState.UNKNOWN):
        return ReservationState.RESERVED
    return ReservationState.RELEASED


async def list_reservations(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, now: datetime
) -> list[Reservation]:
    """Return what counts against any limit: the last 24 hours, and everything of trades that still run."""
    rows = await connection.execute(
        text(
            """
            select r.*, i.command = 'cash_in' as is_refill
            from budget_reservation r join intent i using (exchange_account_id, intent_id)
            where r.exchange_account_id = :account and r.state <> 'released' and r.position_id in (
                select y.position_id from budget_reservation y
                left join position p using (exchange_account_id, position_id)
                left join cross_position c using (exchange_account_id, position_id)
                where y.exchange_account_id = :account and y.state <> 'released'
                  and (y.reserved_at > :since or p.status = 'running' or c.quantity_usd <> 0
                       or y.state = 'reserved'))
            """
        ),
        {"account": exchange_account_id, "since": now - DAY},
    )
    return [_parse_reservation(row) for row in rows]


async def list_trade_reservations(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_ids: Iterable[TradeId]
) -> list[Reservation]:
    """Return everything that was ever spent on these trades, taken back from them or is reserved."""
    rows = await connection.execute(
        text(
            "select r.*, i.command = 'cash_in' as is_refill from budget_reservation r "
            "join intent i using (exchange_account_id, intent_id) where r.exchange_account_id = :account "
            "and r.state <> 'released' and r.position_id = any(cast(:trades as uuid[]))"
        ),
        {"account": exchange_account_id, "trades": [str(trade_id) for trade_id in trade_ids]},
    )
    return [_parse_reservation(row) for row in rows]


def _parse_reservation(row: Any) -> Reservation:
    return Reservation(
        intent_id=str(row.intent_id),
        attempt_no=row.attempt_no,
        trade_id=TradeId(str(row.position_id)),
        amount_sats=row.amount_sats,
        state=ReservationState(row.state),
        reserved_at=row.reserved_at,
        is_refill=row.is_refill,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIntent:
    """An intent with its newest attempt, so that a restart goes on where the last process stood."""

    intent_id: IntentId
    trade_id: TradeId
    cause: Cause
    attempts: int


async def list_intents(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[KnownIntent]:
    """Return the intents of trades that still run; those that keep the safety stop are never taken up again."""
    rows = await connection.execute(
        text(
            """
            select i.*, (select coalesce(max(attempt_no), 0) from attempt a where
                a.exchange_account_id = i.exchange_account_id and a.intent_id = i.intent_id) as attempts
            from intent i join position p using (exchange_account_id, position_id)
            where i.exchange_account_id = :account and p.status = 'running' and i.cause_kind <> 'backstop'
            """
        ),
        {"account": exchange_account_id},
    )
    return [
        KnownIntent(
            intent_id=IntentId(str(row.intent_id)),
            trade_id=TradeId(str(row.position_id)),
            cause=Cause(kind=CauseKind(row.cause_kind), cause_id=str(row.cause_id), key=row.cause_key),
            attempts=row.attempts,
        )
        for row in rows
    ]


async def list_attempts(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, now: datetime
) -> list[Attempt]:
    """Return the attempts that still matter: open ones, and all of the last hour, of which late evidence may come."""
    rows = await connection.execute(
        text(
            """
            select a.*, i.cause_kind, i.cause_id, i.cause_key, i.decision_id
            from attempt a join intent i using (exchange_account_id, intent_id)
            where a.exchange_account_id = :account
              and (a.state in ('sent', 'unknown') or a.signed_at > :since)
            order by a.signed_at
            """
        ),
        {"account": exchange_account_id, "since": now - LATE_EVIDENCE_FOR},
    )
    return [_parse_attempt(row) for row in rows.mappings()]


async def last_tags(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> dict[TradeId, int]:
    """Return the newest tag of each trade, so that tags go on where they stopped."""
    rows = await connection.execute(
        text(
            "select distinct on (position_id) position_id, tag from attempt where exchange_account_id = :account "
            "and tag is not null order by position_id, signed_at desc, attempt_no desc"
        ),
        {"account": exchange_account_id},
    )
    return {TradeId(str(row.position_id)): row.tag for row in rows}


async def stopped_scopes(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> frozenset[str]:
    """Return the trades (or the account itself) for which the owner stopped spending."""
    rows = await connection.execute(
        text("select scope_id from spending_stop where exchange_account_id = :account"),
        {"account": exchange_account_id},
    )
    return frozenset(str(row.scope_id) for row in rows)


def _parse_attempt(row: Any) -> Attempt:
    return Attempt(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        intent_id=IntentId(str(row["intent_id"])),
        attempt_no=row["attempt_no"],
        trade_id=TradeId(str(row["position_id"])),
        cause=Cause(kind=CauseKind(row["cause_kind"]), cause_id=str(row["cause_id"]), key=row["cause_key"]),
        decision_id=None if row["decision_id"] is None else str(row["decision_id"]),
        command=load_command(row["arguments"]),
        command_class=CommandClass(row["command_class"]),
        state=AttemptState(row["state"]),
        amount_sats=row["amount_sats"],
        tag=row["tag"],
        is_second_send=row["is_second_send"],
        fence=row["fence"],
        signature_ms=row["signature_ms"],
        signed_at=row["signed_at"],
        quiet_until=row["quiet_until"],
        counter_before_sats=row["counter_before_sats"],
        tick_at=row["tick_at"],
        sent_at=row["sent_at"],
        answered_at=row["answered_at"],
        settled_at=row["settled_at"],
        reason=row["reason"],
    )
