"""The history on disk: rows are seen from the moment they are put, and stand in the file with the next commit.

Rows put since the last commit are kept in memory and merged into what is read; reading goes through a connection of its
own and takes a few rows at a time, so no read holds the file for longer than one step.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import count
from typing import Any, Final

from axisor.paper.history import Shelf
from axisor.paper.records import dump, load

SCHEMA: Final = """
CREATE TABLE owners (owner INTEGER PRIMARY KEY, account_id TEXT NOT NULL, shelf TEXT NOT NULL);
CREATE TABLE history (
    seq INTEGER PRIMARY KEY, owner INTEGER NOT NULL, at_ms INTEGER NOT NULL, item_id TEXT NOT NULL, row BLOB NOT NULL
);
CREATE UNIQUE INDEX history_item ON history (owner, item_id);
CREATE INDEX history_time ON history (owner, at_ms);
"""
_CHUNK: Final = 200
_PUT_OWNER: Final = "INSERT OR REPLACE INTO owners VALUES (?, ?, ?)"
_PUT_ROW: Final = """
INSERT INTO history (seq, owner, at_ms, item_id, row) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET row = excluded.row
"""
_FIND: Final = "SELECT at_ms, seq, row FROM history WHERE owner = ? AND item_id = ?"
_OLDER: Final = """
SELECT at_ms, seq, item_id, row FROM history
WHERE owner = ? AND (at_ms, seq) < (?, ?) ORDER BY at_ms DESC, seq DESC LIMIT ?
"""
_NEWER: Final = """
SELECT at_ms, seq, item_id, row FROM history
WHERE owner = ? AND (at_ms, seq) > (?, ?) ORDER BY at_ms, seq LIMIT ?
"""
_END_OF_TIME: Final = 2**62

type _Place = tuple[int, int]
"""Where a row stands among those of its shelf: its time and the order of its putting."""


@dataclass(frozen=True, slots=True)
class _Put:
    """A row that may not be in the file yet."""

    place: _Place
    item_id: str
    row: Any


type _Buffer = dict[int, dict[str, _Put]]


class SqliteHistory:
    """A history in a file that `Store` writes: what it takes with `take_unwritten` it must write or put back."""

    def __init__(self, reads: sqlite3.Connection) -> None:
        self._reads = reads
        self._owners: dict[tuple[str, str], int] = {
            (account_id, shelf): owner
            for owner, account_id, shelf in reads.execute("SELECT owner, account_id, shelf FROM owners")
        }
        self._new_owners: list[tuple[int, str, str]] = []
        (last_seq,) = reads.execute("SELECT coalesce(max(seq), 0) FROM history").fetchone()
        self._seq = count(last_seq + 1)
        self._unwritten: _Buffer = {}
        self._being_written: _Buffer = {}
        self._unwritten_count = 0

    # Reading and putting

    def put[Row](self, account_id: str, shelf: Shelf[Row], row: Row, *, item_id: str, at_ms: int) -> None:
        owner = self._owner(account_id, shelf)
        buffer = self._unwritten.setdefault(owner, {})
        replaced = buffer.get(item_id) or self._being_written.get(owner, {}).get(item_id)
        place = (at_ms, next(self._seq)) if replaced is None else replaced.place
        buffer[item_id] = _Put(place, item_id, row)
        self._unwritten_count += 1

    def newest_first[Row](self, account_id: str, shelf: Shelf[Row], *, before_ms: int | None = None) -> Iterator[Row]:
        owner = self._owners.get((account_id, shelf.name))
        if owner is None:
            return
        limit: _Place = (_END_OF_TIME if before_ms is None else before_ms, 0)
        fresh = self._fresh(owner)
        stored = self._stored(owner, shelf, _OLDER, limit, without=fresh)
        recent = sorted((put for put in fresh.values() if put.place < limit), key=_place_of, reverse=True)
        for put in merge(recent, stored, key=_place_of, reverse=True):
            yield put.row

    def oldest_first[Row](self, account_id: str, shelf: Shelf[Row]) -> Iterator[Row]:
        owner = self._owners.get((account_id, shelf.name))
        if owner is None:
            return
        fresh = self._fresh(owner)
        stored = self._stored(owner, shelf, _NEWER, (-1, 0), without=fresh)
        for put in merge(sorted(fresh.values(), key=_place_of), stored, key=_place_of):
            yield put.row

    def find[Row](self, account_id: str, shelf: Shelf[Row], item_id: str) -> Row | None:
        owner = self._owners.get((account_id, shelf.name))
        if owner is None:
            return None
        put = self._unwritten.get(owner, {}).get(item_id) or self._being_written.get(owner, {}).get(item_id)
        if put is not None:
            row: Row = put.row
            return row
        stored = self._reads.execute(_FIND, (owner, item_id)).fetchone()
        return None if stored is None else load(stored[2], shelf.row)

    def count[Row](self, account_id: str, shelf: Shelf[Row]) -> int:
        owner = self._owners.get((account_id, shelf.name))
        if owner is None:
            return 0
        (stored,) = self._reads.execute("SELECT count(*) FROM history WHERE owner = ?", (owner,)).fetchone()
        unwritten = self._unwritten.get(owner, {}).keys() | self._being_written.get(owner, {}).keys()
        new = sum(1 for item_id in unwritten if self._reads.execute(_FIND, (owner, item_id)).fetchone() is None)
        return int(stored) + new

    # Writing

    @property
    def unwritten_count(self) -> int:
        """Return how many rows were put since the last commit began."""
        return self._unwritten_count

    def take_unwritten(self) -> "Unwritten":
        """Return what was put since the last time; it is still read as if it were in the file."""
        assert not self._being_written, "one commit at a time"
        self._being_written, self._unwritten = self._unwritten, {}
        self._unwritten_count = 0
        owners, self._new_owners = self._new_owners, []
        return Unwritten(owners=owners, rows=self._being_written)

    def written(self) -> None:
        """Note that the file has what was taken."""
        self._being_written = {}

    def put_back(self, taken: "Unwritten") -> None:
        """Take back what could not be written."""
        newer, self._unwritten = self._unwritten, self._being_written
        self._being_written = {}
        for owner, buffer in newer.items():
            self._unwritten.setdefault(owner, {}).update(buffer)
        self._new_owners = taken.owners + self._new_owners
        self._unwritten_count = sum(len(buffer) for buffer in self._unwritten.values())

    # Inside

    def _owner(self, account_id: str, shelf: Shelf[Any]) -> int:
        owner = self._owners.get((account_id, shelf.name))
        if owner is None:
            owner = self._owners[account_id, shelf.name] = len(self._owners) + 1
            self._new_owners.append((owner, account_id, shelf.name))
        return owner

    def _fresh(self, owner: int) -> dict[str, _Put]:
        """Return what may not be in the file yet, each at its place: one that replaces a stored row, at that row's."""
        buffered = {**self._being_written.get(owner, {}), **self._unwritten.get(owner, {})}
        fresh = {}
        for put in buffered.values():
            stored = self._reads.execute(_FIND, (owner, put.item_id)).fetchone()
            fresh[put.item_id] = put if stored is None else _Put((stored[0], stored[1]), put.item_id, put.row)
        return fresh

    def _stored(
        self, owner: int, shelf: Shelf[Any], query: str, place: _Place, *, without: dict[str, _Put]
    ) -> Iterator[_Put]:
        """Yield the rows of the file beyond a place, a chunk at a time, those left out that are in memory too."""
        while True:
            chunk = self._reads.execute(query, (owner, *place, _CHUNK)).fetchall()
            for at_ms, seq, item_id, row in chunk:
                if item_id not in without:
                    yield _Put((at_ms, seq), item_id, load(row, shelf.row))
            if len(chunk) < _CHUNK:
                return
            place = (chunk[-1][0], chunk[-1][1])


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Rows on their way into the file."""

    owners: list[tuple[int, str, str]]
    rows: _Buffer

    def write(self, connection: sqlite3.Connection) -> None:
        """Put the rows into the transaction that is open."""
        connection.executemany(_PUT_OWNER, self.owners)
        connection.executemany(
            _PUT_ROW,
            (
                (put.place[1], owner, put.place[0], put.item_id, dump(put.row))
                for owner, buffer in self.rows.items()
                for put in buffer.values()
            ),
        )


def _place_of(put: _Put) -> _Place:
    return put.place
