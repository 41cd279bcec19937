"""Double-entry books: every movement of sats is a balanced posting, so no sat appears or vanishes.

The books are written beside the engine's own numbers and never read by it: `discrepancies` compares the two. Sums are
kept as postings are written, so comparing costs nothing of what is long over; the deep comparison adds every posting up
again and compares the sums too.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import msgspec

from axisor.paper.history import POSTINGS, History
from axisor.paper.records import USER_BOOKS, Account, Book, Posting

type Holdings = dict[tuple[str | None, Book], int]
"""Sats by trade or withdrawal (None: neither) and book."""

_NO_ITEM = ""


class UnbalancedPosting(AssertionError):
    """A posting whose amounts do not add up to zero: a defect of the engine, never of a request."""


class AccountSums(msgspec.Struct, kw_only=True):
    """The sums of an account's postings, in sats."""

    last_seq: int = 0
    totals: dict[Book, int] = msgspec.field(default_factory=dict)
    held: dict[str, dict[Book, int]] = msgspec.field(default_factory=dict)
    """The user's books by trade or withdrawal, those apart that are empty."""

    def add(self, posting: Posting) -> None:
        """Count a posting in."""
        self.last_seq = max(self.last_seq, posting.seq)
        for book, amount in posting.entries.items():
            self.totals[book] = self.totals.get(book, 0) + amount
            if book not in USER_BOOKS:
                continue
            item_id = posting.trade_id or posting.withdrawal_id or _NO_ITEM
            if book is Book.BALANCE:
                item_id = _NO_ITEM
            held = self.held.setdefault(item_id, {})
            held[book] = held.get(book, 0) + amount
            if not held[book]:
                del held[book]
            if not held:
                del self.held[item_id]


class Books:
    """The postings of all accounts and their sums, in sats."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._sums: defaultdict[str, AccountSums] = defaultdict(AccountSums)
        self._seq = 0

    def adopt(self, account: Account, sums: AccountSums | None = None) -> None:
        """Take over the books of an account read from disk; without kept sums every posting is added up."""
        self._sums[account.account_id] = kept = self._added_up(account) if sums is None else sums
        self._seq = max(self._seq, kept.last_seq)

    def post(
        self,
        account: Account,
        *,
        kind: str,
        at_ms: int,
        entries: Mapping[Book, int],
        trade_id: str | None = None,
        withdrawal_id: str | None = None,
    ) -> None:
        """Write one balanced movement into the books of `account`."""
        if sum(entries.values()) != 0:
            raise UnbalancedPosting(f"{kind} of {trade_id or withdrawal_id}: {dict(entries)}")
        self._seq += 1
        moved = {book: amount for book, amount in entries.items() if amount}
        posting = Posting(
            seq=self._seq, at_ms=at_ms, kind=kind, entries=moved, trade_id=trade_id, withdrawal_id=withdrawal_id
        )
        self._history.put(account.account_id, POSTINGS, posting, item_id=str(posting.seq), at_ms=at_ms)
        self._sums[account.account_id].add(posting)

    def of(self, account: Account) -> Iterable[Posting]:
        """Return the postings of an account, the oldest first."""
        return self._history.oldest_first(account.account_id, POSTINGS)

    def sums(self, account: Account) -> AccountSums:
        """Return the sums of an account's postings, to be stored with it."""
        return self._sums[account.account_id]

    def net_flows(self, account: Account) -> dict[str, int]:
        """Return for every trade what it has brought to (+) or taken from (-) the free balance so far, in sats."""
        flows: defaultdict[str, int] = defaultdict(int)
        for posting in self.of(account):
            if posting.trade_id is not None:
                flows[posting.trade_id] += posting.entries.get(Book.BALANCE, 0)
        return dict(flows)

    def user_totals(self, account: Account) -> dict[Book, int]:
        """Return what the books say an account owns, in sats."""
        totals = self._sums[account.account_id].totals
        return {book: totals.get(book, 0) for book in USER_BOOKS}

    @property
    def totals(self) -> dict[Book, int]:
        """Return the sum of every book over all accounts, in sats."""
        totals: defaultdict[Book, int] = defaultdict(int)
        for sums in self._sums.values():
            for book, amount in sums.totals.items():
                totals[book] += amount
        return dict(totals)

    def discrepancies(
        self, accounts: Iterable[Account], held: Callable[[Account], Holdings], *, is_deep: bool
    ) -> list[str]:
        """Return every difference between the books and the engine's own numbers; empty when all is well.

        `held` says what an account holds by the engine's own records, free balance apart. A deep comparison reads every
        posting ever written.
        """
        found: list[str] = []
        totals = self.totals
        if total := sum(totals.values()):
            found.append(f"the books add up to {total} sats instead of 0")
        if under_way := totals.get(Book.TRANSFERS, 0):
            found.append(f"{under_way} sats were given by one user and taken by none")
        known: set[str] = set()
        for account in accounts:
            known.add(account.account_id)
            found += self._of_account(account, held(account))
            if is_deep:
                found += self._against_postings(account)
        found += [f"{account_id}: postings of an account that is not there" for account_id in self._sums.keys() - known]
        return found

    def _of_account(self, account: Account, expected: Holdings) -> list[str]:
        found: list[str] = []
        if account.balance_sats < 0:
            found.append(f"{account.account_id}: negative balance {account.balance_sats}")
        expected = {**expected, (None, Book.BALANCE): account.balance_sats}
        booked = {
            (item_id or None, book): amount
            for item_id, held in self._sums[account.account_id].held.items()
            for book, amount in held.items()
        }
        for key in sorted(booked.keys() | expected.keys(), key=str):
            if booked.get(key, 0) != expected.get(key, 0):
                item_id, book = key
                found.append(
                    f"{account.account_id}: {book} of {item_id or 'the account'} is {expected.get(key, 0)}, "
                    f"books {booked.get(key, 0)}"
                )
        return found

    def _against_postings(self, account: Account) -> list[str]:
        found = [
            f"posting {posting.seq} is not balanced" for posting in self.of(account) if sum(posting.entries.values())
        ]
        if self._added_up(account) != self._sums[account.account_id]:
            found.append(f"{account.account_id}: the sums differ from the postings")
        return found

    def _added_up(self, account: Account) -> AccountSums:
        sums = AccountSums()
        for posting in self.of(account):
            sums.add(posting)
        return sums
