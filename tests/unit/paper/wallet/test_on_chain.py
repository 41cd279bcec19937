"""On-chain deposits are credited when confirmed; on-chain withdrawals wait for the exchange, and for nothing else."""

import pytest
from tests.factories.paper_wallet import PaperWallet

from axisor.infra.lightning.address import check_address
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.errors import BadAddress, InsufficientBalance, InvalidRequest, LimitExceeded, WrongState
from axisor.paper.history import DEPOSIT_ADDRESSES, ON_CHAIN_DEPOSITS, ON_CHAIN_WITHDRAWALS
from axisor.paper.records import Book
from axisor.paper.wallet_records import AddressFormat, OnChainStatus, OnChainWithdrawal

OUTSIDE = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"


@pytest.fixture
def wallet() -> PaperWallet:
    return PaperWallet.started()


def withdraw(wallet: PaperWallet, amount_sats: int = 100_000) -> OnChainWithdrawal:
    return wallet.engine.wallet.on_chain.withdraw(wallet.account, address=OUTSIDE, amount_sats=amount_sats)


def status_of_last(wallet: PaperWallet) -> OnChainStatus:
    return wallet.past(ON_CHAIN_WITHDRAWALS)[-1].status


@pytest.mark.parametrize("kind", list(AddressFormat))
def test_an_address_is_valid_on_the_network(wallet: PaperWallet, kind: AddressFormat) -> None:
    made = wallet.engine.wallet.on_chain.new_address(wallet.account, kind=kind)
    check_address(made.address, network=BitcoinNetwork.SIGNET)
    assert made.address.startswith("tb1p" if kind is AddressFormat.P2TR else "tb1q")


def test_the_newest_unused_address_is_given_until_it_is_paid(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    first = desk.newest_address(wallet.account)
    assert desk.newest_address(wallet.account) == first
    second = desk.new_address(wallet.account)
    assert desk.newest_address(wallet.account) == second
    desk.receive(wallet.account, amount_sats=5, address=second.address)
    assert desk.newest_address(wallet.account) == first
    desk.receive(wallet.account, amount_sats=5, address=second.address)  # a used one can be paid again
    desk.receive(wallet.account, amount_sats=5)
    assert desk.newest_address(wallet.account) not in {first, second}
    assert len(wallet.past(DEPOSIT_ADDRESSES)) == 3


def test_unused_addresses_are_limited() -> None:
    wallet = PaperWallet.started(max_unused_addresses=2)
    desk = wallet.engine.wallet.on_chain
    for _ in range(2):
        desk.new_address(wallet.account)
    with pytest.raises(LimitExceeded, match="You have too many unused addresses"):
        desk.new_address(wallet.account)
    desk.receive(wallet.account, amount_sats=5)
    desk.new_address(wallet.account)


def test_a_deposit_is_credited_once_when_it_is_confirmed(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    seen = desk.receive(wallet.account, amount_sats=7_000, tx_id="ab" * 32)
    assert (seen.status, seen.confirmations, seen.block_height, seen.tx_id) == ("MEMPOOL", 0, None, "ab" * 32)
    assert wallet.account.balance_sats == 1_000_000
    confirmed = desk.confirm(wallet.account, seen.deposit_id)
    assert (confirmed.status, confirmed.confirmations) == ("CONFIRMED", 1)
    assert confirmed.block_height is not None
    assert wallet.account.balance_sats == 1_007_000
    wallet.clock.advance(3_000)
    final = desk.confirm(wallet.account, seen.deposit_id, blocks=5)
    assert (final.status, final.confirmations, final.block_height) == ("IRREVERSIBLE", 6, confirmed.block_height)
    assert wallet.account.balance_sats == 1_007_000
    assert wallet.told() == [("MEMPOOL", 1_000_000), ("CONFIRMED", 1_007_000), ("IRREVERSIBLE", 1_007_000)]
    assert wallet.past(ON_CHAIN_DEPOSITS) == [final]
    assert wallet.account.wallet.incoming == {}
    with pytest.raises(WrongState):
        desk.confirm(wallet.account, seen.deposit_id)
    assert wallet.engine.discrepancies() == []


def test_many_blocks_at_once_tell_every_status(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    seen = desk.receive(wallet.account, amount_sats=7_000)
    desk.confirm(wallet.account, seen.deposit_id, blocks=100)
    assert [status for status, _ in wallet.told()] == ["MEMPOOL", "CONFIRMED", "IRREVERSIBLE"]
    assert wallet.account.balance_sats == 1_007_000


def test_more_confirmations_can_be_demanded_before_the_credit() -> None:
    wallet = PaperWallet.started(credited_confirmations=3)
    desk = wallet.engine.wallet.on_chain
    seen = desk.receive(wallet.account, amount_sats=7_000)
    desk.confirm(wallet.account, seen.deposit_id, blocks=2)
    assert wallet.account.balance_sats == 1_000_000
    assert wallet.told() == [("MEMPOOL", 1_000_000)]
    [row] = wallet.past(ON_CHAIN_DEPOSITS)
    assert (row.status, row.confirmations) == ("MEMPOOL", 2)
    desk.confirm(wallet.account, seen.deposit_id)
    assert wallet.account.balance_sats == 1_007_000
    assert wallet.engine.discrepancies() == []


def test_what_is_no_deposit_is_refused(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    with pytest.raises(InvalidRequest, match="amount_sats"):
        desk.receive(wallet.account, amount_sats=0)
    with pytest.raises(InvalidRequest, match="address"):
        desk.receive(wallet.account, amount_sats=5, address=OUTSIDE)
    seen = desk.receive(wallet.account, amount_sats=5)
    with pytest.raises(InvalidRequest, match="blocks"):
        desk.confirm(wallet.account, seen.deposit_id, blocks=0)


def test_a_withdrawal_sets_its_amount_aside_until_it_is_sent(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    made = withdraw(wallet)
    assert (made.status, made.fee_sats, made.tx_id) == ("pending", None, None)
    assert wallet.account.balance_sats == 900_000
    assert wallet.engine.wallet.withdrawing_sats(wallet.account) == 100_000
    assert wallet.engine.discrepancies() == []
    desk.process(wallet.account, made.withdrawal_id)
    sent = desk.complete(wallet.account, made.withdrawal_id, fee_sats=300)
    assert (sent.status, sent.fee_sats, len(sent.tx_id or "")) == ("processed", 300, 64)
    assert wallet.account.balance_sats == 900_000, "the fee comes out of the amount"
    assert wallet.engine.wallet.withdrawing_sats(wallet.account) == 0
    assert wallet.engine.books.totals[Book.OUTSIDE] == -900_000
    assert [status for status, _ in wallet.told()] == ["pending", "processing", "processed"]
    assert wallet.past(ON_CHAIN_WITHDRAWALS) == [sent]
    assert wallet.engine.discrepancies() == []


def test_a_rejected_or_canceled_one_comes_back(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    desk.reject(wallet.account, withdraw(wallet).withdrawal_id)
    assert status_of_last(wallet) is OnChainStatus.REJECTED
    taken_up = withdraw(wallet)
    desk.process(wallet.account, taken_up.withdrawal_id)
    with pytest.raises(WrongState):
        desk.cancel(wallet.account, taken_up.withdrawal_id)
    desk.reject(wallet.account, taken_up.withdrawal_id)
    desk.cancel(wallet.account, withdraw(wallet).withdrawal_id)
    assert status_of_last(wallet) is OnChainStatus.CANCELED
    assert wallet.account.balance_sats == 1_000_000
    assert wallet.engine.discrepancies() == []


def test_an_end_is_final(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    made = withdraw(wallet)
    for fee_sats in (-1, 100_000):
        with pytest.raises(InvalidRequest, match="fee_sats"):
            desk.complete(wallet.account, made.withdrawal_id, fee_sats=fee_sats)
    desk.complete(wallet.account, made.withdrawal_id, fee_sats=0)
    for step in (desk.process, desk.reject, desk.cancel):
        with pytest.raises(WrongState):
            step(wallet.account, made.withdrawal_id)
    with pytest.raises(WrongState):
        desk.complete(wallet.account, made.withdrawal_id, fee_sats=0)
    assert wallet.account.balance_sats == 900_000


def test_what_cannot_be_sent_is_refused(wallet: PaperWallet) -> None:
    desk = wallet.engine.wallet.on_chain
    for address in ("test_address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", OUTSIDE[:-1] + "q"):
        with pytest.raises(BadAddress, match="Invalid address"):
            desk.withdraw(wallet.account, address=address, amount_sats=5)
    with pytest.raises(InsufficientBalance):
        withdraw(wallet, 1_000_001)
    dear = PaperWallet.started(min_on_chain_withdrawal_sats=1_000)
    with pytest.raises(InvalidRequest, match="at least 1000 sats"):
        withdraw(dear, 999)
    assert wallet.told() == []
