"""What is wrong with the exchange at present, and until when."""

import math
from collections.abc import Callable

import structlog

from axisor.paper.clock import Clock

log = structlog.get_logger(__name__)


class Maintenance:
    """Whether the trading engine answers. An absence ends by itself when it was given an end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at_s = -math.inf
        self._reason = ""
        self._listeners: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return self._clock.boottime_s() < self._ends_at_s

    @property
    def reason(self) -> str | None:
        return self._reason if self else None

    @property
    def left_s(self) -> float | None:
        """Return the seconds until the engine is back, None without an end or an absence."""
        return self._ends_at_s - self._clock.boottime_s() if self and math.isfinite(self._ends_at_s) else None

    def begin(self, *, reason: str, for_s: float | None = None) -> None:
        """Go away, for `for_s` seconds or until `end`; another beginning replaces reason and end."""
        was_away = bool(self)
        self._ends_at_s = math.inf if for_s is None else self._clock.boottime_s() + for_s
        self._reason = reason
        log.info("maintenance_began", reason=reason, for_s=for_s)
        if self and not was_away:
            for tell in self._listeners:
                tell()

    def end(self, *, reason: str) -> None:
        if self:
            log.info("maintenance_ended", reason=reason)
        self._ends_at_s = -math.inf

    def listen(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever an absence begins."""
        self._listeners.append(tell)
