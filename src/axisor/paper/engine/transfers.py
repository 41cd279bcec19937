"""Sats given by one user of the exchange to another: at once, without a fee."""

from uuid import uuid4

from axisor.paper.engine.core import Core
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.errors import InsufficientBalance, InvalidRequest
from axisor.paper.history import TRANSFERS_IN, TRANSFERS_OUT, Shelf
from axisor.paper.records import Account, Book
from axisor.paper.wallet_records import InternalTransfer


class TransferDesk:
    """Every account's internal transfers."""

    def __init__(self, core: Core, *, terms: WalletTerms) -> None:
        self._core = core
        self._terms = terms

    def send(self, account: Account, *, to_username: str, amount_sats: int) -> InternalTransfer:
        """Return the transfer that moved `amount_sats` into the free balance of another user."""
        receiver = next((other for other in self._core.accounts.values() if other.username == to_username), None)
        if receiver is None:
            raise InvalidRequest("toUsername", "is not a user of the exchange")
        if receiver is account:
            raise InvalidRequest("toUsername", "must be another user")
        if amount_sats < self._terms.min_withdrawal_sats:
            raise InvalidRequest("amount", f"must be at least {self._terms.min_withdrawal_sats} sats")
        if account.balance_sats < amount_sats:
            raise InsufficientBalance
        transfer = InternalTransfer(
            transfer_id=str(uuid4()),
            amount_sats=amount_sats,
            created_at_ms=self._core.now_ms(),
            from_account_id=account.account_id,
            from_username=account.username,
            to_account_id=receiver.account_id,
            to_username=receiver.username,
        )
        self._book(account, transfer, kind="transfer_out", balance=-amount_sats, shelf=TRANSFERS_OUT)
        self._book(receiver, transfer, kind="transfer_in", balance=amount_sats, shelf=TRANSFERS_IN)
        return transfer

    def _book(
        self, account: Account, transfer: InternalTransfer, *, kind: str, balance: int, shelf: Shelf[InternalTransfer]
    ) -> None:
        account.balance_sats += balance
        self._core.post(account, kind=kind, entries={Book.BALANCE: balance, Book.TRANSFERS: -balance})
        self._core.history.put(
            account.account_id, shelf, transfer, item_id=transfer.transfer_id, at_ms=transfer.created_at_ms
        )
        self._core.touch(account)
