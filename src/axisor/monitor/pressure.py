"""Marks that lie nearer to the price while more trades fall than the rate limit serves at once."""

from collections.abc import Callable
from typing import Final

import structlog

from axisor.domain.trades import TradeStatus
from axisor.features.margin_guard.capacity import RESCUE_CALLS, Rates, leads_s
from axisor.features.margin_guard.policy import most_lead
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.decider import Decider
from axisor.monitor.market import MarketState
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 0.5


class Pressure:
    """Widens the triggers of one account by expected wait · speed, and narrows them when the fall ends."""

    def __init__(
        self,
        *,
        book: AccountBook,
        market: MarketState,
        decider: Decider,
        rates: Callable[[], Rates],
        clock: Clock,
    ) -> None:
        self._book = book
        self._market = market
        self._decider = decider
        self._rates = rates
        self._clock = clock

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Set every lead by the present speed; wake whom it changes."""
        watched = [one for one in self._book.trades.values() if _awaits_top_up(one) or one.lead]
        rates = self._rates()
        if len(watched) * RESCUE_CALLS <= rates.burst and not any(one.lead for one in watched):
            return
        due_s = [self._due_s(one) for one in watched]
        for one, lead_s in zip(watched, leads_s(due_s, rates), strict=True):
            self._set_lead(one, lead_s)

    def _due_s(self, watched: WatchedTrade) -> float | None:
        if watched.top_up_mark is None:
            return None
        return self._market.steady_seconds_to(watched.trade.side, watched.top_up_mark)

    def _set_lead(self, watched: WatchedTrade, lead_s: float) -> None:
        facts, rule = (self._decider.facts(watched) if lead_s else None), watched.rule
        lead = 0
        if facts is not None and rule is not None:
            lead = min(int(lead_s * self._market.steady_speed(watched.trade.side)), most_lead(facts, rule))
        # A little more or less is not worth deciding again.
        if lead == watched.lead or (lead and abs(lead - watched.lead) * 10 <= watched.lead):
            return
        watched.lead = lead
        self._decider.wakes.put(watched.trade_id)


def _awaits_top_up(watched: WatchedTrade) -> bool:
    return watched.top_up_mark is not None and watched.trade.status is TradeStatus.RUNNING
