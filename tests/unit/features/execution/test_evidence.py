from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.factories.guard import an_attempt
from tests.factories.trades import TRADE_ID, a_running_trade

from axisor.domain.commands import (
    CancelCrossOrder,
    CancelOrder,
    CloseCross,
    CloseTrade,
    Command,
    CrossDeposit,
    CrossOrder,
    CrossWithdraw,
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
from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import IntentId, Price
from axisor.domain.wallet import Asset, LightningWithdrawal, SwapFact, WithdrawalStatus
from axisor.features.execution.attempts import Attempt, AttemptState
from axisor.features.execution.evidence import Evidence, Proofs, answer_shows, earliest_trace_at, key_of, prove
from axisor.ports.exchange import Shown

SIGNED_MS = 1_800_000_000_000
SIGNED_AT = datetime.fromtimestamp(SIGNED_MS / 1000, tz=UTC)
WINDOW = timedelta(seconds=30)
HASH = "9f" * 32
UNKNOWN, CONFIRMED, NOT_APPLIED = AttemptState.UNKNOWN, AttemptState.CONFIRMED, AttemptState.NOT_APPLIED


def attempt(command: Command, state: AttemptState = UNKNOWN, *, number: int = 1, **changes: Any) -> Attempt:
    made = an_attempt(command)
    members = {"intent_id": IntentId(f"intent {number}"), "state": state, "signature_ms": SIGNED_MS} | changes
    return replace(made, **members)


def transfer(amount_sats: int, *, name: str = "a", after_s: float = 1) -> CrossTransfer:
    return CrossTransfer(transfer_id=name, amount_sats=amount_sats, at=SIGNED_AT + timedelta(seconds=after_s))


def position(**changes: Any) -> CrossPositionFact:
    members: dict[str, Any] = {
        "position_id": "p",
        "quantity_usd": 1_000,
        "leverage": 10,
        "margin_sats": 500_000,
        "entry_price": Price(200_000),
        "liquidation_price": Price(133_467),
        "running_margin_sats": 100_000,
        "initial_margin_sats": 100_000,
        "maintenance_margin_sats": 1_500,
        "trading_fees_sats": 0,
        "funding_fees_sats": 0,
        "total_pnl_sats": 0,
        "delta_pnl_sats": 0,
        "updated_at": SIGNED_AT,
    }
    return CrossPositionFact(**(members | changes))


def order(**changes: Any) -> CrossOrderFact:
    members: dict[str, Any] = {
        "order_id": "o",
        "side": PositionSide.LONG,
        "order_type": CrossOrderType.MARKET,
        "status": CrossOrderStatus.FILLED,
        "quantity_usd": 100,
        "price": Price(200_000),
        "trading_fee_sats": 100,
        "created_at": SIGNED_AT,
        "filled_at": SIGNED_AT,
        "canceled_at": None,
        "client_id": "mine",
    }
    return CrossOrderFact(**(members | changes))


def swap(**changes: Any) -> SwapFact:
    members: dict[str, Any] = {
        "swap_id": "s",
        "in_asset": Asset.USD,
        "in_amount": 12_345,
        "out_asset": Asset.BTC,
        "out_amount": 199_000,
        "at": SIGNED_AT,
    }
    return SwapFact(**(members | changes))


def withdrawal(payment_hash: str = HASH, amount_sats: int = 5_000) -> LightningWithdrawal:
    return LightningWithdrawal(
        withdrawal_id="w",
        payment_hash=payment_hash,
        amount_sats=amount_sats,
        fee_sats=None,
        status=WithdrawalStatus.FAILED,
        at=SIGNED_AT,
    )


def proofs(*attempts: Attempt, seen: dict[Any, frozenset[str]] | None = None, **lists: Any) -> Proofs:
    evidence = Evidence(requested_boottime_s=1.0, **lists)
    return prove(attempts, evidence, signature_window=WINDOW, seen_before=seen or {})


DEPOSIT = CrossDeposit(amount_sats=50_001)
ORDER = CrossOrder(side=PositionSide.LONG, quantity_usd=100, limit_price=None, client_id="mine")
REDUCE = ReduceCross(side=PositionSide.SHORT, quantity_usd=100, client_id="mine")
OPEN = OpenTrade(
    side=PositionSide.LONG,
    quantity_usd=100,
    leverage=5,
    limit_price=None,
    stop_loss_price=None,
    take_profit_price=None,
    client_id="mine",
)
SWAP = Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=12_345)
WITHDRAW = WithdrawLightning(invoice="lntbs1", payment_hash=HASH, amount_sats=5_000)


@pytest.mark.parametrize(
    ("command", "shown", "absent"),
    [
        (DEPOSIT, {"transfers": (transfer(50_001),)}, {"transfers": (transfer(50_002), transfer(-50_001))}),
        (CrossWithdraw(amount_sats=7), {"transfers": (transfer(-7),)}, {"transfers": (transfer(7),)}),
        (ORDER, {"open_orders": (order(),), "filled_orders": ()}, {"open_orders": (), "filled_orders": ()}),
        (REDUCE, {"open_orders": (), "filled_orders": (order(),)}, {"filled_orders": (order(client_id=None),)}),
        (CloseCross(), {"position": position(quantity_usd=0)}, {"position": position()}),
        (CancelCrossOrder(order_id="o"), {"open_orders": ()}, {"open_orders": (order(),)}),
        (CancelCrossOrder(order_id="o"), {"open_orders": (order(order_id="x"),)}, {}),
        (SetCrossLeverage(leverage=10), {"position": position()}, {"position": position(leverage=9)}),
        (SWAP, {"swaps": (swap(),)}, {"swaps": (swap(in_amount=12_346), swap(in_asset=Asset.BTC), swap(at=None))}),
        (WITHDRAW, {"withdrawals": (withdrawal(),)}, {"withdrawals": (withdrawal("00" * 32),)}),
        (OPEN, {"trades": (a_running_trade(client_id="mine"),)}, {"trades": (a_running_trade(),)}),
        (
            CancelOrder(trade_id=TRADE_ID),
            {"trades": (a_running_trade(status=TradeStatus.CANCELED),)},
            {"trades": (a_running_trade(status=TradeStatus.OPEN),)},
        ),
    ],
)
def test_presence_proves_and_absence_does_not(command: Command, shown: dict[str, Any], absent: dict[str, Any]) -> None:
    in_doubt = attempt(command)
    assert proofs(in_doubt, **shown) == Proofs(applied=(in_doubt,), late=())
    assert proofs(in_doubt, **absent) == Proofs(applied=(), late=())
    assert proofs(in_doubt) == Proofs(applied=(), late=())


def test_one_trace_proves_one_attempt_and_the_known_one_first() -> None:
    known = attempt(DEPOSIT, CONFIRMED, number=1)
    in_doubt = attempt(DEPOSIT, number=2, signature_ms=SIGNED_MS + 500)
    assert proofs(in_doubt, known, transfers=(transfer(50_001),)).applied == ()
    both = (transfer(50_001), transfer(50_001, name="b", after_s=2))
    assert proofs(in_doubt, known, transfers=both).applied == (in_doubt,)


def test_what_was_counted_as_without_effect_comes_last_and_is_late() -> None:
    gone = attempt(DEPOSIT, NOT_APPLIED, number=1)
    in_doubt = attempt(DEPOSIT, number=2)
    one = proofs(gone, in_doubt, transfers=(transfer(50_001),))
    assert (one.applied, one.late) == ((in_doubt,), ())
    two = proofs(gone, in_doubt, transfers=(transfer(50_001), transfer(50_001, name="b")))
    assert (two.applied, two.late) == ((in_doubt,), (gone,))


def test_a_trace_from_before_the_signature_or_known_before_it_is_none_of_its_effects() -> None:
    in_doubt = attempt(DEPOSIT)
    assert earliest_trace_at(in_doubt, signature_window=WINDOW) == SIGNED_AT - WINDOW
    assert proofs(in_doubt, transfers=(transfer(50_001, after_s=-31),)).applied == ()
    assert proofs(in_doubt, transfers=(transfer(50_001, after_s=-29),)).applied == (in_doubt,), "clocks may differ"
    seen = {key_of(in_doubt): frozenset({"a"})}
    assert proofs(in_doubt, seen=seen, transfers=(transfer(50_001),)).applied == ()


@pytest.mark.parametrize(
    ("command", "shown", "confirms"),
    [
        (DEPOSIT, position(margin_sats=550_001), True),
        (DEPOSIT, position(margin_sats=550_000), False),
        (CrossWithdraw(amount_sats=7), position(margin_sats=499_993), True),
        (CrossWithdraw(amount_sats=7), position(margin_sats=499_994), False),
        (SetCrossLeverage(leverage=10), position(), True),
        (SetCrossLeverage(leverage=9), position(), False),
        (ORDER, order(), True),
        (REDUCE, order(quantity_usd=99), False),
        (CloseCross(), order(), True),
        (CloseCross(), order(status=CrossOrderStatus.OPEN), False),
        (CancelCrossOrder(order_id="o"), order(status=CrossOrderStatus.CANCELED), True),
        (CancelCrossOrder(order_id="o"), order(), False),
        (SWAP, swap(), True),
        (WITHDRAW, withdrawal(), True),
        (WITHDRAW, withdrawal(amount_sats=4_999), False),
        (CloseTrade(trade_id=TRADE_ID), order(), False),
    ],
)
def test_an_answer_confirms_only_what_it_shows(command: Command, shown: Shown, confirms: bool) -> None:
    assert answer_shows(attempt(command, counter_before_sats=500_000), shown) is confirms


def test_a_transfer_is_not_confirmed_by_a_margin_that_was_not_known_before() -> None:
    assert not answer_shows(attempt(DEPOSIT, counter_before_sats=None), position(margin_sats=10_000_000))
    withdraw = attempt(CrossWithdraw(amount_sats=7), counter_before_sats=None)
    assert not answer_shows(withdraw, position(margin_sats=0))
