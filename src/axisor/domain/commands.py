"""Every command that Axisor can send to the exchange, and the class that decides what may block it.

A command without a row in `COMMAND_TABLE` cannot be sent.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId


class CommandClass(StrEnum):
    """What may stand in a command's way.

    END        close, or set or move a stop: nothing blocks it.
    MONEY_IN   adds collateral: stopped only by budget, reserve, the owner's off switch and the fence.
    RISK       opens or enlarges exposure: everything may block it.
    """

    END = "end"
    MONEY_IN = "money_in"
    RISK = "risk"


class CommandName(StrEnum):
    ADD_MARGIN = "add_margin"
    CASH_IN = "cash_in"
    CLOSE_TRADE = "close_trade"
    CANCEL_ORDER = "cancel_order"
    SET_STOP_LOSS = "set_stop_loss"
    SET_TAKE_PROFIT = "set_take_profit"
    OPEN_TRADE = "open_trade"


class SettledBy(StrEnum):
    """Which reading tells whether a command of unknown outcome took effect."""

    ADDED_COUNTER = "added_counter"  # added_sats grown by exactly the tagged amount
    CASH_IN_COUNTER = "cash_in_counter"  # sumCashInPl + sumCashInMargin
    TRADE_STATUS = "trade_status"  # the trade is closed or canceled
    STOP_VALUE = "stop_value"  # the stop has the value that was asked for
    TAKE_PROFIT_VALUE = "take_profit_value"
    CLIENT_ID = "client_id"  # the client id stands in one of the lists


@dataclass(frozen=True, slots=True)
class CommandRow:
    command_class: CommandClass
    is_repeatable: bool
    """True where sending the same command twice has the effect of sending it once."""
    settled_by: SettledBy


COMMAND_TABLE: Final[dict[CommandName, CommandRow]] = {
    CommandName.ADD_MARGIN: CommandRow(CommandClass.MONEY_IN, False, SettledBy.ADDED_COUNTER),
    CommandName.CASH_IN: CommandRow(CommandClass.RISK, False, SettledBy.CASH_IN_COUNTER),
    CommandName.CLOSE_TRADE: CommandRow(CommandClass.END, True, SettledBy.TRADE_STATUS),
    CommandName.CANCEL_ORDER: CommandRow(CommandClass.END, True, SettledBy.TRADE_STATUS),
    CommandName.SET_STOP_LOSS: CommandRow(CommandClass.END, True, SettledBy.STOP_VALUE),
    CommandName.SET_TAKE_PROFIT: CommandRow(CommandClass.END, True, SettledBy.TAKE_PROFIT_VALUE),
    CommandName.OPEN_TRADE: CommandRow(CommandClass.RISK, False, SettledBy.CLIENT_ID),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMargin:
    """Move `amount_sats` from the free balance into a running trade's margin."""

    name: ClassVar[CommandName] = CommandName.ADD_MARGIN
    trade_id: TradeId
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CashIn:
    """Take `amount_sats` out of a running trade, profit first, then margin."""

    name: ClassVar[CommandName] = CommandName.CASH_IN
    trade_id: TradeId
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTrade:
    name: ClassVar[CommandName] = CommandName.CLOSE_TRADE
    trade_id: TradeId


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    name: ClassVar[CommandName] = CommandName.CANCEL_ORDER
    trade_id: TradeId


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStopLoss:
    name: ClassVar[CommandName] = CommandName.SET_STOP_LOSS
    trade_id: TradeId
    stop_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTakeProfit:
    name: ClassVar[CommandName] = CommandName.SET_TAKE_PROFIT
    trade_id: TradeId
    take_profit_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTrade:
    """Open an isolated trade; a market order where `limit_price` is None."""

    name: ClassVar[CommandName] = CommandName.OPEN_TRADE
    side: PositionSide
    quantity_usd: int
    leverage: int
    limit_price: Price | None
    stop_loss_price: Price | None
    take_profit_price: Price | None
    client_id: str


type Command = AddMargin | CashIn | CloseTrade | CancelOrder | SetStopLoss | SetTakeProfit | OpenTrade
