"""Settling commands of the account by lists: pure.

A command that concerns the account leaves a trace in a list: a transfer, a swap, a withdrawal, an order or a trade
with our client id. Presence proves it; absence proves nothing before the quiet period ends, and only in a list that
was read to its end. Amounts are tagged, and a trace is proof for one attempt only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from axisor.domain.commands import (
    CancelCrossOrder,
    CancelOrder,
    CloseCross,
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
from axisor.domain.cross_facts import (
    CrossOrderFact,
    CrossOrderStatus,
    CrossOrderType,
    CrossPositionFact,
    CrossTransfer,
)
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import IntentId
from axisor.domain.wallet import LightningWithdrawal, NodePayment, NodePaymentState, SwapFact
from axisor.features.execution.attempts import APPLIED_STATES, Attempt
from axisor.features.execution.command_table import COMMAND_TABLE, SettledBy
from axisor.ports.exchange import Shown

type AttemptKey = tuple[IntentId, int]
type Trace = CrossTransfer | SwapFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the readings said, all requested at `requested_boottime_s` or later; None for one that was not made."""

    requested_boottime_s: float
    position: CrossPositionFact | None = None
    open_orders: tuple[CrossOrderFact, ...] | None = None
    filled_orders: tuple[CrossOrderFact, ...] | None = None
    transfers: tuple[CrossTransfer, ...] | None = None
    swaps: tuple[SwapFact, ...] | None = None
    withdrawals: tuple[LightningWithdrawal, ...] | None = None
    node_payments: tuple[NodePayment, ...] | None = None
    """Those of the payment hashes in doubt that the owner's node knows."""
    trades: tuple[Trade, ...] | None = None
    """The open, running, closed and canceled ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """Which attempts in doubt took effect, and which that counted as without effect did so late."""

    applied: tuple[Attempt, ...]
    late: tuple[Attempt, ...]


def key_of(attempt: Attempt) -> AttemptKey:
    return attempt.intent_id, attempt.attempt_no


def readings_for(attempts: Iterable[Attempt]) -> frozenset[SettledBy]:
    """Return the readings that settle these attempts."""
    return frozenset(COMMAND_TABLE[attempt.command.name].settled_by for attempt in attempts)


def earliest_trace_at(attempt: Attempt, *, signature_window: timedelta) -> datetime:
    """Return the earliest time, by the exchange's clock, that the effect of an attempt can bear.

    The exchange accepts a signature within its window on either side, so its clock may be that far from ours.
    """
    return datetime.fromtimestamp(attempt.signature_ms / 1000, tz=UTC) - signature_window


def prove(
    attempts: Sequence[Attempt],
    evidence: Evidence,
    *,
    signature_window: timedelta,
    seen_before: Mapping[AttemptKey, AbstractSet[str]],
) -> Proofs:
    """Return what the readings prove about attempts of the account.

    Args:
        attempts: The open ones, and the settled ones of which traces may stand in the lists.
        seen_before: The traces that were known before an attempt was signed: they are none of its effects.
    """
    claimed = _claims(attempts, evidence, signature_window=signature_window, seen_before=seen_before)
    shown = {key_of(attempt) for attempt in attempts if _is_shown(attempt, evidence)} | claimed
    return Proofs(
        applied=tuple(attempt for attempt in attempts if attempt.is_open and key_of(attempt) in shown),
        late=tuple(
            attempt
            for attempt in attempts
            if not attempt.is_open and attempt.state not in APPLIED_STATES and key_of(attempt) in shown
        ),
    )


def _claims(
    attempts: Sequence[Attempt],
    evidence: Evidence,
    *,
    signature_window: timedelta,
    seen_before: Mapping[AttemptKey, AbstractSet[str]],
) -> set[AttemptKey]:
    """Return the attempts that a transfer or swap of their own proves.

    Each trace is given once: first to attempts that are known to have taken effect, then to those in doubt, then to
    those that counted as without effect; within each the oldest first.
    """
    free: dict[str, Trace] = {item.transfer_id: item for item in evidence.transfers or ()}
    free |= {item.swap_id: item for item in evidence.swaps or ()}
    rank = {attempt: 0 if attempt.state in APPLIED_STATES else 1 if attempt.is_open else 2 for attempt in attempts}
    claimed = set()
    for attempt in sorted(attempts, key=lambda attempt: (rank[attempt], attempt.signature_ms)):
        is_trace = _trace_of(attempt)
        if is_trace is None:
            continue
        since = earliest_trace_at(attempt, signature_window=signature_window)
        known = seen_before.get(key_of(attempt), frozenset())
        fitting = [
            (item.at, trace_id)
            for trace_id, item in free.items()
            if item.at is not None and item.at >= since and trace_id not in known and is_trace(item)
        ]
        if fitting:
            _, trace_id = min(fitting)
            del free[trace_id]
            claimed.add(key_of(attempt))
    return claimed


def _trace_of(attempt: Attempt) -> Callable[[Trace], bool] | None:
    """Return what tells a trace of this attempt from others; None where it leaves none."""
    match attempt.command:
        case CrossDeposit(amount_sats=amount_sats):
            return lambda item: isinstance(item, CrossTransfer) and item.amount_sats == amount_sats
        case CrossWithdraw(amount_sats=amount_sats):
            return lambda item: isinstance(item, CrossTransfer) and item.amount_sats == -amount_sats
        case Swap(in_asset=in_asset, out_asset=out_asset, in_amount=amount):
            asked = (in_asset, out_asset, amount)
            return lambda item: isinstance(item, SwapFact) and (item.in_asset, item.out_asset, item.in_amount) == asked
        case _:
            return None


def _is_shown(attempt: Attempt, evidence: Evidence) -> bool:
    match attempt.command:
        case CrossOrder(client_id=client_id) | ReduceCross(client_id=client_id):
            orders = (*(evidence.open_orders or ()), *(evidence.filled_orders or ()))
            return any(order.client_id == client_id for order in orders)
        case OpenTrade(client_id=client_id):
            return any(trade.client_id == client_id for trade in evidence.trades or ())
        case CancelOrder(trade_id=trade_id):
            ended = {TradeStatus.CLOSED, TradeStatus.CANCELED}
            return any(trade.trade_id == trade_id and trade.status in ended for trade in evidence.trades or ())
        case CancelCrossOrder(order_id=order_id):
            return evidence.open_orders is not None and all(
                order.order_id != order_id for order in evidence.open_orders
            )
        case CloseCross():
            return evidence.position is not None and evidence.position.quantity_usd == 0
        case SetCrossLeverage(leverage=leverage):
            return evidence.position is not None and evidence.position.leverage == leverage
        case WithdrawLightning(payment_hash=payment_hash):
            return any(item.payment_hash == payment_hash for item in evidence.withdrawals or ())
        case DepositLightning():
            payment = node_payment_of(attempt, evidence)
            return payment is not None and payment.state is NodePaymentState.SUCCEEDED
        case _:
            return False


def node_payment_of(attempt: Attempt, evidence: Evidence) -> NodePayment | None:
    """Return what the owner's node says of a payment, None where it says nothing or the attempt is none."""
    command = attempt.command
    if not isinstance(command, DepositLightning):
        return None
    return next((item for item in evidence.node_payments or () if item.payment_hash == command.payment_hash), None)


def answer_shows(attempt: Attempt, shown: Shown) -> bool:
    """Return whether the answer to a command of the account shows its effect.

    A transfer counts where the margin moved by at least its amount since it was read before the signature; whatever
    else moved the margin the other way leaves the outcome to the list of transfers.
    """
    before_sats = attempt.counter_before_sats
    match attempt.command, shown:
        case CrossDeposit(amount_sats=amount_sats), CrossPositionFact(margin_sats=margin_sats):
            return before_sats is not None and margin_sats - before_sats >= amount_sats
        case CrossWithdraw(amount_sats=amount_sats), CrossPositionFact(margin_sats=margin_sats):
            return before_sats is not None and before_sats - margin_sats >= amount_sats
        case SetCrossLeverage(leverage=leverage), CrossPositionFact(leverage=stated):
            return stated == leverage
        case ((CrossOrder() | ReduceCross()), CrossOrderFact(quantity_usd=quantity_usd)):
            return quantity_usd == attempt.command.quantity_usd
        case CloseCross(), CrossOrderFact(status=status, order_type=kind):
            return status is CrossOrderStatus.FILLED and kind is CrossOrderType.MARKET
        case CancelCrossOrder(), CrossOrderFact(status=status):
            return status is CrossOrderStatus.CANCELED
        case Swap(), SwapFact():
            return True
        case WithdrawLightning(amount_sats=amount_sats), LightningWithdrawal(amount_sats=stated_sats):
            return stated_sats == amount_sats
        case DepositLightning(payment_hash=payment_hash), NodePayment(payment_hash=stated, state=state):
            return stated == payment_hash and state is NodePaymentState.SUCCEEDED
        case _:
            return False
