"""Takes over the data folder of an earlier version, which had one JSON file per account."""

from pathlib import Path
from typing import Final

import msgspec
import structlog

from axisor.domain.errors import ConfigurationError
from axisor.paper.candles import Bar
from axisor.paper.engine.books import Books
from axisor.paper.history import EXCHANGE, SETTLEMENTS, SHELVES
from axisor.paper.player import PlayerState
from axisor.paper.records import Account, Settlement, load
from axisor.paper.store import AccountFile, MarketPosition, Store, encode_account

log = structlog.get_logger(__name__)

_ACCOUNTS: Final = "accounts"
_SHELVES: Final = {shelf.name: shelf for shelf in SHELVES}


class _MarketFile(msgspec.Struct, kw_only=True):
    source: str
    player: PlayerState
    settlements: list[Settlement]


def import_files(folder: Path, store: Store) -> int:
    """Return how many accounts of JSON files were copied into an empty store; the files stay where they are.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    paths = sorted((folder / _ACCOUNTS).glob("*.json"))
    if not paths or not store.is_empty:
        return 0
    try:
        accounts = [_import_account(path, store) for path in paths]
        market = msgspec.json.decode((folder / "market.json").read_bytes(), type=_MarketFile)
        bars = msgspec.json.decode((folder / "candles.json").read_bytes(), type=list[Bar])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"--data-dir {folder}: the files of an earlier version: {error}") from error
    for settlement in market.settlements:
        store.history.put(EXCHANGE, SETTLEMENTS, settlement, item_id=settlement.settlement_id, at_ms=settlement.at_ms)
    books = Books(store.history)
    for account in accounts:
        books.adopt(account)
    position = MarketPosition(source=market.source, player=market.player)
    store.write(store.batch([encode_account(one, books.sums(one)) for one in accounts], market=position, bars=bars))
    store.history.written()
    log.info("paper_exchange_files_imported", folder=str(folder), accounts=len(accounts))
    return len(accounts)


def _import_account(path: Path, store: Store) -> Account:
    file = load(path.read_bytes(), AccountFile)
    for kept in file.history:
        shelf = _SHELVES[kept.shelf]
        row = load(kept.row, shelf.row)
        store.history.put(file.account.account_id, shelf, row, item_id=kept.item_id, at_ms=kept.at_ms)
    return file.account
