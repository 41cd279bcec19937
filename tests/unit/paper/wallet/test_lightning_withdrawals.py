"""A withdrawal sets amount and highest fee aside, pays once, and gives back what it did not need."""

import pytest
from tests.factories.paper_wallet import PaperWallet

from axisor.infra.lightning.bolt11 import decode_invoice, encode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey
from axisor.paper.clock import epoch_ms
from axisor.paper.errors import BadInvoice, InsufficientBalance, InvoiceRefused
from axisor.paper.history import LIGHTNING_WITHDRAWALS, POSTINGS
from axisor.paper.lightning.faults import LightningFaultKind, Payer
from axisor.paper.lightning.ports import FailureReason, PaymentOutcome, PaymentState
from axisor.paper.records import Book
from axisor.paper.wallet_records import LightningStatus, LightningWithdrawal

FOREIGN = SecretKey.from_seed(b"somebody else", label="node")


@pytest.fixture
def wallet() -> PaperWallet:
    return PaperWallet.started()


def withdraw(wallet: PaperWallet, invoice: str) -> LightningWithdrawal:
    return wallet.engine.wallet.lightning.withdraw(wallet.account, invoice=invoice)


def hash_of(invoice: str) -> str:
    return decode_invoice(invoice).payment_hash.hex()


def last(wallet: PaperWallet) -> LightningWithdrawal:
    return wallet.past(LIGHTNING_WITHDRAWALS)[-1]


async def test_it_is_paid_with_the_real_fee_and_the_rest_comes_back(wallet: PaperWallet) -> None:
    made = withdraw(wallet, wallet.invoice(50_000))
    assert (made.amount_sats, made.max_fee_sats) == (50_000, 500)
    assert wallet.account.balance_sats == 949_500
    assert wallet.engine.wallet.withdrawing_sats(wallet.account) == 50_500
    assert wallet.engine.discrepancies() == []
    await wallet.service.round()
    fee_sats = 1 + 5  # one sat and 100 millionths
    assert wallet.account.balance_sats == 950_000 - fee_sats
    assert (last(wallet).status, last(wallet).fee_sats) == (LightningStatus.PROCESSED, fee_sats)
    assert wallet.told() == [("processing", 949_500), ("processed", 949_994)]
    assert wallet.user.counters.balance_msat == 10_050_000_000
    assert wallet.engine.books.totals[Book.OUTSIDE] == -949_994
    assert wallet.account.wallet.payments == {}
    assert wallet.engine.discrepancies() == []


async def test_a_failed_one_gives_everything_back_and_may_be_tried_again(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.FAIL, payer=Payer.EXCHANGE, reason=FailureReason.NO_ROUTE)
    invoice = wallet.invoice(50_000)
    withdraw(wallet, invoice)
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_000_000
    assert (last(wallet).status, last(wallet).fee_sats, last(wallet).failure) == ("failed", 0, "NO_ROUTE")
    assert wallet.told() == [("processing", 949_500), ("failed", 1_000_000)]
    assert wallet.engine.discrepancies() == []
    withdraw(wallet, invoice)
    await wallet.service.round()
    assert [row.status for row in wallet.past(LIGHTNING_WITHDRAWALS)] == ["failed", "processed"]
    assert wallet.engine.discrepancies() == []


async def test_a_late_report_of_a_first_attempt_does_not_end_the_second(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.FAIL, payer=Payer.EXCHANGE)
    invoice = wallet.invoice(50_000)
    withdraw(wallet, invoice)
    await wallet.service.round()
    withdraw(wallet, invoice)
    late = PaymentOutcome(
        payment_hash=hash_of(invoice),
        state=PaymentState.FAILED,
        amount_sats=50_000,
        failure=FailureReason.NO_ROUTE,
    )
    wallet.engine.wallet.lightning.on_payment(late)
    assert last(wallet).status is LightningStatus.PROCESSING
    await wallet.service.round()
    assert wallet.account.balance_sats == 949_994
    assert wallet.engine.discrepancies() == []


async def test_an_end_told_twice_counts_once(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.NOTIFY_TWICE, payer=Payer.EXCHANGE)
    withdraw(wallet, wallet.invoice(50_000))
    await wallet.service.round()
    wallet.restart_engine()
    await wallet.service.round()
    assert wallet.account.balance_sats == 949_994
    assert wallet.engine.discrepancies() == []


async def test_a_held_one_is_processed_after_a_restart(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.HOLD, payer=Payer.EXCHANGE)
    invoice = wallet.invoice(50_000)
    withdraw(wallet, invoice)
    await wallet.service.round()
    assert last(wallet).status is LightningStatus.PROCESSING
    wallet.restart_engine()
    await wallet.service.round()
    assert last(wallet).status is LightningStatus.PROCESSING
    assert wallet.account.balance_sats == 949_500
    assert wallet.engine.discrepancies() == []
    wallet.service.network.release(hash_of(invoice), reason=None)
    await wallet.service.round()
    assert last(wallet).status is LightningStatus.PROCESSED
    assert wallet.account.balance_sats == 949_994
    assert wallet.engine.discrepancies() == []


async def test_one_that_the_node_never_heard_of_is_ordered_again(wallet: PaperWallet) -> None:
    made = withdraw(wallet, wallet.invoice(50_000))
    exchange = wallet.service.network.exchange
    exchange._flying.clear()
    exchange.payments.clear()  # the crash came after the account was stored and before the node was
    wallet.restart_engine()
    await wallet.service.round()
    assert (last(wallet).withdrawal_id, last(wallet).status) == (made.withdrawal_id, "processed")
    assert wallet.engine.discrepancies() == []


async def test_one_that_expired_meanwhile_is_given_back(wallet: PaperWallet) -> None:
    withdraw(wallet, wallet.invoice(50_000))
    exchange = wallet.service.network.exchange
    exchange._flying.clear()
    exchange.payments.clear()
    wallet.clock.advance(3_601)
    wallet.restart_engine()
    await wallet.service.round()
    assert last(wallet).status is LightningStatus.FAILED
    assert wallet.account.balance_sats == 1_000_000
    assert wallet.engine.discrepancies() == []


async def test_what_cannot_be_paid_is_refused_and_moves_nothing(wallet: PaperWallet) -> None:
    _, own = wallet.engine.wallet.lightning.open_deposit(wallet.account, amount_sats=5)
    brief = wallet.invoice(5, expiry_s=60)
    good = wallet.invoice(100)
    abroad = encode_invoice(
        key=FOREIGN,
        network=BitcoinNetwork.MAINNET,
        amount_msat=5_000,
        timestamp=epoch_ms(wallet.clock.now()) // 1_000,
        payment_hash=bytes(32),
        payment_secret=bytes(32),
        description="",
    )
    wallet.clock.advance(60)
    wallet.engine.take_events()
    for invoice, problem in (
        ("test_invoice", "Send a correct BOLT 11 invoice"),
        (good[:-1] + ("q" if good[-1] != "q" else "p"), "Send a correct BOLT 11 invoice"),
        (abroad, "Send a correct BOLT 11 invoice"),
        (brief, "Invoice has expired"),
        (wallet.invoice(None), "Invoice must have an amount"),
        (own, "Invoice belongs to the exchange"),
    ):
        with pytest.raises(InvoiceRefused, match=problem):
            withdraw(wallet, invoice)
    with pytest.raises(InsufficientBalance):
        withdraw(wallet, wallet.invoice(995_000))  # with its highest fee it is more than there is
    assert wallet.account.balance_sats == 1_000_000
    assert wallet.told() == []
    assert wallet.past(LIGHTNING_WITHDRAWALS) == []
    assert wallet.engine.discrepancies() == []


async def test_one_invoice_is_paid_once_by_whomever(wallet: PaperWallet) -> None:
    other = wallet.engine.create_account(username="other", balance_sats=1_000)
    invoice = wallet.invoice(100)
    withdraw(wallet, invoice)
    for _ in range(2):  # on its way, and paid
        for account in (wallet.account, other):
            with pytest.raises(InvoiceRefused, match="already used"):
                wallet.engine.wallet.lightning.withdraw(account, invoice=invoice)
        await wallet.service.round()
    assert wallet.account.balance_sats == 1_000_000 - 100 - 2
    assert wallet.engine.discrepancies() == []


async def test_a_fee_above_the_highest_fails_it(wallet: PaperWallet) -> None:
    wallet = PaperWallet.started(lightning_fee_floor_sats=1)
    withdraw(wallet, wallet.invoice(90))  # the route costs 2 sats
    await wallet.service.round()
    assert last(wallet).status is LightningStatus.FAILED
    assert wallet.account.balance_sats == 1_000_000


def test_a_least_amount_can_be_set() -> None:
    wallet = PaperWallet.started(min_withdrawal_sats=1_000)
    with pytest.raises(InvoiceRefused, match="at least 1000 sats"):
        withdraw(wallet, wallet.invoice(999))


def test_a_bad_invoice_says_why_in_its_details(wallet: PaperWallet) -> None:
    with pytest.raises(BadInvoice) as refused:
        withdraw(wallet, "lnbc1")
    assert refused.value.details is not None
    assert refused.value.details["reason"]


async def test_every_step_is_posted_under_the_withdrawal(wallet: PaperWallet) -> None:
    made = withdraw(wallet, wallet.invoice(50_000))
    await wallet.service.round()
    posted = [row for row in wallet.past(POSTINGS) if row.withdrawal_id == made.withdrawal_id]
    assert [(row.kind, row.entries) for row in posted] == [
        ("withdraw", {Book.BALANCE: -50_500, Book.WITHDRAWING: 50_500}),
        ("withdrawn", {Book.BALANCE: 494, Book.WITHDRAWING: -50_500, Book.OUTSIDE: 50_006}),
    ]
    assert wallet.engine.books.net_flows(wallet.account) == {}, "a withdrawal is no trade"
