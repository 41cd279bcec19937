"""Commands of an account, each with what a paper exchange must hold before it and what its books show after it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.factories.paper_server import Keys, PaperServer

type Arrange = Callable[[PaperServer, Keys], Awaitable[dict[str, Any]]]
type Count = Callable[[PaperServer, Keys, dict[str, Any]], Awaitable[int]]

AMOUNT = 123_457
QUANTITY = 700


@dataclass(frozen=True)
class CommandCase:
    """`arrange` returns the arguments of the request; `effects` counts in the exchange's own lists."""

    command: str
    path: str
    effects: Count
    arrange: Arrange = field(repr=False)
    method: str = "POST"


async def ask(server: PaperServer, keys: Keys, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    status, data = await server.call(method, path, keys, body=body)
    assert status == 200, data
    return data


def _given(**arguments: Any) -> Arrange:
    async def arrange(server: PaperServer, keys: Keys) -> dict[str, Any]:
        return dict(arguments)

    return arrange


async def _a_margin(server: PaperServer, keys: Keys) -> dict[str, Any]:
    await ask(server, keys, "PUT", "/futures/cross/leverage", {"leverage": 10})
    await ask(server, keys, "POST", "/futures/cross/deposit", {"amount": 2_000_000})
    return {"amount_sats": AMOUNT, "side": "long", "quantity_usd": QUANTITY}


async def _a_position(server: PaperServer, keys: Keys) -> dict[str, Any]:
    await _a_margin(server, keys)
    await ask(server, keys, "POST", "/futures/cross/order", {"side": "buy", "type": "market", "quantity": 2_000})
    return {"quantity_usd": QUANTITY}


async def _a_resting_cross_order(server: PaperServer, keys: Keys) -> dict[str, Any]:
    await _a_margin(server, keys)
    order = {"side": "buy", "type": "limit", "price": 50_000, "quantity": 10}
    return {"order_id": (await ask(server, keys, "POST", "/futures/cross/order", order))["id"]}


async def _a_resting_order(server: PaperServer, keys: Keys) -> dict[str, Any]:
    order = {"side": "buy", "type": "limit", "price": 50_000, "quantity": 10, "leverage": 5}
    return {"trade_id": (await ask(server, keys, "POST", "/futures/isolated/trade", order))["id"]}


async def _some_dollars(server: PaperServer, keys: Keys) -> dict[str, Any]:
    swap = {"inAmount": 1_000_000, "inAsset": "BTC", "outAsset": "USD"}
    await ask(server, keys, "POST", "/synthetic-usd/swap", swap)
    return {"in_asset": "usd", "out_asset": "btc", "in_amount": 12_345}


async def _an_invoice(server: PaperServer, keys: Keys) -> dict[str, Any]:
    made = await server.control("POST", "/lightning/user/invoices", {"amount_sats": AMOUNT})
    return {"invoice": made["payment_request"]}


def _transfers(sign: int) -> Count:
    async def count(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
        page = await ask(server, keys, "GET", "/futures/cross/transfers")
        return sum(item["amount"] == sign * AMOUNT for item in page["data"])

    return count


async def _orders(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    page = await ask(server, keys, "GET", "/futures/cross/orders/filled")
    resting = await ask(server, keys, "GET", "/futures/cross/orders/open")
    return sum(order["quantity"] == QUANTITY for order in [*page["data"], *resting])


async def _is_flat(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    return int((await ask(server, keys, "GET", "/futures/cross/position"))["quantity"] == 0)


async def _has_leverage(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    return int((await ask(server, keys, "GET", "/futures/cross/position"))["leverage"] == 17)


async def _rests_no_more(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    return int(await ask(server, keys, "GET", "/futures/cross/orders/open") == [])


async def _is_canceled(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    return len((await ask(server, keys, "GET", "/futures/isolated/trades/canceled"))["data"])


async def _opened(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    running = await ask(server, keys, "GET", "/futures/isolated/trades/running")
    return sum(trade["quantity"] == QUANTITY for trade in running)


async def _swaps_of_sats(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    page = await ask(server, keys, "GET", "/synthetic-usd/swaps")
    return sum(swap["inAmount"] == AMOUNT for swap in page["data"])


async def _swaps_of_dollars(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    page = await ask(server, keys, "GET", "/synthetic-usd/swaps")
    return sum(swap["inAmount"] == 123.45 for swap in page["data"])


async def _withdrawals(server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> int:
    return len((await ask(server, keys, "GET", "/account/withdrawals/lightning"))["data"])


COMMAND_CASES = {
    "cross deposit": CommandCase("cross_deposit", "cross/deposit$", _transfers(1), _given(amount_sats=AMOUNT)),
    "cross withdrawal": CommandCase("cross_withdraw", "cross/withdraw$", _transfers(-1), _a_margin),
    "cross order": CommandCase("cross_order", "cross/order$", _orders, _a_margin),
    "cross reduction": CommandCase("reduce_cross", "cross/order$", _orders, _a_position),
    "cross close": CommandCase("close_cross", "position/close$", _is_flat, _a_position),
    "cross cancel": CommandCase("cancel_cross_order", "order/cancel$", _rests_no_more, _a_resting_cross_order),
    "cross leverage": CommandCase(
        "set_cross_leverage", "cross/leverage$", _has_leverage, _given(leverage=17), method="PUT"
    ),
    "swap of sats": CommandCase(
        "swap",
        "synthetic-usd/swap$",
        _swaps_of_sats,
        _given(in_asset="btc", out_asset="usd", in_amount=AMOUNT),
    ),
    "swap of dollars": CommandCase("swap", "synthetic-usd/swap$", _swaps_of_dollars, _some_dollars),
    "new order": CommandCase(
        "open_trade", "isolated/trade$", _opened, _given(side="long", quantity_usd=QUANTITY, leverage=5)
    ),
    "cancel": CommandCase("cancel_order", "trade/cancel$", _is_canceled, _a_resting_order),
    "Lightning withdrawal": CommandCase("withdraw_lightning", "withdraw/lightning$", _withdrawals, _an_invoice),
}
