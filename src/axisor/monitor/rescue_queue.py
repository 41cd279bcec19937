"""The trades of one account that wait for a token, in the order that saves most."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from axisor.domain.units import TradeId
from axisor.features.margin_guard.capacity import Rates, Rescue, order

PLAN_KEPT_S: Final = 0.02
"""So old an order may be where many wait: putting hundreds in order for every request would take longer than it."""
FEW: Final = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    calls: int
    ends_s: float


class RescueQueue:
    """Trades by urgency; a trade stands once, and its urgency is that of the moment in which it is served.

    Args:
        rescue_of: What a trade wants now of so many calls; None where it is gone.
        ends_s: When it is too late for a trade, on the boot-time clock.
    """

    def __init__(
        self,
        *,
        rescue_of: Callable[[TradeId, int], Rescue | None],
        ends_s: Callable[[TradeId], float],
        rates: Callable[[], Rates],
        boottime_s: Callable[[], float],
    ) -> None:
        self._rescue_of = rescue_of
        self._ends_s = ends_s
        self._rates = rates
        self._boottime_s = boottime_s
        self._waiting: dict[TradeId, _Waiting] = {}
        self._calls: dict[TradeId, int] = {}
        self._plan: deque[TradeId] = deque()
        self._planned_s = float("-inf")
        self._has_news = False
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, trade_id: TradeId, *, calls: int | None = None) -> None:
        """Let a trade wait for its turn; None leaves the calls that it was said to take, or one."""
        if calls is not None:
            self._calls[trade_id] = calls
        self._waiting[trade_id] = _Waiting(self._calls.get(trade_id, 1), self._ends_s(trade_id))
        self._has_news = True
        self._filled.set()

    def discard(self, trade_id: TradeId) -> None:
        """Forget a trade."""
        self._waiting.pop(trade_id, None)
        self._calls.pop(trade_id, None)

    def calls_ahead(self, trade_id: TradeId, ends_s: float) -> int:
        """Return how many calls are served before a trade that is too late at `ends_s`."""
        return sum(
            waiting.calls for other, waiting in self._waiting.items() if other != trade_id and waiting.ends_s < ends_s
        )

    async def pop(self) -> TradeId:
        """Return whose turn it is, waiting for somebody where nobody is there."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        trade_id = self._next()
        del self._waiting[trade_id]
        return trade_id

    def _next(self) -> TradeId:
        if len(self._waiting) == 1:
            return next(iter(self._waiting))
        now_s = self._boottime_s()
        is_old = now_s - self._planned_s >= PLAN_KEPT_S
        if is_old or (self._has_news and len(self._waiting) <= FEW):
            self._put_in_order(now_s)
        while self._plan:
            if (trade_id := self._plan.popleft()) in self._waiting:
                return trade_id
        self._put_in_order(now_s)
        return self._plan.popleft()

    def _put_in_order(self, now_s: float) -> None:
        trade_ids = list(self._waiting)
        rescues = [
            # Gone: taken out by whoever serves it, at no cost.
            self._rescue_of(trade_id, self._waiting[trade_id].calls) or Rescue(end_s=0.0, calls=0)
            for trade_id in trade_ids
        ]
        self._plan = deque(trade_ids[turn.number] for turn in order(rescues, self._rates()))
        self._planned_s, self._has_news = now_s, False
