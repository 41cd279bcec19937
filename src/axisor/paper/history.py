"""What is over or only listed: closed trades, settled fees, postings, transfers; apart from the live account.

A row belongs to an account and a shelf and has an id of its own; putting a row with the id of an earlier one replaces
it at its old place, so the time of the first one stands. Rows are in the order of their times, those of one time in the
order in which they were put. The rows must not be changed after they were put. What belongs to no account is under the
account id `EXCHANGE`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from axisor.paper.records import (
    CentsPosting,
    CrossFundingFeeRow,
    CrossOrder,
    CrossTransfer,
    FundingFeeRow,
    Notification,
    PaperTrade,
    Posting,
    Settlement,
    Swap,
    dump,
    load,
)
from axisor.paper.wallet_records import (
    DepositAddress,
    InternalTransfer,
    LightningDeposit,
    LightningWithdrawal,
    OnChainDeposit,
    OnChainWithdrawal,
)


@dataclass(frozen=True, slots=True)
class Shelf[Row]:
    """One kind of rows: its name on disk and its record type."""

    name: str
    row: type[Row]


CLOSED_TRADES: Final = Shelf("closed_trades", PaperTrade)
CANCELED_TRADES: Final = Shelf("canceled_trades", PaperTrade)
FUNDING_FEES: Final = Shelf("funding_fees", FundingFeeRow)
CROSS_FILLED: Final = Shelf("cross_filled", CrossOrder)
CROSS_CANCELED: Final = Shelf("cross_canceled", CrossOrder)
CROSS_TRANSFERS: Final = Shelf("cross_transfers", CrossTransfer)
CROSS_FUNDING_FEES: Final = Shelf("cross_funding_fees", CrossFundingFeeRow)
POSTINGS: Final = Shelf("postings", Posting)
LIGHTNING_DEPOSITS: Final = Shelf("lightning_deposits", LightningDeposit)
LIGHTNING_WITHDRAWALS: Final = Shelf("lightning_withdrawals", LightningWithdrawal)
ON_CHAIN_DEPOSITS: Final = Shelf("on_chain_deposits", OnChainDeposit)
ON_CHAIN_WITHDRAWALS: Final = Shelf("on_chain_withdrawals", OnChainWithdrawal)
DEPOSIT_ADDRESSES: Final = Shelf("deposit_addresses", DepositAddress)
TRANSFERS_IN: Final = Shelf("transfers_in", InternalTransfer)
TRANSFERS_OUT: Final = Shelf("transfers_out", InternalTransfer)
SWAPS: Final = Shelf("swaps", Swap)
CENTS_POSTINGS: Final = Shelf("cents_postings", CentsPosting)
NOTIFICATIONS: Final = Shelf("notifications", Notification)
SETTLEMENTS: Final = Shelf("settlements", Settlement)
SHELVES: Final[tuple[Shelf[Any], ...]] = (
    CLOSED_TRADES,
    CANCELED_TRADES,
    FUNDING_FEES,
    CROSS_FILLED,
    CROSS_CANCELED,
    CROSS_TRANSFERS,
    CROSS_FUNDING_FEES,
    POSTINGS,
    LIGHTNING_DEPOSITS,
    LIGHTNING_WITHDRAWALS,
    ON_CHAIN_DEPOSITS,
    ON_CHAIN_WITHDRAWALS,
    DEPOSIT_ADDRESSES,
    TRANSFERS_IN,
    TRANSFERS_OUT,
    SWAPS,
    CENTS_POSTINGS,
    NOTIFICATIONS,
    SETTLEMENTS,
)
EXCHANGE: Final = ""
_BY_NAME: Final = {shelf.name: shelf for shelf in SHELVES}


class History(Protocol):
    """The rows of every account, newest last."""

    def put[Row](self, account_id: str, shelf: Shelf[Row], row: Row, *, item_id: str, at_ms: int) -> None:
        """Keep a row; one with the same id on the same shelf is replaced where it stands, its time included."""
        ...

    def newest_first[Row](self, account_id: str, shelf: Shelf[Row], *, before_ms: int | None = None) -> Iterator[Row]:
        """Yield rows, the newest first; with `before_ms` only those put with an earlier `at_ms`."""
        ...

    def oldest_first[Row](self, account_id: str, shelf: Shelf[Row]) -> Iterator[Row]:
        """Yield every row, the oldest first."""
        ...

    def find[Row](self, account_id: str, shelf: Shelf[Row], item_id: str) -> Row | None:
        """Return the row with this id, None where there is none."""
        ...

    def count[Row](self, account_id: str, shelf: Shelf[Row]) -> int:
        """Return how many rows an account has on a shelf."""
        ...


class KeptRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it stands in a file."""

    shelf: str
    item_id: str
    at_ms: int
    row: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Kept[Row]:
    """A row with what it was put with."""

    at_ms: int
    item_id: str
    row: Row


class MemoryHistory:
    """A history that lasts as long as the process."""

    def __init__(self) -> None:
        self._rows: defaultdict[tuple[str, str], dict[str, Kept[Any]]] = defaultdict(dict)

    def put[Row](self, account_id: str, shelf: Shelf[Row], row: Row, *, item_id: str, at_ms: int) -> None:
        rows = self._rows[account_id, shelf.name]
        replaced = rows.get(item_id)
        rows[item_id] = Kept(at_ms if replaced is None else replaced.at_ms, item_id, row)

    def newest_first[Row](self, account_id: str, shelf: Shelf[Row], *, before_ms: int | None = None) -> Iterator[Row]:
        for kept in reversed(self._of(account_id, shelf)):
            if before_ms is None or kept.at_ms < before_ms:
                yield kept.row

    def oldest_first[Row](self, account_id: str, shelf: Shelf[Row]) -> Iterator[Row]:
        for kept in self._of(account_id, shelf):
            yield kept.row

    def find[Row](self, account_id: str, shelf: Shelf[Row], item_id: str) -> Row | None:
        kept = self._rows.get((account_id, shelf.name), {}).get(item_id)
        if kept is None:
            return None
        row: Row = kept.row
        return row

    def count[Row](self, account_id: str, shelf: Shelf[Row]) -> int:
        return len(self._rows.get((account_id, shelf.name), {}))

    def rows[Row](self, account_id: str, shelf: Shelf[Row]) -> dict[str, Kept[Row]]:
        """Return the rows of a shelf themselves, by id."""
        return self._rows[account_id, shelf.name]

    def rows_of(self, account_id: str) -> list[KeptRow]:
        """Return everything of an account, as it goes into a file."""
        return [
            KeptRow(shelf=shelf, item_id=kept.item_id, at_ms=kept.at_ms, row=msgspec.Raw(dump(kept.row)))
            for (owner, shelf), rows in self._rows.items()
            if owner == account_id
            for kept in rows.values()
        ]

    def adopt(self, account_id: str, rows: list[KeptRow]) -> None:
        """Take over what `rows_of` gave."""
        for kept in rows:
            shelf = _BY_NAME[kept.shelf]
            self.put(account_id, shelf, load(kept.row, shelf.row), item_id=kept.item_id, at_ms=kept.at_ms)

    def _of[Row](self, account_id: str, shelf: Shelf[Row]) -> list[Kept[Row]]:
        rows = self._rows.get((account_id, shelf.name), {})
        return sorted(rows.values(), key=lambda kept: kept.at_ms)
