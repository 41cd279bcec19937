"""Who has realized the most: the ten best accounts of the day, the week, the month and of all time.

Every posting to the book `pnl` realizes something, whatever made it: closes, liquidations, cash-ins, reductions. Each
account carries its sums of the present windows, so that neither a posting nor a request looks into the past.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from axisor.paper.candles import start_of
from axisor.paper.engine.core import Core
from axisor.paper.records import Account, Book, Gain, Window

RANKED: Final = 10
_RANGE_OF: Final = {Window.DAILY: "1d", Window.WEEKLY: "1w", Window.MONTHLY: "1month"}


@dataclass(frozen=True, slots=True)
class Rank:
    username: str
    pnl_sats: int


class Leaderboard:
    """The rankings; made anew only when something was realized, or a window began, since they were last asked for."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._starts: dict[Window, int] = {}
        self._ranks: dict[Window, list[Rank]] = {}
        core.on_posting(self._count)

    def ranks(self) -> dict[Window, list[Rank]]:
        """Return the best accounts of each window that realized something in it, the best first."""
        starts = _starts(self._core.now_ms())
        if starts != self._starts:
            self._starts = starts
            self._ranks = {window: self._best(window, start_ms) for window, start_ms in starts.items()}
        return self._ranks

    def _best(self, window: Window, start_ms: int) -> list[Rank]:
        gains = ((account, account.gains.get(window)) for account in self._core.accounts.values())
        present = (
            Rank(account.username, gain.pnl_sats)
            for account, gain in gains
            if gain is not None and gain.start_ms == start_ms
        )
        return nsmallest(RANKED, present, key=lambda rank: (-rank.pnl_sats, rank.username))

    def _count(self, account: Account, entries: Mapping[Book, int], at_ms: int) -> None:
        if not (realized_sats := -entries.get(Book.PNL, 0)):
            return
        for window, start_ms in _starts(at_ms).items():
            known = account.gains.get(window)
            before_sats = known.pnl_sats if known is not None and known.start_ms == start_ms else 0
            account.gains[window] = Gain(start_ms=start_ms, pnl_sats=before_sats + realized_sats)
        self._starts = {}
        self._core.touch(account)


def _starts(at_ms: int) -> dict[Window, int]:
    """Return when each window began that contains an instant: days, weeks from Monday and months, all in UTC."""
    return {window: start_of(_RANGE_OF[window], at_ms) if window in _RANGE_OF else 0 for window in Window}
