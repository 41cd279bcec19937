"""One clock, one source of chance, and many processes: each an event loop of its own that can be frozen or killed.

Nothing here waits. The world's clock jumps to the next instant at which anything happens; which of several processes
that are ready runs first is drawn by lot. A killed process is never run again (no `finally` of it is heard of), a frozen
one is not run until it thaws: its timers and its answers wait for it, as the kernel's do.
"""

import asyncio
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Final

START: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class ProcessLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as the product uses; the world turns it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = 0
        self.failures: list[dict[str, Any]] = []

    def time(self) -> float:
        return self._world.now_s

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is dropped when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, **options)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def next_timer_s(self) -> float:
        """Return when the next timer is due; infinite where none is set."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else inf

    def wake(self) -> None:
        """Make ready what is due."""
        timers, now_s = self._timers, self._world.now_s
        while timers and timers[0][0] <= now_s:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                self.ready.append(handle)

    def turn(self, process: "Process | None") -> None:
        """Run what is ready now, unless a fault stops its process; what becomes ready meanwhile waits for its turn."""
        events._set_running_loop(self)
        ready = self.ready
        try:
            for _ in range(len(ready)):
                if process is not None and not process.is_running:
                    return
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)

    def empty(self) -> None:
        """Let every task of a dead process end unheard, so that nothing of it is left behind."""
        for _ in range(1000):
            pending = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            self.wake()
            self.turn(None)
        self.ready.clear()
        self._timers.clear()


class World:
    """The present instant, what is to happen, and everyone to whom it happens."""

    def __init__(self, seed: int) -> None:
        self.lot = random.Random(seed)
        self.now_s = 1_000.0
        self.processes: list[Process] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def now(self) -> datetime:
        """Return the true wall time."""
        return START + timedelta(seconds=self.now_s)

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen, to whomever."""
        self._order += 1
        heapq.heappush(self._agenda, (self.now_s + seconds, self._order, event))

    def run_until(self, until_s: float) -> None:
        """Let everything happen up to an instant."""
        while True:
            self._run_ready()
            next_s = self._next_s()
            if next_s > until_s:
                self.now_s = until_s
                return
            self.now_s = max(self.now_s, next_s)
            while self._agenda and self._agenda[0][0] <= self.now_s:
                heapq.heappop(self._agenda)[2]()
            for process in self.processes:
                if process.is_running:
                    process.loop.wake()

    def _next_s(self) -> float:
        """Return the next instant at which anything happens; infinite where nothing will."""
        next_s = self._agenda[0][0] if self._agenda else inf
        for process in self.processes:
            if process.is_running and (at_s := process.loop.next_timer_s()) < next_s:
                next_s = at_s
        return next_s

    def _run_ready(self) -> None:
        while ready := [process for process in self.processes if process.loop.ready and process.is_running]:
            chosen = ready[0] if len(ready) == 1 else self.lot.choice(ready)
            chosen.loop.turn(chosen)

    def close(self) -> None:
        """End the world: nothing of any process is left."""
        for process in self.processes:
            process.kill()
            process.loop.empty()


class Process:
    """One operating-system process, with its own wall clock."""

    def __init__(self, world: World, name: str, pid: int) -> None:
        self.world = world
        self.name = name
        self.pid = pid
        self.loop = ProcessLoop(world)
        self.clock = ProcessClock(world)
        self.is_dead = False
        self.is_frozen = False
        self.is_running = True
        self.main: asyncio.Task[Any] | None = None
        world.processes.append(self)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        self.main = self.loop.create_task(work, name=self.name)

    def kill(self) -> None:
        self.is_dead, self.is_running = True, False

    def freeze(self, seconds: float) -> None:
        """Stop the process for a while (SIGSTOP, SIGCONT)."""
        if self.is_running:
            self.is_frozen, self.is_running = True, False
            self.world.after(seconds, self._thaw)

    def _thaw(self) -> None:
        self.is_frozen, self.is_running = False, not self.is_dead
        self.loop.wake()

    async def wait(self, seconds: float) -> None:
        """Return after a time of the world's."""
        await asyncio.sleep(seconds)

    async def breathe(self) -> None:
        """Give a fault that has just struck its effect: a frozen or killed process goes no further than this line."""
        if not self.is_running:
            await asyncio.sleep(0)


class ProcessClock:
    """The clocks of one process: its wall clock may be wrong, its boot-time clock is never."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wall_ahead_s = 0.0

    def now(self) -> datetime:
        return self._world.now() + timedelta(seconds=self.wall_ahead_s)

    def boottime_s(self) -> float:
        return self._world.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
