"""The token bucket that keeps Axisor inside the exchange's rate limit, and the share of it kept for protection."""

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from axisor.ports.clock import Clock
from axisor.ports.exchange import Lane, LimiterState

log = structlog.get_logger(__name__)

_REMAINING: Final = re.compile(r"(?:\br|\bremaining)\s*=\s*(\d{1,9})")
_RESET: Final = re.compile(r"(?:\bt|\breset)\s*=\s*(\d{1,9})")
_MAX_PAUSE_S: Final = 120.0
_ROUNDING: Final = 1e-9
_SAME_REFUSAL_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests per second and burst of one key or address.

    `kept_for_protect` tokens of a full bucket are out of reach for routine readings; a person's requests may use
    half of them. The share shrinks with the burst, so that every lane can always make progress.
    """

    rate_per_s: float
    burst: int
    kept_for_protect: int = 2
    pause_after_429_s: float = 1.0
    recovery_per_s: float = 0.01  # share of the nominal rate regained per second after a 429 halved it

    def __post_init__(self) -> None:
        if self.rate_per_s <= 0 or self.burst < 1 or self.kept_for_protect < 0 or self.recovery_per_s <= 0:
            raise ValueError("a rate limit needs a positive rate and a burst of at least 1")

    def floor(self, lane: Lane) -> int:
        """Return how many tokens a request of `lane` must leave in the bucket."""
        kept = min(self.kept_for_protect, self.burst - 1)
        return {Lane.PROTECT: 0, Lane.USER: kept // 2, Lane.ROUTINE: kept}[lane]


# The lower of two published sets of figures: it works under both.
PRIVATE_LIMIT: Final = RateLimit(rate_per_s=5.0, burst=5)
PUBLIC_LIMIT: Final = RateLimit(rate_per_s=1.0, burst=1)


class TokenBucket:
    """A `RateLimiter`: first in, first out within a lane; a lower lane waits while a higher one does.

    A 429 empties the bucket, stops everything for the time that the exchange asks, halves the rate (once per pause,
    however many requests were in flight) and lets it grow back slowly. Time is the boot-time clock's; timers only
    wake the bucket to look at it.
    """

    def __init__(self, limit: RateLimit, clock: Clock, *, name: str = "") -> None:
        self._limit = limit
        self._clock = clock
        self._name = name
        self._rate = limit.rate_per_s
        self._tokens = float(limit.burst)
        self._filled_at_s = clock.boottime_s()
        self._paused_until_s = self._filled_at_s
        self._waiters: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rate_per_s(self) -> float:
        """Return the present rate in requests per second."""
        self._refill()
        return self._rate

    @property
    def wait_s(self) -> float:
        """Return how long a PROTECT request would wait now, in seconds."""
        self._refill()
        return self._delay_s(float(len(self._waiters[Lane.PROTECT]) + 1))

    @property
    def state(self) -> LimiterState:
        """Return how many PROTECT requests may leave now, and how fast the next ones."""
        self._refill()
        return LimiterState(
            rate_per_s=self._rate,
            burst=self._limit.burst,
            tokens=max(0.0, self._tokens - len(self._waiters[Lane.PROTECT])),
            paused_s=max(0.0, self._paused_until_s - self._clock.boottime_s()),
        )

    def give_back(self) -> None:
        """Put a token back that was taken and not used."""
        self._refill()
        self._tokens = min(self._tokens + 1, float(self._limit.burst))
        self._serve()

    async def acquire(self, lane: Lane, *, deadline_s: float) -> bool:
        """Return True once a token was taken, False if none was free within `deadline_s` seconds."""
        # Whoever waits goes first. What he must leave in the bucket, a newcomer of his lane or a lower one must too.
        self._serve()
        if self._take(lane):
            return True
        if deadline_s <= 0:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[lane].append(turn)
        self._serve()
        try:
            async with asyncio.timeout(deadline_s):
                await turn
        except TimeoutError:
            # The token may have been handed over in the very moment in which the deadline struck.
            return self._leave(lane, turn)
        except asyncio.CancelledError:
            if self._leave(lane, turn):
                self.give_back()
            raise
        return True

    def punish(self, retry_after_s: float | None) -> None:
        """Take note of a 429: nothing leaves for `retry_after_s` (or a default), and the rate is lowered."""
        self._refill()
        now = self._clock.boottime_s()
        pause_s = self._limit.pause_after_429_s if retry_after_s is None else min(retry_after_s, _MAX_PAUSE_S)
        if now >= self._paused_until_s:
            self._rate = max(self._rate / 2, self._limit.rate_per_s / 16)
        self._paused_until_s = max(self._paused_until_s, now + max(pause_s, 1 / self._limit.rate_per_s))
        self._tokens = 0.0
        log.warning("rate_limited", limiter=self._name, pause_s=pause_s, rate_per_s=round(self._rate, 3))
        self._serve()

    def observe(self, headers: Mapping[str, str]) -> None:
        """Lower the bucket to what the response's `RateLimit` header says is left; it is never raised by it."""
        stated = headers.get("RateLimit", "")
        remaining = headers.get("RateLimit-Remaining") or _found(_REMAINING, stated)
        if remaining is None or not remaining.isdigit():
            return
        self._refill()
        left = int(remaining[:9])
        self._tokens = min(self._tokens, float(left))
        reset = headers.get("RateLimit-Reset") or _found(_RESET, stated)
        if left == 0 and reset is not None and reset.isdigit():
            pause_s = min(float(reset[:9]), _MAX_PAUSE_S)
            self._paused_until_s = max(self._paused_until_s, self._clock.boottime_s() + pause_s)
        self._serve()

    def _refill(self) -> None:
        now = self._clock.boottime_s()
        start = max(self._filled_at_s, min(self._paused_until_s, now))
        elapsed_s = max(0.0, now - start)
        self._filled_at_s = max(self._filled_at_s, now)
        self._tokens = min(self._tokens + elapsed_s * self._rate, float(self._limit.burst))
        # The old rate counts for the whole interval: slower than the exact integral, never faster.
        nominal = self._limit.rate_per_s
        self._rate = min(nominal, self._rate + nominal * self._limit.recovery_per_s * elapsed_s)

    def _take(self, lane: Lane) -> bool:
        if self._clock.boottime_s() < self._paused_until_s:
            return False
        if self._tokens + _ROUNDING < 1 + self._limit.floor(lane):
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def _delay_s(self, tokens: float) -> float:
        pause_s = max(0.0, self._paused_until_s - self._clock.boottime_s())
        return pause_s + max(0.0, tokens - self._tokens) / self._rate

    def _next_lane(self) -> Lane | None:
        return next((lane for lane in Lane if self._waiters[lane]), None)

    def _serve(self) -> None:
        """Hand tokens to whoever is first; wake up again when the next one is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._refill()
        while (lane := self._next_lane()) is not None:
            if self._waiters[lane][0].done():  # cancelled, and about to leave by itself
                self._waiters[lane].popleft()
                continue
            if not self._take(lane):
                delay_s = max(self._delay_s(1.0 + self._limit.floor(lane)), 0.001)
                self._timer = asyncio.get_running_loop().call_later(delay_s, self._serve)
                return
            self._waiters[lane].popleft().set_result(None)

    def _leave(self, lane: Lane, turn: "asyncio.Future[None]") -> bool:
        """Take a waiter out of the queue; return True if it had been given a token."""
        if turn.done() and not turn.cancelled():
            return True
        if turn in self._waiters[lane]:
            self._waiters[lane].remove(turn)
        self._serve()
        return False


class SharedBucket(TokenBucket):
    """The bucket of one key at an address whose requests are limited together.

    A request takes a token of its key and then one of the address, in its lane at both: no other key's routine can
    use up what the address keeps for protection, and a key asks the address for one token at a time, so that a storm
    on one key delays another by no more than one request.
    """

    def __init__(self, limit: RateLimit, clock: Clock, *, address: "AddressBucket", name: str = "") -> None:
        super().__init__(limit, clock, name=name)
        self._address = address
        self._one_at_a_time: dict[Lane, asyncio.Lock] = {lane: asyncio.Lock() for lane in Lane}

    @property
    def state(self) -> LimiterState:
        """Return the slower of what key and address allow; the address is shared with the other keys."""
        own, shared = super().state, self._address.state
        return LimiterState(
            rate_per_s=min(own.rate_per_s, shared.rate_per_s),
            burst=min(own.burst, shared.burst),
            tokens=min(own.tokens, shared.tokens),
            paused_s=max(own.paused_s, shared.paused_s),
        )

    @property
    def wait_s(self) -> float:
        return max(super().wait_s, self._address.wait_s)

    async def acquire(self, lane: Lane, *, deadline_s: float) -> bool:
        """Return True once both tokens were taken, False if one was not free within `deadline_s` seconds."""
        ends_s = self._clock.boottime_s() + deadline_s
        if not await super().acquire(lane, deadline_s=deadline_s):
            return False
        has_both = False
        try:
            async with asyncio.timeout(max(0.0, ends_s - self._clock.boottime_s())), self._one_at_a_time[lane]:
                left_s = max(0.0, ends_s - self._clock.boottime_s())
                has_both = await self._address.acquire(lane, deadline_s=left_s)
        except TimeoutError:
            pass
        finally:
            if not has_both:
                self.give_back()
        return has_both

    def punish(self, retry_after_s: float | None) -> None:
        super().punish(retry_after_s)
        self._address.note_refusal(self, retry_after_s)


class AddressBucket(TokenBucket):
    """What all keys of one address may send together.

    A refusal for haste may be meant for the key or for the address. It slows down the address only once a second key
    meets one shortly after: a storm on one account must not slow down the others.
    """

    def __init__(self, limit: RateLimit, clock: Clock, *, name: str = "address") -> None:
        super().__init__(limit, clock, name=name)
        self._refused: tuple[TokenBucket, float] | None = None

    def note_refusal(self, key: TokenBucket, retry_after_s: float | None) -> None:
        """Take note that the exchange refused a request of a key for haste."""
        now_s = self._clock.boottime_s()
        before, self._refused = self._refused, (key, now_s)
        if before is not None and before[0] is not key and now_s - before[1] <= _SAME_REFUSAL_S:
            self.punish(retry_after_s)


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(1) if match else None
