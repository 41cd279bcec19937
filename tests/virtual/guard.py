"""One monitor process of the simulation: the product's shard, runtimes, executor, recorder, lease, spool and client.

What is not the product's: the database server, the exchange behind `HttpTransport`, the disk under lease and spool, the
credentials service and the processes' supervisor.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec
from tests.virtual.database import DatabaseLink, VirtualDatabase
from tests.virtual.faults import Plan, Step
from tests.virtual.venue import Socket, Venue, VirtualTransport, WatchedBucket
from tests.virtual.world import Process, World

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock
from axisor.adapters.lnmarkets.client import ClientConfig, LnMarketsClient
from axisor.adapters.lnmarkets.limits import PRIVATE_LIMIT, PUBLIC_LIMIT, RateLimit, TokenBucket
from axisor.domain.commands import AddMargin, Command
from axisor.domain.errors import LeaseLost
from axisor.features.execution.executor import Executor, Timing
from axisor.features.execution.recorder import Recorder
from axisor.features.execution.spool import Spool, SpoolLine
from axisor.infra.lease import FileLease, LeaseRecord
from axisor.infra.tasks import TaskSet
from axisor.monitor import main as monitor_main
from axisor.monitor.account import AccountRuntime
from axisor.monitor.market import MarketState
from axisor.monitor.reader import WatchTiming
from axisor.monitor.shard import AccountRow, NetworkWatch, Shard
from axisor.ports.credentials import Network
from axisor.ports.exchange import Lane, SignedRequest
from axisor.settings import GuardSettings

GUARD: Final = GuardSettings()
"""The production constants."""
BOOT_ID: Final = "one boot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What of the product's safety is switched off, to prove that the judge would see it."""

    quiet_period_s: float | None = None
    has_fence: bool = True
    private_limit: RateLimit = PRIVATE_LIMIT
    executor: type[Executor] = Executor


@dataclass
class Disk:
    """The disk of the host, which survives its processes; full when the adversary says so."""

    lease: bytes | None = None
    spooled: bytes = b""
    refused: bytes = b""
    dead_pid: int | None = None
    is_full: bool = False
    writes: int = 0

    def append(self, lines: bytes) -> None:
        if self.is_full:
            raise OSError(28, "no space left on the device")
        self.spooled += lines
        self.writes += 1


class VirtualLease(FileLease):
    """The product's lease on a disk in memory."""

    def __init__(self, disk: Disk, process: Process, alive: Callable[[int], bool]) -> None:
        self._disk = disk
        self._process = process
        self._alive = alive
        self._owner = f"host:{process.pid}"
        self._ttl_s = GUARD.lease_ttl_s
        self._clock = process.clock
        self._fence: int | None = None
        self._expires_s = float("-inf")

    has_fence = True

    @property
    def is_held(self) -> bool:
        return super().is_held or not self.has_fence

    def renew(self) -> None:
        fence = self._fence
        try:
            super().renew()
        except LeaseLost:
            if self.has_fence:
                raise
            self._fence = fence

    def _boot_id(self) -> str:
        return BOOT_ID

    def _is_alive(self, pid: int) -> bool:
        return self._alive(pid)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        yield

    def _read(self) -> LeaseRecord | None:
        return None if self._disk.lease is None else msgspec.json.decode(self._disk.lease, type=LeaseRecord)

    def _write(self, fence: int, expires_s: float, *, is_released: bool) -> None:
        if not self._process.is_dead:
            record = LeaseRecord(self._owner, self._process.pid, fence, expires_s, is_released, BOOT_ID)
            self._disk.lease = msgspec.json.encode(record)


class VirtualSpool(Spool):
    """The product's spool on a disk in memory."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process

    @property
    def is_empty(self) -> bool:
        return not self._disk.spooled

    def write(self, *lines: SpoolLine) -> None:
        if not self._process.is_dead:
            self._disk.append(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def set_aside(self, line: SpoolLine) -> None:
        self._disk.refused += msgspec.json.encode(line) + b"\n"

    def read(self) -> tuple[list[SpoolLine], int]:
        return list(self._decode(self._disk.spooled)), len(self._disk.spooled)

    def drop(self, offset: int) -> None:
        self._disk.spooled = self._disk.spooled[offset:]


class DeadFile:
    """Where the supervisor writes which process it saw die."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def read_text(self) -> str:
        if self._disk.dead_pid is None:
            raise FileNotFoundError
        return str(self._disk.dead_pid)

    def unlink(self, *, missing_ok: bool) -> None:
        self._disk.dead_pid = None


class StruckClient(LnMarketsClient):
    """The product's client; its signing can be struck."""

    plan: Plan
    process: Process

    def sign(self, command: Command) -> SignedRequest:
        is_top_up = isinstance(command, AddMargin)
        if is_top_up:
            self.plan.strike(Step.SIGN, self.process, is_before=True)
        request = super().sign(command)
        if is_top_up:
            self.plan.strike(Step.SIGN, self.process, is_before=False)
        return request


@dataclass
class Installation:
    """One host: its disk, its database, its supervisor and the monitors that it starts one after another."""

    world: World
    plan: Plan
    venue: Venue
    database: VirtualDatabase
    credentials: dict[str, Credentials]
    allow_second_send: bool = True
    mutation: Mutation = Mutation()
    disk: Disk = field(default_factory=Disk)
    processes: list[Process] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    """What ended a process without any fault of ours."""
    buckets: list[tuple[Process, WatchedBucket]] = field(default_factory=list)

    def add_host(self) -> None:
        """Let a second host guard the same accounts on the same database: its lease file knows nothing of ours."""
        other = replace(self, disk=Disk(), processes=[])
        other.start_monitor()

    def storm(self, process: Process) -> None:
        """Let a hundred routine readings ask for the tokens of the account's key."""
        for owner, bucket in self.buckets:
            if owner is process:
                for _ in range(100):
                    process.loop.create_task(bucket.acquire(Lane.ROUTINE, deadline_s=60), name="routine")

    def start_monitor(self) -> Process:
        """Start a monitor process; it waits for the lease if another has it."""
        process = Process(self.world, f"monitor {len(self.processes) + 1}", pid=100 + len(self.processes))
        self.processes.append(process)
        previous = self.processes[-2] if len(self.processes) > 1 else None
        if previous is not None:
            process.clock.wall_ahead_s = previous.clock.wall_ahead_s  # one host, one wall clock
        process.start(self._run(process))
        return process

    def is_alive(self, pid: int) -> bool:
        return any(process.pid == pid and not process.is_dead for process in self.processes)

    def kill(self, process: Process, *, is_seen: bool) -> None:
        """Kill a process (SIGKILL). The supervisor that sees it starts the next one; else its lease must run out."""
        if process.is_dead:
            return
        process.kill()
        self.database.forget(process)
        if is_seen:
            self.disk.dead_pid = process.pid
        self.world.after(0.5, self.start_monitor)

    async def _run(self, process: Process) -> None:
        """Do what the monitor's `main` does, without Valkey: it is not on this path.

        When the shard ends, with whatever, the supervisor starts the next process.
        """
        lease = VirtualLease(self.disk, process, self.is_alive)
        lease.has_fence = self.mutation.has_fence
        database = DatabaseLink(self.database, process)
        spool = VirtualSpool(self.disk, process)
        parts: Any = SimpleNamespace(
            settings=SimpleNamespace(guard=GUARD),
            clock=process.clock,
            database=database,
            lease=lease,
            spool=spool,
            recorder=Recorder(database, spool, process.clock),
            money_in_blocked_until_s=None,
        )
        stop = asyncio.Event()
        try:
            await monitor_main._acquire(parts, DeadFile(self.disk), stop)
            async with TaskSet("lease") as renewing:
                renewing.start(monitor_main._renew(parts), name="lease")
                await monitor_main._until_database(parts, stop)
            await self._guard(process, parts)
        except* LeaseLost:
            pass  # as in production: the process ends, and the supervisor starts the next
        except* Exception as group:  # noqa: BLE001 - any crash of a process is what the judge must hear of
            self.crashes += [repr(error) for error in group.exceptions]
        finally:
            if not process.is_dead:
                await parts.recorder.drain(deadline_s=monitor_main.DRAIN_S)
                lease.release()
                process.kill()
                self.world.after(0.5, self.start_monitor)

    async def _guard(self, process: Process, parts: Any) -> None:
        plan, venue, least_s = self.plan, self.venue, self.mutation.quiet_period_s
        quiet_period_s = GUARD.quiet_period_s if least_s is None else least_s
        watch = NetworkWatch(
            network=Network.PAPER,
            feed=Socket(process, plan),
            market=MarketState(stale_after_s=GUARD.price_stale_s, use_quotes=GUARD.use_bucket_quotes),
        )
        venue.market_feeds.append(watch.feed.hear)
        venue_clock = VenueClock(process.clock)
        public = TokenBucket(PUBLIC_LIMIT, process.clock)

        async def make_runtime(
            account: AccountRow, watch: NetworkWatch, tasks: TaskSet
        ) -> tuple[AccountRuntime, Callable[[], Awaitable[None]]]:
            limiter = WatchedBucket(self.mutation.private_limit, process.clock)
            limiter.attach(plan, process)
            self.buckets.append((process, limiter))
            client = StruckClient(
                ClientConfig(),
                clock=process.clock,
                limiter=limiter,
                public_limiter=public,
                venue_clock=venue_clock,
                credentials=self.credentials[account.exchange_account_id],
            )
            client.plan, client.process = plan, process
            client._http = VirtualTransport(venue, process)
            feed = Socket(process, plan)
            venue.account_feeds.append((account.exchange_account_id, feed.hear))
            executor = self.mutation.executor(
                exchange_account_id=account.exchange_account_id,
                client=client,
                database=parts.database,
                recorder=parts.recorder,
                spool=parts.spool,
                lease=parts.lease,
                clock=process.clock,
                timing=Timing(
                    signature_window_s=GUARD.signature_window_s,
                    quiet_period_s=quiet_period_s,
                    send_deadline_s=GUARD.send_deadline_s,
                    commit_deadline_s=GUARD.commit_deadline_s,
                ),
                tasks=tasks,
            )
            runtime = AccountRuntime(
                user_id=account.user_id,
                exchange_account_id=account.exchange_account_id,
                is_guarded=account.is_guarded,
                client=client,
                feed=feed,
                executor=executor,
                recorder=parts.recorder,
                database=parts.database,
                lease=parts.lease,
                index=watch.index,
                market=watch.market,
                clock=process.clock,
                timing=WatchTiming(near_s=GUARD.read_near_s, far_s=GUARD.read_far_s),
                tasks=tasks,
                money_in_blocked_until=None
                if parts.money_in_blocked_until_s is None
                else process.clock.now()
                + timedelta(seconds=parts.money_in_blocked_until_s - process.clock.boottime_s()),
                changed=lambda _: None,
                announce=lambda _: None,
                allow_second_send=self.allow_second_send,
            )
            return runtime, client.close

        shard = Shard(
            database=parts.database,
            watches={Network.PAPER: watch},
            make_runtime=make_runtime,
            clock=process.clock,
            code_dir=Path("/nonexistent"),  # machine code is for more trades than a night has
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(parts.recorder.run(), name="recorder")
            group.create_task(shard.run(), name="shard")
            group.create_task(monitor_main._renew(parts), name="lease")
