from datetime import timedelta
from hashlib import sha256

import pytest
from tests.factories.lightning import SATS, PaperLightning
from tests.fakes.manual_clock import START

from axisor.domain.errors import AmountOutOfRange, ConfigurationError
from axisor.infra.lightning.bolt11 import InvalidInvoice, decode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey
from axisor.paper.lightning.faults import LightningFault, LightningFaultKind, Payer
from axisor.paper.lightning.network import RoutingFee
from axisor.paper.lightning.node import AlreadyPaid, InvoiceSettled, Node, PaymentInFlight, PaymentRefused
from axisor.paper.lightning.ports import FailureReason, InvoiceState, PaymentState

HOLD, FAIL, DELAY = LightningFaultKind.HOLD, LightningFaultKind.FAIL, LightningFaultKind.DELAY
TWICE = LightningFaultKind.NOTIFY_TWICE


@pytest.fixture
def paper() -> PaperLightning:
    return PaperLightning.opened()


async def test_a_deposit_invoice_says_what_was_asked(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=50_000, memo="deposit", expiry_s=600)
    invoice = decode_invoice(made.payment_request)
    assert made.payment_request.startswith("lntbs500u1")
    assert (invoice.amount_msat, invoice.description, invoice.expiry_s) == (50_000 * SATS, "deposit", 600)
    assert invoice.payee.hex() == paper.network.exchange.public_key
    assert invoice.payment_hash.hex() == made.payment_hash
    assert made.expires_at == invoice.expires_at == START + timedelta(seconds=600)


async def test_a_description_hash_takes_the_place_of_the_memo(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=1, memo="hidden", description_hash="ab" * 32)
    assert decode_invoice(made.payment_request).description_hash == bytes.fromhex("ab" * 32)
    for bad in ("ab", "zz" * 32):
        with pytest.raises(InvalidInvoice, match="description hash"):
            paper.exchange_node.create_invoice(amount_sats=1, description_hash=bad)


async def test_a_deposit_is_reported_after_it_was_paid_with_a_preimage_that_proves_it(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=50_000)
    payment = paper.user.order(made.payment_request, max_fee_msat=100 * SATS)
    assert paper.wallet.settled == []
    await paper.service.round()
    assert [(each.payment_hash, each.amount_sats) for each in paper.wallet.settled] == [(made.payment_hash, 50_000)]
    assert payment.state is PaymentState.SUCCEEDED
    assert payment.preimage is not None
    assert sha256(bytes.fromhex(payment.preimage)).hexdigest() == made.payment_hash
    assert paper.exchange_node.find_invoice(made.payment_hash) is InvoiceState.SETTLED
    # 1 sat and 100 ppm of 50,000 sat
    assert paper.user.counters.balance_msat == (10_000_000 - 50_000 - 6) * SATS
    assert paper.network.discrepancy_msat == 0


async def test_a_withdrawal_is_reported_in_flight_and_then_with_its_fee(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    ordered = paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    assert (ordered.state, ordered.fee_sats, ordered.amount_sats) == (PaymentState.IN_FLIGHT, 0, 5_000)
    assert paper.wallet.outcomes == []
    await paper.service.round()
    assert [each.state for each in paper.wallet.outcomes] == [PaymentState.IN_FLIGHT, PaymentState.SUCCEEDED]
    assert paper.wallet.outcomes[-1].fee_sats == 2
    assert paper.exchange_node.find_payment(invoice.payment_hash) == paper.wallet.outcomes[-1]
    assert paper.user.counters.balance_msat == 10_005_000 * SATS


async def test_an_invoice_that_was_paid_is_not_paid_again(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=1_000)
    paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    with pytest.raises(PaymentInFlight):
        paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    await paper.service.round()
    with pytest.raises(AlreadyPaid):
        paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    assert paper.user.counters.balance_msat == (10_000_000 - 1_000 - 2) * SATS


async def test_the_exchange_paying_twice_gets_the_state_of_the_first_payment(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    for _ in range(2):
        ordered = paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
        assert ordered.state is PaymentState.IN_FLIGHT
    await paper.service.round()
    again = paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    assert again.state is PaymentState.SUCCEEDED
    await paper.service.round()
    assert paper.user.counters.balance_msat == 10_005_000 * SATS


async def test_a_failed_payment_can_be_tried_anew(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    paper.fault(FAIL, reason=FailureReason.TIMEOUT)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is FailureReason.TIMEOUT
    assert invoice.state is InvoiceState.OPEN
    assert paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50).state is PaymentState.IN_FLIGHT
    await paper.service.round()
    assert paper.wallet.outcomes[-1].state is PaymentState.SUCCEEDED


@pytest.mark.parametrize(
    ("amount_sats", "max_fee_sats", "terms", "failure"),
    [
        (5_000, 1, {}, FailureReason.NO_ROUTE),
        (5_000, 50, {"user_inbound_sats": 4_999}, FailureReason.NO_ROUTE),
    ],
)
async def test_a_withdrawal_that_cannot_arrive_fails_and_gives_everything_back(
    amount_sats: int, max_fee_sats: int, terms: dict[str, int], failure: FailureReason
) -> None:
    paper = PaperLightning.opened(**terms)
    before = paper.network.exchange.counters.balance_msat
    invoice = paper.user.create_invoice(amount_msat=amount_sats * SATS)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=max_fee_sats)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is failure
    assert paper.network.exchange.counters.balance_msat == before
    assert paper.network.discrepancy_msat == 0


async def test_a_deposit_beyond_the_users_balance_fails_for_want_of_it(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=10_000_000)
    payment = paper.user.order(made.payment_request, max_fee_msat=10_000 * SATS)
    await paper.service.round()
    assert payment.failure is FailureReason.INSUFFICIENT_BALANCE
    assert paper.exchange_node.find_invoice(made.payment_hash) is InvoiceState.OPEN


async def test_an_unknown_node_cannot_be_reached(paper: PaperLightning) -> None:
    stranger = Node(
        alias="stranger",
        key=SecretKey(5),
        network=BitcoinNetwork.SIGNET,
        clock=paper.clock,
        random_bytes=lambda length: b"\7" * length,
        balance_sats=0,
        inbound_sats=0,
    )
    invoice = stranger.create_invoice(amount_msat=1_000 * SATS)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is FailureReason.NO_ROUTE


async def test_the_exchange_does_not_pay_itself(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=1_000)
    paper.exchange_node.pay(made.payment_request, max_fee_sats=50)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is FailureReason.NO_ROUTE
    assert paper.wallet.settled == []


async def test_an_invoice_of_another_network_is_refused(paper: PaperLightning) -> None:
    foreign = PaperLightning.opened(network=BitcoinNetwork.REGTEST).user.create_invoice(amount_msat=5_000)
    with pytest.raises(InvalidInvoice, match="regtest"):
        paper.exchange_node.describe(foreign.payment_request)


async def test_an_amount_is_named_once(paper: PaperLightning) -> None:
    open_amount = paper.user.create_invoice(amount_msat=None).payment_request
    with pytest.raises(InvalidInvoice, match="must be specified"):
        paper.exchange_node.pay(open_amount, max_fee_sats=50)
    assert paper.exchange_node.describe(open_amount).amount_sats is None
    assert paper.exchange_node.pay(open_amount, max_fee_sats=50, amount_sats=700).amount_sats == 700
    said = paper.user.create_invoice(amount_msat=5_000 * SATS).payment_request
    with pytest.raises(InvalidInvoice, match="must not be specified"):
        paper.exchange_node.pay(said, max_fee_sats=50, amount_sats=4_999)
    assert paper.exchange_node.pay(said, max_fee_sats=50, amount_sats=5_000).amount_sats == 5_000


async def test_millisats_of_a_foreign_invoice_are_rounded_up(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=5_000_001)
    assert paper.exchange_node.describe(invoice.payment_request).amount_sats == 5_001
    assert paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50, amount_sats=5_001).amount_sats == 5_001


async def test_an_expired_invoice_is_neither_paid_nor_settled(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=1_000, expiry_s=60)
    paper.clock.advance(60)
    with pytest.raises(PaymentRefused, match="expired"):
        paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    await paper.service.round()
    assert paper.exchange_node.find_invoice(made.payment_hash) is InvoiceState.CANCELED
    withdrawal = paper.user.create_invoice(amount_msat=1_000 * SATS, expiry_s=60)
    paper.clock.advance(61)
    assert paper.exchange_node.describe(withdrawal.payment_request).is_expired
    with pytest.raises(InvalidInvoice, match="expired"):
        paper.exchange_node.pay(withdrawal.payment_request, max_fee_sats=50)


async def test_a_payment_that_is_routed_after_the_invoice_ended_fails(paper: PaperLightning) -> None:
    made = paper.exchange_node.create_invoice(amount_sats=1_000, expiry_s=60)
    payment = paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    paper.clock.advance(61)
    await paper.service.round()
    assert payment.failure is FailureReason.INCORRECT_PAYMENT_DETAILS


async def test_a_canceled_invoice_cannot_be_paid_and_a_paid_one_not_canceled(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=1_000 * SATS)
    assert paper.user.cancel(invoice.payment_hash) is invoice
    assert paper.user.cancel(invoice.payment_hash) is invoice
    assert paper.user.cancel("00" * 32) is None
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is FailureReason.INCORRECT_PAYMENT_DETAILS
    paid = paper.user.create_invoice(amount_msat=1_000 * SATS)
    paper.fault(HOLD)
    paper.exchange_node.pay(paid.payment_request, max_fee_sats=50)
    await paper.service.round()
    with pytest.raises(InvoiceSettled, match="in flight"):
        paper.user.cancel(paid.payment_hash)
    paper.network.release(paid.payment_hash, reason=None)
    await paper.service.round()
    with pytest.raises(InvoiceSettled, match="already settled"):
        paper.user.cancel(paid.payment_hash)


# Faults


async def test_a_held_payment_is_out_of_the_balance_until_it_is_released(paper: PaperLightning) -> None:
    paper.fault(HOLD, payer=Payer.EXCHANGE)
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    for _ in range(2):
        await paper.service.round()
        paper.clock.advance(3_600 * 30)
    assert paper.wallet.outcomes[-1].state is PaymentState.IN_FLIGHT
    assert invoice.state is InvoiceState.ACCEPTED
    assert paper.network.in_flight_msat == 5_002 * SATS
    assert [each.payment_hash for each in paper.network.held] == [invoice.payment_hash]
    assert paper.network.release(invoice.payment_hash, reason=None)
    assert not paper.network.release(invoice.payment_hash, reason=None)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].state is PaymentState.SUCCEEDED
    assert paper.network.in_flight_msat == paper.network.discrepancy_msat == 0


async def test_a_held_payment_can_be_released_into_failure(paper: PaperLightning) -> None:
    before = paper.network.exchange.counters.balance_msat
    paper.fault(HOLD)
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await paper.service.round()
    paper.network.release(invoice.payment_hash, reason=FailureReason.TIMEOUT)
    await paper.service.round()
    assert paper.wallet.outcomes[-1].failure is FailureReason.TIMEOUT
    assert paper.network.exchange.counters.balance_msat == before
    assert invoice.state is InvoiceState.OPEN


async def test_a_delayed_payment_arrives_when_it_is_due_and_not_before(paper: PaperLightning) -> None:
    paper.fault(DELAY, seconds=30)
    made = paper.exchange_node.create_invoice(amount_sats=1_000)
    paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    await paper.service.round()
    paper.clock.advance(29.9)
    await paper.service.round()
    assert paper.wallet.settled == []
    paper.clock.advance(0.2)
    await paper.service.round()
    assert len(paper.wallet.settled) == 1


async def test_a_settlement_can_be_told_twice(paper: PaperLightning) -> None:
    paper.fault(TWICE, count=0)
    made = paper.exchange_node.create_invoice(amount_sats=1_000)
    paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)
    paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await paper.service.round()
    assert len(paper.wallet.settled) == 2
    assert paper.wallet.settled[0] == paper.wallet.settled[1]
    assert [each.state for each in paper.wallet.outcomes].count(PaymentState.SUCCEEDED) == 2
    assert paper.network.discrepancy_msat == 0


async def test_what_faults_did_is_recorded(paper: PaperLightning) -> None:
    paper.fault(FAIL, payer=Payer.USER, nth=2, count=1)
    hashes = []
    for _ in range(3):
        made = paper.exchange_node.create_invoice(amount_sats=1_000)
        paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
        hashes.append(made.payment_hash)
    await paper.service.round()
    book = paper.network.faults
    assert [(deed.kind, deed.payer, deed.payment_hash) for deed in book.deeds_after()] == [(FAIL, "user", hashes[1])]
    assert (book.count, book.deeds_after(1)) == (1, [])
    assert [each.payment_hash for each in paper.wallet.settled] == [hashes[0], hashes[2]]
    assert book.clear(book.faults[0].fault_id) == 1
    assert book.clear() == 0


async def test_a_fault_of_some_probability_meets_the_same_payments_for_a_seed() -> None:
    met = []
    for _ in range(2):
        paper = PaperLightning.opened()
        paper.fault(FAIL, count=0, probability=0.5)
        for _ in range(20):
            made = paper.exchange_node.create_invoice(amount_sats=1_000)
            paper.user.order(made.payment_request, max_fee_msat=10 * SATS)
        await paper.service.round()
        met.append([deed.payment_hash for deed in paper.network.faults.deeds_after()])
    assert met[0] == met[1]
    assert 0 < len(met[0]) < 20


@pytest.mark.parametrize("bad", [{"nth": 0}, {"count": -1}, {"seconds": -1}, {"probability": 1.5}])
def test_a_fault_that_makes_no_sense_is_refused(paper: PaperLightning, bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        paper.network.faults.add(LightningFault(kind=HOLD, **bad))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("amount_sats", [0, -1, 10_000_000_001])
def test_an_invoice_asks_for_a_sensible_amount(paper: PaperLightning, amount_sats: int) -> None:
    with pytest.raises(AmountOutOfRange):
        paper.exchange_node.create_invoice(amount_sats=amount_sats)


def test_an_invoice_lasts_a_year_at_most(paper: PaperLightning) -> None:
    for expiry_s in (0, 31_536_001):
        with pytest.raises(InvalidInvoice, match="expiry"):
            paper.exchange_node.create_invoice(amount_sats=1, expiry_s=expiry_s)


def test_a_preimage_is_used_once_and_has_32_bytes(paper: PaperLightning) -> None:
    paper.user.create_invoice(amount_msat=1_000, preimage=b"\1" * 32)
    for preimage in (b"\1" * 32, b"\1" * 31):
        with pytest.raises(InvalidInvoice, match="preimage"):
            paper.user.create_invoice(amount_msat=1_000, preimage=preimage)


@pytest.mark.parametrize(("amount_sats", "fee_sats"), [(1, 2), (10_000, 2), (10_001, 3), (1_000_000, 101)])
def test_a_routing_fee_is_rounded_up_to_a_sat(amount_sats: int, fee_sats: int) -> None:
    assert RoutingFee().of(amount_sats * SATS) == fee_sats * SATS


def test_secrets_stay_out_of_what_is_shown(paper: PaperLightning) -> None:
    invoice = paper.user.create_invoice(amount_msat=1_000)
    assert invoice.preimage not in repr(invoice)
    payment = paper.network.exchange.order(invoice.payment_request, max_fee_msat=5_000)
    assert invoice.payment_secret not in repr(payment)
