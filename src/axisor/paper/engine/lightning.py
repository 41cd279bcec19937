"""Deposits and withdrawals over Lightning: invoices of the exchange that users pay, and users' invoices that it pays.

The exchange's node says what became of an invoice or a payment, perhaps twice; a deposit is credited and a withdrawal
is ended exactly once. What the node holds over a restart goes on afterwards: the node is asked again.
"""

import secrets
from typing import Final
from uuid import uuid4

import msgspec
import structlog

from axisor.domain.errors import AmountOutOfRange
from axisor.infra.lightning.bolt11 import MAX_DESCRIPTION_BYTES, InvalidInvoice
from axisor.paper.clock import epoch_ms
from axisor.paper.engine.books import Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.errors import (
    BadInvoice,
    InsufficientBalance,
    InvalidRequest,
    InvoiceRefused,
    LightningDown,
    TierLimitExceeded,
)
from axisor.paper.events import DepositHappened, WalletNetwork, WithdrawalHappened
from axisor.paper.history import LIGHTNING_DEPOSITS, LIGHTNING_WITHDRAWALS
from axisor.paper.lightning.ports import (
    DepositSettled,
    ExchangeNode,
    InvoiceDetails,
    InvoiceState,
    PaymentOutcome,
    PaymentState,
)
from axisor.paper.records import Account, Book
from axisor.paper.wallet_records import LightningDeposit, LightningStatus, LightningWithdrawal

log = structlog.get_logger(__name__)

SETTLED: Final = "settled"
_CAP_WINDOW_MS: Final = 30 * 86_400_000
_OVER: Final = frozenset({InvoiceState.CANCELED, None})


class LightningDesk:
    """Every account's Lightning deposits and withdrawals; without a node there are none."""

    def __init__(self, core: Core, *, node: ExchangeNode | None, terms: WalletTerms) -> None:
        self._core = core
        self._node = node
        self._terms = terms
        self._owner_of_invoice: dict[str, Account] = {}
        self._owner_of_payment: dict[str, Account] = {}

    def adopt(self, account: Account) -> None:
        """Take over open invoices and payments; a payment that the node never heard of is ordered again."""
        self._owner_of_invoice |= dict.fromkeys(account.wallet.invoices, account)
        self._owner_of_payment |= dict.fromkeys(account.wallet.payments, account)
        if self._node is None:
            return
        for withdrawal in list(account.wallet.payments.values()):
            if self._node.find_payment(withdrawal.payment_hash) is not None:
                continue
            try:
                self._node.pay(withdrawal.invoice, max_fee_sats=withdrawal.max_fee_sats)
            except InvalidInvoice as error:
                self._fail(account, withdrawal, reason=error.message)

    def held(self, account: Account) -> Holdings:
        """Return amount and highest fee of every withdrawal that is being processed."""
        return {
            (withdrawal.withdrawal_id, Book.WITHDRAWING): withdrawal.reserved_sats
            for withdrawal in account.wallet.payments.values()
        }

    # Deposits

    def give(self, account: Account, *, amount_sats: int) -> LightningDeposit:
        """Return a deposit that nobody had to pay: settled at once, with a payment hash like any other."""
        if amount_sats <= 0:
            raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)
        now_ms = self._core.now_ms()
        deposit = LightningDeposit(
            deposit_id=str(uuid4()),
            payment_hash=secrets.token_hex(32),
            amount_sats=amount_sats,
            created_at_ms=now_ms,
            expires_at_ms=now_ms,
        )
        return self._credit(account, deposit, amount_sats=amount_sats, at_ms=now_ms)

    def open_deposit(
        self, account: Account, *, amount_sats: int, comment: str | None = None, description_hash: str | None = None
    ) -> tuple[LightningDeposit, str]:
        """Return a deposit that waits to be paid, and its invoice."""
        if amount_sats < self._terms.min_deposit_sats:
            raise InvalidRequest("amount", f"must be at least {self._terms.min_deposit_sats} sats")
        if len((comment or "").encode()) > MAX_DESCRIPTION_BYTES:
            raise InvalidRequest("comment", f"must not be longer than {MAX_DESCRIPTION_BYTES} bytes")
        node = self._connected()
        self._forget_expired(account, node)
        self._check_cap(account, amount_sats)
        invoice = node.create_invoice(
            amount_sats=amount_sats,
            memo=comment or "",
            description_hash=description_hash,
            expiry_s=self._terms.invoice_expiry_s,
        )
        deposit = LightningDeposit(
            deposit_id=str(uuid4()),
            payment_hash=invoice.payment_hash,
            amount_sats=amount_sats,
            created_at_ms=self._core.now_ms(),
            expires_at_ms=epoch_ms(invoice.expires_at),
            comment=comment,
        )
        account.wallet.invoices[invoice.payment_hash] = deposit
        self._owner_of_invoice[invoice.payment_hash] = account
        self._keep_deposit(account, deposit)
        return deposit, invoice.payment_request

    def on_settled(self, report: DepositSettled) -> None:
        """Credit the deposit with this payment hash; one that was credited already stays as it is."""
        account = self._owner_of_invoice.pop(report.payment_hash, None)
        if account is None:
            log.info("settlement_already_known", payment_hash=report.payment_hash)
            return
        deposit = account.wallet.invoices.pop(report.payment_hash)
        self._credit(account, deposit, amount_sats=report.amount_sats, at_ms=epoch_ms(report.settled_at))

    def _credit(self, account: Account, deposit: LightningDeposit, *, amount_sats: int, at_ms: int) -> LightningDeposit:
        settled = msgspec.structs.replace(deposit, amount_sats=amount_sats, settled_at_ms=at_ms)
        account.balance_sats += amount_sats
        self._core.post(account, kind="deposit", entries={Book.OUTSIDE: -amount_sats, Book.BALANCE: amount_sats})
        self._keep_deposit(account, settled)
        self._core.happened(
            DepositHappened(
                account_id=account.account_id,
                network=WalletNetwork.LIGHTNING,
                deposit_id=settled.deposit_id,
                amount_sats=amount_sats,
                balance_sats=account.balance_sats,
                status=SETTLED,
                tx_id=settled.payment_hash,
                is_credited=True,
                at_ms=at_ms,
            )
        )
        return settled

    def _forget_expired(self, account: Account, node: ExchangeNode) -> None:
        """Wait no more for invoices that have ended; one that is held by a payment may still be settled."""
        now_ms = self._core.now_ms()
        for payment_hash, deposit in list(account.wallet.invoices.items()):
            if deposit.expires_at_ms <= now_ms and node.find_invoice(payment_hash) in _OVER:
                del account.wallet.invoices[payment_hash], self._owner_of_invoice[payment_hash]

    def _check_cap(self, account: Account, amount_sats: int) -> None:
        cap_sats = self._terms.deposit_cap_sats
        if cap_sats is None:
            return
        now_ms = self._core.now_ms()
        total_sats = amount_sats
        for deposit in self._core.history.newest_first(account.account_id, LIGHTNING_DEPOSITS):
            if deposit.created_at_ms < now_ms - _CAP_WINDOW_MS:
                break
            if deposit.settled_at_ms is not None or deposit.expires_at_ms > now_ms:
                total_sats += deposit.amount_sats
        if total_sats > cap_sats:
            raise TierLimitExceeded(f"You cannot deposit more than {cap_sats} sats within 30 days")

    def _keep_deposit(self, account: Account, deposit: LightningDeposit) -> None:
        self._core.history.put(
            account.account_id,
            LIGHTNING_DEPOSITS,
            deposit,
            item_id=deposit.deposit_id,
            at_ms=deposit.created_at_ms,
        )
        self._core.touch(account)

    # Withdrawals

    def withdraw(self, account: Account, *, invoice: str) -> LightningWithdrawal:
        """Return the withdrawal that pays an invoice: its amount and its highest fee are set aside at once."""
        node = self._connected()
        details, amount_sats = self._payable(node, invoice)
        withdrawal = LightningWithdrawal(
            withdrawal_id=str(uuid4()),
            payment_hash=details.payment_hash,
            invoice=invoice,
            payee=details.payee,
            amount_sats=amount_sats,
            max_fee_sats=self._terms.max_fee_sats(amount_sats),
            created_at_ms=self._core.now_ms(),
        )
        if account.balance_sats < withdrawal.reserved_sats:
            raise InsufficientBalance
        node.pay(invoice, max_fee_sats=withdrawal.max_fee_sats)
        account.wallet.payments[withdrawal.payment_hash] = withdrawal
        self._owner_of_payment[withdrawal.payment_hash] = account
        self._move(account, withdrawal, kind="withdraw", reserved=withdrawal.reserved_sats)
        self._keep_withdrawal(account, withdrawal)
        return withdrawal

    def on_payment(self, report: PaymentOutcome) -> None:
        """End the withdrawal with this payment hash; one that has ended already stays as it is."""
        account = self._owner_of_payment.get(report.payment_hash)
        # A repeated report may be older than a second attempt at the same invoice: the node's present word counts.
        present = self._connected().find_payment(report.payment_hash) or report
        if account is None or present.state is PaymentState.IN_FLIGHT:
            log.info("payment_report_changes_nothing", payment_hash=report.payment_hash, state=str(report.state))
            return
        withdrawal = account.wallet.payments[report.payment_hash]
        if present.state is PaymentState.SUCCEEDED:
            self._succeed(account, withdrawal, fee_sats=present.fee_sats)
        else:
            self._fail(account, withdrawal, reason=str(present.failure))

    def _succeed(self, account: Account, withdrawal: LightningWithdrawal, *, fee_sats: int) -> None:
        self._move(
            account,
            withdrawal,
            kind="withdrawn",
            reserved=-withdrawal.reserved_sats,
            outside=withdrawal.amount_sats + fee_sats,
        )
        self._end(account, msgspec.structs.replace(withdrawal, status=LightningStatus.PROCESSED, fee_sats=fee_sats))

    def _fail(self, account: Account, withdrawal: LightningWithdrawal, *, reason: str) -> None:
        self._move(account, withdrawal, kind="withdrawal_failed", reserved=-withdrawal.reserved_sats)
        self._end(account, msgspec.structs.replace(withdrawal, status=LightningStatus.FAILED, failure=reason))

    def _end(self, account: Account, withdrawal: LightningWithdrawal) -> None:
        del account.wallet.payments[withdrawal.payment_hash], self._owner_of_payment[withdrawal.payment_hash]
        self._keep_withdrawal(account, withdrawal)

    def _move(
        self, account: Account, withdrawal: LightningWithdrawal, *, kind: str, reserved: int, outside: int = 0
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

    def _payable(self, node: ExchangeNode, invoice: str) -> tuple[InvoiceDetails, int]:
        """Return what an invoice asks for and its amount in sats.

        Raises:
            Refusal: it cannot be paid, or not again.
        """
        try:
            details = node.describe(invoice)
        except InvalidInvoice as error:
            raise BadInvoice(error.message) from error
        if details.is_expired:
            raise InvoiceRefused("Invoice has expired")
        if not details.amount_sats:
            raise InvoiceRefused("Invoice must have an amount")
        if node.find_invoice(details.payment_hash) is not None:
            raise InvoiceRefused("Invoice belongs to the exchange")
        payment = node.find_payment(details.payment_hash)
        is_spent = payment is not None and payment.state is not PaymentState.FAILED
        if is_spent or details.payment_hash in self._owner_of_payment:
            raise InvoiceRefused("Invoice was already used")
        if details.amount_sats < self._terms.min_withdrawal_sats:
            raise InvoiceRefused(f"Invoice must ask for at least {self._terms.min_withdrawal_sats} sats")
        return details, details.amount_sats

    def _keep_withdrawal(self, account: Account, withdrawal: LightningWithdrawal) -> None:
        self._core.history.put(
            account.account_id,
            LIGHTNING_WITHDRAWALS,
            withdrawal,
            item_id=withdrawal.withdrawal_id,
            at_ms=withdrawal.created_at_ms,
        )
        self._core.touch(account)
        self._core.happened(
            WithdrawalHappened(
                account_id=account.account_id,
                network=WalletNetwork.LIGHTNING,
                withdrawal_id=withdrawal.withdrawal_id,
                amount_sats=withdrawal.amount_sats,
                fee_sats=withdrawal.fee_sats,
                balance_sats=account.balance_sats,
                status=str(withdrawal.status),
                tx_id=withdrawal.payment_hash,
                at_ms=self._core.now_ms(),
            )
        )

    def _connected(self) -> ExchangeNode:
        if self._node is None:
            raise LightningDown
        return self._node
