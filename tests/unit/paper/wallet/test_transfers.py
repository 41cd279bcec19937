"""Users give sats to each other: what one loses the other gets."""

import pytest
from tests.factories.paper_wallet import PaperWallet

from axisor.paper.errors import InsufficientBalance, InvalidRequest
from axisor.paper.history import POSTINGS, TRANSFERS_IN, TRANSFERS_OUT
from axisor.paper.records import Book


def test_a_transfer_moves_sats_between_two_users() -> None:
    wallet = PaperWallet.started()
    other = wallet.engine.create_account(username="other")
    made = wallet.engine.wallet.transfers.send(wallet.account, to_username="other", amount_sats=300)
    assert (wallet.account.balance_sats, other.balance_sats) == (999_700, 300)
    assert (made.from_account_id, made.to_account_id) == (wallet.account.account_id, other.account_id)
    assert wallet.past(TRANSFERS_OUT) == [made]
    assert list(wallet.history.oldest_first(other.account_id, TRANSFERS_IN)) == [made]
    assert wallet.engine.books.totals[Book.TRANSFERS] == 0
    assert wallet.engine.discrepancies() == []


def test_what_cannot_be_given_is_refused() -> None:
    wallet = PaperWallet.started(min_withdrawal_sats=10)
    wallet.engine.create_account(username="other")
    send = wallet.engine.wallet.transfers.send
    with pytest.raises(InvalidRequest, match="not a user"):
        send(wallet.account, to_username="nobody", amount_sats=50)
    with pytest.raises(InvalidRequest, match="another user"):
        send(wallet.account, to_username="trader", amount_sats=50)
    with pytest.raises(InvalidRequest, match="at least 10 sats"):
        send(wallet.account, to_username="other", amount_sats=9)
    with pytest.raises(InsufficientBalance):
        send(wallet.account, to_username="other", amount_sats=1_000_001)
    assert wallet.account.balance_sats == 1_000_000


def test_a_transfer_that_never_arrived_is_found_in_the_books() -> None:
    wallet = PaperWallet.started()
    other = wallet.engine.create_account(username="other")
    wallet.engine.wallet.transfers.send(wallet.account, to_username="other", amount_sats=300)
    other.balance_sats -= 300
    taken = {Book.BALANCE: -300, Book.TRANSFERS: 300}
    wallet.engine.books.post(other, kind="theft", at_ms=0, entries=taken)
    assert wallet.engine.discrepancies() == ["300 sats were given by one user and taken by none"]
    assert wallet.history.count(other.account_id, POSTINGS) == 2
