"""A deposit is a real invoice, credited once when it is paid."""

import hashlib

import msgspec
import pytest
from tests.factories.paper_wallet import PaperWallet

from axisor.domain.errors import AmountOutOfRange
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.engine import Engine
from axisor.paper.errors import InvalidRequest, LightningDown, TierLimitExceeded
from axisor.paper.history import LIGHTNING_DEPOSITS
from axisor.paper.lightning.faults import LightningFaultKind, Payer
from axisor.paper.lightning.ports import DepositSettled, PaymentState
from axisor.paper.records import Account, dump, load

HOUR_S = 3_600


@pytest.fixture
def wallet() -> PaperWallet:
    return PaperWallet.started()


def open_deposit(wallet: PaperWallet, amount_sats: int = 5_000, **more: str) -> str:
    _, invoice = wallet.engine.wallet.lightning.open_deposit(wallet.account, amount_sats=amount_sats, **more)
    return invoice


def test_an_invoice_of_the_exchange_says_what_was_asked(wallet: PaperWallet) -> None:
    said = decode_invoice(open_deposit(wallet, comment="for the guard"))
    assert said.network is BitcoinNetwork.SIGNET
    assert said.amount_msat == 5_000_000
    assert said.description == "for the guard"
    assert said.payee.hex() == wallet.service.network.exchange.public_key
    assert said.expires_at.timestamp() - wallet.clock.now().timestamp() == HOUR_S
    row = wallet.past(LIGHTNING_DEPOSITS)[-1]
    assert (row.payment_hash, row.comment, row.settled_at_ms) == (said.payment_hash.hex(), "for the guard", None)


def test_an_invoice_can_carry_the_hash_of_a_description(wallet: PaperWallet) -> None:
    digest = hashlib.sha256(b"terms").hexdigest()
    said = decode_invoice(open_deposit(wallet, description_hash=digest))
    assert said.description_hash is not None
    assert said.description_hash.hex() == digest


async def test_a_paid_invoice_is_credited_and_announced(wallet: PaperWallet) -> None:
    wallet.order(open_deposit(wallet))
    assert wallet.account.balance_sats == 1_000_000, "nothing is credited before it is paid"
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_005_000
    assert wallet.told() == [("settled", 1_005_000)]
    assert wallet.past(LIGHTNING_DEPOSITS)[-1].settled_at_ms is not None
    assert wallet.account.wallet.invoices == {}
    assert wallet.engine.discrepancies() == []


async def test_a_deposit_told_twice_is_credited_once(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.NOTIFY_TWICE, payer=Payer.USER)
    invoice = open_deposit(wallet)
    wallet.order(invoice)
    await wallet.service.round()
    payment_hash = decode_invoice(invoice).payment_hash.hex()
    again = DepositSettled(payment_hash=payment_hash, amount_sats=5_000, settled_at=wallet.clock.now())
    wallet.engine.wallet.lightning.on_settled(again)
    assert wallet.account.balance_sats == 1_005_000
    assert wallet.told() == [("settled", 1_005_000)]
    assert wallet.engine.discrepancies() == []


async def test_a_deposit_told_again_after_a_restart_is_credited_once(wallet: PaperWallet) -> None:
    wallet.order(open_deposit(wallet))
    await wallet.service.round()
    wallet.restart_engine()
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_005_000
    assert wallet.engine.discrepancies() == []


async def test_a_deposit_settled_while_the_engine_was_away_is_credited(wallet: PaperWallet) -> None:
    wallet.order(open_deposit(wallet))
    wallet.restart_engine()
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_005_000
    assert wallet.engine.discrepancies() == []


async def test_an_expired_invoice_is_never_credited_and_soon_forgotten(wallet: PaperWallet) -> None:
    invoice = open_deposit(wallet)
    wallet.order(invoice)
    wallet.clock.advance(HOUR_S)
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_000_000
    assert wallet.states_of_user_payments() == [PaymentState.FAILED]
    open_deposit(wallet)
    assert len(wallet.account.wallet.invoices) == 1
    assert [row.settled_at_ms for row in wallet.past(LIGHTNING_DEPOSITS)][-2:] == [None, None], "both stay listed"


async def test_a_payment_held_past_the_expiry_still_counts(wallet: PaperWallet) -> None:
    wallet.meet(LightningFaultKind.HOLD, payer=Payer.USER)
    invoice = open_deposit(wallet)
    wallet.order(invoice)
    await wallet.service.round()
    wallet.clock.advance(HOUR_S + 1)
    open_deposit(wallet, 7)
    payment_hash = decode_invoice(invoice).payment_hash.hex()
    assert wallet.service.network.release(payment_hash, reason=None)
    await wallet.service.round()
    assert wallet.account.balance_sats == 1_005_000
    assert wallet.engine.discrepancies() == []


def test_a_gift_is_listed_as_a_settled_deposit() -> None:
    wallet = PaperWallet.started(balance_sats=0)
    deposit_id = wallet.engine.wallet.deposit(wallet.account, amount_sats=77)
    [row] = wallet.past(LIGHTNING_DEPOSITS)
    assert (row.deposit_id, row.amount_sats, len(row.payment_hash)) == (deposit_id, 77, 64)
    assert row.settled_at_ms == row.created_at_ms
    with pytest.raises(AmountOutOfRange):
        wallet.engine.wallet.deposit(wallet.account, amount_sats=0)


def test_limits_are_those_that_were_set() -> None:
    wallet = PaperWallet.started(balance_sats=0, min_deposit_sats=1_000, deposit_cap_sats=10_000)
    with pytest.raises(InvalidRequest, match="at least 1000 sats"):
        open_deposit(wallet, 999)
    with pytest.raises(InvalidRequest, match="comment"):
        open_deposit(wallet, 1_000, comment="x" * 640)
    open_deposit(wallet, 9_000)
    with pytest.raises(TierLimitExceeded) as refused:
        open_deposit(wallet, 1_001)
    assert refused.value.wire_code == "TIER_LIMIT_EXCEEDED"
    open_deposit(wallet, 1_000)
    wallet.clock.advance(HOUR_S)
    open_deposit(wallet, 10_000)  # the unpaid ones have expired
    wallet.clock.advance(31 * 86_400)
    open_deposit(wallet, 10_000)


def test_without_a_node_lightning_is_away(wallet: PaperWallet) -> None:
    alone = Engine(clock=wallet.clock, last_price=wallet.engine.last_price, ladder=wallet.engine.ladder)
    account = alone.create_account(username="alone", balance_sats=50)
    with pytest.raises(LightningDown):
        alone.wallet.lightning.open_deposit(account, amount_sats=5)
    with pytest.raises(LightningDown):
        alone.wallet.lightning.withdraw(account, invoice=wallet.invoice(5))
    assert alone.discrepancies() == []


def test_an_account_stored_before_there_was_a_wallet_can_be_read(wallet: PaperWallet) -> None:
    stored = msgspec.json.decode(dump(wallet.account))
    for member in ("wallet", "email", "linking_public_key"):
        del stored[member]
    account = load(msgspec.json.encode(stored), Account)
    assert account == wallet.account
