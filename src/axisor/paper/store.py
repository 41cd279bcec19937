"""The data of a paper exchange: one SQLite file, written one transaction per commit.

The file holds what is live as one record per account, what is over as rows of the history, and the market's position.
After a power cut there is either the state before a commit or the state after it. docs/decisions/0015 says why it is
SQLite.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Self

import msgspec
import structlog

from axisor.domain.errors import ConfigurationError
from axisor.paper.candles import KEPT_MINUTES, Bar
from axisor.paper.clock import MS_PER_MINUTE
from axisor.paper.engine.books import AccountSums
from axisor.paper.history import KeptRow, MemoryHistory
from axisor.paper.player import PlayerState
from axisor.paper.records import Account, dump, load
from axisor.paper.sqlite_history import SCHEMA, SqliteHistory, Unwritten

log = structlog.get_logger(__name__)

FILE_NAME: Final = "exchange.sqlite"
_VERSION: Final = 1
_BUSY_S: Final = 1.0
_TABLES: Final = """
CREATE TABLE accounts (account_id TEXT PRIMARY KEY, account BLOB NOT NULL, sums BLOB) WITHOUT ROWID;
CREATE TABLE market (only INTEGER PRIMARY KEY CHECK (only = 1), position BLOB NOT NULL);
CREATE TABLE bars (start_ms INTEGER PRIMARY KEY, bar BLOB NOT NULL);
"""
_PUT_ACCOUNT: Final = "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)"
_PUT_MARKET: Final = "INSERT OR REPLACE INTO market VALUES (1, ?)"
_PUT_BAR: Final = "INSERT OR REPLACE INTO bars VALUES (?, ?)"


class MarketPosition(msgspec.Struct, kw_only=True):
    """Where the market is, so that it goes on there."""

    source: str
    """Scenario and seed, or tape and start: a state of another source is not continued."""
    player: PlayerState


type StoredAccount = tuple[str, bytes, bytes]
"""An account's id, itself and the sums of its postings."""


def encode_account(account: Account, sums: AccountSums) -> StoredAccount:
    """Return an account as it is now, to be written."""
    return account.account_id, dump(account), msgspec.json.encode(sums)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction writes, encoded when it was true."""

    accounts: list[StoredAccount]
    history: Unwritten
    market: bytes
    bars: list[tuple[int, bytes]]


class Store:
    """One file, open. `write` returns only after the disk has the batch; it may be called from any one thread."""

    def __init__(self, folder: Path, *, is_temporary: bool = False) -> None:
        """Open the file of a folder, making it where there is none.

        Raises:
            ConfigurationError: the folder or the file in it cannot be used.
        """
        self._folder = folder
        self._is_temporary = is_temporary
        path = folder / FILE_NAME
        with ExitStack() as unusable:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                self._writes = unusable.enter_context(closing(_connect(path)))
                self._reads = unusable.enter_context(closing(_connect(path)))
                self._writes.execute("PRAGMA journal_mode = WAL")
                self._writes.execute(f"PRAGMA synchronous = {'OFF' if is_temporary else 'FULL'}")
                _make_tables(self._writes)
                self.history = SqliteHistory(self._reads)
            except OSError as error:
                raise ConfigurationError(f"--data-dir {folder}: {error.strerror}") from error
            except sqlite3.Error as error:
                raise ConfigurationError(f"--data-dir {folder}: {FILE_NAME}: {error}") from error
            unusable.pop_all()

    @classmethod
    def temporary(cls) -> Self:
        """Return a store that is gone once it is closed."""
        return cls(Path(mkdtemp(prefix="axisor-exchange-")), is_temporary=True)

    def close(self) -> None:
        """Close the file; a temporary one is removed."""
        self._reads.close()
        self._writes.close()
        if self._is_temporary:
            shutil.rmtree(self._folder)

    # Reading

    @property
    def is_empty(self) -> bool:
        """Return whether nothing has been written yet."""
        return self._reads.execute("SELECT only FROM market").fetchone() is None

    def load_accounts(self) -> Iterator[tuple[Account, AccountSums | None]]:
        """Yield every stored account in the order of creation, with the sums of its postings where they were kept."""
        stored = [
            (load(account, Account), None if sums is None else msgspec.json.decode(sums, type=AccountSums))
            for account, sums in self._reads.execute("SELECT account, sums FROM accounts")
        ]
        yield from sorted(stored, key=lambda pair: pair[0].created_at_ms)

    def load_market(self) -> MarketPosition | None:
        """Return the stored market, None where there is none yet."""
        row = self._reads.execute("SELECT position FROM market").fetchone()
        if row is None:
            return None
        try:
            return msgspec.json.decode(row[0], type=MarketPosition)
        except msgspec.ValidationError as error:
            # Written by a version that kept other things of the market: accounts matter, a story can begin again.
            log.warning("paper_market_begins_again", reason=str(error))
            return None

    def load_bars(self) -> list[Bar]:
        """Return the stored one-minute bars, oldest first."""
        rows = self._reads.execute("SELECT bar FROM bars ORDER BY start_ms")
        return [msgspec.json.decode(bar, type=Bar) for (bar,) in rows]

    # Writing

    def batch(self, accounts: Iterable[StoredAccount], *, market: MarketPosition, bars: Sequence[Bar] = ()) -> Batch:
        """Return these things as they are now, with every unwritten row of the history."""
        return Batch(
            accounts=list(accounts),
            history=self.history.take_unwritten(),
            market=msgspec.json.encode(market),
            bars=[(bar.start_ms, msgspec.json.encode(bar)) for bar in bars],
        )

    def write(self, batch: Batch) -> None:
        """Write a batch in one transaction.

        Raises:
            OSError: the disk or the file refuses; nothing of it is written.
        """
        try:
            with _transaction(self._writes) as connection:
                connection.executemany(_PUT_ACCOUNT, batch.accounts)
                batch.history.write(connection)
                connection.execute(_PUT_MARKET, (batch.market,))
                connection.executemany(_PUT_BAR, batch.bars)
                if batch.bars:
                    oldest_ms = batch.bars[-1][0] - KEPT_MINUTES * MS_PER_MINUTE
                    connection.execute("DELETE FROM bars WHERE start_ms <= ?", (oldest_ms,))
        except sqlite3.Error as error:
            raise OSError(None, f"{FILE_NAME}: {error}") from error


class AccountFile(msgspec.Struct, kw_only=True):
    """An account and everything of it that is over."""

    account: Account
    history: list[KeptRow]


def dump_account(account: Account, history: MemoryHistory) -> bytes:
    """Return an account with its history as JSON, exactly."""
    return dump(AccountFile(account=account, history=history.rows_of(account.account_id)))


def load_account(raw: bytes, history: MemoryHistory) -> Account:
    """Return the account of `dump_account`'s bytes; its history is put into `history`."""
    file = load(raw, AccountFile)
    history.adopt(file.account.account_id, file.history)
    return file.account


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what is done in the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_tables(connection: sqlite3.Connection) -> None:
    """Give a new file its tables.

    Raises:
        sqlite3.DatabaseError: the file is of another version.
    """
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == _VERSION:
            return
        if version != 0:
            raise sqlite3.DatabaseError(f"is of version {version}, this program knows {_VERSION}")
        for statement in (_TABLES + SCHEMA).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
