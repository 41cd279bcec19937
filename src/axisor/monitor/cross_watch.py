"""The cross position of one account as last read: its shape as a trade, its rule, its steps and its first room."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.errors import ExchangeAuthFailed, ExchangeError
from axisor.domain.room import distance
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.execution.attempts import Attempt
from axisor.features.execution.cross_positions import StoredCross, find_cross, save_cross
from axisor.features.execution.recorder import Write
from axisor.features.margin_guard.coverage import CoverageState, Reason, ReasonCode, reason
from axisor.features.margin_guard.cross_policy import trade_of_position
from axisor.features.margin_guard.deeds import RungState
from axisor.features.margin_guard.marks import entry_room, step_price
from axisor.features.margin_guard.rule import GuardRule
from axisor.monitor.account_desk import CROSS_COMMANDS
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.market import MarketState
from axisor.monitor.reader import WatchTiming
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane

log = structlog.get_logger(__name__)

CHANGED_RECENTLY_S: Final = 60.0
MOST_BACK_OFF_S: Final = 10.0
LEAST_UNREAD_S: Final = 5.0
"""However often the position is to be read, it is overdue at this age at the earliest."""


class CrossWatch:
    """Reads the one cross position of an account, often where it is in danger or in doubt.

    Args:
        changed: Called after each reading that counts.
        forgotten: Called with the id of a position that is not watched any more.
    """

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        book: AccountBook,
        wallet: Wallet,
        market: MarketState,
        chronicle: Chronicle,
        clock: Clock,
        timing: WatchTiming,
        allow_second_send: bool,
        changed: Callable[[], None],
        forgotten: Callable[[TradeId], None],
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._book = book
        self._wallet = wallet
        self._market = market
        self._chronicle = chronicle
        self._clock = clock
        self._timing = timing
        self._allow_second_send = allow_second_send
        self._changed = changed
        self._forgotten = forgotten
        self._read_now = asyncio.Event()
        self._read_s: float | None = None
        self._began_s = clock.boottime_s()
        self._changed_s = float("-inf")
        self._is_refused = False
        self._guarded_since: datetime | None = None
        self.position: CrossPositionFact | None = None
        self.watched: WatchedTrade | None = None
        """The position in the shape of a trade; None while there is none."""
        self.full_room: Fraction | None = None
        """The distance to liquidation from which shares count; None until the guard of the position begins."""
        self.rungs: dict[str, RungState] = {}

    @property
    def rule(self) -> GuardRule | None:
        """Return the rule in force: the position's own, else the account's or the person's; None unguarded."""
        position = self.position
        if not self._book.is_guarded or position is None or (trade := trade_of_position(position)) is None:
            return None
        rule = self._book.rules.rule_of_cross(
            trade, running_margin_sats=position.running_margin_sats, full_room=self.full_room
        )
        return replace(rule, allow_second_send=rule.allow_second_send and self._allow_second_send)

    @property
    def is_read_since_change(self) -> bool:
        """Return whether what is known was asked for after the latest command took effect or failed."""
        return self._read_s is not None and self._read_s >= self._changed_s

    def open_attempts(self) -> list[Attempt]:
        """Return what is on its way or in doubt for the position, the oldest first."""
        found = (
            attempt
            for attempt in self._book.account_attempts.values()
            if attempt.is_open and attempt.command.name in CROSS_COMMANDS
        )
        return sorted(found, key=lambda attempt: attempt.signed_at)

    def problems(self, now_s: float) -> list[Reason]:
        """Return that the position has not been read for too long; whether there is one is not known either.

        A key that may not look at the cross margin is its owner's choice: of what was never seen nothing is promised.
        """
        if self._is_refused and self.watched is None:
            return []
        age_s = now_s - (self._began_s if self._read_s is None else self._read_s)
        if age_s <= max(LEAST_UNREAD_S, 2 * self._timing.far_s):
            return []
        data = {"age_s": None if self._read_s is None else round(age_s, 1), "what": "cross"}
        return [reason(ReasonCode.ACCOUNT_UNREAD, state=CoverageState.AMBER, **data)]

    async def load(self, connection: AsyncConnection, rungs: dict[TradeId, dict[str, RungState]]) -> None:
        """Take up what the database knows: which steps are ready, and the room when the guard began."""
        stored = await find_cross(connection, self._account_id)
        if stored is not None:
            self.position, self.full_room = stored.position, stored.full_room
            self._guarded_since = stored.guarded_since
            position_id = TradeId(stored.position.position_id)
            self.rungs = dict(rungs.get(position_id, {}))
            if stored.guarded_since is not None:
                self._wallet.budget.begin(position_id, stored.guarded_since)

    def read_soon(self) -> None:
        """Read now, or as soon as the reading under way is done."""
        self._read_now.set()

    def note_change(self) -> None:
        """Count nothing that was asked for before this instant, and read again."""
        self._changed_s = self._clock.boottime_s()
        self.read_soon()

    async def run(self) -> None:
        """Read for ever."""
        failures = 0
        while True:
            try:
                await self.read()
                failures, self._is_refused = 0, False
            except ExchangeAuthFailed as error:
                failures += 1
                if not self._is_refused:
                    log.warning("cross_reading_refused", account=self._account_id, error=error.message)
                self._is_refused = True
            except ExchangeError as error:
                failures += 1
                log.warning("cross_reading_failed", account=self._account_id, error=error.message)
            try:
                async with asyncio.timeout(self._interval_s(failures)):
                    await self._read_now.wait()
            except TimeoutError:
                pass
            self._read_now.clear()

    def _interval_s(self, failures: int) -> float:
        if self._is_refused and self.watched is None:
            return self._timing.far_s
        if failures:
            return min(MOST_BACK_OFF_S, 0.25 * (1 << min(failures, 10)))
        if self.watched is None:
            return self._timing.far_s
        is_recent = self._clock.boottime_s() - self._changed_s < CHANGED_RECENTLY_S
        return self._timing.near_s if is_recent or self.open_attempts() or self._is_near() else self._timing.far_s

    def _is_near(self) -> bool:
        """Return whether the position is inside twice the distance of its first mark."""
        watched, rule, full = self.watched, self.rule, self.full_room
        if watched is None or rule is None or full is None:
            return False
        trade = watched.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s())
        if price is None:
            return True
        marks = [step_price(trade, rung, full=full) for rung in rule.rungs]
        if not marks:
            return False
        first = max(distance(side=trade.side, price=mark, liquidation_price=trade.liquidation_price) for mark in marks)
        return distance(side=trade.side, price=price, liquidation_price=trade.liquidation_price) <= 2 * first

    async def read(self) -> None:
        """Read the position once.

        Raises:
            ExchangeError: the exchange did not answer, or refused.
        """
        lane = Lane.PROTECT if self.open_attempts() else Lane.ROUTINE
        reading = await self._client.fetch_cross_position(lane=lane)
        if reading.requested_boottime_s < self._changed_s:
            self._read_now.set()  # asked before the latest command: out of date
            return
        self._read_s = reading.requested_boottime_s
        self._take(reading.value, reading.requested_boottime_s, reading.requested_at)
        self._changed()

    def _take(self, position: CrossPositionFact, requested_boottime_s: float, requested_at: datetime) -> None:
        before, self.position = self.position, position
        trade = trade_of_position(position)
        if trade is None or (before is not None and before.side is not position.side):
            self.full_room = self._guarded_since = None
        if trade is None:
            self.forget()
        else:
            self.watched = WatchedTrade(
                trade=trade,
                requested_boottime_s=requested_boottime_s,
                requested_at=requested_at,
                rungs=self.rungs,
                last_tag=None if self.watched is None else self.watched.last_tag,
            )
            self._book.cross_id = trade.trade_id
            self.begin_guard()
            self.watched.rule = self.rule
        self._store(position, requested_at, is_news=before is None or _lasting(before) != _lasting(position))

    def _store(self, position: CrossPositionFact, requested_at: datetime, *, is_news: bool) -> None:
        stored = StoredCross(
            position=position,
            full_room=self.full_room,
            guarded_since=self._guarded_since,
            requested_at=requested_at,
        )
        account_id = self._account_id

        async def run(connection: AsyncConnection) -> None:
            await save_cross(connection, account_id, stored)

        self._chronicle.put(
            Write("cross", run, after=(lambda: self._chronicle.changed("positions")) if is_news else None)
        )

    def begin_guard(self) -> None:
        """Measure the room from which shares count, where the guard of a position begins; every step is ready then.

        Whoever begins in danger is not measured by what little is left, but by the room at the entry price.
        """
        if self.watched is None or self.full_room is not None or not self._book.is_guarded:
            return
        trade = self.watched.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s()) or trade.price
        room = distance(side=trade.side, price=price, liquidation_price=trade.liquidation_price)
        self.full_room = max(room, entry_room(trade))
        self._guarded_since = self._clock.now()
        self._wallet.budget.begin(trade.trade_id, self._guarded_since)
        for rung, state in list(self.rungs.items()):
            self.set_rung(rung, RungState(arming_no=state.arming_no + 1, is_armed=True))

    def use_up(self, rung: str, arming_no: int) -> None:
        """Use up a step; a late effect of an earlier arming is history."""
        state = self.rungs.get(rung)
        if state is None or state.arming_no == arming_no:
            self.set_rung(rung, RungState(arming_no=arming_no, is_armed=False))

    def set_rung(self, rung: str, state: RungState) -> None:
        """Let a step stand in a state, and store it."""
        if self.position is None:
            return
        self.rungs[rung] = state
        self._chronicle.put(self._chronicle.rung_write(TradeId(self.position.position_id), rung, state))

    def forget(self) -> None:
        """Watch the position no more."""
        if self.watched is not None:
            self._forgotten(self.watched.trade_id)
        self.watched = self._book.cross_id = None


def _lasting(position: CrossPositionFact) -> tuple[Any, ...]:
    """Return what of a position does not float with the price."""
    return position.quantity_usd, position.margin_sats, position.leverage, position.entry_price
