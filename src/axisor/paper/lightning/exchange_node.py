"""The exchange's Lightning node, as the exchange's wallet uses it."""

from axisor.infra.lightning.bolt11 import MSATS_PER_SAT, InvalidInvoice
from axisor.paper.clock import Clock, datetime_of
from axisor.paper.lightning.node import AlreadyPaid, Node, PaymentInFlight, PaymentRefused
from axisor.paper.lightning.ports import (
    CreatedInvoice,
    InvoiceDetails,
    InvoiceState,
    PaymentOutcome,
    WalletListener,
)
from axisor.paper.lightning.service import LightningService, outcome_of


class PaperExchangeNode:
    """Implements the port `ExchangeNode` on the paper network."""

    def __init__(self, service: LightningService, *, clock: Clock) -> None:
        self._service = service
        self._node: Node = service.network.exchange
        self._clock = clock

    def listen(self, listener: WalletListener) -> None:
        self._service.listen_as_wallet(listener)

    def create_invoice(
        self, *, amount_sats: int, memo: str = "", description_hash: str | None = None, expiry_s: int = 3_600
    ) -> CreatedInvoice:
        invoice = self._node.create_invoice(
            amount_msat=amount_sats * MSATS_PER_SAT, memo=memo, description_hash=description_hash, expiry_s=expiry_s
        )
        self._service.wake()
        return CreatedInvoice(
            payment_request=invoice.payment_request,
            payment_hash=invoice.payment_hash,
            expires_at=datetime_of(invoice.expires_at_ms),
        )

    def describe(self, payment_request: str) -> InvoiceDetails:
        invoice = self._node.read(payment_request)
        return InvoiceDetails(
            payment_hash=invoice.payment_hash.hex(),
            payee=invoice.payee.hex(),
            amount_sats=None if invoice.amount_msat is None else -(-invoice.amount_msat // MSATS_PER_SAT),
            description=invoice.description,
            expires_at=invoice.expires_at,
            is_expired=invoice.is_expired(self._clock.now()),
        )

    def pay(self, payment_request: str, *, max_fee_sats: int, amount_sats: int | None = None) -> PaymentOutcome:
        details = self._node.read(payment_request)
        amount_msat = None if amount_sats is None else amount_sats * MSATS_PER_SAT
        if details.amount_msat is not None and amount_sats == -(-details.amount_msat // MSATS_PER_SAT):
            amount_msat = None  # the same, said in whole sats
        try:
            payment = self._node.order(
                payment_request, max_fee_msat=max_fee_sats * MSATS_PER_SAT, amount_msat=amount_msat
            )
        except (AlreadyPaid, PaymentInFlight):
            return outcome_of(self._node.payments[details.payment_hash.hex()])
        except PaymentRefused as refusal:
            raise InvalidInvoice(refusal.message) from refusal
        self._service.wake()
        return outcome_of(payment)

    def find_invoice(self, payment_hash: str) -> InvoiceState | None:
        invoice = self._node.invoices.get(payment_hash)
        return None if invoice is None else invoice.state

    def find_payment(self, payment_hash: str) -> PaymentOutcome | None:
        payment = self._node.payments.get(payment_hash)
        return None if payment is None else outcome_of(payment)
