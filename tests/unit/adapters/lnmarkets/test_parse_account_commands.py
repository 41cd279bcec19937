import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.factories.wire_trades import a_wire_cross_order, a_wire_cross_position, a_wire_swap

from axisor.adapters.lnmarkets import parse
from axisor.domain.cross_facts import CrossOrderStatus, CrossOrderType
from axisor.domain.errors import ExchangeProtocolError
from axisor.domain.trades import PositionSide
from axisor.domain.wallet import Asset, WithdrawalStatus

HASH = "9f" * 32
AT = "2026-08-20T12:00:00.123Z"


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def a_page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"data": list(items), "nextCursor": None}


def a_withdrawal(**changes: Any) -> dict[str, Any]:
    return {
        "id": "w",
        "amount": 5000,
        "fee": None,
        "paymentHash": HASH,
        "status": "processing",
        "createdAt": AT,
    } | changes


def test_a_cross_position_is_read_whole_and_its_liquidation_sooner_rather_than_later() -> None:
    long = parse.parse_cross_position(encoded(a_wire_cross_position(liquidation=66_778.2)))
    assert (long.quantity_usd, long.leverage, long.margin_sats) == (1000, 10, 499_000)
    assert (long.entry_price, long.liquidation_price, long.side) == (200_000, 133_557, PositionSide.LONG)
    short = parse.parse_cross_position(encoded(a_wire_cross_position(quantity=-1000, liquidation=199_402.3)))
    assert (short.liquidation_price, short.side) == (398_804, PositionSide.SHORT)
    flat = parse.parse_cross_position(encoded(a_wire_cross_position(quantity=0, entryPrice=None, liquidation=None)))
    assert (flat.side, flat.entry_price, flat.liquidation_price) == (None, None, None)


def test_cross_orders_of_every_kind_are_read() -> None:
    filled = parse.parse_cross_order(encoded(a_wire_cross_order(type="liquidation", side="sell")))
    assert (filled.status, filled.order_type, filled.side) == (
        CrossOrderStatus.FILLED,
        CrossOrderType.LIQUIDATION,
        PositionSide.SHORT,
    )
    resting = parse.parse_cross_orders(encoded([a_wire_cross_order(open=True, filled=False, clientId="mine")]))
    assert [(order.status, order.client_id) for order in resting] == [(CrossOrderStatus.OPEN, "mine")]


def test_a_swap_is_in_sats_and_cents() -> None:
    made = parse.parse_swap(encoded(a_wire_swap()))
    assert (made.in_asset, made.in_amount, made.out_asset, made.out_amount) == (
        Asset.BTC,
        1_000_000,
        Asset.USD,
        19_995,
    )
    back = a_wire_swap(inAsset="USD", inAmount=12.34, outAsset="BTC", outAmount=61_683, createdAt=AT)
    (listed,) = parse.parse_swap_page(encoded(a_page(back))).items
    assert (listed.in_amount, listed.out_amount) == (1_234, 61_683)
    assert listed.at is not None


def test_withdrawals_and_deposits_are_read() -> None:
    (listed,) = parse.parse_withdrawal_page(encoded(a_page(a_withdrawal()))).items
    assert (listed.payment_hash, listed.amount_sats, listed.fee_sats) == (HASH, 5000, None)
    new = parse.parse_new_withdrawal(encoded({"id": "w", "amount": 5000, "maxFees": 50, "paymentHash": HASH}))
    assert (new.status, new.at) == (WithdrawalStatus.PROCESSING, None)
    (deposit,) = parse.parse_deposit_page(
        encoded(a_page({"id": "d", "createdAt": AT, "amount": 7, "paymentHash": HASH, "settledAt": AT}))
    ).items
    assert (deposit.amount_sats, deposit.settled_at) == (7, deposit.created_at)
    invoice = parse.parse_new_deposit(encoded({"depositId": "d", "paymentRequest": "lntbs1"}))
    assert invoice.payment_request == "lntbs1"


@pytest.mark.parametrize(
    ("parser", "body"),
    [
        (parse.parse_cross_position, a_wire_cross_position(entryPrice=None)),
        (parse.parse_cross_position, a_wire_cross_position(liquidation=None)),
        (parse.parse_cross_position, a_wire_cross_position(leverage=0)),
        (parse.parse_cross_position, a_wire_cross_position(leverage=1.5)),
        (parse.parse_cross_position, a_wire_cross_position(margin=0.5)),
        (parse.parse_cross_order, a_wire_cross_order(type="stop")),
        (parse.parse_cross_order, a_wire_cross_order(side="b")),
        (parse.parse_cross_order, a_wire_cross_order(open=True)),
        (parse.parse_cross_order, a_wire_cross_order(filled=False)),
        (parse.parse_swap, a_wire_swap(inAsset="EUR")),
        (parse.parse_swap, a_wire_swap(outAsset="BTC", outAmount=1)),
        (parse.parse_swap, a_wire_swap(outAmount=199.955)),
        (parse.parse_swap_page, a_page(a_wire_swap())),
        (parse.parse_withdrawal_page, a_page(a_withdrawal(status="queued"))),
        (parse.parse_withdrawal_page, a_page(a_withdrawal(paymentHash="9F" * 32))),
        (parse.parse_new_deposit, {"depositId": "d", "paymentRequest": "bc1"}),
    ],
)
def test_what_is_not_known_is_refused(parser: Callable[[bytes], object], body: dict[str, Any]) -> None:
    with pytest.raises(ExchangeProtocolError):
        parser(encoded(body))
