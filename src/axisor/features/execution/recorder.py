"""Writes that must reach PostgreSQL but never make a rescue wait: in order, retried, spooled while it is away.

Only "the database is away" is waited for. A write that the database understands and refuses would be refused for ever:
it is set aside, with its content, so that nothing behind it waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.features.execution.repository import insert_decision, insert_sent, record_state
from axisor.features.execution.spool import LineKind, Spool, SpoolLine, load_attempt, load_decision
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

WRITE_DEADLINE_S: Final = 5.0
RETRY_AFTER_S: Final = 0.25
MOST_WAITING: Final = 50_000
MOST_TOGETHER: Final = 40
"""So many writes share one transaction: far fewer than a slow database could not take within the deadline."""

AWAY: Final = (DBAPIError, OSError, TimeoutError, SQLAlchemyError)
"""What the driver raises while the database is away, slow or starting; `is_away` tells these from refusals."""

_AWAY_CLASSES: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATE that a later try may not meet again: connection, read-only standby, conflict, resources, locks,
an operator's intervention, the system."""


def is_away(error: BaseException) -> bool:
    """Return whether a later try may succeed, False where the database refuses this very statement."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, ValueError | TypeError):
            return False  # the driver could not put an argument on the wire
        state = getattr(error.orig, "sqlstate", None)
        return state is None or state[:2] in _AWAY_CLASSES
    if isinstance(error, StatementError):
        return False
    return isinstance(error, AWAY)


@dataclass(frozen=True, slots=True)
class Write:
    """One transaction. `spool` is its durable form, kept on the local disk while PostgreSQL is away.

    `after` runs once the transaction is committed; it must not wait. `replaces` names what the write states as a
    whole: a newer one takes the place of one that still waits.
    """

    name: str
    run: Callable[[AsyncConnection], Awaitable[None]]
    spool: tuple[SpoolLine, ...] = ()
    after: Callable[[], None] | None = None
    replaces: str | None = None


class Recorder:
    """The ordered queue of writes of one monitor process."""

    def __init__(self, database: Database, spool: Spool, clock: Clock) -> None:
        self._database = database
        self._spool = spool
        self._clock = clock
        self._queue: deque[Write] = deque()
        self._newest: dict[str, Write] = {}
        self._filled = asyncio.Event()
        self._alone = 0
        self.is_database_away = False

    def put(self, write: Write) -> None:
        """Queue a write; it survives the database, and its spooled part the process."""
        if self.is_database_away:
            self._to_spool(write)
        key = write.replaces
        if key is not None:
            waiting = self._newest.get(key)
            if waiting is not None and write.after is None:
                write = replace(write, after=waiting.after)  # what it was to tell is still to be told
            self._newest[key] = write
            if waiting is not None:
                return
        if len(self._queue) >= MOST_WAITING:
            log.error("recorder_full", name=write.name, waiting=len(self._queue))
            if key is not None:
                del self._newest[key]
            if not self.is_database_away:
                self._to_spool(write)
            return
        self._queue.append(write)
        self._filled.set()

    async def run(self) -> None:
        """Write for ever, oldest first; merge what an earlier process or an outage left in the spool."""
        while True:
            if not self._spool.is_empty and not self._queue:
                await self._merge_spool()
            try:
                async with asyncio.timeout(1.0):
                    await self._filled.wait()
            except TimeoutError:
                continue
            while self._queue:
                if not await self._write_next():
                    await self._clock.sleep(RETRY_AFTER_S)
            self._filled.clear()

    async def drain(self, *, deadline_s: float) -> bool:
        """Write what is queued once `run` has ended; return False where the deadline left a rest, which is spooled."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._queue and await self._write_next():
                    pass
        except TimeoutError:
            log.warning("drain_deadline", waiting=len(self._queue))
        self._to_spool(*self._queue)
        return not self._queue

    async def merge_spool_now(self) -> None:
        """Merge the spool before anything else is read from the database.

        Raises:
            SQLAlchemyError, OSError: the database is away.
        """
        await _merge(self._database, self._spool)

    async def _merge_spool(self) -> None:
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await _merge(self._database, self._spool)
        except AWAY:
            await self._clock.sleep(RETRY_AFTER_S)

    async def _write_next(self) -> bool:
        """Write the oldest, with those that wait behind it; False where it must wait.

        Where the database refuses one of them, each of them is written alone.
        """
        together = self._together()
        if len(together) > 1 and not self._alone:
            is_written = await self._write_together(together)
            if is_written is not None:
                return is_written
            self._alone = len(together)
        first = self._queue[0]
        newest = first if first.replaces is None else self._newest[first.replaces]
        if not await self._write(newest):
            return False
        self._alone = max(0, self._alone - 1)
        self._done(1, [newest])
        return True

    def _together(self) -> list[Write]:
        """Return the newest of each of the oldest writes."""
        oldest = islice(self._queue, MOST_TOGETHER)
        return [write if write.replaces is None else self._newest[write.replaces] for write in oldest]

    async def _write_together(self, writes: list[Write]) -> bool | None:
        """Return True once all are written, False while the database is away, None where it refuses one of them."""
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S), self._database.transaction() as connection:
                for write in writes:
                    await write.run(connection)
        except AWAY as error:
            if is_away(error):
                self._note_away(writes[0], error)
                return False
            log.warning("writes_not_together", writes=len(writes), reason=type(error).__name__)
            return None
        for write in writes:
            self._written(write)
        self._done(len(writes), writes)
        return True

    def _done(self, number: int, written: list[Write]) -> None:
        """Take the oldest writes from the queue; what was replaced while it was written goes to its end."""
        for _ in range(number):
            self._queue.popleft()
        for write in written:
            if write.replaces is None:
                continue
            newest = self._newest[write.replaces]
            if newest is write:
                del self._newest[write.replaces]
            else:
                self._queue.append(newest)

    async def _write(self, write: Write) -> bool:
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S), self._database.transaction() as connection:
                await write.run(connection)
        except IntegrityError:
            # Written already, by the merge of the spool or by a transaction whose answer was lost.
            log.warning("write_stood_already", name=write.name, exc_info=True)
        except AWAY as error:
            if is_away(error):
                self._note_away(write, error)
                return False
            log.exception("write_refused", name=write.name)
            self._to_spool(write)  # line by line what can be merged is merged, and the rest set aside
            return True
        self._written(write)
        return True

    def _written(self, write: Write) -> None:
        if self.is_database_away:
            self.is_database_away = False
            log.info("database_back", waiting=len(self._queue))
        if write.after is not None:
            write.after()

    def _note_away(self, write: Write, error: BaseException) -> None:
        if self.is_database_away:
            return
        self.is_database_away = True
        log.error("database_away", name=write.name, waiting=len(self._queue), exc_info=error)
        self._to_spool(*self._queue)

    def _to_spool(self, *writes: Write) -> None:
        """Keep the durable form of writes on the disk as well; with the disk full they wait in memory alone."""
        lines = [line for write in writes for line in write.spool]
        if not lines:
            return
        try:
            self._spool.write(*lines)
        except OSError:
            log.exception("spool_failed", writes=len(writes))


async def _merge(database: Database, spool: Spool) -> None:
    lines, offset = spool.read()
    postponed: dict[tuple[str, int], list[SpoolLine]] = {}
    for line in lines:
        if (key := _attempt_key(line)) in postponed:
            postponed[key].append(line)
            continue
        try:
            async with database.transaction() as connection:
                await _merge_line(connection, line)
        except AWAY as error:
            if is_away(error):
                raise
            if isinstance(error, IntegrityError) and line.kind is LineKind.SENT and key is not None:
                # It left while another attempt on the trade was open; it is written as soon as that one is settled.
                log.warning("spool_line_postponed", intent_id=key[0], attempt_no=key[1])
                postponed[key] = [line]
                continue
            log.exception("spool_line_refused", kind=line.kind.value)
            spool.set_aside(line)
        except (KeyError, TypeError, ValueError):
            log.exception("spool_line_unreadable", kind=line.kind.value)
            spool.set_aside(line)
    if postponed:
        spool.write(*(line for kept in postponed.values() for line in kept))
    if offset:
        spool.drop(offset)
        log.info("spool_merged", lines=len(lines))


def _attempt_key(line: SpoolLine) -> tuple[str, int] | None:
    return None if line.attempt is None else (line.attempt["intent_id"], line.attempt["attempt_no"])


async def _merge_line(connection: AsyncConnection, line: SpoolLine) -> None:
    if line.kind is LineKind.DECISION and line.decision is not None:
        await insert_decision(connection, load_decision(line.decision))
        return
    assert line.attempt is not None
    attempt = load_attempt(line.attempt)
    decision = None if line.decision is None else load_decision(line.decision)
    if line.kind is LineKind.STATE:
        await record_state(connection, attempt, answer=line.answer)
        if decision is not None:
            await insert_decision(connection, decision)
        return
    known = await connection.execute(
        text(
            "select 1 from attempt where exchange_account_id = :account and intent_id = :intent "
            "and attempt_no = :attempt_no"
        ),
        {
            "account": attempt.exchange_account_id,
            "intent": attempt.intent_id,
            "attempt_no": attempt.attempt_no,
        },
    )
    if known.first() is None:
        await insert_sent(connection, attempt, decision=decision, from_spool=True)
    elif decision is not None:
        await insert_decision(connection, decision)
