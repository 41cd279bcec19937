"""One Lightning node without I/O: its invoices, its payments and its balance.

Sats leave the balance when a payment is locked and come back when it fails; they arrive when an invoice is settled. An
invoice is settled once, and a payment hash is paid once, whatever is asked.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from axisor.domain.errors import AmountOutOfRange, DomainError
from axisor.infra.lightning.bolt11 import MSATS_PER_SAT, InvalidInvoice, Invoice, decode_invoice, encode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey
from axisor.paper.clock import Clock, epoch_ms
from axisor.paper.lightning.ports import FailureReason, InvoiceState, PaymentState
from axisor.paper.lightning.records import InvoiceRecord, NodeCounters, PaymentRecord

MIN_FINAL_CLTV: Final = 80
"""What LND writes into its invoices."""
MAX_EXPIRY_S: Final = 31_536_000
"""One year, LND's bound."""
DEFAULT_EXPIRY_S: Final = 86_400
"""One day: LND's default, where BOLT 11 has an hour."""
_KEPT: Final = 10_000
_MAX_INVOICE_MSAT: Final = 1_000_000_000_000
"""10 BTC, LND's bound where both sides allow wumbo channels."""


class PaymentRefused(DomainError):
    """The payment was not ordered; nothing has left."""

    code = "payment_refused"


class AlreadyPaid(PaymentRefused):
    code = "already_paid"


class PaymentInFlight(PaymentRefused):
    code = "payment_in_flight"


class InvoiceSettled(DomainError):
    """What was asked cannot be done to an invoice that is paid."""

    code = "invoice_settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceChanged:
    """An invoice was added, accepted, settled or canceled."""

    node: "Node"
    invoice: InvoiceRecord
    is_repeated: bool = False
    """True: a fault tells it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentChanged:
    """A payment was ordered, or came to its end."""

    node: "Node"
    payment: PaymentRecord
    is_repeated: bool = False


type NodeEvent = InvoiceChanged | PaymentChanged


class RecordKind(StrEnum):
    INVOICE = "invoice"
    PAYMENT = "payment"


type RecordKey = tuple[RecordKind, str]
"""A kind and a payment hash."""


class Node:
    """A node with one side of one channel to a network that never runs dry."""

    def __init__(
        self,
        *,
        alias: str,
        key: SecretKey,
        network: BitcoinNetwork,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        balance_sats: int,
        inbound_sats: int,
    ) -> None:
        self.alias = alias
        self.network = network
        self.public_key = key.public_key().hex()
        self.counters = NodeCounters(
            balance_msat=balance_sats * MSATS_PER_SAT,
            inbound_msat=inbound_sats * MSATS_PER_SAT,
            funded_msat=balance_sats * MSATS_PER_SAT,
        )
        self.invoices: dict[str, InvoiceRecord] = {}
        self.payments: dict[str, PaymentRecord] = {}
        self._key = key
        self._clock = clock
        self._random_bytes = random_bytes
        self._events: list[NodeEvent] = []
        self._open: dict[str, None] = {}
        self._flying: dict[str, PaymentRecord] = {}
        self._dirty: set[RecordKey] = set()

    # Invoices

    def create_invoice(
        self,
        *,
        amount_msat: int | None,
        memo: str = "",
        description_hash: str | None = None,
        expiry_s: int = DEFAULT_EXPIRY_S,
        preimage: bytes | None = None,
    ) -> InvoiceRecord:
        """Return a new invoice, signed.

        Raises:
            AmountOutOfRange: the amount is not positive, or above 10 BTC.
            InvalidInvoice: the memo is too long, the hash is none, or the expiry is out of range.
        """
        if amount_msat is not None and not 0 < amount_msat <= _MAX_INVOICE_MSAT:
            raise AmountOutOfRange(f"an invoice asks for 1 to {_MAX_INVOICE_MSAT} msat", amount_msat=amount_msat)
        if not 0 < expiry_s <= MAX_EXPIRY_S:
            raise InvalidInvoice(f"the expiry lies between 1 and {MAX_EXPIRY_S} seconds")
        preimage = preimage or self._random_bytes(32)
        payment_hash = hashlib.sha256(preimage).digest()
        if len(preimage) != 32 or payment_hash.hex() in self.invoices:
            raise InvalidInvoice("the preimage has not 32 bytes, or is in use")
        payment_secret = self._random_bytes(32)
        created_at_ms = epoch_ms(self._clock.now())
        payment_request = encode_invoice(
            key=self._key,
            network=self.network,
            amount_msat=amount_msat,
            timestamp=created_at_ms // 1_000,
            payment_hash=payment_hash,
            payment_secret=payment_secret,
            description=memo if description_hash is None else None,
            description_hash=None if description_hash is None else _hash_bytes(description_hash),
            expiry_s=expiry_s,
            min_final_cltv=MIN_FINAL_CLTV,
        )
        self.counters.added += 1
        invoice = InvoiceRecord(
            payment_hash=payment_hash.hex(),
            preimage=preimage.hex(),
            payment_secret=payment_secret.hex(),
            payment_request=payment_request,
            amount_msat=amount_msat,
            memo=memo,
            description_hash=description_hash,
            expiry_s=expiry_s,
            # To the second, as the invoice says it: it ends for payer and payee at one instant.
            created_at_ms=created_at_ms // 1_000 * 1_000,
            add_index=self.counters.added,
        )
        self.invoices[invoice.payment_hash] = invoice
        self._open[invoice.payment_hash] = None
        self._tell_invoice(invoice)
        return invoice

    def why_not_accept(self, payment: PaymentRecord) -> FailureReason | None:
        """Return why this node would refuse an arriving payment, None where it would not."""
        invoice = self.invoices.get(payment.payment_hash)
        asked = payment.amount_msat if invoice is None or invoice.amount_msat is None else invoice.amount_msat
        if (
            invoice is None
            or invoice.state is not InvoiceState.OPEN
            or invoice.expires_at_ms <= epoch_ms(self._clock.now())
            or invoice.payment_secret != payment.payment_secret
            or not asked <= payment.amount_msat <= 2 * asked
        ):
            return FailureReason.INCORRECT_PAYMENT_DETAILS
        return FailureReason.NO_ROUTE if payment.amount_msat > self.counters.inbound_msat else None

    def accept(self, payment: PaymentRecord) -> None:
        """Hold an arriving payment that nothing speaks against: paid, and neither settled nor given back."""
        invoice = self.invoices[payment.payment_hash]
        invoice.state, invoice.paid_msat = InvoiceState.ACCEPTED, payment.amount_msat
        self.counters.inbound_msat -= payment.amount_msat
        self._tell_invoice(invoice)

    def settle(self, payment_hash: str, *, is_notified_twice: bool) -> str:
        """Return the preimage of an accepted invoice, for which its sats are now this node's."""
        invoice = self.invoices[payment_hash]
        assert invoice.state is InvoiceState.ACCEPTED
        self.counters.settled += 1
        self.counters.balance_msat += invoice.paid_msat
        invoice.state, invoice.settle_index = InvoiceState.SETTLED, self.counters.settled
        invoice.settled_at_ms = epoch_ms(self._clock.now())
        self._open.pop(payment_hash, None)
        self._tell_invoice(invoice)
        if is_notified_twice:
            self._tell_invoice(invoice, is_repeated=True)
        return invoice.preimage

    def give_back(self, payment_hash: str) -> None:
        """Let go of an accepted payment: the invoice can be paid again, or is canceled if its time is over."""
        invoice = self.invoices[payment_hash]
        assert invoice.state is InvoiceState.ACCEPTED
        self.counters.inbound_msat += invoice.paid_msat
        invoice.state, invoice.paid_msat = InvoiceState.OPEN, 0
        self._tell_invoice(invoice)

    def cancel(self, payment_hash: str) -> InvoiceRecord | None:
        """Return an invoice that is canceled now or was before; None: never made.

        Raises:
            InvoiceSettled: it is paid, or a payment is on its way to it.
        """
        invoice = self.invoices.get(payment_hash)
        if invoice is None or invoice.state is InvoiceState.CANCELED:
            return invoice
        if invoice.state is InvoiceState.SETTLED:
            raise InvoiceSettled("invoice already settled")
        if invoice.state is InvoiceState.ACCEPTED:
            raise InvoiceSettled("a payment of the invoice is in flight")
        self._close(invoice)
        return invoice

    def expire(self, now_ms: int) -> None:
        """Cancel every open invoice whose time is over."""
        for payment_hash in list(self._open):
            invoice = self.invoices[payment_hash]
            if invoice.state is InvoiceState.OPEN and invoice.expires_at_ms <= now_ms:
                self._close(invoice)

    @property
    def next_expiry_ms(self) -> int | None:
        """Return when the next open invoice ends."""
        waiting = (self.invoices[each] for each in self._open)
        return min((each.expires_at_ms for each in waiting if each.state is InvoiceState.OPEN), default=None)

    def _close(self, invoice: InvoiceRecord) -> None:
        invoice.state = InvoiceState.CANCELED
        self._open.pop(invoice.payment_hash, None)
        self._tell_invoice(invoice)

    # Payments

    def read(self, payment_request: str) -> Invoice:
        """Return what an invoice says.

        Raises:
            InvalidInvoice: it is none, or one of another network.
        """
        invoice = decode_invoice(payment_request.strip())
        if invoice.network is not self.network:
            raise InvalidInvoice(f"the invoice is one of {invoice.network}, not of {self.network}")
        return invoice

    def order(self, payment_request: str, *, max_fee_msat: int, amount_msat: int | None = None) -> PaymentRecord:
        """Return a payment that is in flight and not yet routed.

        Raises:
            InvalidInvoice: as `read`; or not exactly one of the invoice and `amount_msat` names the amount.
            AlreadyPaid: this hash was paid.
            PaymentInFlight: a payment of this hash has not ended.
            PaymentRefused: the invoice's time is over.
        """
        invoice = self.read(payment_request)
        amount = _agreed_amount(invoice, amount_msat)
        payment_hash = invoice.payment_hash.hex()
        match self.payments.get(payment_hash):
            case PaymentRecord(state=PaymentState.SUCCEEDED):
                raise AlreadyPaid("invoice is already paid")
            case PaymentRecord(state=PaymentState.IN_FLIGHT):
                raise PaymentInFlight("payment is in transition")
        now = self._clock.now()
        if invoice.is_expired(now):
            raise PaymentRefused(f"invoice expired. Valid until {invoice.expires_at:%Y-%m-%d %H:%M:%S +0000 UTC}")
        self.counters.ordered += 1
        payment = PaymentRecord(
            payment_hash=payment_hash,
            payment_request=payment_request.strip(),
            payee=invoice.payee.hex(),
            payment_secret=invoice.payment_secret.hex(),
            amount_msat=amount,
            max_fee_msat=max_fee_msat,
            payment_index=self.counters.ordered,
            created_at_ms=epoch_ms(now),
        )
        # A failed one is replaced: the newest goes to the end, where lists expect it.
        self.payments.pop(payment_hash, None)
        self.payments[payment_hash] = self._flying[payment_hash] = payment
        self._tell_payment(payment)
        return payment

    def lock(self, payment: PaymentRecord, *, fee_msat: int) -> None:
        """Take the sats of a payment out of the balance."""
        self.counters.balance_msat -= payment.amount_msat + fee_msat
        payment.is_locked, payment.fee_msat = True, fee_msat
        self.touch(payment)

    def succeed(self, payment: PaymentRecord, *, preimage: str) -> None:
        """End a locked payment that has arrived."""
        self.counters.inbound_msat += payment.amount_msat + payment.fee_msat
        self.counters.fees_paid_msat += payment.fee_msat
        payment.state, payment.preimage = PaymentState.SUCCEEDED, preimage
        self._end(payment)

    def fail(self, payment: PaymentRecord, reason: FailureReason) -> None:
        """End a payment that has not arrived; locked sats come back."""
        if payment.is_locked:
            self.counters.balance_msat += payment.amount_msat + payment.fee_msat
            payment.is_locked, payment.fee_msat = False, 0
        payment.state, payment.failure = PaymentState.FAILED, reason
        self._end(payment)

    def accepted(self) -> list[InvoiceRecord]:
        """Return the invoices that are paid and neither settled nor given back."""
        return [each for key in self._open if (each := self.invoices[key]).state is InvoiceState.ACCEPTED]

    def fund(self, amount_sats: int) -> None:
        """Put sats into the balance from outside the network, as an opened channel does."""
        if amount_sats <= 0:
            raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)
        self.counters.balance_msat += amount_sats * MSATS_PER_SAT
        self.counters.funded_msat += amount_sats * MSATS_PER_SAT

    def in_flight(self) -> list[PaymentRecord]:
        """Return the payments that have not ended, the oldest first."""
        return list(self._flying.values())

    def _end(self, payment: PaymentRecord) -> None:
        payment.ended_at_ms = epoch_ms(self._clock.now())
        self._flying.pop(payment.payment_hash, None)
        self._tell_payment(payment)
        if payment.is_notified_twice:
            self._tell_payment(payment, is_repeated=True)

    # State

    def take_events(self) -> list[NodeEvent]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    def put_back(self, events: list[NodeEvent]) -> None:
        """Undo a `take_events` whose events could not be made durable."""
        self._events = [*events, *self._events]

    def touch(self, record: InvoiceRecord | PaymentRecord) -> None:
        """Note that a record differs from what was saved."""
        kind = RecordKind.INVOICE if isinstance(record, InvoiceRecord) else RecordKind.PAYMENT
        self._dirty.add((kind, record.payment_hash))

    def changes(self) -> dict[RecordKey, InvoiceRecord | PaymentRecord | None]:
        """Return the records that differ from what was saved; None stands for one that was dropped."""
        return {(kind, each): self._records(kind).get(each) for kind, each in self._dirty}

    def saved(self, keys: Iterable[RecordKey]) -> None:
        """Note that these records are on disk as they are now."""
        self._dirty.difference_update(keys)

    def unsaved(self, keys: Iterable[RecordKey]) -> None:
        """Take `saved` back: the disk has refused."""
        self._dirty.update(keys)

    def restore(
        self, counters: NodeCounters, invoices: Iterable[InvoiceRecord], payments: Iterable[PaymentRecord]
    ) -> None:
        """Go on where a saved node was."""
        self.counters = counters
        self.invoices = {each.payment_hash: each for each in sorted(invoices, key=lambda each: each.add_index)}
        self.payments = {each.payment_hash: each for each in sorted(payments, key=lambda each: each.payment_index)}
        self._open = dict.fromkeys(key for key, each in self.invoices.items() if not _is_ended(each))
        self._flying = {key: each for key, each in self.payments.items() if not _is_ended(each)}

    def forget_old(self) -> None:
        """Drop ended invoices and payments beyond the newest 10,000 of each, so that a node can run for ever."""
        for kind in RecordKind:
            records = self._records(kind)
            for payment_hash in list(records)[: max(0, len(records) - _KEPT)]:
                if _is_ended(records[payment_hash]):
                    del records[payment_hash]
                    self._dirty.add((kind, payment_hash))

    def _records(self, kind: RecordKind) -> dict[str, InvoiceRecord] | dict[str, PaymentRecord]:
        return self.invoices if kind is RecordKind.INVOICE else self.payments

    # An event carries the record as it was then: by the time it is told, the record may have gone on.

    def _tell_invoice(self, invoice: InvoiceRecord, *, is_repeated: bool = False) -> None:
        self.touch(invoice)
        self._events.append(InvoiceChanged(node=self, invoice=replace(invoice), is_repeated=is_repeated))

    def _tell_payment(self, payment: PaymentRecord, *, is_repeated: bool = False) -> None:
        self.touch(payment)
        self._events.append(PaymentChanged(node=self, payment=replace(payment), is_repeated=is_repeated))


def _is_ended(record: InvoiceRecord | PaymentRecord) -> bool:
    return record.state not in {InvoiceState.OPEN, InvoiceState.ACCEPTED, PaymentState.IN_FLIGHT}


def _agreed_amount(invoice: Invoice, amount_msat: int | None) -> int:
    if invoice.amount_msat is None:
        if not amount_msat or amount_msat < 0:
            raise InvalidInvoice("amount must be specified when paying a zero amount invoice")
        return amount_msat
    if amount_msat is not None and amount_msat != invoice.amount_msat:
        raise InvalidInvoice("amount must not be specified when paying a non-zero amount invoice")
    return invoice.amount_msat


def _hash_bytes(text: str) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidInvoice("the description hash is not written in hex digits") from error
    if len(content) != 32:
        raise InvalidInvoice("the description hash has not 32 bytes")
    return content
