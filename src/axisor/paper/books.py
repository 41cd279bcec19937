"""Double-entry books: every movement of sats is a balanced posting, so no sat appears or vanishes.

The books are written beside the engine's own numbers and never read by it: `discrepancies` compares the two.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from axisor.paper.records import USER_BOOKS, Account, Book, Posting


class UnbalancedPosting(AssertionError):
    """A posting whose amounts do not add up to zero: a defect of the engine, never of a request."""


class Books:
    """The postings of all accounts and the running totals of the exchange's own books, in sats."""

    def __init__(self) -> None:
        self._totals: defaultdict[Book, int] = defaultdict(int)
        self._seq = 0

    def adopt(self, account: Account) -> None:
        """Take over the postings of an account read from disk."""
        for posting in account.postings:
            self._add(posting.entries)
            self._seq = max(self._seq, posting.seq)

    def post(
        self, account: Account, *, kind: str, at_ms: int, entries: Mapping[Book, int], trade_id: str | None = None
    ) -> None:
        """Write one balanced movement into the books of `account`."""
        if sum(entries.values()) != 0:
            raise UnbalancedPosting(f"{kind} of {trade_id}: {dict(entries)}")
        self._seq += 1
        moved = {book: amount for book, amount in entries.items() if amount}
        account.postings.append(Posting(seq=self._seq, at_ms=at_ms, kind=kind, entries=moved, trade_id=trade_id))
        self._add(moved)

    def _add(self, entries: Mapping[Book, int]) -> None:
        for book, amount in entries.items():
            self._totals[book] += amount

    @property
    def totals(self) -> dict[Book, int]:
        """Return the balance of every book over all accounts; the values add up to zero."""
        return dict(self._totals)


def user_totals(account: Account) -> dict[Book, int]:
    """Return what the postings say an account has: free balance, margins and reserves, in sats."""
    totals = dict.fromkeys(USER_BOOKS, 0)
    for posting in account.postings:
        for book in USER_BOOKS & posting.entries.keys():
            totals[book] += posting.entries[book]
    return totals


def net_flows(account: Account) -> dict[str, int]:
    """Return for every trade what it has brought to (+) or taken from (-) the free balance so far, in sats."""
    flows: defaultdict[str, int] = defaultdict(int)
    for posting in account.postings:
        if posting.trade_id is not None:
            flows[posting.trade_id] += posting.entries.get(Book.BALANCE, 0)
    return dict(flows)


def discrepancies(books: Books, accounts: Iterable[Account]) -> list[str]:
    """Return every difference between the books and the engine's own numbers; empty when all is well."""
    found: list[str] = []
    if total := sum(books.totals.values()):
        found.append(f"the books add up to {total} sats instead of 0")
    sums: defaultdict[Book, int] = defaultdict(int)
    for account in accounts:
        found += _of_account(account)
        for posting in account.postings:
            for book, amount in posting.entries.items():
                sums[book] += amount
    if {book: amount for book, amount in sums.items() if amount} != {
        book: amount for book, amount in books.totals.items() if amount
    }:
        found.append("the totals differ from the sum of the postings")
    return found


def _of_account(account: Account) -> list[str]:
    found: list[str] = []
    held: defaultdict[tuple[str | None, Book], int] = defaultdict(int)
    for posting in account.postings:
        if sum(posting.entries.values()):
            found.append(f"posting {posting.seq} is not balanced")
        for book, amount in posting.entries.items():
            held[posting.trade_id, book] += amount
    balance = user_totals(account)[Book.BALANCE]
    if balance != account.balance_sats:
        found.append(f"{account.account_id}: balance {account.balance_sats}, books {balance}")
    if account.balance_sats < 0:
        found.append(f"{account.account_id}: negative balance {account.balance_sats}")
    expected: dict[tuple[str | None, Book], int] = {}
    for trade in account.live.values():
        expected[trade.trade_id, Book.MARGIN] = trade.margin_sats
        expected[trade.trade_id, Book.RESERVE] = trade.maintenance_margin_sats
    for (trade_id, book), amount in held.items():
        if book in {Book.MARGIN, Book.RESERVE} and amount != expected.pop((trade_id, book), 0):
            found.append(f"{trade_id}: {book} in the books is {amount}")
    found += [
        f"{trade_id}: {book} {amount} is not in the books" for (trade_id, book), amount in expected.items() if amount
    ]
    return found
