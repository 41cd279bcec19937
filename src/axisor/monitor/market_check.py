"""A second look at one network's market: its REST ticker against the stream, its clock against ours.

Reads only. The measured offset of the exchange's clock is not taken over here: signatures keep the one that was
measured when a key was refused, so a wrong answer to this question harms nothing.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import structlog

from axisor.domain.errors import ExchangeError
from axisor.domain.trades import Ticker
from axisor.domain.units import usd_number
from axisor.features.margin_guard.coverage import Reason, ReasonCode, reason
from axisor.monitor.market import MarketState
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Reading

log = structlog.get_logger(__name__)

CHECK_EVERY_S: Final = 1.5
"""The two questions take turns, so each is asked every three seconds."""
TOLERANCE: Final = Fraction(5, 1000)
"""By so much the ticker may lie outside what the stream said in the last seconds: 0.5 % of the price."""
STREAM_WINDOW_S: Final = 10.0
SKEW_TOLERATED_S: Final = 2.0
FORGOTTEN_AFTER_S: Final = 15.0
"""An answer this old says nothing of now; that none comes is told elsewhere."""


@dataclass(frozen=True, slots=True)
class _Finding:
    at_s: float
    problem: Reason | None


class MarketCheck:
    """Asks the public REST interface, and keeps what does not agree."""

    def __init__(self, *, client: ExchangeClient, market: MarketState, clock: Clock) -> None:
        self._client = client
        self._market = market
        self._clock = clock
        self._prices: _Finding | None = None
        self._times: _Finding | None = None

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            for ask in (self.check_price, self.check_clock):
                try:
                    await ask()
                except ExchangeError as error:
                    log.info("market_not_checked", error=error.message)
                await self._clock.sleep(CHECK_EVERY_S)

    def problems(self, now_s: float) -> list[Reason]:
        """Return what does not agree, as far as the answers still say anything."""
        return [
            finding.problem
            for finding in (self._prices, self._times)
            if finding is not None and finding.problem is not None and now_s - finding.at_s <= FORGOTTEN_AFTER_S
        ]

    async def check_price(self) -> None:
        """Compare the ticker with what the stream said in the last seconds.

        Raises:
            ExchangeError: there was no answer.
        """
        reading: Reading[Ticker] = await self._client.fetch_ticker()
        told = reading.value.last_price
        heard = self._market.window(reading.requested_boottime_s - STREAM_WINDOW_S)
        problem = None
        if heard is not None:
            low, high = heard
            away = max(low - told, told - high, 0)
            if away > TOLERANCE * told:
                last = self._market.last
                problem = reason(
                    ReasonCode.DATA_DISAGREE,
                    rest_price=usd_number(told),
                    stream_price=None if last is None else usd_number(last.floor),
                )
        self._prices = _Finding(self._clock.boottime_s(), problem)

    async def check_clock(self) -> None:
        """Compare the exchange's time, taken to be read in the middle of the call, with ours.

        Raises:
            ExchangeError: there was no answer.
        """
        reading = await self._client.fetch_time()
        middle = reading.requested_at + (reading.received_at - reading.requested_at) / 2
        skew_s = (reading.value - middle).total_seconds()
        problem = None
        if abs(skew_s) > SKEW_TOLERATED_S:
            problem = reason(ReasonCode.CLOCK_SKEW, skew_s=round(skew_s, 1))
        self._times = _Finding(self._clock.boottime_s(), problem)
