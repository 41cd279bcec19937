"""Where the Lightning nodes are kept: one SQLite file, to which a round of changes is added whole or not at all."""

import os
import sqlite3
from collections.abc import Iterable, Mapping
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
    """A data folder's Lightning file. Used from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        path = folder / "lightning.sqlite3"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Preimages are money, even paper ones: the file is its owner's alone before anything is in it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"--data-dir {folder}: {error}") from error

    def load(self, node: str) -> SavedNode | None:
        """Return a node as it was saved, None where it was not."""
        row = self._database.execute("SELECT body FROM counters WHERE node = ?", (node,)).fetchone()
        if row is None:
            return None
        return SavedNode(
            counters=msgspec.json.decode(row[0], type=NodeCounters),
            invoices=[msgspec.json.decode(body, type=InvoiceRecord) for body in self._bodies(node, RecordKind.INVOICE)],
            payments=[msgspec.json.decode(body, type=PaymentRecord) for body in self._bodies(node, RecordKind.PAYMENT)],
        )

    def save(self, changes: Mapping[str, tuple[bytes, NodeChanges]]) -> None:
        """Write the counters and the changed records of every node, all or nothing.

        Raises:
            OSError: the disk has not taken it.
        """
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for node, (counters, records) in changes.items():
                    self._write(node, counters, records)
        except sqlite3.Error as error:
            raise OSError(f"the Lightning file cannot be written: {error}") from error

    def close(self) -> None:
        self._database.close()

    def _write(self, node: str, counters: bytes, records: NodeChanges) -> None:
        run = self._database.execute
        run("INSERT INTO counters VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body", (node, counters))
        for (kind, payment_hash), body in records.items():
            if body is None:
                run(
                    "DELETE FROM record WHERE node = ? AND kind = ? AND payment_hash = ?",
                    (node, kind, payment_hash),
                )
            else:
                run(
                    "INSERT INTO record VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                    (node, kind, payment_hash, body),
                )

    def _bodies(self, node: str, kind: RecordKind) -> Iterable[bytes]:
        rows = self._database.execute("SELECT body FROM record WHERE node = ? AND kind = ?", (node, kind))
        return (row[0] for row in rows)
