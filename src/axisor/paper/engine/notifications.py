"""Notifications: the few events an account's owner should hear of without watching the stream."""

from collections.abc import Iterator
from typing import Final
from uuid import uuid4

from axisor.domain.trades import PositionSide
from axisor.domain.units import usd
from axisor.paper.engine.core import Core
from axisor.paper.events import (
    CrossOrderHappened,
    DepositHappened,
    EngineEvent,
    TradeEventKind,
    TradeHappened,
    WithdrawalHappened,
)
from axisor.paper.history import NOTIFICATIONS
from axisor.paper.records import Account, CrossOrder, CrossOrderType, Notification, NotificationKind, PaperTrade
from axisor.paper.wallet_records import LightningStatus, OnChainStatus

_KIND_OF_END: Final = {
    TradeEventKind.LIQUIDATION: NotificationKind.TRADE_LIQUIDATED,
    TradeEventKind.STOP_LOSS: NotificationKind.STOP_LOSS_REACHED,
    TradeEventKind.TAKE_PROFIT: NotificationKind.TAKE_PROFIT_REACHED,
}
_KIND_OF_STATUS: Final[dict[str, NotificationKind]] = {
    LightningStatus.PROCESSED: NotificationKind.WITHDRAWAL_PROCESSED,
    LightningStatus.FAILED: NotificationKind.WITHDRAWAL_FAILED,
    OnChainStatus.REJECTED: NotificationKind.WITHDRAWAL_FAILED,
}
"""Statuses of Lightning and on-chain withdrawals; what is processed has one word for both."""
_SENTENCE_OF_END: Final = {
    NotificationKind.TRADE_LIQUIDATED: "Your {trade} was liquidated at {price} USD",
    NotificationKind.STOP_LOSS_REACHED: "Your {trade} was closed by its stop loss at {price} USD",
    NotificationKind.TAKE_PROFIT_REACHED: "Your {trade} was closed by its take profit at {price} USD",
}


class NotificationDesk:
    """Every account's notifications."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.on_event(self._notice)

    def newest_first(self, account: Account, *, is_read: bool) -> Iterator[Notification]:
        """Yield the notifications of an account that were read, or those that were not."""
        for notification in self._core.history.newest_first(account.account_id, NOTIFICATIONS):
            if (notification.seq <= account.read_notification_count) is is_read:
                yield notification

    def read_all(self, account: Account) -> None:
        """Mark every notification of the account as read."""
        if account.read_notification_count != account.notification_count:
            account.read_notification_count = account.notification_count
            self._core.touch(account)

    def _notice(self, event: EngineEvent) -> None:
        match event:
            case TradeHappened():
                kind = _KIND_OF_END.get(event.kind)
                if kind is not None:
                    self._trade_ended(event, kind)
            case CrossOrderHappened() if event.order.order_type is CrossOrderType.LIQUIDATION:
                self._position_ended(event.order)
            case DepositHappened(is_credited=True):
                self._add(
                    event.account_id,
                    NotificationKind.DEPOSIT_SETTLED,
                    message=f"Your deposit of {event.amount_sats:,} sats arrived",
                    about={"id": event.deposit_id, "amount": event.amount_sats},
                )

            case WithdrawalHappened(status=status) if (ended := _KIND_OF_STATUS.get(status)) is not None:
                words = "was sent" if ended is NotificationKind.WITHDRAWAL_PROCESSED else "failed: it is back"
                self._add(
                    event.account_id,
                    ended,
                    message=f"Your withdrawal of {event.amount_sats:,} sats {words}",
                    about={"id": event.withdrawal_id, "amount": event.amount_sats},
                )
            case _:
                pass

    def _trade_ended(self, event: TradeHappened, kind: NotificationKind) -> None:
        trade = event.trade
        assert trade.exit_price is not None
        sentence = _SENTENCE_OF_END[kind]
        self._add(
            event.account_id,
            kind,
            message=sentence.format(trade=_words(trade), price=f"{usd(trade.exit_price):,}"),
            about={"id": trade.trade_id, "quantity": trade.quantity_usd, "pl": trade.pnl_sats},
        )

    def _position_ended(self, order: CrossOrder) -> None:
        side = "long" if order.side is PositionSide.SHORT else "short"
        self._add(
            order.account_id,
            NotificationKind.POSITION_LIQUIDATED,
            message=f"Your cross {side} of {order.quantity_usd:,} USD was liquidated at {usd(order.price):,} USD",
            about={"id": order.order_id, "quantity": order.quantity_usd},
        )

    def _add(self, account_id: str, kind: NotificationKind, *, message: str, about: dict[str, str | int]) -> None:
        account = self._core.accounts[account_id]
        account.notification_count += 1
        notification = Notification(
            notification_id=str(uuid4()),
            seq=account.notification_count,
            at_ms=self._core.now_ms(),
            kind=kind,
            message=message,
            about=about,
        )
        self._core.history.put(
            account_id,
            NOTIFICATIONS,
            notification,
            item_id=notification.notification_id,
            at_ms=notification.at_ms,
        )
        self._core.touch(account)


def _words(trade: PaperTrade) -> str:
    side = "long" if trade.side is PositionSide.LONG else "short"
    return f"{side} of {trade.quantity_usd:,} USD"
