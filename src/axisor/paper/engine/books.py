"""Double-entry books: every movement of sats is a balanced posting, so no sat appears or vanishes.

The books are written beside the engine's own numbers and never read by it: `discrepancies` compares the two.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from axisor.paper.history import POSTINGS, History
from axisor.paper.records import USER_BOOKS, Account, Book, Posting

type Holdings = dict[tuple[str | None, Book], int]
"""Sats by trade (None: no trade) and book."""


class UnbalancedPosting(AssertionError):
    """A posting whose amounts do not add up to zero: a defect of the engine, never of a request."""


class Books:
    """The postings of all accounts and the running totals of the exchange's own books, in sats."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._totals: defaultdict[Book, int] = defaultdict(int)
        self._seq = 0

    def adopt(self, account: Account) -> None:
        """Take over the postings of an account read from disk."""
        for posting in self.of(account):
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
        posting = Posting(seq=self._seq, at_ms=at_ms, kind=kind, entries=moved, trade_id=trade_id)
        self._history.put(account.account_id, POSTINGS, posting, item_id=str(posting.seq), at_ms=at_ms)
        self._add(moved)

    def of(self, account: Account) -> Iterable[Posting]:
        """Return the postings of an account, the oldest first."""
        return self._history.oldest_first(account.account_id, POSTINGS)

    def net_flows(self, account: Account) -> dict[str, int]:
        """Return for every trade what it has brought to (+) or taken from (-) the free balance so far, in sats."""
        flows: defaultdict[str, int] = defaultdict(int)
        for posting in self.of(account):
            if posting.trade_id is not None:
                flows[posting.trade_id] += posting.entries.get(Book.BALANCE, 0)
        return dict(flows)

    def user_totals(self, account: Account) -> dict[Book, int]:
        """Return what the books say an account owns, in sats."""
        totals = dict.fromkeys(USER_BOOKS, 0)
        for posting in self.of(account):
            for book in USER_BOOKS & posting.entries.keys():
                totals[book] += posting.entries[book]
        return totals

    def _add(self, entries: Mapping[Book, int]) -> None:
        for book, amount in entries.items():
            self._totals[book] += amount

    @property
    def totals(self) -> dict[Book, int]:
        """Return the sum of every book over all accounts, in sats."""
        return dict(self._totals)

    def discrepancies(self, accounts: Iterable[Account], held: Callable[[Account], Holdings]) -> list[str]:
        """Return every difference between the books and the engine's own numbers; empty when all is well.

        `held` says what an account holds by the engine's own records, free balance apart.
        """
        found: list[str] = []
        if total := sum(self._totals.values()):
            found.append(f"the books add up to {total} sats instead of 0")
        sums: defaultdict[Book, int] = defaultdict(int)
        for account in accounts:
            found += self._of_account(account, held(account))
            for posting in self.of(account):
                for book, amount in posting.entries.items():
                    sums[book] += amount
        if {book: amount for book, amount in sums.items() if amount} != {
            book: amount for book, amount in self._totals.items() if amount
        }:
            found.append("the totals differ from the sum of the postings")
        return found

    def _of_account(self, account: Account, expected: Holdings) -> list[str]:
        found: list[str] = []
        booked: defaultdict[tuple[str | None, Book], int] = defaultdict(int)
        for posting in self.of(account):
            if sum(posting.entries.values()):
                found.append(f"posting {posting.seq} is not balanced")
            for book, amount in posting.entries.items():
                if book in USER_BOOKS:
                    booked[(None if book is Book.BALANCE else posting.trade_id), book] += amount
        if account.balance_sats < 0:
            found.append(f"{account.account_id}: negative balance {account.balance_sats}")
        expected = {**expected, (None, Book.BALANCE): account.balance_sats}
        for key in sorted(booked.keys() | expected.keys(), key=str):
            if booked[key] != expected.get(key, 0):
                trade_id, book = key
                found.append(
                    f"{account.account_id}: {book} of {trade_id or 'the account'} is {expected.get(key, 0)}, "
                    f"books {booked[key]}"
                )
        return found
