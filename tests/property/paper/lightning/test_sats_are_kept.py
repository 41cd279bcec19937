"""Whatever is ordered, held, failed, released, delayed, canceled and saved: no sat is made or lost, none is paid twice."""

import asyncio
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.factories.lightning import SATS, PaperLightning, counted_bytes

from axisor.infra.lightning.bolt11 import InvalidInvoice
from axisor.paper.lightning.faults import LightningFaultKind, Payer
from axisor.paper.lightning.node import InvoiceSettled, Node, PaymentRefused
from axisor.paper.lightning.ports import FailureReason, InvoiceState, PaymentState

_START_SATS = 50_000


class Payments(RuleBasedStateMachine):
    """Both nodes pay each other; an oracle counts what the wallet heard and what must be where."""

    @initialize()
    def open(self) -> None:
        self.random_bytes = counted_bytes()
        self.folder = tempfile.TemporaryDirectory()
        self.paper = self.opened()
        self.exchange_start_msat = self.paper.network.exchange.counters.balance_msat
        self.requests: dict[Payer, list[str]] = {Payer.USER: [], Payer.EXCHANGE: []}

    def opened(self) -> PaperLightning:
        clock = self.paper.clock if hasattr(self, "paper") else None
        return PaperLightning.opened(
            Path(self.folder.name),
            clock=clock,
            random_bytes=self.random_bytes,
            user_balance_sats=_START_SATS,
            user_inbound_sats=_START_SATS,
        )

    def node(self, payer: Payer) -> Node:
        return self.paper.user if payer is Payer.USER else self.paper.network.exchange

    @rule(payer=st.sampled_from(Payer), sats=st.integers(1, 30_000), expiry_s=st.sampled_from([30, 3_600]))
    def ask(self, payer: Payer, sats: int, expiry_s: int) -> None:
        payee = self.node(Payer.EXCHANGE if payer is Payer.USER else Payer.USER)
        invoice = payee.create_invoice(amount_msat=sats * SATS, expiry_s=expiry_s)
        self.requests[payer].append(invoice.payment_request)

    @precondition(lambda self: any(self.requests.values()))
    @rule(data=st.data(), max_fee_sats=st.sampled_from([1, 100]))
    def order(self, data: st.DataObject, max_fee_sats: int) -> None:
        payer = data.draw(st.sampled_from([each for each, requests in self.requests.items() if requests]))
        request = data.draw(st.sampled_from(self.requests[payer]))
        try:
            self.node(payer).order(request, max_fee_msat=max_fee_sats * SATS)
        except (PaymentRefused, InvalidInvoice):
            return  # paid, in flight or expired: nothing may have moved, which the invariants see

    @rule(
        kind=st.sampled_from(LightningFaultKind),
        fields=st.fixed_dictionaries(
            {
                "payer": st.none() | st.sampled_from(Payer),
                "nth": st.integers(1, 2),
                "seconds": st.sampled_from([0.0, 5.0]),
                "reason": st.sampled_from(FailureReason),
            }
        ),
    )
    def disturb(self, kind: LightningFaultKind, fields: dict[str, Any]) -> None:
        self.paper.fault(kind, **fields)

    @rule()
    def move(self) -> None:
        asyncio.run(self.paper.service.round())

    @rule(seconds=st.sampled_from([1.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.paper.clock.advance(seconds)

    @precondition(lambda self: self.paper.network.held)
    @rule(data=st.data(), reason=st.none() | st.sampled_from(FailureReason))
    def release(self, data: st.DataObject, reason: FailureReason | None) -> None:
        held = data.draw(st.sampled_from([each.payment_hash for each in self.paper.network.held]))
        assert self.paper.network.release(held, reason=reason)

    @rule(data=st.data(), payer=st.sampled_from(Payer))
    def cancel(self, data: st.DataObject, payer: Payer) -> None:
        invoices = self.node(payer).invoices
        if not invoices:
            return
        try:
            self.node(payer).cancel(data.draw(st.sampled_from(sorted(invoices))))
        except InvoiceSettled:
            return

    @rule(is_saved=st.booleans())
    def crash(self, *, is_saved: bool) -> None:
        if is_saved:
            asyncio.run(self.paper.service.save())
        self.paper = self.opened()

    @invariant()
    def no_sat_is_made_or_lost(self) -> None:
        if hasattr(self, "paper"):
            assert self.paper.network.discrepancy_msat == 0
            for node in self.paper.network.nodes:
                assert node.counters.balance_msat >= 0
                assert node.counters.inbound_msat >= 0

    @invariant()
    def each_side_agrees_with_what_it_paid_and_received(self) -> None:
        if not hasattr(self, "paper"):
            return
        starts = {Payer.USER: _START_SATS * SATS, Payer.EXCHANGE: self.exchange_start_msat}
        for payer, start_msat in starts.items():
            node = self.node(payer)
            received = sum(each.paid_msat for each in node.invoices.values() if each.state is InvoiceState.SETTLED)
            sent = sum(
                each.amount_msat + each.fee_msat
                for each in node.payments.values()
                if each.state is PaymentState.SUCCEEDED or each.is_locked
            )
            assert node.counters.balance_msat == start_msat + received - sent

    @invariant()
    def payer_and_payee_agree(self) -> None:
        if not hasattr(self, "paper"):
            return
        expected = {
            PaymentState.SUCCEEDED: InvoiceState.SETTLED,
            PaymentState.IN_FLIGHT: InvoiceState.ACCEPTED,
        }
        user, exchange = self.paper.user, self.paper.network.exchange
        for payer, payee in ((user, exchange), (exchange, user)):
            for payment in payer.payments.values():
                # An invoice that was never saved is gone after a crash; nobody can have paid it.
                invoice = payee.invoices.get(payment.payment_hash)
                if invoice is None:
                    assert payment.state is not PaymentState.SUCCEEDED
                    assert not payment.is_locked
                elif payment.state is PaymentState.SUCCEEDED or payment.is_locked:
                    assert invoice.state is expected[payment.state]
                else:
                    assert invoice.state in {InvoiceState.OPEN, InvoiceState.CANCELED}
                if payment.preimage is not None:
                    assert sha256(bytes.fromhex(payment.preimage)).hexdigest() == payment.payment_hash

    @invariant()
    def the_wallet_hears_of_settled_invoices_alone(self) -> None:
        if hasattr(self, "paper"):
            for deposit in self.paper.wallet.settled:
                invoice = self.paper.network.exchange.invoices[deposit.payment_hash]
                assert invoice.state is InvoiceState.SETTLED
                assert invoice.paid_msat == deposit.amount_sats * SATS

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            asyncio.run(self.paper.service.round())
            told = {each.payment_hash for each in self.paper.wallet.settled}
            invoices = self.paper.network.exchange.invoices.values()
            assert told == {each.payment_hash for each in invoices if each.state is InvoiceState.SETTLED}
            self.folder.cleanup()


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
