"""Files of the paper exchange: one per account, one for the market; each replaced whole, never half written.

A file is written beside the old one, flushed to the disk, and renamed over it: after a power cut there is either the
old state or the new one.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from axisor.domain.errors import ConfigurationError
from axisor.paper.candles import Bar
from axisor.paper.history import KeptRow, MemoryHistory
from axisor.paper.player import PlayerState
from axisor.paper.records import Account, dump, load


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    settlement_id: str
    at_ms: int
    rate: str  # a decimal number, exact in JSON
    fixing_price: int


class AccountFile(msgspec.Struct, kw_only=True):
    """An account and everything of it that is over."""

    account: Account
    history: list[KeptRow]


class MarketFile(msgspec.Struct, kw_only=True):
    """Everything about the market that outlives the process."""

    source: str
    """Scenario and seed, or tape and start: a state of another source is not continued."""
    player: PlayerState
    settlements: list[Settlement]


class Store:
    """A data folder. Every method returns only after the disk has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._accounts = folder / "accounts"
        try:
            self._accounts.mkdir(parents=True, exist_ok=True)
            self._accounts.chmod(0o700)
        except OSError as error:
            raise ConfigurationError(f"--data-dir {folder}: {error.strerror}") from error

    def load_accounts(self, history: MemoryHistory) -> Iterator[Account]:
        """Yield every stored account, its history put into `history`."""
        for path in sorted(self._accounts.glob("*.json")):
            yield load_account(path.read_bytes(), history)

    def load_market(self) -> MarketFile | None:
        """Return the stored market, None where there is none yet."""
        path = self._folder / "market.json"
        return msgspec.json.decode(path.read_bytes(), type=MarketFile) if path.exists() else None

    async def save_accounts(self, accounts: Iterable[Account], history: MemoryHistory) -> None:
        """Write these accounts as they are now."""
        files = {self._accounts / f"{account.account_id}.json": dump_account(account, history) for account in accounts}
        await asyncio.to_thread(_replace_all, files)

    def load_bars(self) -> list[Bar]:
        """Return the stored one-minute bars, oldest first."""
        path = self._folder / "candles.json"
        return msgspec.json.decode(path.read_bytes(), type=list[Bar]) if path.exists() else []

    async def save_market(self, market: bytes) -> None:
        """Write a market file that was encoded when it was true."""
        await asyncio.to_thread(_replace_all, {self._folder / "market.json": market})

    async def save_bars(self, bars: Sequence[Bar]) -> None:
        """Write the one-minute bars as they are now."""
        await asyncio.to_thread(_replace_all, {self._folder / "candles.json": msgspec.json.encode(bars)})


def dump_account(account: Account, history: MemoryHistory) -> bytes:
    """Return an account with its history as JSON, exactly."""
    return dump(AccountFile(account=account, history=history.rows_of(account.account_id)))


def load_account(raw: bytes, history: MemoryHistory) -> Account:
    """Return the account of `dump_account`'s bytes; its history is put into `history`."""
    file = load(raw, AccountFile)
    history.adopt(file.account.account_id, file.history)
    return file.account


def _replace_all(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        beside = path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    for folder in {path.parent for path in files}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
