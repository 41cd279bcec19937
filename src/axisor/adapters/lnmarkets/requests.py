"""Commands and readings as the bytes that LN Markets expects, in the official Python client's order of keys.

The order matters to no server; it makes every call of ours comparable with the official client's, byte for byte.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from axisor.domain.commands import (
    AddMargin,
    CancelCrossOrder,
    CancelOrder,
    CashIn,
    CloseCross,
    CloseTrade,
    Command,
    CrossDeposit,
    CrossOrder,
    CrossWithdraw,
    DepositLightning,
    OpenTrade,
    ReduceCross,
    SetCrossLeverage,
    SetStopLoss,
    SetTakeProfit,
    Swap,
    WithdrawLightning,
)
from axisor.domain.contract import MAX_LEVERAGE, MIN_LEVERAGE
from axisor.domain.errors import AmountOutOfRange, DomainError, LeverageOutOfRange
from axisor.domain.synthetic_usd import CENTS_PER_USD
from axisor.domain.trades import PositionSide
from axisor.domain.units import TICKS_PER_USD, Price
from axisor.domain.wallet import Asset

type JsonValue = int | float | str

_SIDES: Final = {PositionSide.LONG: "buy", PositionSide.SHORT: "sell"}
_ASSETS: Final = {Asset.BTC: "BTC", Asset.USD: "USD"}
_MAX_CLIENT_ID: Final = 64


def json_price(price: Price) -> int | float:
    """Return a price in USD as the JSON number that JavaScript would write: no fraction where it is whole."""
    whole, half = divmod(price, TICKS_PER_USD)
    return whole + 0.5 if half else whole


def iso_ms(at: datetime) -> str:
    """Return an instant as the exchange writes it, milliseconds rounded down: 2026-01-01T00:00:00.000Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def query(parameters: Mapping[str, str | int | None]) -> str:
    """Return the percent-encoded query with its leading `?`, without the absent parameters; may be empty."""
    present = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(present)}" if present else ""


def page_query(
    *,
    since: datetime | None = None,
    limit: int,
    until: datetime | None = None,
    cursor: str | None = None,
    trade_id: str | None = None,
) -> str:
    return query(
        {
            "from": None if since is None else iso_ms(since),
            "limit": limit,
            "to": None if until is None else iso_ms(until),
            "cursor": cursor,
            "tradeId": trade_id,
        }
    )


def candle_query(*, interval: str, since: datetime | None, until: datetime | None, limit: int) -> str:
    return query(
        {
            "from": None if since is None else iso_ms(since),
            "range": interval,
            "limit": limit,
            "to": None if until is None else iso_ms(until),
        }
    )


def _positive(amount: int) -> int:
    if amount <= 0:
        raise AmountOutOfRange("an amount must be positive", amount=amount)
    return amount


def _amount(command: AddMargin | CashIn) -> dict[str, JsonValue]:
    return {"amount": _positive(command.amount_sats), "id": command.trade_id}


def _client_id(client_id: str) -> str:
    if not 1 <= len(client_id) <= _MAX_CLIENT_ID or not client_id.isascii():
        # Without it an unknown outcome could not be settled.
        raise DomainError("a client id has 1 to 64 ASCII characters", client_id=client_id[:80])
    return client_id


def _cross_order(command: CrossOrder | ReduceCross) -> dict[str, JsonValue]:
    limit_price = command.limit_price if isinstance(command, CrossOrder) else None
    members: dict[str, JsonValue] = {
        "side": _SIDES[command.side],
        "quantity": _positive(command.quantity_usd),
        "clientId": _client_id(command.client_id),
        "type": "market" if limit_price is None else "limit",
    }
    return members if limit_price is None else members | {"price": json_price(limit_price)}


def _leverage(command: SetCrossLeverage) -> dict[str, JsonValue]:
    if not MIN_LEVERAGE <= command.leverage <= MAX_LEVERAGE:
        raise LeverageOutOfRange(f"leverage lies between {MIN_LEVERAGE} and {MAX_LEVERAGE}", leverage=command.leverage)
    return {"leverage": command.leverage}


def _swap(command: Swap) -> dict[str, JsonValue]:
    if command.in_asset is command.out_asset:
        raise DomainError("a swap is between two assets", asset=command.in_asset.value)
    amount: int | float = _positive(command.in_amount)
    if command.in_asset is Asset.USD:
        # Dollars with two decimals: the nearest binary number is written with these two decimals again.
        whole, cents = divmod(command.in_amount, CENTS_PER_USD)
        amount = command.in_amount / CENTS_PER_USD if cents else whole
    return {"inAmount": amount, "inAsset": _ASSETS[command.in_asset], "outAsset": _ASSETS[command.out_asset]}


def deposit_request(amount_sats: int, *, comment: str | None) -> tuple[str, str, bytes]:
    """Return method, path below `/v3` and body of what asks for an invoice; making one moves nothing.

    Raises:
        AmountOutOfRange: an amount that is not positive.
        DomainError: a comment that is not ASCII: the exchange's own client signs it otherwise than it is sent.
    """
    body: dict[str, JsonValue] = {"amount": _positive(amount_sats)}
    if comment is not None:
        if not comment.isascii():
            raise DomainError("a comment is ASCII", comment=comment[:80])
        body["comment"] = comment
    return _json("POST", "/account/deposit/lightning", body)


def _open_trade(command: OpenTrade) -> dict[str, JsonValue]:
    members: dict[str, JsonValue | None] = {
        "leverage": command.leverage,
        "side": _SIDES[command.side],
        "stoploss": None if command.stop_loss_price is None else json_price(command.stop_loss_price),
        "takeprofit": None if command.take_profit_price is None else json_price(command.take_profit_price),
        "quantity": command.quantity_usd,
        "price": None if command.limit_price is None else json_price(command.limit_price),
        "type": "market" if command.limit_price is None else "limit",
        "clientId": _client_id(command.client_id),
    }
    return {name: value for name, value in members.items() if value is not None}


def command_request(command: Command) -> tuple[str, str, bytes]:
    """Return method, path below `/v3`, and JSON body of a command; the body is empty where it has none.

    Raises:
        AmountOutOfRange: an amount that is not positive.
        LeverageOutOfRange: a leverage that is not between 1 and 100.
        DomainError: a client id that the exchange would not take.
    """
    isolated, cross = "/futures/isolated/trade", "/futures/cross"
    match command:
        case AddMargin():
            return _json("POST", f"{isolated}/add-margin", _amount(command))
        case CashIn():
            return _json("POST", f"{isolated}/cash-in", _amount(command))
        case CloseTrade():
            return _json("POST", f"{isolated}/close", {"id": command.trade_id})
        case CancelOrder():
            return _json("POST", f"{isolated}/cancel", {"id": command.trade_id})
        case SetStopLoss():
            stop = json_price(command.stop_price)
            return _json("PUT", f"{isolated}/stoploss", {"id": command.trade_id, "value": stop, "mode": "fixed"})
        case SetTakeProfit():
            take_profit = json_price(command.take_profit_price)
            return _json("PUT", f"{isolated}/takeprofit", {"id": command.trade_id, "value": take_profit})
        case OpenTrade():
            return _json("POST", isolated, _open_trade(command))
        case CrossDeposit():
            return _json("POST", f"{cross}/deposit", {"amount": _positive(command.amount_sats)})
        case CrossWithdraw():
            return _json("POST", f"{cross}/withdraw", {"amount": _positive(command.amount_sats)})
        case CrossOrder() | ReduceCross():
            return _json("POST", f"{cross}/order", _cross_order(command))
        case CloseCross():
            return "POST", f"{cross}/position/close", b""
        case CancelCrossOrder():
            return _json("POST", f"{cross}/order/cancel", {"id": command.order_id})
        case SetCrossLeverage():
            return _json("PUT", f"{cross}/leverage", _leverage(command))
        case Swap():
            return _json("POST", "/synthetic-usd/swap", _swap(command))
        case WithdrawLightning():
            return _json("POST", "/account/withdraw/lightning", {"invoice": command.invoice})
        case DepositLightning():
            raise DomainError("a payment of the owner's node is no command to the exchange")


def _json(method: str, path: str, body: dict[str, JsonValue]) -> tuple[str, str, bytes]:
    return method, path, msgspec.json.encode(body)
