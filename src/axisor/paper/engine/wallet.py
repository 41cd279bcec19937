"""The wallet: sats that come into and go out of an account."""

from uuid import uuid4

from axisor.domain.errors import AmountOutOfRange
from axisor.paper.engine.core import Core
from axisor.paper.events import DepositHappened
from axisor.paper.records import Account, Book


class WalletDesk:
    """Every account's free balance."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def deposit(self, account: Account, *, amount_sats: int) -> str:
        """Return the id of a deposit that raised the free balance by `amount_sats`."""
        if amount_sats <= 0:
            raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)
        account.balance_sats += amount_sats
        self._core.post(account, kind="deposit", entries={Book.OUTSIDE: -amount_sats, Book.BALANCE: amount_sats})
        deposit_id = str(uuid4())
        self._core.happened(
            DepositHappened(
                account_id=account.account_id,
                deposit_id=deposit_id,
                amount_sats=amount_sats,
                balance_sats=account.balance_sats,
                at_ms=self._core.now_ms(),
            )
        )
        self._core.touch(account)
        return deposit_id
