"""Rate limits: a token bucket per API key, per address and per stream socket."""

import math
from dataclasses import dataclass
from typing import Final

_PRUNE_ABOVE: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class RateLimit:
    """`rate_per_s` requests a second with a burst, for each caller; a rate of 0 allows everything."""

    def __init__(self, *, rate_per_s: float, burst: int) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    @property
    def burst(self) -> int:
        return self._burst

    def take(self, caller: str, *, now_s: float) -> float:
        """Return 0 when a token was taken, else the seconds until the next one."""
        if self._rate <= 0:
            return 0.0
        bucket = self._buckets.get(caller)
        if bucket is None:
            self._prune(now_s)
            bucket = self._buckets[caller] = _Bucket(float(self._burst), now_s)
        bucket.tokens = min(float(self._burst), bucket.tokens + (now_s - bucket.at_s) * self._rate)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0

    def remaining(self, caller: str) -> int:
        """Return how many tokens a caller had left when it last took one."""
        bucket = self._buckets.get(caller)
        return self._burst if bucket is None else int(bucket.tokens)

    def forget(self, caller: str) -> None:
        self._buckets.pop(caller, None)

    def _prune(self, now_s: float) -> None:
        if len(self._buckets) > _PRUNE_ABOVE:
            full_after_s = self._burst / self._rate
            self._buckets = {
                caller: bucket for caller, bucket in self._buckets.items() if now_s - bucket.at_s < full_after_s
            }


def retry_after(wait_s: float) -> int:
    """Return a wait in whole seconds, at least 1: the official Python SDK reads only a number."""
    return max(1, math.ceil(wait_s))
