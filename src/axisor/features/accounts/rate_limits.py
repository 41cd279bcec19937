"""How often one may ask: per person, per source address, per class of routes, counted in Valkey over all replicas.

What ends a danger is never counted: stopping the spending, closing a trade. With Valkey away nothing is counted and
nobody is refused; signing in needs Valkey anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from axisor.domain.errors import AccessError
from axisor.infra.valkey import Valkey
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

_WINDOW_S: Final = 60


class RouteClass(StrEnum):
    READ = "read"
    WRITE = "write"
    SIGN_IN = "sign_in"
    """By source address: whatever is asked before anybody is known."""
    BAD_TOKEN = "bad_token"  # noqa: S105 - a class of routes, no secret
    """By source address: requests whose token opens nothing."""


PER_MINUTE: Final[Mapping[RouteClass, int]] = {
    RouteClass.READ: 600,
    RouteClass.WRITE: 120,
    RouteClass.SIGN_IN: 60,
    RouteClass.BAD_TOKEN: 60,
}


class RateExceeded(AccessError):
    """More was asked in a minute than this class of routes allows."""

    code = "rate_exceeded"

    def __init__(self, message: str, *, rate: "Rate") -> None:
        super().__init__(message)
        self.rate = rate
        self.retry_after_s = max(1, rate.reset_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What is left of a limit, and the seconds until more is."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return the fields that tell a client where it stands."""
        return {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(self.remaining),
            "ratelimit-reset": str(self.reset_s),
            "ratelimit-policy": f"{self.limit};w={_WINDOW_S}",
        }


@dataclass(slots=True)
class RateLimits:
    """Counts by class and subject in sliding windows of a minute."""

    valkey: Valkey
    clock: Clock
    per_minute: Mapping[RouteClass, int] = field(default_factory=lambda: PER_MINUTE)
    _strategy: SlidingWindowCounterRateLimiter = field(init=False)
    _items: dict[RouteClass, RateLimitItem] = field(init=False)

    def __post_init__(self) -> None:
        storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix="axisor:rate",
            connection_pool=self.valkey.connection_pool,  # type: ignore[arg-type] # handed on to redis-py
        )
        self._strategy = SlidingWindowCounterRateLimiter(storage)
        self._items = {kind: RateLimitItemPerMinute(self.per_minute[kind]) for kind in RouteClass}

    async def hit(self, kind: RouteClass, subject: str) -> Rate | None:
        """Count one request and return what is left; None where counting is not possible now.

        Raises:
            RateExceeded: nothing was left.
        """
        item = self._items[kind]
        try:
            is_within = await self._strategy.hit(item, kind.value, subject)
            window = await self._strategy.get_window_stats(item, kind.value, subject)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("rate_not_counted", kind=kind.value, error=type(error).__name__)
            return None
        rate = Rate(
            limit=item.amount,
            remaining=window.remaining if is_within else 0,
            reset_s=max(0, round(window.reset_time - self.clock.now().timestamp())),
        )
        if not is_within:
            raise RateExceeded(f"at most {item.amount} of these requests a minute", rate=rate)
        return rate
