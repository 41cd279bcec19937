"""What is done again and again for every account."""

from typing import Final

import msgspec
import structlog
from redis.exceptions import RedisError

from axisor.domain.errors import ExchangeAuthFailed, QueueUnavailable
from axisor.domain.units import ExchangeAccountId
from axisor.features.credentials.repository import list_accounts
from axisor.features.execution import sweeps
from axisor.features.execution.jobs import take_request
from axisor.features.execution.ledger import SEAL_BATCH, seal
from axisor.features.execution.sync import AccountSync
from axisor.infra import keys
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database
from axisor.infra.queue.bull import BullQueues
from axisor.infra.queue.jobs import JobContext, job
from axisor.infra.valkey import Nudges, Valkey
from axisor.ports.job_queue import Priority

log = structlog.get_logger(__name__)

SYNC_EVERY_S: Final = 60
SYNC_UNWATCHED_EVERY_S: Final = 5
HEARTBEAT_STALE_S: Final = 3.0


class HeartbeatReader:
    """Tells whether the monitor is alive, by what it says in Valkey."""

    def __init__(self, valkey: Valkey, clock: SystemClock) -> None:
        self._valkey = valkey
        self._clock = clock

    async def is_stale(self) -> bool:
        """Return True where the monitor has said nothing for 3 s, or nobody knows."""
        raw = await self._valkey.get(keys.MONITOR_HEARTBEAT)
        if raw is None:
            return True
        boottime_s = float(msgspec.json.decode(raw)["boottime_s"])
        return not 0 <= self._clock.boottime_s() - boottime_s <= HEARTBEAT_STALE_S

    async def may_sync(self, exchange_account_id: ExchangeAccountId, *, every_s: int) -> bool:
        """Return True once in `every_s` seconds for each account, whoever asks."""
        key = keys.account_sync_pause(exchange_account_id, every_s=every_s)
        return bool(await self._valkey.set(key, "1", nx=True, px=every_s * 1000 - 500))


@job("execution.sync_account", priority=Priority.BACKGROUND, deadline_s=60, coalesce_by=("exchange_account_id",))
async def sync_account(ctx: JobContext, *, exchange_account_id: str) -> None:
    """Read one account as a whole."""
    try:
        news = await ctx.service(AccountSync).sync(ExchangeAccountId(exchange_account_id))
    except ExchangeAuthFailed as error:
        log.warning("account_key_refused", exchange_account_id=exchange_account_id, reason=error.message)
        return  # trying again does not mend a key; the next period asks anew
    log.debug("account_synced", exchange_account_id=exchange_account_id, news=news)


@job("execution.sync_due_accounts", priority=Priority.BACKGROUND, deadline_s=20)
async def sync_due_accounts(ctx: JobContext) -> None:
    """Have every account read once a minute, and every 5 s while no monitor is alive."""
    reader, queues = ctx.service(HeartbeatReader), ctx.service(BullQueues)
    try:
        every_s = SYNC_UNWATCHED_EVERY_S if await reader.is_stale() else SYNC_EVERY_S
    except RedisError as error:
        raise QueueUnavailable("Valkey did not answer", reason=type(error).__name__) from error
    async with ctx.service(Database).transaction() as connection:
        accounts = await list_accounts(connection)
    for account in accounts:
        if await reader.may_sync(account.exchange_account_id, every_s=every_s):
            await sync_account.enqueue(queues, exchange_account_id=account.exchange_account_id)


@job("execution.seal_ledgers", deadline_s=30)
async def seal_ledgers(ctx: JobContext) -> None:
    """Give every new decision its place in its account's chain."""
    database, clock = ctx.service(Database), ctx.service(SystemClock)
    async with database.transaction() as connection:
        accounts = await sweeps.list_unsealed_accounts(connection)
    for exchange_account_id in accounts:
        sealed = SEAL_BATCH
        while sealed == SEAL_BATCH:
            async with database.transaction() as connection:
                sealed = await seal(connection, exchange_account_id, at=clock.now())


@job("execution.sweep_requests", priority=Priority.URGENT, deadline_s=20)
async def sweep_requests(ctx: JobContext) -> None:
    """Hand over again what nobody took, and give up what came too late."""
    database, queues, now = ctx.service(Database), ctx.service(BullQueues), ctx.service(SystemClock).now()
    async with database.transaction() as connection:
        expired_accounts = await sweeps.expire_requests(connection, now=now)
        waiting = await sweeps.list_waiting_requests(connection, now=now)
    for account_id in expired_accounts:
        await ctx.service(Nudges).nudge(keys.changed(account_id), {"what": "requests"})
    for request in waiting:
        await queues.add(
            take_request.name,
            {"exchange_account_id": request.exchange_account_id, "request_id": request.request_id},
            queue=take_request.queue,
            priority=take_request.priority,
            coalesce_by=f"{take_request.name}|{request.request_id}",
        )
