"""Many trades on one price history, a new one every so often: counts and averages, by the live decisions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from axisor.features.lab.replay import Happening, Outcome, ReplayedTrade, Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Four:
    """The same trade with the guard, left alone, with a plain stop, and with the limit put in at entry."""

    entry_margin_sats: int
    guarded: ReplayedTrade
    alone: ReplayedTrade
    stopped: ReplayedTrade
    at_entry: ReplayedTrade | None
    """None: the rule spends nothing."""

    def trades(self) -> Iterator[ReplayedTrade]:
        """Yield those there are."""
        yield from (self.guarded, self.alone, self.stopped)
        if self.at_entry is not None:
            yield self.at_entry


@dataclass(slots=True, kw_only=True)
class Way:
    """What one way of holding a trade came to; results in entry margins."""

    saved: int = 0
    ended: int = 0
    total: float = 0.0
    worst: float = 0.0


@dataclass(slots=True, kw_only=True)
class Nights:
    """Sums over all trades that were followed to their end."""

    nights: int = 0
    died_unguarded: int = 0
    acted: int = 0
    better: int = 0
    worse: int = 0
    added: float = 0.0
    """In entry margins."""
    ways: dict[str, Way] = field(default_factory=dict)

    def count(self, four: Four) -> None:
        """Add one trade as it stands."""
        guarded, alone = four.guarded.outcome(), four.alone.outcome()
        died = alone.ended_by is Happening.LIQUIDATED
        difference_sats = guarded.result_sats - alone.result_sats
        self.nights += 1
        self.died_unguarded += died
        self.acted += guarded.top_ups > 0 or guarded.ended_by in {Happening.CLOSED, Happening.GAVE_UP}
        self.better += died and difference_sats > 0
        self.worse += died and difference_sats < 0
        self.added += guarded.added_sats / four.entry_margin_sats
        named = {"guarded": guarded, "unguarded": alone, "plain_stop": four.stopped.outcome()}
        if four.at_entry is not None:
            named["limit_at_entry"] = four.at_entry.outcome()
        for name, outcome in named.items():
            self._add(name, outcome, died=died, margin_sats=four.entry_margin_sats)

    def _add(self, name: str, outcome: Outcome, *, died: bool, margin_sats: int) -> None:
        way = self.ways.setdefault(name, Way())
        result = outcome.result_sats / margin_sats
        way.saved += died and outcome.ended_by is None
        way.ended += outcome.ended_by is not None
        way.total += result
        way.worst = min(way.worst, result)


def replay_nights(
    history: Iterable[Stretch], *, every: timedelta, lasts: timedelta, begin: Callable[[Stretch], Four]
) -> Nights:
    """Return the sums over a trade opened `every` so often and followed for as long as it `lasts`.

    A trade whose time is not over when the history ends is not counted.
    """
    found = Nights()
    running: list[tuple[datetime, Four, list[ReplayedTrade]]] = []
    next_at: datetime | None = None
    for stretch in history:
        while running and stretch.at >= running[0][0]:
            found.count(running.pop(0)[1])
        if next_at is None or stretch.at >= next_at:
            four = begin(stretch)
            running.append((stretch.at + lasts, four, list(four.trades())))
            next_at = (stretch.at if next_at is None else next_at) + every
            while stretch.at >= next_at:  # the history was silent for longer
                next_at += every
        for _, _, trades in running:
            for trade in trades:
                trade.advance(stretch)
            if not all(trade.is_running() for trade in trades):
                trades[:] = [trade for trade in trades if trade.is_running()]
    return found
