"""The paper exchange as a process of its own on one core, measured from inside; obeys the lines of its standard input.

`mark` begins the measurement anew, `stats` answers with what was measured since, the end of the input ends it.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from axisor.infra.clock import SystemClock
from axisor.infra.tasks import TaskSet
from axisor.paper import main
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.exchange import PaperExchange
from axisor.paper.player import FundingDue
from axisor.paper.records import Settlement

NO_LIMITS = RateLimits(private_per_s=0, public_per_s=0, stream_per_s=0)
HEARTBEAT_S = 0.002
CLOCK = SystemClock()


class ServerOrder(msgspec.Struct, kw_only=True):
    """How the server is to run."""

    data_dir: str | None
    scenario: str = "calm"
    tape: str | None = None
    speed: float = 1.0
    core: int | None = None
    start_paused: bool = False
    max_live_trades: int = 100


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Measures:
    """What the server did since the last mark, in milliseconds."""

    def __init__(self) -> None:
        self.mark()

    def mark(self) -> None:
        self.begun_s = CLOCK.boottime_s()
        self.cpu_s = _cpu_s()
        self.ticks: list[float] = []
        self.settlements: list[float] = []
        self.stalls: list[float] = []
        self.stalls_of_settlements: list[float] = []
        self.is_settling = False

    def stats(self) -> dict[str, Any]:
        wall_s = CLOCK.boottime_s() - self.begun_s
        return {
            "wall_s": round(wall_s, 1),
            "core_share": round((_cpu_s() - self.cpu_s) / wall_s, 3),
            "ticks": len(self.ticks),
            "tick_ms": spread(self.ticks),
            "settlement_ms": spread(self.settlements),
            "loop_late_ms": spread(self.stalls),
            "loop_late_while_settling_ms": spread(self.stalls_of_settlements),
            "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }

    async def watch_loop(self) -> None:
        while True:
            due_s = CLOCK.boottime_s() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)
            late_ms = (CLOCK.boottime_s() - due_s) * 1000
            self.stalls.append(late_ms)
            if self.is_settling:
                self.stalls_of_settlements.append(late_ms)


MEASURES = Measures()


class MeasuredExchange(PaperExchange):
    """The exchange, its ticks and settlements timed."""

    async def tick(self, elapsed_s: float) -> None:
        before_s, settled = CLOCK.boottime_s(), len(MEASURES.settlements)
        await super().tick(elapsed_s)
        if len(MEASURES.settlements) == settled:
            MEASURES.ticks.append((CLOCK.boottime_s() - before_s) * 1000)

    async def settle(self, due: FundingDue) -> Settlement:
        MEASURES.is_settling = True
        before_s = CLOCK.boottime_s()
        try:
            settlement = await super().settle(due)
            MEASURES.settlements.append((CLOCK.boottime_s() - before_s) * 1000)
            await self.commit()
            return settlement
        finally:
            MEASURES.is_settling = False


def spread(values: list[float]) -> dict[str, float]:
    """Return median, 99th percentile, maximum and count."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 3),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
        "max": round(ordered[-1], 3),
        "n": len(ordered),
    }


def _say(record: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
    sys.stdout.flush()


def _ready(addresses: PaperAddresses) -> None:
    _say(
        {
            "rest_url": addresses.rest_url,
            "stream_url": addresses.stream_url,
            "control_url": addresses.control_url,
            "control_token": addresses.control_token,
        }
    )


async def run(order: ServerOrder) -> None:
    """Serve until the standard input ends."""
    stop = asyncio.Event()
    config = PaperConfig(
        scenario=order.scenario,
        tape=None if order.tape is None else Path(order.tape),
        speed=order.speed,
        data_dir=None if order.data_dir is None else Path(order.data_dir),
        start_paused=order.start_paused,
        limits=NO_LIMITS,
        window_s=300,
        max_live_trades=order.max_live_trades,
    )
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with TaskSet("benchmark server") as tasks:
        tasks.start(MEASURES.watch_loop(), name="watch")
        server = tasks.start(main.serve(config, ready=_ready, stop=stop), name="serve")
        while line := (await reader.readline()).strip():
            if line == b"mark":
                MEASURES.mark()
            _say(MEASURES.stats())
        stop.set()
        await server


if __name__ == "__main__":
    order = msgspec.json.decode(sys.argv[1], type=ServerOrder)
    if order.core is not None:
        os.sched_setaffinity(0, {order.core})
    main.PaperExchange = MeasuredExchange
    asyncio.run(run(order))
