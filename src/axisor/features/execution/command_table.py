"""Every command that may be sent, with its class and with the reading that settles it.

A command without a row cannot be sent: the executor asks this table before it signs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from axisor.domain.commands import Command, CommandClass, CommandName, Swap
from axisor.domain.wallet import Asset


class SettledBy(StrEnum):
    """Which reading tells whether a command of unknown outcome took effect."""

    ADDED_COUNTER = "added_counter"  # added_sats grown by exactly the tagged amount
    CASH_IN_COUNTER = "cash_in_counter"  # sumCashInPl + sumCashInMargin
    TRADE_STATUS = "trade_status"  # the trade is closed or canceled
    STOP_VALUE = "stop_value"  # the stop has the value that was asked for
    TAKE_PROFIT_VALUE = "take_profit_value"
    TRADE_CLIENT_ID = "trade_client_id"  # over the open, running, closed and canceled trades
    CROSS_CLIENT_ID = "cross_client_id"  # over the open and filled orders; canceled ones are listed nowhere
    CROSS_TRANSFERS = "cross_transfers"  # a transfer of exactly the tagged amount
    CROSS_FLAT = "cross_flat"  # the position holds nothing: closing takes no client id
    CROSS_OPEN_ORDERS = "cross_open_orders"  # the order rests no more
    CROSS_LEVERAGE = "cross_leverage"  # the position has the leverage that was asked for
    SWAPS = "swaps"  # a swap of exactly the tagged amount
    PAYMENT_HASH = "payment_hash"  # over the withdrawals
    NODE_PAYMENT = "node_payment"  # the owner's node says what became of the payment hash


@dataclass(frozen=True, slots=True)
class CommandRow:
    command_class: CommandClass
    is_repeatable: bool
    """True where sending the same command twice has the effect of sending it once."""
    settled_by: SettledBy


_END, _MONEY_IN, _RISK = CommandClass.END, CommandClass.MONEY_IN, CommandClass.RISK

COMMAND_TABLE: Final[Mapping[CommandName, CommandRow]] = MappingProxyType(
    {
        CommandName.ADD_MARGIN: CommandRow(_MONEY_IN, False, SettledBy.ADDED_COUNTER),
        CommandName.CASH_IN: CommandRow(_RISK, False, SettledBy.CASH_IN_COUNTER),
        CommandName.CLOSE_TRADE: CommandRow(_END, True, SettledBy.TRADE_STATUS),
        CommandName.CANCEL_ORDER: CommandRow(_END, True, SettledBy.TRADE_STATUS),
        CommandName.SET_STOP_LOSS: CommandRow(_END, True, SettledBy.STOP_VALUE),
        CommandName.SET_TAKE_PROFIT: CommandRow(_END, True, SettledBy.TAKE_PROFIT_VALUE),
        CommandName.OPEN_TRADE: CommandRow(_RISK, False, SettledBy.TRADE_CLIENT_ID),
        CommandName.CROSS_DEPOSIT: CommandRow(_MONEY_IN, False, SettledBy.CROSS_TRANSFERS),
        CommandName.CROSS_WITHDRAW: CommandRow(_RISK, False, SettledBy.CROSS_TRANSFERS),
        CommandName.CROSS_ORDER: CommandRow(_RISK, False, SettledBy.CROSS_CLIENT_ID),
        CommandName.REDUCE_CROSS: CommandRow(_END, False, SettledBy.CROSS_CLIENT_ID),
        CommandName.CLOSE_CROSS: CommandRow(_END, True, SettledBy.CROSS_FLAT),
        CommandName.CANCEL_CROSS_ORDER: CommandRow(_END, True, SettledBy.CROSS_OPEN_ORDERS),
        CommandName.SET_CROSS_LEVERAGE: CommandRow(_RISK, True, SettledBy.CROSS_LEVERAGE),
        CommandName.SWAP: CommandRow(_RISK, False, SettledBy.SWAPS),
        CommandName.WITHDRAW_LIGHTNING: CommandRow(_RISK, False, SettledBy.PAYMENT_HASH),
        CommandName.DEPOSIT_LIGHTNING: CommandRow(_MONEY_IN, False, SettledBy.NODE_PAYMENT),
    }
)


def class_of(command: Command) -> CommandClass:
    """Return what may stand in a command's way.

    A swap into sats frees money for a rescue, so what stops a rescue stops it and nothing else; it spends nothing.

    Raises:
        KeyError: the command has no row, and cannot be sent.
    """
    if isinstance(command, Swap) and command.out_asset is Asset.BTC:
        return CommandClass.MONEY_IN
    return COMMAND_TABLE[command.name].command_class
