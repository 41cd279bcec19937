"""The truth of the data: what is known of an account and how fresh, what is wrong with it, and what goes on regardless.

What goes on meanwhile is stated in `CONDUCT` of the guard's slice.
"""

from collections.abc import Callable
from typing import Any, Final

from axisor.domain.commands import CommandClass
from axisor.domain.trades import TradeStatus
from axisor.features.execution.recorder import Recorder
from axisor.features.margin_guard.conduct import CONDUCT
from axisor.features.margin_guard.coverage import CoverageState, Reason, ReasonCode, reason
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.infra.wire import instant
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.market import MarketState
from axisor.monitor.market_check import MarketCheck
from axisor.monitor.reader import AccountReader, WatchTiming
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock

QUIET_AFTER_S: Final = 3.0
"""A price this old is told before it is stale, so that the meter is never green on one that is about to be."""
PROOF_LATE_S: Final = 3.5
"""Key and connection are proven every two seconds; one reading that is late is no alarm yet, two are."""
UNPROVEN_S: Final = 10.0
LEAST_UNREAD_S: Final = 5.0
"""However often an account is to be read, its facts are overdue at this age at the earliest."""
ALARM_AFTER_S: Final = 5.0
"""What mends itself within this time is shown, not told."""
CALM_AFTER_S: Final = 5.0
"""What is told as over has been over for this long."""
LOOK_EVERY_S: Final = 0.5


_NOT_TOLD: Final = frozenset({ReasonCode.AFTER_TAKEOVER})
"""The end of the silence before it is told already."""


class AccountHealth:
    """What is wrong with the data of one account now."""

    def __init__(
        self,
        *,
        book: AccountBook,
        wallet: Wallet,
        reader: AccountReader,
        recorder: Recorder,
        market: MarketState,
        check: MarketCheck | None,
        timing: WatchTiming,
        clock: Clock,
    ) -> None:
        self._book = book
        self._wallet = wallet
        self._reader = reader
        self._recorder = recorder
        self._market = market
        self._check = check
        self._timing = timing
        self._clock = clock
        self.also: list[Callable[[float], list[Reason]]] = []
        """What else may be wrong at an instant of the boot-time clock."""
        self.is_stream_up = False
        self.is_rule_unreadable = False
        self.is_database_unread = False

    def goes(self, command_class: CommandClass) -> bool:
        """Return whether commands of a class go on as things stand."""
        return all(CONDUCT[problem.code].goes(command_class) for problem in self.problems())

    def problems(self) -> list[Reason]:
        """Return everything that is wrong, with its figures."""
        now_s = self._clock.boottime_s()
        found = [*self._price_problems(now_s), *self._account_problems(now_s)]
        if self._check is not None:
            found += self._check.problems(now_s)
        for problems in self.also:
            found += problems(now_s)
        if self.is_rule_unreadable:
            found.append(reason(ReasonCode.RULE_UNREADABLE))
        if self._recorder.is_database_away or self.is_database_unread:
            found.append(reason(ReasonCode.DATABASE_AWAY))
        if self._wallet.blocks_money_in():
            until = self._wallet.blocked_until
            found.append(reason(ReasonCode.AFTER_TAKEOVER, until=None if until is None else instant(until)))
        if any(not watched.is_funding_explained for watched in self._running()):
            found.append(reason(ReasonCode.FUNDING_UNEXPLAINED))
        return found

    def _price_problems(self, now_s: float) -> list[Reason]:
        age_s = self._market.age_s(now_s)
        if not self._market.is_fresh(now_s):
            return [reason(ReasonCode.PRICE_STALE, age_s=_seconds(age_s))]
        if not self._market.is_feed_up or (age_s is not None and age_s > QUIET_AFTER_S):
            return [reason(ReasonCode.STREAM_DOWN, feed="prices", silent_s=_seconds(age_s))]
        return []

    def _account_problems(self, now_s: float) -> list[Reason]:
        found = []
        if not self.is_stream_up:
            found.append(reason(ReasonCode.STREAM_DOWN, feed="account", silent_s=None))
        if self._reader.is_key_refused:
            found.append(reason(ReasonCode.KEY_REFUSED))
        elif self._reader.is_key_doubted:
            # Refused, the clock being right: what a minute of it proves may be true already.
            found.append(reason(ReasonCode.KEY_REFUSED, state=CoverageState.AMBER))
        read_s, proven_s = self._reader.read_boottime_s, self._reader.proven_boottime_s
        if read_s is None or proven_s is None or now_s - read_s > max(LEAST_UNREAD_S, 2 * self._timing.far_s):
            found.append(reason(ReasonCode.ACCOUNT_UNREAD, age_s=None if read_s is None else _seconds(now_s - read_s)))
        elif self._book.has_running:
            unproven_s = now_s - proven_s
            if unproven_s > UNPROVEN_S:
                found.append(reason(ReasonCode.ACCOUNT_UNREAD, age_s=_seconds(unproven_s)))
            elif unproven_s > PROOF_LATE_S or self._reader.is_failing:
                found.append(reason(ReasonCode.EXCHANGE_DEGRADED, silent_s=_seconds(unproven_s)))
        return found

    def _running(self) -> list[WatchedTrade]:
        return [watched for watched in self._book.trades.values() if watched.trade.status is TradeStatus.RUNNING]


class HealthTeller:
    """Tells an account's owner once that something is wrong, and once that it is right again."""

    def __init__(self, *, health: AccountHealth, book: AccountBook, chronicle: Chronicle, clock: Clock) -> None:
        self._health = health
        self._book = book
        self._chronicle = chronicle
        self._clock = clock
        self._wrong_since: dict[ReasonCode, float] = {}
        self._last_wrong: dict[ReasonCode, float] = {}
        self._told: set[ReasonCode] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Tell what has been wrong for long enough, and what has been right again for long enough."""
        now_s = self._clock.boottime_s()
        wrong = {problem.code: problem for problem in self._health.problems() if problem.code not in _NOT_TOLD}
        for code, problem in wrong.items():
            since_s = self._wrong_since.setdefault(code, now_s)
            self._last_wrong[code] = now_s
            is_lasting = now_s - since_s >= ALARM_AFTER_S
            if is_lasting and code not in self._told and self._book.has_running:
                self._told.add(code)
                is_grave = problem.state is CoverageState.RED
                self._tell(ActivityKind.DATA_DEGRADED, Severity.DANGER if is_grave else Severity.CAUTION, code, 0.0)
        for code in [code for code in self._wrong_since if code not in wrong]:
            if now_s - self._last_wrong[code] < CALM_AFTER_S:
                continue
            since_s = self._wrong_since.pop(code)
            if code in self._told:
                self._told.discard(code)
                self._tell(ActivityKind.DATA_RECOVERED, Severity.INFO, code, self._last_wrong[code] - since_s)

    def _tell(self, kind: ActivityKind, severity: Severity, code: ReasonCode, lasted_s: float) -> None:
        data: dict[str, Any] = {"reason": code.value}
        if kind is ActivityKind.DATA_RECOVERED:
            data["after_s"] = round(lasted_s, 1)
        activity = self._chronicle.account_activity(kind, severity, data)
        self._chronicle.put(self._chronicle.activity_write(activity))


def wire_problems(problems: list[Reason]) -> list[dict[str, Any]]:
    """Return problems as the heartbeat carries them."""
    return [{"code": item.code.value, "state": item.state.value, "data": dict(item.data)} for item in problems]


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
