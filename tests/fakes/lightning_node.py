"""The exchange's Lightning node, whose answers a test chooses."""

from datetime import timedelta

from axisor.infra.lightning.bolt11 import InvalidInvoice
from axisor.paper.clock import Clock
from axisor.paper.lightning.ports import (
    CreatedInvoice,
    DepositSettled,
    FailureReason,
    InvoiceDetails,
    InvoiceState,
    PaymentOutcome,
    PaymentState,
    WalletListener,
)


class ChosenNode:
    """Implements `ExchangeNode`; an invoice of somebody else is the text `HASH:SATS`. The test is who reports."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.invoices: dict[str, InvoiceState] = {}
        self.payments: dict[str, PaymentOutcome] = {}

    def listen(self, listener: WalletListener) -> None:
        """Do nothing: the test reports by itself."""

    def create_invoice(
        self,
        *,
        amount_sats: int,
        memo: str = "",
        description_hash: str | None = None,
        expiry_s: int = 3_600,
    ) -> CreatedInvoice:
        payment_hash = f"own{len(self.invoices)}"
        self.invoices[payment_hash] = InvoiceState.OPEN
        return CreatedInvoice(
            payment_request=f"{payment_hash}:{amount_sats}",
            payment_hash=payment_hash,
            expires_at=self._clock.now() + timedelta(seconds=expiry_s),
        )

    def describe(self, payment_request: str) -> InvoiceDetails:
        payment_hash, _, amount = payment_request.partition(":")
        if not amount.isdigit():
            raise InvalidInvoice("not an invoice")
        return InvoiceDetails(
            payment_hash=payment_hash,
            payee="02" * 33,
            amount_sats=int(amount),
            description=None,
            expires_at=self._clock.now() + timedelta(hours=1),
            is_expired=False,
        )

    def pay(self, payment_request: str, *, max_fee_sats: int, amount_sats: int | None = None) -> PaymentOutcome:
        details = self.describe(payment_request)
        assert details.amount_sats is not None
        known = self.payments.get(details.payment_hash)
        if known is not None and known.state is not PaymentState.FAILED:
            return known
        ordered = PaymentOutcome(
            payment_hash=details.payment_hash, state=PaymentState.IN_FLIGHT, amount_sats=details.amount_sats
        )
        self.payments[details.payment_hash] = ordered
        return ordered

    def find_invoice(self, payment_hash: str) -> InvoiceState | None:
        return self.invoices.get(payment_hash)

    def find_payment(self, payment_hash: str) -> PaymentOutcome | None:
        return self.payments.get(payment_hash)

    # What the test chooses

    def receive(self, payment_hash: str, *, amount_sats: int) -> DepositSettled:
        """Return the report that an own invoice was paid."""
        self.invoices[payment_hash] = InvoiceState.SETTLED
        return DepositSettled(payment_hash=payment_hash, amount_sats=amount_sats, settled_at=self._clock.now())

    def end(self, payment_hash: str, *, fee_sats: int | None) -> PaymentOutcome:
        """Return the report that a payment arrived for a fee, or failed (None); an end is final."""
        ordered = self.payments[payment_hash]
        if ordered.state is not PaymentState.IN_FLIGHT:
            return ordered
        has_arrived = fee_sats is not None
        ended = PaymentOutcome(
            payment_hash=payment_hash,
            state=PaymentState.SUCCEEDED if has_arrived else PaymentState.FAILED,
            amount_sats=ordered.amount_sats,
            fee_sats=fee_sats or 0,
            preimage="00" * 32 if has_arrived else None,
            failure=None if has_arrived else FailureReason.NO_ROUTE,
        )
        self.payments[payment_hash] = ended
        return ended
