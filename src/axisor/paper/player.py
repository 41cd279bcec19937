"""Plays a price path: maps market time to wall time, loops before the start, pauses, plunges and settles funding.

Nothing here waits or reads a clock: `advance` is told how much wall time has passed and yields what happened. Its
state is whole at every step it yields, so a caller that has no more time may stop in the middle.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, Literal
from uuid import NAMESPACE_OID, uuid4, uuid5

import msgspec

from axisor.domain.contract import clamp_price
from axisor.domain.funding import next_funding_at
from axisor.domain.trades import Candle
from axisor.domain.units import Price, round_half_up
from axisor.paper.market.fundings import FUNDING_INTERVAL_MS, FundingModel
from axisor.paper.market.paths import Outage, PathPoint, PricePath

POINT_MS: Final = 200
PRELUDE_POINTS: Final = 25
PRELUDE_MS: Final = POINT_MS * PRELUDE_POINTS
_PRELUDE_SWING: Final = 0.0004
MIN_SPEED: Final = 0.01
MAX_SPEED: Final = 100_000.0
FASTEST: Final = "max"
type Speed = float | Literal["max"]
"""Market seconds in a wall second; `max`: as many as the caller of `advance` takes."""
_HOUR_MS: Final = 3_600_000
_MOMENTUM_HOURS: Final = 8


class MarketStatus(StrEnum):
    PRELUDE = "prelude"  # a calm loop around the start price, until started
    RUNNING = "running"
    PAUSED = "paused"


class FundingMode(StrEnum):
    """What makes funding due: every 8 h of market time since the path's start, or 00, 08 and 16 UTC on the wall."""

    MARKET = "market"
    WALL = "wall"


class Plunge(msgspec.Struct, frozen=True, kw_only=True):
    """An extra fall of a fraction of the price, spread evenly over a time and lasting for good."""

    start_ms: int
    duration_ms: int
    fraction: str  # a decimal number, exact in JSON

    def factor_at(self, played_ms: int) -> Fraction:
        """Return what the path's price is multiplied by at a moment of play."""
        elapsed_ms = min(max(played_ms - self.start_ms, 0), self.duration_ms)
        return 1 - Fraction(self.fraction) * Fraction(elapsed_ms, self.duration_ms)


class PlayerState(msgspec.Struct, kw_only=True):
    """Where the player is; enough, with the path, to go on after a restart."""

    run_id: str
    status: MarketStatus
    resumes_to: MarketStatus
    speed: float | Literal["max"]
    story_ms: float = 0.0  # market time since the story began
    prelude_ms: float = 0.0  # position within the present round of the loop
    played_ms: float = 0.0  # prelude and story together; the clock of plunges
    is_start_requested: bool = False
    settled_count: int = 0  # settlements of this run, market mode
    plunges: list[Plunge] = msgspec.field(default_factory=list)
    next_rate: str = ""  # of the next settlement, fixed at the one before; a decimal number, exact in JSON


@dataclass(frozen=True, slots=True)
class PricePoint:
    last_price: Price
    market_ms: int


@dataclass(frozen=True, slots=True)
class FundingDue:
    settlement_id: str
    rate: Decimal


@dataclass(frozen=True, slots=True)
class AvailabilityChange:
    """The exchange itself goes away, or is back; away, it has no price points and makes no settlement."""

    is_available: bool
    market_ms: int


type Step = PricePoint | FundingDue | AvailabilityChange


class Player:
    """One path, played. `advance` is the only thing that moves it."""

    def __init__(
        self,
        path: PricePath,
        *,
        funding: FundingModel,
        funding_mode: FundingMode,
        speed: Speed,
        is_started: bool,
        now: datetime,
        funding_offset_ms: int = 0,
    ) -> None:
        status = MarketStatus.RUNNING if is_started else MarketStatus.PRELUDE
        self._path = path
        self._funding = funding
        self._funding_mode = funding_mode
        # How long before the path's start the last settlement was: 0, or what a tape's own UTC clock says.
        self._funding_offset_ms = funding_offset_ms
        self._points = path.points()
        self._ahead: PathPoint | None = next(self._points, None)
        self._base = path.start_price
        self._hourly: deque[Price] = deque([path.start_price], maxlen=_MOMENTUM_HOURS)  # at the last full hours
        self._hour = 0
        self._edges: deque[tuple[int, bool]] = deque(
            edge for outage in path.outages for edge in ((outage.start_ms, False), (outage.end_ms, True))
        )
        self._is_available = True
        self._next_wall = next_funding_at(now)
        self.state = PlayerState(run_id=str(uuid4()), status=status, resumes_to=status, speed=speed)
        self._fix_next_rate()

    def restore(self, state: PlayerState) -> None:
        """Go on where a saved state was: the path is played silently up to there."""
        self.state = state
        while self._ahead is not None and self._ahead.market_ms <= state.story_ms and state.story_ms > 0:
            self._take(self._ahead)
        while self._edges and self._edges[0][0] <= state.story_ms:
            _, self._is_available = self._edges.popleft()
        if not state.next_rate:
            self._fix_next_rate()

    @property
    def path(self) -> PricePath:
        return self._path

    @property
    def last_price(self) -> Price:
        """Return the price now, plunges included."""
        return self._plunged(self._base)

    @property
    def tick_s(self) -> float:
        """Return how often `advance` should be called, in seconds: once per point, at most 100 times a second.

        0 while the market plays as fast as possible: again as soon as everything else has had its turn.
        """
        if self._is_fastest:
            return 0.0
        return min(0.2, max(0.01, POINT_MS / 1000 / self._pace))

    @property
    def is_available(self) -> bool:
        """Return whether the exchange is there; not within an outage of the path."""
        return self._is_available

    def start(self) -> None:
        """Begin the story at the end of the present round of the prelude; go on where it was paused."""
        if self.state.status is MarketStatus.PAUSED:
            self.state.status = self.state.resumes_to
        if self.state.status is MarketStatus.PRELUDE:
            self.state.is_start_requested = True

    def pause(self) -> None:
        if self.state.status is not MarketStatus.PAUSED:
            self.state.resumes_to = self.state.status
            self.state.status = MarketStatus.PAUSED

    def set_speed(self, speed: Speed) -> None:
        """Play `speed` market seconds in a wall second from now on."""
        if speed != FASTEST and not MIN_SPEED <= speed <= MAX_SPEED:
            raise ValueError(f"speed must be {FASTEST} or lie between {MIN_SPEED} and {MAX_SPEED:.0f}, not {speed}")
        self.state.speed = speed

    def plunge(self, *, fraction: Decimal, duration_s: float) -> None:
        """Let the price fall by a further `fraction` of itself within `duration_s` market seconds."""
        self.state.plunges.append(
            Plunge(
                start_ms=int(self.state.played_ms), duration_ms=max(1, int(duration_s * 1000)), fraction=str(fraction)
            )
        )

    def set_price(self, price: Price) -> None:
        """Put the price by hand; the path's next point, if it has one, overrides it."""
        self._base = price
        self.state.plunges.clear()

    @property
    def has_points(self) -> bool:
        """Return whether the path still has points of its own."""
        return self._ahead is not None

    def advance(self, elapsed_s: float, *, now: datetime) -> Iterator[Step]:
        """Yield what happens in `elapsed_s` wall seconds that end at `now`; at least one price point while available.

        At the speed `max` everything up to the path's end follows, however long that is (a scenario has none): the
        caller stops when its time is over. A path without points is played in real time then.
        """
        if self._funding_mode is FundingMode.WALL and now >= self._next_wall and self._is_available:
            yield self._wall_settlement(now)
        state = self.state
        left_ms = 0.0 if state.status is MarketStatus.PAUSED else elapsed_s * 1000 * self._pace
        has_yielded = False
        if state.status is MarketStatus.PRELUDE:
            round_left_ms = PRELUDE_MS - state.prelude_ms
            if state.is_start_requested and (left_ms >= round_left_ms or state.speed == FASTEST):
                left_ms = max(0.0, left_ms - round_left_ms)
                state.played_ms += round_left_ms
                state.status = MarketStatus.RUNNING
                state.is_start_requested = False
                self._base = self._path.start_price
            else:
                state.prelude_ms = (state.prelude_ms + left_ms) % PRELUDE_MS
                state.played_ms += left_ms
                self._base = _prelude_price(self._path.start_price, int(state.prelude_ms // POINT_MS))
        if state.status is MarketStatus.RUNNING:
            end_ms = state.story_ms + left_ms
            for step in self._whole_story() if self._is_fastest else self._story_until(end_ms):
                has_yielded = has_yielded or isinstance(step, PricePoint)
                yield step
            self._pass(end_ms)
        if not has_yielded and self._is_available:
            yield PricePoint(self.last_price, int(state.story_ms))

    def funding_rate(self) -> Decimal:
        """Return the rate of the next settlement, a fraction per 8 hours; it was fixed at the one before."""
        return Decimal(self.state.next_rate)

    def funding_at(self, now: datetime) -> datetime:
        """Return the wall time of the next settlement at the present speed; `max` counts as the largest number."""
        if self._funding_mode is FundingMode.WALL:
            return self._next_wall
        left_ms = self._next_boundary_ms - self.state.story_ms
        pace = MAX_SPEED if self._is_fastest else self._pace
        return now + timedelta(milliseconds=max(0.0, left_ms) / pace)

    def settle_now(self, rate: Decimal | None) -> FundingDue:
        """Return a settlement outside the timetable, for tests and demonstrations."""
        return FundingDue(str(uuid4()), self.funding_rate() if rate is None else rate)

    @property
    def _next_boundary_ms(self) -> int:
        return (self.state.settled_count + 1) * FUNDING_INTERVAL_MS - self._funding_offset_ms

    @property
    def _is_fastest(self) -> bool:
        state = self.state
        return state.speed == FASTEST and state.status is MarketStatus.RUNNING and self._ahead is not None

    @property
    def _pace(self) -> float:
        """Return the market seconds of a wall second where there is a clock to follow."""
        return 1.0 if self.state.speed == FASTEST else self.state.speed

    def _whole_story(self) -> Iterator[Step]:
        while self._is_fastest and self._ahead is not None:
            yield from self._story_until(self._ahead.market_ms)

    def _story_until(self, end_ms: float) -> Iterator[Step]:
        while True:
            point_ms = self._ahead.market_ms if self._ahead is not None else math.inf
            next_ms = min(point_ms, end_ms)
            if self._edges and self._edges[0][0] <= next_ms:
                edge_ms, is_available = self._edges[0]
                # A price of the very moment of the return is still one that the exchange did not see.
                if not (is_available and edge_ms == point_ms):
                    yield from self._change_availability()
                    continue
            if self._funding_mode is FundingMode.MARKET and self._is_available and self._next_boundary_ms <= next_ms:
                yield self._market_settlement()
                continue
            if self._ahead is None or point_ms > end_ms:
                return
            self._pass(point_ms)
            self._take(self._ahead)
            if self._is_available:
                yield PricePoint(self.last_price, int(point_ms))
            elif self._edges and self._edges[0][0] == point_ms:
                yield from self._change_availability()

    def _change_availability(self) -> Iterator[Step]:
        """Go away, or come back and see at once the price that the market has reached meanwhile."""
        edge_ms, self._is_available = self._edges.popleft()
        self._pass(edge_ms)
        yield AvailabilityChange(self._is_available, edge_ms)
        if self._is_available:
            yield PricePoint(self.last_price, edge_ms)

    def _market_settlement(self) -> FundingDue:
        identity = f"{self.state.run_id}:{self._next_boundary_ms}"
        return self._settlement(identity)

    def _wall_settlement(self, now: datetime) -> FundingDue:
        identity = f"{self.state.run_id}:{self._next_wall.isoformat()}"
        self._next_wall = next_funding_at(now)
        return self._settlement(identity)

    def _settlement(self, identity: str) -> FundingDue:
        due = FundingDue(str(uuid5(NAMESPACE_OID, identity)), self.funding_rate())
        self.state.settled_count += 1
        self._fix_next_rate()
        return due

    def _fix_next_rate(self) -> None:
        momentum = self._base / self._hourly[0] - 1
        rate = self._funding.rate_at(self._next_boundary_ms + self._funding_offset_ms, momentum=momentum)
        self.state.next_rate = str(rate)

    def _pass(self, market_ms: float) -> None:
        """Let market time go on to a moment, which may be over already."""
        state = self.state
        state.played_ms += max(0.0, market_ms - state.story_ms)
        state.story_ms = max(state.story_ms, float(market_ms))

    def _take(self, point: PathPoint) -> None:
        """Make a point of the path the present price, and look for the one after it."""
        hour = point.market_ms // _HOUR_MS
        while self._hour < hour:
            self._hourly.append(self._base)
            self._hour += 1
        self._base = point.last_price
        self._ahead = next(self._points, None)

    def _plunged(self, base: Price) -> Price:
        factor = Fraction(1)
        for plunge in self.state.plunges:
            factor *= plunge.factor_at(int(self.state.played_ms))
        return base if factor == 1 else clamp_price(round_half_up(base * factor))


def _prelude_price(start_price: Price, index: int) -> Price:
    """Return point `index` of the calm loop: it begins and ends at the start price and stays within 0.05 % of it."""
    swing = math.sin(2 * math.pi * index / (PRELUDE_POINTS - 1))
    return clamp_price(start_price + round(start_price * _PRELUDE_SWING * swing))


class ManualPath:
    """A market that stands still until its price is set by hand."""

    name = "manual"

    def __init__(self, start_price: Price) -> None:
        self.start_price = start_price

    @property
    def outages(self) -> tuple[Outage, ...]:
        return ()

    def points(self) -> Iterator[PathPoint]:
        """Yield nothing: the price is set by the control interface."""
        return iter(())

    def history(self, *, minutes: int) -> list[Candle]:  # noqa: ARG002 - there is no past, however long
        return []
