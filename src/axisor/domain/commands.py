"""Every command that Axisor can send to the exchange.

What class each one is of, whether it may be repeated and which reading settles it stands in the table of
`axisor.features.execution.command_table`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.domain.wallet import Asset


class CommandClass(StrEnum):
    """What may stand in a command's way.

    END        close, or set or move a stop: nothing blocks it.
    MONEY_IN   adds collateral: stopped only by budget, reserve, the owner's off switch and the fence.
    RISK       opens or enlarges exposure, or takes collateral away: everything may block it.
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
    CROSS_DEPOSIT = "cross_deposit"
    CROSS_WITHDRAW = "cross_withdraw"
    CROSS_ORDER = "cross_order"
    REDUCE_CROSS = "reduce_cross"
    CLOSE_CROSS = "close_cross"
    CANCEL_CROSS_ORDER = "cancel_cross_order"
    SET_CROSS_LEVERAGE = "set_cross_leverage"
    SWAP = "swap"
    WITHDRAW_LIGHTNING = "withdraw_lightning"
    DEPOSIT_LIGHTNING = "deposit_lightning"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossDeposit:
    """Move `amount_sats` from the free balance into the cross margin."""

    name: ClassVar[CommandName] = CommandName.CROSS_DEPOSIT
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossWithdraw:
    """Move `amount_sats` from the cross margin to the free balance."""

    name: ClassVar[CommandName] = CommandName.CROSS_WITHDRAW
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossOrder:
    """Buy (LONG) or sell (SHORT) in the cross position; a market order where `limit_price` is None."""

    name: ClassVar[CommandName] = CommandName.CROSS_ORDER
    side: PositionSide
    quantity_usd: int
    limit_price: Price | None
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceCross:
    """Deal against the cross position at the market, for less than it holds.

    To the exchange it is an order like any other, not reduce-only: whoever drafts it has read the position.
    """

    name: ClassVar[CommandName] = CommandName.REDUCE_CROSS
    side: PositionSide
    """The side of the deal: the opposite of the position's."""
    quantity_usd: int
    client_id: str


@dataclass(frozen=True, slots=True)
class CloseCross:
    """Close the whole cross position at the market; without a position the exchange refuses."""

    name: ClassVar[CommandName] = CommandName.CLOSE_CROSS


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCrossOrder:
    name: ClassVar[CommandName] = CommandName.CANCEL_CROSS_ORDER
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCrossLeverage:
    name: ClassVar[CommandName] = CommandName.SET_CROSS_LEVERAGE
    leverage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Change sats into synthetic USD or back; `in_amount` is in sats, or in cents of synthetic USD."""

    name: ClassVar[CommandName] = CommandName.SWAP
    in_asset: Asset
    out_asset: Asset
    in_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawLightning:
    """Pay a BOLT 11 invoice from the free balance; `payment_hash` and `amount_sats` are what the invoice says."""

    name: ClassVar[CommandName] = CommandName.WITHDRAW_LIGHTNING
    invoice: str
    payment_hash: str
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositLightning:
    """Let the owner's Lightning node pay an invoice of the exchange; its hash and amount are what the invoice says.

    No command to the exchange: a node pays a hash once, whoever asks how often, and nothing after its expiry.
    """

    name: ClassVar[CommandName] = CommandName.DEPOSIT_LIGHTNING
    invoice: str
    payment_hash: str
    amount_sats: int


type TradeCommand = AddMargin | CashIn | CloseTrade | CancelOrder | SetStopLoss | SetTakeProfit
"""What is done to one isolated trade that is there already."""

type AccountCommand = (
    OpenTrade
    | CrossDeposit
    | CrossWithdraw
    | CrossOrder
    | ReduceCross
    | CloseCross
    | CancelCrossOrder
    | SetCrossLeverage
    | Swap
    | WithdrawLightning
    | DepositLightning
)
"""What concerns the account, or its cross position."""

type Command = TradeCommand | AccountCommand
