"""Where the Lightning nodes are kept: one SQLite file, to which a round of changes is added whole or not at all."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from axisor.domain.errors import ConfigurationError
from axisor.paper.lightning.node import RecordKey, RecordKind
from axisor.paper.lightning.records import InvoiceRecord, NodeCounters, PaymentRecord

type NodeChanges = Mapping[RecordKey, bytes | None]
"""Encoded records by key; None for a dropped one."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS record (
    node TEXT NOT NULL, kind TEXT NOT NULL, payment_hash TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (node, kind, payment_hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (node TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""


class SavedNode(msgspec.Struct, kw_only=True):
    counters: NodeCounters
    invoices: list[InvoiceRecord]
    payments: list[PaymentRecord]


class LightningStore:
    """A data folder's Lightning file, opened anew for each use: nothing is left open whatever becomes of the owner."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lightning.sqlite3"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Preimages are money, even paper ones: the file is its owner's alone before anything is in it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with self._opened() as database:
                database.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"--data-dir {folder}: {error}") from error

    def load(self, node: str) -> SavedNode | None:
        """Return a node as it was saved, None where it was not."""
        with self._opened() as database:
            row = database.execute("SELECT body FROM counters WHERE node = ?", (node,)).fetchone()
            if row is None:
                return None
            return SavedNode(
                counters=msgspec.json.decode(row[0], type=NodeCounters),
                invoices=_records(database, node, RecordKind.INVOICE, InvoiceRecord),
                payments=_records(database, node, RecordKind.PAYMENT, PaymentRecord),
            )

    def save(self, changes: Mapping[str, tuple[bytes, NodeChanges]]) -> None:
        """Write the counters and the changed records of every node, all or nothing.

        Raises:
            OSError: the disk has not taken it.
        """
        try:
            with self._opened() as database, database:
                database.execute("BEGIN IMMEDIATE")
                for node, (counters, records) in changes.items():
                    _write(database, node, counters, records)
        except sqlite3.Error as error:
            raise OSError(f"the Lightning file cannot be written: {error}") from error

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")
            yield database


def _records[T](database: sqlite3.Connection, node: str, kind: RecordKind, form: type[T]) -> list[T]:
    rows = database.execute("SELECT body FROM record WHERE node = ? AND kind = ?", (node, kind))
    return [msgspec.json.decode(body, type=form) for (body,) in rows]


def _write(database: sqlite3.Connection, node: str, counters: bytes, records: NodeChanges) -> None:
    run = database.execute
    run("INSERT INTO counters VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body", (node, counters))
    for (kind, payment_hash), body in records.items():
        if body is None:
            run("DELETE FROM record WHERE node = ? AND kind = ? AND payment_hash = ?", (node, kind, payment_hash))
        else:
            run(
                "INSERT INTO record VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (node, kind, payment_hash, body),
            )
