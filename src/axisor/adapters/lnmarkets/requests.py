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
    CancelOrder,
    CashIn,
    CloseTrade,
    Command,
    OpenTrade,
    SetStopLoss,
    SetTakeProfit,
)
from axisor.domain.errors import AmountOutOfRange, DomainError
from axisor.domain.trades import PositionSide
from axisor.domain.units import TICKS_PER_USD, Price

type JsonValue = int | float | str

_SIDES: Final = {PositionSide.LONG: "buy", PositionSide.SHORT: "sell"}
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


def _amount(command: AddMargin | CashIn) -> dict[str, JsonValue]:
    if command.amount_sats <= 0:
        raise AmountOutOfRange("an amount must be positive", amount_sats=command.amount_sats)
    return {"amount": command.amount_sats, "id": command.trade_id}


def _open_trade(command: OpenTrade) -> dict[str, JsonValue]:
    if not 1 <= len(command.client_id) <= _MAX_CLIENT_ID or not command.client_id.isascii():
        # Without it an unknown outcome could not be settled.
        raise DomainError("a client id has 1 to 64 ASCII characters", client_id=command.client_id[:80])
    members: dict[str, JsonValue | None] = {
        "leverage": command.leverage,
        "side": _SIDES[command.side],
        "stoploss": None if command.stop_loss_price is None else json_price(command.stop_loss_price),
        "takeprofit": None if command.take_profit_price is None else json_price(command.take_profit_price),
        "quantity": command.quantity_usd,
        "price": None if command.limit_price is None else json_price(command.limit_price),
        "type": "market" if command.limit_price is None else "limit",
        "clientId": command.client_id,
    }
    return {name: value for name, value in members.items() if value is not None}


def command_request(command: Command) -> tuple[str, str, bytes]:
    """Return method, path below `/v3`, and JSON body of a command.

    Raises:
        AmountOutOfRange: an amount that is not positive.
        DomainError: a client id that the exchange would not take.
    """
    isolated = "/futures/isolated/trade"
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


def _json(method: str, path: str, body: dict[str, JsonValue]) -> tuple[str, str, bytes]:
    return method, path, msgspec.json.encode(body)
