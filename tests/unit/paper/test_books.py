"""The check of the books finds every kind of difference it is there for."""

from collections.abc import Callable

import pytest
from tests.factories.paper import PaperMarket

from axisor.paper.engine.books import UnbalancedPosting
from axisor.paper.history import POSTINGS
from axisor.paper.records import Book, Posting


@pytest.fixture
def market() -> PaperMarket:
    market = PaperMarket.started()
    market.open()
    assert market.engine.discrepancies() == []
    return market


def _lose_a_sat(market: PaperMarket) -> None:
    market.account.balance_sats -= 1


def _grow_a_margin(market: PaperMarket) -> None:
    next(iter(market.account.live.values())).margin_sats += 1


def _forget_a_trade(market: PaperMarket) -> None:
    market.account.live.clear()


def _lose_a_posting(market: PaperMarket) -> None:
    rows = market.history.rows(market.account.account_id, POSTINGS)
    rows.pop(next(reversed(rows)))


def _invent_a_posting(market: PaperMarket) -> None:
    gift = Posting(seq=99, at_ms=0, kind="gift", entries={Book.BALANCE: 5})
    market.history.put(market.account.account_id, POSTINGS, gift, item_id="99", at_ms=0)


def _overdraw(market: PaperMarket) -> None:
    entries = {Book.BALANCE: -20_000_000, Book.OUTSIDE: 20_000_000}
    market.engine.books.post(market.account, kind="theft", at_ms=0, entries=entries)
    market.account.balance_sats -= 20_000_000


def _invent_a_trade(market: PaperMarket) -> None:
    trade = next(iter(market.account.live.values()))
    market.account.live["another"] = type(trade)(**{name: getattr(trade, name) for name in trade.__struct_fields__})
    market.account.live["another"].trade_id = "another"


@pytest.mark.parametrize(
    "spoil",
    [
        _lose_a_sat,
        _grow_a_margin,
        _forget_a_trade,
        _lose_a_posting,
        _invent_a_posting,
        _overdraw,
        _invent_a_trade,
    ],
)
def test_a_difference_is_found(market: PaperMarket, spoil: Callable[[PaperMarket], None]) -> None:
    spoil(market)
    assert market.engine.discrepancies()


@pytest.mark.parametrize("spoil", [_lose_a_sat, _grow_a_margin, _forget_a_trade, _overdraw, _invent_a_trade])
def test_a_difference_to_the_engine_is_found_without_reading_the_postings(
    market: PaperMarket, spoil: Callable[[PaperMarket], None]
) -> None:
    spoil(market)
    assert market.engine.discrepancies(is_deep=False)


def test_postings_of_an_account_that_is_gone_are_found(market: PaperMarket) -> None:
    accounts = [account for account in market.engine.accounts if account is not market.account]
    assert market.engine.books.discrepancies(accounts, lambda _: {}, is_deep=False)


def test_an_unbalanced_posting_cannot_be_written(market: PaperMarket) -> None:
    with pytest.raises(UnbalancedPosting):
        market.engine.books.post(market.account, kind="gift", at_ms=0, entries={Book.BALANCE: 1})
    assert market.engine.discrepancies() == []
