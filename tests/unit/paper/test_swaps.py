"""Synthetic dollars: what a swap gives, what it refuses, and what the books of cents notice."""

import pytest
from tests.factories.paper import CALM, START, PaperMarket
from tests.factories.prices import at

from axisor.domain.errors import AmountOutOfRange
from axisor.paper.engine import Engine
from axisor.paper.engine.books import UnbalancedPosting
from axisor.paper.errors import InsufficientBalance
from axisor.paper.history import CENTS_POSTINGS, MemoryHistory
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Asset, Book, CentsPosting, UsdBook
from axisor.paper.store import dump_account, load_account


def test_sats_become_dollars_at_the_bid_and_come_back_at_the_ask() -> None:
    market = PaperMarket.started(balance_sats=10_000_000)
    there = market.engine.swaps.swap(market.account, in_asset=Asset.BTC, in_amount=1_000_000)
    assert (there.out_asset, there.out_amount) == (Asset.USD, 61_999)  # 619.995 USD at 61,999.5
    assert (market.account.balance_sats, market.account.usd_cents) == (9_000_000, 61_999)
    back = market.engine.swaps.swap(market.account, in_asset=Asset.USD, in_amount=61_999)
    assert (back.out_asset, back.out_amount) == (Asset.BTC, 999_975)
    assert (market.account.balance_sats, market.account.usd_cents) == (9_999_975, 0)
    assert list(market.engine.swaps.swaps(market.account)) == [back, there]
    assert market.engine.books.totals[Book.SWAPS] == 25
    assert market.engine.discrepancies() == []


def test_dollars_keep_their_worth_while_the_price_falls() -> None:
    market = PaperMarket.started()
    market.engine.swaps.swap(market.account, in_asset=Asset.BTC, in_amount=1_000_000)
    market.move_to(31_000)
    back = market.engine.swaps.swap(market.account, in_asset=Asset.USD, in_amount=61_999)
    assert back.out_amount == 1_999_935
    assert market.engine.discrepancies() == []


@pytest.mark.parametrize(
    ("asset", "amount", "refusal"),
    [
        (Asset.BTC, 0, AmountOutOfRange),
        (Asset.USD, -1, AmountOutOfRange),
        (Asset.BTC, 16, AmountOutOfRange),  # 0.99 of a cent
        (Asset.BTC, 1_000_001, InsufficientBalance),
        (Asset.USD, 1, InsufficientBalance),
    ],
)
def test_a_refused_swap_changes_nothing(asset: Asset, amount: int, refusal: type[Exception]) -> None:
    market = PaperMarket.started(balance_sats=1_000_000)
    with pytest.raises(refusal):
        market.engine.swaps.swap(market.account, in_asset=asset, in_amount=amount)
    assert (market.account.balance_sats, market.account.usd_cents) == (1_000_000, 0)
    assert list(market.engine.swaps.swaps(market.account)) == []


def test_a_swap_for_less_than_a_sat_is_refused() -> None:
    market = PaperMarket.started()
    market.engine.swaps.swap(market.account, in_asset=Asset.BTC, in_amount=1_000_000)
    market.move_to(99_000_000)
    assert market.engine.swaps.swap(market.account, in_asset=Asset.USD, in_amount=100).out_amount == 1
    with pytest.raises(AmountOutOfRange):
        market.engine.swaps.swap(market.account, in_asset=Asset.USD, in_amount=99)


def test_dollars_and_their_books_are_there_after_a_restart() -> None:
    market = PaperMarket.started()
    market.engine.swaps.swap(market.account, in_asset=Asset.BTC, in_amount=500_000)
    file, history = dump_account(market.account, market.history), MemoryHistory()
    account = load_account(file, history)
    engine = Engine(clock=market.clock, last_price=START, ladder=ladder(at(62_000), CALM), history=history)
    engine.adopt(account)
    assert account.usd_cents == market.account.usd_cents
    assert engine.swaps.books.totals == market.engine.swaps.books.totals
    engine.swaps.swap(account, in_asset=Asset.USD, in_amount=100)
    assert [posting.seq for posting in history.oldest_first(account.account_id, CENTS_POSTINGS)] == [1, 2]
    assert engine.discrepancies() == []


def test_a_cent_that_appears_is_found() -> None:
    market = PaperMarket.started()
    market.engine.swaps.swap(market.account, in_asset=Asset.BTC, in_amount=500_000)
    market.account.usd_cents += 1
    [found] = market.engine.discrepancies()
    assert found == f"{market.account.account_id}: the balance is 31000 cents, books 30999"
    market.account.usd_cents = -1
    assert f"{market.account.account_id}: negative balance of -1 cents" in market.engine.discrepancies()


def test_a_posting_of_cents_that_does_not_balance_is_refused_and_found_on_disk() -> None:
    market = PaperMarket.started()
    with pytest.raises(UnbalancedPosting):
        market.engine.swaps.books.post(
            market.account, swap_id="s", at_ms=0, entries={UsdBook.USER: 2, UsdBook.EXCHANGE: -1}
        )
    history = MemoryHistory()
    crooked = CentsPosting(seq=1, at_ms=0, swap_id="s", entries={UsdBook.USER: 2, UsdBook.EXCHANGE: -1})
    history.put(market.account.account_id, CENTS_POSTINGS, crooked, item_id="1", at_ms=0)
    engine = Engine(clock=market.clock, last_price=START, ladder=ladder(START, CALM), history=history)
    engine.adopt(market.account)
    assert "the books add up to 1 cents instead of 0" in engine.discrepancies()
