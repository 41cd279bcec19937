"""What the demonstration asks of the paper exchange beside trading: accounts, and a market that can be directed."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from axisor.domain.units import Price
from axisor.ports.credentials import Credentials


class MarketStatus(StrEnum):
    PRELUDE = "prelude"  # a calm loop, until started
    RUNNING = "running"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperMarketState:
    """`scenario` is None while a recorded history is played; `market_s` counts from the story's beginning."""

    scenario: str | None
    seed: int
    status: MarketStatus
    is_start_requested: bool
    market_s: float
    speed: float
    last_price: Price


class PaperMarket(Protocol):
    """Raises the errors of `axisor.domain.errors.ExchangeError`."""

    async def open_account(self, *, username: str, balance_sats: int) -> Credentials:
        """Return a new key of the account of that name, which is made where it does not exist."""
        ...

    async def fetch_state(self) -> PaperMarketState: ...
    async def start(self) -> None:
        """Begin the story, or go on where it was paused."""
        ...

    async def pause(self) -> None: ...
    async def set_speed(self, speed: float) -> None: ...
    async def restart(self, *, scenario: str | None, seed: int | None) -> None:
        """Put another story in place, waiting in its calm loop; trades that still run go on."""
        ...

    async def plunge(self, *, percent: Decimal, seconds: float) -> None:
        """Let the price fall by a further share of itself, for good."""
        ...

    async def close(self) -> None: ...
