"""Is anybody watching? Read from the monitor's heartbeat, and never greener than it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import RedisError

from axisor.domain.units import ExchangeAccountId
from axisor.features.margin_guard.capacity import Rates
from axisor.features.margin_guard.coverage import CoverageState, Reason, ReasonCode, reason
from axisor.features.trading.schemas import WatchState, WatchView
from axisor.infra import keys
from axisor.infra.valkey import Valkey
from axisor.infra.wire import instant
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

SILENT_AFTER_S: Final = 3.0
ROUND_TRIP_S: Final = 0.3
"""One way to the exchange and back, when many rescues are counted against the rate limit."""


class _Problem(msgspec.Struct):
    code: ReasonCode
    state: CoverageState
    data: dict[str, str | int | float | None] = {}


class _Rates(msgspec.Struct):
    per_s: float
    burst: int


class _AccountBeat(msgspec.Struct):
    reasons: tuple[str, ...] = ()
    problems: tuple[_Problem, ...] = ()
    rates: _Rates | None = None


class Heartbeat(msgspec.Struct):
    """What the monitor writes every 500 ms."""

    at: datetime
    accounts: dict[str, _AccountBeat] = {}


@dataclass(slots=True)
class _Since:
    state: WatchState
    at: datetime


class WatchBoard:
    """The last heartbeat, and since when each account has been in its state."""

    def __init__(self, *, valkey: Valkey, clock: Clock) -> None:
        self._valkey = valkey
        self._clock = clock
        self._beat: Heartbeat | None = None
        self._is_blind = False
        """The latest look found no Valkey: whether anybody watches cannot be said."""
        self._since: dict[ExchangeAccountId, _Since] = {}

    async def refresh(self) -> None:
        """Read the heartbeat; where Valkey is away or the key is gone, the last one goes on ageing."""
        try:
            raw: Any = await self._valkey.get(keys.MONITOR_HEARTBEAT)
            if raw is not None:
                self._beat = msgspec.json.decode(raw, type=Heartbeat)
            self._is_blind = False
        except (RedisError, OSError, TimeoutError) as error:
            self._is_blind = True
            log.warning("heartbeat_not_read", reason=type(error).__name__)
        except msgspec.MsgspecError:
            log.exception("heartbeat_not_readable")

    def problems(self, exchange_account_id: ExchangeAccountId) -> list[Reason]:
        """Return what the guard says is wrong with an account, or that nothing is heard of it."""
        age_s = None if self._beat is None else max(0.0, (self._clock.now() - self._beat.at).total_seconds())
        if self._beat is None or age_s is None or age_s > SILENT_AFTER_S:
            silent_s = None if age_s is None else round(age_s, 1)
            # Without Valkey nobody can say whether the guard is silent or only out of sight.
            state = CoverageState.UNKNOWN if self._is_blind else CoverageState.RED
            return [reason(ReasonCode.MONITOR_SILENT, state=state, silent_s=silent_s)]
        account = self._beat.accounts.get(exchange_account_id)
        if account is None:
            return [reason(ReasonCode.ACCOUNT_UNREAD, age_s=None)]
        return [
            Reason(code=problem.code, state=problem.state, data=problem.data)
            for problem in account.problems
            # Told of the trade that it concerns, from what is stored of it.
            if problem.code is not ReasonCode.FUNDING_UNEXPLAINED
        ]

    def rates(self, exchange_account_id: ExchangeAccountId) -> Rates | None:
        """Return how fast the account's key may call now, as its guard says."""
        account = None if self._beat is None else self._beat.accounts.get(exchange_account_id)
        if account is None or account.rates is None:
            return None
        return Rates(per_s=account.rates.per_s, burst=account.rates.burst, round_trip_s=ROUND_TRIP_S)

    def look(self, exchange_account_id: ExchangeAccountId, *, is_guarded: bool) -> WatchView:
        """Return whether an account is watched now, and why not."""
        now = self._clock.now()
        age_s = None if self._beat is None else max(0.0, (now - self._beat.at).total_seconds())
        state, reasons = self._judge(exchange_account_id, age_s, is_guarded=is_guarded)
        since = self._since.get(exchange_account_id)
        if since is None or since.state != state:
            began = self._beat.at if state == "unwatched" and self._beat is not None else now
            since = self._since[exchange_account_id] = _Since(state, began)
        return WatchView(
            state=state,
            since=instant(since.at),
            last_seen_age_s=None if age_s is None else round(age_s, 1),
            reasons=reasons,
        )

    def _judge(
        self, exchange_account_id: ExchangeAccountId, age_s: float | None, *, is_guarded: bool
    ) -> tuple[WatchState, tuple[str, ...]]:
        if self._beat is None or age_s is None or age_s > SILENT_AFTER_S:
            return "unwatched", ("monitor_silent",)
        account = self._beat.accounts.get(exchange_account_id)
        if account is None:
            return ("unwatched" if is_guarded else "unknown"), ("account_unread",)
        return ("degraded" if account.reasons else "watched"), account.reasons
