"""Tells people when nobody watches their trades, and when somebody does again.

The monitor cannot say that it is gone: whoever else reads its heartbeat has to.
"""

import uuid
from datetime import datetime
from typing import Final

import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from axisor.domain.units import UserId
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.infra import keys, outbox
from axisor.infra.db.session import Database
from axisor.infra.valkey import Valkey
from axisor.infra.wire import instant
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

LOST_AFTER_S: Final = 4.0
LOOK_EVERY_S: Final = 0.5
_ACTIVITIES: Final = uuid.UUID("8d3fb1f5-5f0c-4a37-9a5b-0c9d6a1f7f11")


class _Heartbeat(msgspec.Struct):
    at: datetime


class Watchman:
    """Looks at the heartbeat twice a second; tells of a loss once, and of its end once."""

    def __init__(self, *, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock
        self._last_at: datetime | None = None
        self._lost_at: datetime | None = None
        """The last heartbeat before the present silence, once the silence has been told."""

    async def run(self) -> None:
        """Look until cancelled; where Valkey or the database is away, the next look tells."""
        while True:
            try:
                await self.look()
            except (RedisError, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("watchman_waits", reason=type(error).__name__)
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read the heartbeat and tell what has changed. A monitor that was never seen cannot be lost."""
        raw = await self._valkey.get(keys.MONITOR_HEARTBEAT)
        if raw is not None:
            self._last_at = msgspec.json.decode(raw, type=_Heartbeat).at
        if self._last_at is None:
            return
        is_silent = (self._clock.now() - self._last_at).total_seconds() > LOST_AFTER_S
        if is_silent and self._lost_at is None:
            await self._tell(ActivityKind.WATCH_LOST, since=self._last_at)
            self._lost_at = self._last_at
        elif not is_silent and self._lost_at is not None:
            await self._tell(ActivityKind.WATCH_BACK, since=self._lost_at)
            self._lost_at = None

    async def _tell(self, kind: ActivityKind, *, since: datetime) -> None:
        now = self._clock.now()
        gap_s = round((now - since).total_seconds(), 1)
        async with self._database.transaction() as connection:
            people = await connection.execute(
                text(
                    "select distinct user_id from exchange_account a where is_guarded and archived_at is null and "
                    "exists (select from position p where p.exchange_account_id = a.exchange_account_id "
                    "and p.status = 'running') order by user_id"
                )
            )
            for user_id in people.scalars():
                activity = Activity(
                    # The same silence told twice, by two schedulers, is one activity.
                    activity_id=str(uuid.uuid5(_ACTIVITIES, f"{kind}:{user_id}:{since.isoformat()}")),
                    user_id=UserId(str(user_id)),
                    at=now,
                    kind=kind,
                    severity=Severity.DANGER if kind is ActivityKind.WATCH_LOST else Severity.INFO,
                    data={"since": instant(since), "gap_s": gap_s},
                )
                await record(connection, activity)
        await outbox.nudge_relays(self._valkey)
        log.warning("watch_told", kind=kind.value, gap_s=gap_s)
