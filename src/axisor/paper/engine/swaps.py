"""Synthetic dollars: sats of the free balance swapped for US cents and back, at the best quotes.

The books are in two units: the sats go to and come from the book `swaps`, and the cents have postings of their own.
"""

from collections.abc import Iterator, Mapping
from uuid import uuid4

from axisor.domain.errors import AmountOutOfRange
from axisor.domain.synthetic_usd import sats_for_usd_cents, usd_cents_for_sats
from axisor.domain.units import Price
from axisor.paper.engine.books import UnbalancedPosting
from axisor.paper.engine.core import Core
from axisor.paper.errors import InsufficientBalance
from axisor.paper.history import CENTS_POSTINGS, SWAPS, History
from axisor.paper.records import Account, Asset, Book, CentsPosting, Swap, UsdBook


class UsdBooks:
    """The postings of synthetic dollars of all accounts, in cents; written beside the balances, never read by swaps."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._exchange_cents = 0
        self._users_cents: dict[str, int] = {}
        self._seq = 0

    def adopt(self, account: Account) -> None:
        """Take over the postings of an account read from disk."""
        for posting in self._history.oldest_first(account.account_id, CENTS_POSTINGS):
            self._add(account, posting.entries)
            self._seq = max(self._seq, posting.seq)

    def post(self, account: Account, *, swap_id: str, at_ms: int, entries: Mapping[UsdBook, int]) -> None:
        """Write one balanced movement of cents into the books of `account`."""
        if sum(entries.values()) != 0:
            raise UnbalancedPosting(f"cents of {swap_id}: {dict(entries)}")
        self._seq += 1
        posting = CentsPosting(seq=self._seq, at_ms=at_ms, swap_id=swap_id, entries=dict(entries))
        self._history.put(account.account_id, CENTS_POSTINGS, posting, item_id=str(posting.seq), at_ms=at_ms)
        self._add(account, entries)

    @property
    def totals(self) -> dict[UsdBook, int]:
        """Return the sum of every book over all accounts, in cents."""
        return {UsdBook.USER: sum(self._users_cents.values()), UsdBook.EXCHANGE: self._exchange_cents}

    def discrepancies(self, accounts: Mapping[str, Account]) -> list[str]:
        """Return every difference between the books and the balances in cents; empty when all is well."""
        found = [f"the books add up to {total} cents instead of 0"] if (total := sum(self.totals.values())) else []
        for account in accounts.values():
            booked = self._users_cents.get(account.account_id, 0)
            if account.usd_cents < 0:
                found.append(f"{account.account_id}: negative balance of {account.usd_cents} cents")
            if booked != account.usd_cents:
                found.append(f"{account.account_id}: the balance is {account.usd_cents} cents, books {booked}")
        return found

    def _add(self, account: Account, entries: Mapping[UsdBook, int]) -> None:
        self._exchange_cents += entries[UsdBook.EXCHANGE]
        self._users_cents[account.account_id] = self._users_cents.get(account.account_id, 0) + entries[UsdBook.USER]


class SwapDesk:
    """Every account's synthetic dollars."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.books = UsdBooks(core.history)

    def adopt(self, account: Account) -> None:
        """Take over the dollars of an account read from disk."""
        self.books.adopt(account)

    @property
    def bid_price(self) -> Price:
        """Return the price at which sats are swapped for dollars."""
        return self._core.best_quote(is_buy=False)

    @property
    def ask_price(self) -> Price:
        """Return the price at which dollars are swapped for sats."""
        return self._core.best_quote(is_buy=True)

    def swap(self, account: Account, *, in_asset: Asset, in_amount: int) -> Swap:
        """Return the swap of `in_amount` (sats of BTC, cents of USD) for the other asset.

        Raises:
            AmountOutOfRange: it is not positive, or gives not even one cent or sat.
            InsufficientBalance: the account has less.
        """
        if in_amount <= 0:
            raise AmountOutOfRange(f"the amount must be positive, not {in_amount}", amount=in_amount)
        if in_asset is Asset.BTC:
            out_asset = Asset.USD
            out_amount = usd_cents_for_sats(amount_sats=in_amount, bid_price=self.bid_price)
            sats, cents = -in_amount, out_amount
        else:
            out_asset = Asset.BTC
            out_amount = sats_for_usd_cents(amount_cents=in_amount, ask_price=self.ask_price)
            sats, cents = out_amount, -in_amount
        if out_amount == 0:
            raise AmountOutOfRange("the amount is too small to be swapped", amount=in_amount)
        if account.balance_sats + sats < 0 or account.usd_cents + cents < 0:
            raise InsufficientBalance
        record = Swap(
            swap_id=str(uuid4()),
            at_ms=self._core.now_ms(),
            in_asset=in_asset,
            in_amount=in_amount,
            out_asset=out_asset,
            out_amount=out_amount,
        )
        account.balance_sats += sats
        account.usd_cents += cents
        self._core.post(account, kind="swap", entries={Book.BALANCE: sats, Book.SWAPS: -sats})
        self.books.post(
            account,
            swap_id=record.swap_id,
            at_ms=record.at_ms,
            entries={UsdBook.USER: cents, UsdBook.EXCHANGE: -cents},
        )
        self._core.history.put(account.account_id, SWAPS, record, item_id=record.swap_id, at_ms=record.at_ms)
        self._core.touch(account)
        return record

    def swaps(self, account: Account) -> Iterator[Swap]:
        """Yield the swaps of an account, the newest first."""
        return self._core.history.newest_first(account.account_id, SWAPS)

    def discrepancies(self) -> list[str]:
        """Return every difference between the books and the balances in cents; empty when all is well."""
        return self.books.discrepancies(self._core.accounts)
