"""What a running paper exchange has on its disk, read beside it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from axisor.paper.records import Account, load
from axisor.paper.sqlite_history import SqliteHistory
from axisor.paper.store import FILE_NAME


@contextmanager
def on_disk(folder: Path) -> Iterator[tuple[SqliteHistory, list[Account]]]:
    """Yield the history and the accounts in a data folder."""
    with closing(sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT account FROM accounts").fetchall()
        yield SqliteHistory(connection), [load(account, Account) for (account,) in rows]
