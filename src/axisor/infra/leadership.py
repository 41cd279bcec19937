"""One active process among several of a role, by an advisory lock of PostgreSQL.

The lock lives and dies with its connection: no clock has to agree, and a leader that is killed is succeeded as soon
as PostgreSQL notices. Whoever leads does only what another leader may do at the same time without harm: a partition
may leave two for a moment.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import structlog

from axisor.domain.errors import LeaseLost
from axisor.infra.db.urls import driver_url
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

CONNECT_DEADLINE_S: Final = 5.0
ANSWER_DEADLINE_S: Final = 3.0
LOOK_EVERY_S: Final = 1.0
_AWAY: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Leadership:
    """The right to be the active process of a role; `lock` is the role's number."""

    def __init__(self, database_url: str, *, lock: int, role: str, clock: Clock) -> None:
        self._database_url = database_url
        self._lock = lock
        self._role = role
        self._clock = clock

    @asynccontextmanager
    async def won(self) -> AsyncIterator["Hold"]:
        """Wait for the right, however long, and yield it; it is given back at the end."""
        connection = await self._wait()
        log.info("leadership_won", role=self._role)
        try:
            yield Hold(connection, clock=self._clock)
        finally:
            connection.terminate()  # the lock goes with the connection, even where the peer no longer answers

    async def _wait(self) -> "asyncpg.Connection[asyncpg.Record]":
        is_standing_by = False
        while True:
            connection = await self._connect()
            if connection is not None:
                try:
                    if await connection.fetchval(
                        "select pg_try_advisory_lock($1)", self._lock, timeout=ANSWER_DEADLINE_S
                    ):
                        return connection
                    if not is_standing_by:
                        log.info("standing_by", role=self._role)
                        is_standing_by = True
                except _AWAY as error:
                    log.warning("leadership_awaits_database", role=self._role, reason=type(error).__name__)
                except asyncio.CancelledError:
                    connection.terminate()
                    raise
                connection.terminate()
            await self._clock.sleep(LOOK_EVERY_S)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record] | None":
        try:
            return await asyncpg.connect(
                driver_url(self._database_url),
                timeout=CONNECT_DEADLINE_S,
                server_settings={"application_name": f"axisor-{self._role}-leader"},
            )
        except _AWAY as error:
            log.warning("leadership_awaits_database", role=self._role, reason=type(error).__name__)
            return None


class Hold:
    """A right that is held as long as its connection lives."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", *, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def watch(self) -> None:
        """Look once a second whether the right is still held, for ever.

        Raises:
            LeaseLost: the connection is gone, and the right with it.
        """
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                async with asyncio.timeout(ANSWER_DEADLINE_S):
                    await self._connection.fetchval("select 1")
            except _AWAY as error:
                raise LeaseLost("the database connection that holds the lock is gone") from error
