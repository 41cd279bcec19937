"""Deposits and withdrawals on the Bitcoin chain. There is no chain: the control interface says what happens on it."""

import secrets
from typing import Final
from uuid import uuid4

import msgspec

from axisor.infra.lightning.address import InvalidAddress, check_address, p2tr_address, p2wpkh_address
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey
from axisor.paper.engine.books import Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.errors import (
    BadAddress,
    InsufficientBalance,
    InvalidRequest,
    LimitExceeded,
    WrongState,
)
from axisor.paper.events import DepositHappened, WalletNetwork, WithdrawalHappened
from axisor.paper.history import DEPOSIT_ADDRESSES, ON_CHAIN_DEPOSITS, ON_CHAIN_WITHDRAWALS
from axisor.paper.records import Account, Book
from axisor.paper.wallet_records import (
    AddressFormat,
    DepositAddress,
    OnChainDeposit,
    OnChainDepositStatus,
    OnChainStatus,
    OnChainWithdrawal,
)

_MS_PER_BLOCK: Final = 600_000
_ADDRESS_OF: Final = {AddressFormat.P2TR: p2tr_address, AddressFormat.P2WPKH: p2wpkh_address}
_WAITING: Final = frozenset({OnChainStatus.PENDING, OnChainStatus.PROCESSING})


class OnChainDesk:
    """Every account's addresses, on-chain deposits and on-chain withdrawals."""

    def __init__(self, core: Core, *, network: BitcoinNetwork, terms: WalletTerms) -> None:
        self._core = core
        self._network = network
        self._terms = terms

    def held(self, account: Account) -> Holdings:
        """Return the amount of every withdrawal that is pending or processing."""
        return {
            (withdrawal.withdrawal_id, Book.WITHDRAWING): withdrawal.amount_sats
            for withdrawal in account.wallet.outgoing.values()
        }

    # Addresses

    def newest_address(self, account: Account) -> DepositAddress:
        """Return the newest address that was never paid; the first one is made."""
        unused = account.wallet.unused_addresses
        return unused[-1] if unused else self.new_address(account)

    def new_address(self, account: Account, *, kind: AddressFormat = AddressFormat.P2TR) -> DepositAddress:
        """Return a new address of the account, to a key that nobody keeps."""
        if len(account.wallet.unused_addresses) >= self._terms.max_unused_addresses:
            raise LimitExceeded("You have too many unused addresses")
        key = SecretKey.from_seed(secrets.token_bytes(32), label="deposit address")
        made = DepositAddress(
            address=_ADDRESS_OF[kind](key.public_key(), network=self._network),
            format=kind,
            created_at_ms=self._core.now_ms(),
        )
        account.wallet.unused_addresses.append(made)
        self._core.history.put(
            account.account_id, DEPOSIT_ADDRESSES, made, item_id=made.address, at_ms=made.created_at_ms
        )
        self._core.touch(account)
        return made

    # Deposits

    def receive(
        self, account: Account, *, amount_sats: int, address: str | None = None, tx_id: str | None = None
    ) -> OnChainDeposit:
        """Return a deposit that was just seen, unconfirmed and not credited, at one of the account's addresses."""
        if amount_sats <= 0:
            raise InvalidRequest("amount_sats", "must be greater than 0")
        paid = self.newest_address(account).address if address is None else address
        if self._core.history.find(account.account_id, DEPOSIT_ADDRESSES, paid) is None:
            raise InvalidRequest("address", "is not one of the account's")
        wallet = account.wallet
        wallet.unused_addresses = [known for known in wallet.unused_addresses if known.address != paid]
        deposit = OnChainDeposit(
            deposit_id=str(uuid4()),
            address=paid,
            tx_id=tx_id or secrets.token_hex(32),
            amount_sats=amount_sats,
            created_at_ms=self._core.now_ms(),
        )
        self._keep_deposit(account, deposit)
        return deposit

    def confirm(self, account: Account, deposit_id: str, *, blocks: int = 1) -> OnChainDeposit:
        """Return the deposit with `blocks` more confirmations; it is credited when it is confirmed, once."""
        deposit = account.wallet.incoming.get(deposit_id)
        if deposit is None:
            raise WrongState("There is no such deposit that waits for confirmations")
        if blocks <= 0:
            raise InvalidRequest("blocks", "must be greater than 0")
        height = deposit.block_height
        deposit = msgspec.structs.replace(
            deposit,
            confirmations=deposit.confirmations + blocks,
            # The paper chain has had one block every 10 minutes since 1970.
            block_height=self._core.now_ms() // _MS_PER_BLOCK if height is None else height,
        )
        terms = self._terms
        has_changed = False
        if deposit.status is OnChainDepositStatus.MEMPOOL and deposit.confirmations >= terms.credited_confirmations:
            deposit = self._credit(account, deposit)
            has_changed = True
        if deposit.status is OnChainDepositStatus.CONFIRMED and deposit.confirmations >= terms.final_confirmations:
            deposit = msgspec.structs.replace(deposit, status=OnChainDepositStatus.IRREVERSIBLE)
            self._keep_deposit(account, deposit)
            has_changed = True
        if not has_changed:
            self._keep_deposit(account, deposit, is_news=False)
        return deposit

    def _credit(self, account: Account, deposit: OnChainDeposit) -> OnChainDeposit:
        amount_sats = deposit.amount_sats
        account.balance_sats += amount_sats
        self._core.post(
            account, kind="on_chain_deposit", entries={Book.OUTSIDE: -amount_sats, Book.BALANCE: amount_sats}
        )
        confirmed = msgspec.structs.replace(deposit, status=OnChainDepositStatus.CONFIRMED)
        self._keep_deposit(account, confirmed)
        return confirmed

    def _keep_deposit(self, account: Account, deposit: OnChainDeposit, *, is_news: bool = True) -> None:
        if deposit.status is OnChainDepositStatus.IRREVERSIBLE:
            account.wallet.incoming.pop(deposit.deposit_id, None)
        else:
            account.wallet.incoming[deposit.deposit_id] = deposit
        self._core.history.put(
            account.account_id,
            ON_CHAIN_DEPOSITS,
            deposit,
            item_id=deposit.deposit_id,
            at_ms=deposit.created_at_ms,
        )
        self._core.touch(account)
        if not is_news:
            return
        self._core.happened(
            DepositHappened(
                account_id=account.account_id,
                network=WalletNetwork.BITCOIN,
                deposit_id=deposit.deposit_id,
                amount_sats=deposit.amount_sats,
                balance_sats=account.balance_sats,
                status=str(deposit.status),
                tx_id=deposit.tx_id,
                is_credited=deposit.status is OnChainDepositStatus.CONFIRMED,
                at_ms=self._core.now_ms(),
            )
        )

    # Withdrawals

    def withdraw(self, account: Account, *, address: str, amount_sats: int) -> OnChainWithdrawal:
        """Return a withdrawal that waits to be looked at; its amount is set aside at once."""
        try:
            check_address(address, network=self._network)
        except InvalidAddress as error:
            raise BadAddress(error.message) from error
        if amount_sats < self._terms.min_on_chain_withdrawal_sats:
            raise InvalidRequest("amount", f"must be at least {self._terms.min_on_chain_withdrawal_sats} sats")
        if account.balance_sats < amount_sats:
            raise InsufficientBalance
        now_ms = self._core.now_ms()
        withdrawal = OnChainWithdrawal(
            withdrawal_id=str(uuid4()),
            address=address,
            amount_sats=amount_sats,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        self._move(account, withdrawal, kind="withdraw_on_chain", reserved=amount_sats)
        self._keep_withdrawal(account, withdrawal)
        return withdrawal

    def process(self, account: Account, withdrawal_id: str) -> OnChainWithdrawal:
        """Return the withdrawal, taken up: it can no longer be canceled."""
        withdrawal = _waiting(account, withdrawal_id, among=frozenset({OnChainStatus.PENDING}))
        return self._change(account, withdrawal, status=OnChainStatus.PROCESSING)

    def complete(
        self, account: Account, withdrawal_id: str, *, fee_sats: int, tx_id: str | None = None
    ) -> OnChainWithdrawal:
        """Return the withdrawal, sent: the receiver got the amount less the network's fee."""
        withdrawal = _waiting(account, withdrawal_id, among=_WAITING)
        if not 0 <= fee_sats < withdrawal.amount_sats:
            raise InvalidRequest("fee_sats", "must lie between 0 and less than the amount")
        amount_sats = withdrawal.amount_sats
        self._move(account, withdrawal, kind="withdrawn_on_chain", reserved=-amount_sats, outside=amount_sats)
        return self._change(
            account,
            withdrawal,
            status=OnChainStatus.PROCESSED,
            fee_sats=fee_sats,
            tx_id=tx_id or secrets.token_hex(32),
        )

    def reject(self, account: Account, withdrawal_id: str) -> OnChainWithdrawal:
        """Return the withdrawal, refused by the exchange: its amount is back in the balance."""
        return self._return(account, _waiting(account, withdrawal_id, among=_WAITING), status=OnChainStatus.REJECTED)

    def cancel(self, account: Account, withdrawal_id: str) -> OnChainWithdrawal:
        """Return the withdrawal, taken back before it was processed: its amount is back in the balance."""
        withdrawal = _waiting(account, withdrawal_id, among=frozenset({OnChainStatus.PENDING}))
        return self._return(account, withdrawal, status=OnChainStatus.CANCELED)

    def _return(self, account: Account, withdrawal: OnChainWithdrawal, *, status: OnChainStatus) -> OnChainWithdrawal:
        kind = f"on_chain_withdrawal_{status}"
        self._move(account, withdrawal, kind=kind, reserved=-withdrawal.amount_sats)
        return self._change(account, withdrawal, status=status)

    def _move(
        self, account: Account, withdrawal: OnChainWithdrawal, *, kind: str, reserved: int, outside: int = 0
    ) -> None:
        """Post a change of what is set aside; what does not go outside comes from or returns to the balance."""
        balance = -reserved - outside
        account.balance_sats += balance
        self._core.post(
            account,
            kind=kind,
            withdrawal_id=withdrawal.withdrawal_id,
            entries={Book.BALANCE: balance, Book.WITHDRAWING: reserved, Book.OUTSIDE: outside},
        )

    def _change(
        self,
        account: Account,
        withdrawal: OnChainWithdrawal,
        *,
        status: OnChainStatus,
        fee_sats: int | None = None,
        tx_id: str | None = None,
    ) -> OnChainWithdrawal:
        changed = msgspec.structs.replace(
            withdrawal, status=status, fee_sats=fee_sats, tx_id=tx_id, updated_at_ms=self._core.now_ms()
        )
        self._keep_withdrawal(account, changed)
        return changed

    def _keep_withdrawal(self, account: Account, withdrawal: OnChainWithdrawal) -> None:
        if withdrawal.status in _WAITING:
            account.wallet.outgoing[withdrawal.withdrawal_id] = withdrawal
        else:
            del account.wallet.outgoing[withdrawal.withdrawal_id]
        self._core.history.put(
            account.account_id,
            ON_CHAIN_WITHDRAWALS,
            withdrawal,
            item_id=withdrawal.withdrawal_id,
            at_ms=withdrawal.created_at_ms,
        )
        self._core.touch(account)
        self._core.happened(
            WithdrawalHappened(
                account_id=account.account_id,
                network=WalletNetwork.BITCOIN,
                withdrawal_id=withdrawal.withdrawal_id,
                amount_sats=withdrawal.amount_sats,
                fee_sats=withdrawal.fee_sats or 0,
                balance_sats=account.balance_sats,
                status=str(withdrawal.status),
                tx_id=withdrawal.tx_id or "",
                at_ms=withdrawal.updated_at_ms,
            )
        )


def _waiting(account: Account, withdrawal_id: str, *, among: frozenset[OnChainStatus]) -> OnChainWithdrawal:
    withdrawal = account.wallet.outgoing.get(withdrawal_id)
    if withdrawal is None or withdrawal.status not in among:
        raise WrongState(f"There is no such withdrawal that is {' or '.join(sorted(among))}")
    return withdrawal
