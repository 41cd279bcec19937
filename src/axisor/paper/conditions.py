"""What is wrong with the exchange at present, and until when."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price
from axisor.paper.candles import Bar
from axisor.paper.clock import Clock

log = structlog.get_logger(__name__)


class _Spell:
    """A time in which something is the matter: until its end on the boot clock, or until it is ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at_s = -math.inf

    def __bool__(self) -> bool:
        return self._clock.boottime_s() < self._ends_at_s

    @property
    def left_s(self) -> float | None:
        """Return the seconds until it ends, None without an end or when it is over."""
        return self._ends_at_s - self._clock.boottime_s() if self and math.isfinite(self._ends_at_s) else None

    def last(self, for_s: float | None) -> None:
        self._ends_at_s = math.inf if for_s is None else self._clock.boottime_s() + for_s

    def end(self) -> None:
        self._ends_at_s = -math.inf


class Maintenance(_Spell):
    """Whether the trading engine is away."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._reason = ""
        self._listeners: list[Callable[[], None]] = []

    @property
    def reason(self) -> str | None:
        return self._reason if self else None

    def begin(self, *, reason: str, for_s: float | None = None) -> None:
        """Go away, for `for_s` seconds or until `end`; another beginning replaces reason and end."""
        was_away = bool(self)
        self.last(for_s)
        self._reason = reason
        log.info("maintenance_began", reason=reason, for_s=for_s)
        if self and not was_away:
            for tell in self._listeners:
                tell()

    def listen(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever an absence begins."""
        self._listeners.append(tell)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The prices that clients are told."""

    last_price: Price
    index_price: Price
    ladder: tuple[PriceLevel, ...]
    bars: Mapping[str, Bar | None] = field(default_factory=dict)
    """The newest candle by range, where these are not the present prices."""


class StalePrices(_Spell):
    """Old prices that clients are told while the engine moves on; the times beside them stay fresh."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._prices: Prices | None = None

    @property
    def prices(self) -> Prices | None:
        return self._prices if self else None

    def hold(self, prices: Prices, *, for_s: float | None) -> None:
        """Repeat these prices, for `for_s` seconds or until `end`."""
        self._prices = prices
        self.last(for_s)
        log.info("prices_held", last_price=prices.last_price, for_s=for_s)


class WrongClock(_Spell):
    """How far the exchange's clock is off, when it judges signatures and when it tells the time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._signatures = self._times = timedelta()

    def put_wrong(self, *, shift_s: float, for_signatures: bool, for_times: bool, for_s: float | None) -> None:
        """Be off by `shift_s` (ahead where positive), for `for_s` seconds or until `end`."""
        shift = timedelta(seconds=shift_s)
        self._signatures = shift if for_signatures else timedelta()
        self._times = shift if for_times else timedelta()
        self.last(for_s)
        log.info("clock_put_wrong", shift_s=shift_s, for_s=for_s)

    def signature_time(self) -> datetime:
        """Return the time by which signatures are judged."""
        return self._clock.now() + (self._signatures if self else timedelta())

    def told_time(self) -> datetime:
        """Return the time that clients are told."""
        return self._clock.now() + (self._times if self else timedelta())

    @property
    def tells_wrong_time(self) -> bool:
        return bool(self) and bool(self._times)
