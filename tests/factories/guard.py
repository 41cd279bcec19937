"""Rules, facts and attempts of the guard, with everything that a test does not name at its calmest."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.factories.trades import TRADE_ID, a_running_trade

from axisor.domain.commands import AddMargin, Command
from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, IntentId, Price, RuleId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.command_table import class_of
from axisor.features.margin_guard.policy import Facts, PendingTopUp, Spending, full_room
from axisor.features.margin_guard.rule import GuardRule, Limits, Notify, Preset, Rung, TopUp

NOW = datetime(2026, 11, 23, 2, 11, tzinfo=UTC)
ACCOUNT_ID = ExchangeAccountId("0197f0aa-0000-7000-8000-0000000000aa")
WARN = Rung(key="warn", room_share=Fraction(60, 100), action=Notify())
TOP_UP = Rung(key="top_up", room_share=Fraction(1, 2), action=TopUp(Fraction(1)))


def a_rule(*rungs: Rung, **changes: Any) -> GuardRule:
    """Return a rule that tops up at half of full room with at most 400,000 sats; limits may be named one by one."""
    limits: dict[str, Any] = {
        "position_sats": 400_000,
        "account_day_sats": None,
        "max_count": None,
        "reserve_sats": 0,
        "account_sats": None,
    }
    limits |= {name: changes.pop(name) for name in list(changes) if name in limits}
    rule = GuardRule(
        rule_id=RuleId("0197f0aa-0000-7000-8000-000000000010"),
        version=1,
        preset=Preset.CUSTOM,
        rungs=rungs or (WARN, TOP_UP),
        limits=Limits(**limits),
        stop_share=Fraction(12, 100),
    )
    return replace(rule, **changes)


def spending(**changes: Any) -> Spending:
    """Return a purse of which nothing was spent, with ten million sats free at the exchange."""
    purse = Spending(
        position_spent_sats=0,
        position_count=0,
        account_day_spent_sats=0,
        balance_sats=10_000_000,
        is_stopped=False,
    )
    return replace(purse, **changes)


def facts(price: Price, trade: Trade | None = None, **changes: Any) -> Facts:
    """Return the facts of a trade (the 25x long at 62,000) at a price; its stop stands where Axisor set it."""
    of = a_running_trade() if trade is None else trade
    present = Facts(
        trade=of,
        trigger_price=price,
        full_room=full_room(of),
        rungs={},
        pending=(),
        spending=spending(),
        own_stop_price=of.stop_loss_price,
        is_stop_removed=False,
        is_stop_pending=False,
        is_close_pending=False,
        seconds_to_liquidation=None,
    )
    return replace(present, **changes)


def a_pending_top_up(**changes: Any) -> PendingTopUp:
    """Return a top-up of unknown outcome that may take effect for another half minute."""
    top_up = PendingTopUp(
        amount_sats=208_001, is_unknown=True, is_second_send=False, quiet_until=NOW + timedelta(seconds=30)
    )
    return replace(top_up, **changes)


def an_attempt(command: Command | None = None, **changes: Any) -> Attempt:
    """Return an attempt in state `sent`; by default a top-up of 208,001 sats, the counter at 0 before it."""
    sent = AddMargin(trade_id=TRADE_ID, amount_sats=208_001) if command is None else command
    amount_sats = sent.amount_sats if isinstance(sent, AddMargin) else None
    attempt = Attempt(
        exchange_account_id=ACCOUNT_ID,
        intent_id=IntentId("0197f0aa-0000-7000-8000-0000000000cc"),
        attempt_no=1,
        trade_id=TRADE_ID,
        cause=Cause(kind=CauseKind.RULE, cause_id="rule", key="top_up:1"),
        decision_id=None,
        command=sent,
        command_class=class_of(sent),
        state=AttemptState.SENT,
        amount_sats=amount_sats,
        tag=None if amount_sats is None else amount_sats % 1000,
        is_second_send=False,
        fence=1,
        signature_ms=1_800_000_000_000,
        signed_at=NOW,
        quiet_until=NOW + timedelta(seconds=30),
        counter_before_sats=0,
    )
    return replace(attempt, **changes)
