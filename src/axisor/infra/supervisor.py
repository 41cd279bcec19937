"""Keeps the roles of one machine running: start, readiness, restart, heartbeat, clean stop."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from axisor.domain.errors import InfraError
from axisor.infra import processes
from axisor.infra.engines import folder
from axisor.infra.engines.server import EngineServer
from axisor.infra.tasks import TaskSet
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

POLL_S: Final = 0.05
HEARTBEAT_LIMIT_S: Final = 2.0
_START_ATTEMPTS: Final = 3
_BACKOFF_FIRST_S: Final = 0.2
_BACKOFF_MOST_S: Final = 10.0
_HEALTHY_AFTER_S: Final = 30.0
_LEFTOVER_GRACE_S: Final = 3.0


class RoleFailed(InfraError):
    code = "role_failed"


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """The life signs of a role that may hang: killed when its heartbeat is too old, at once.

    Attributes:
        file: Holds the boot-time clock in seconds as text; the role writes it several times a second.
        dead_note: Gets the process id of an instance that died without a clean end, so that its successor knows.
        hold_file: While it exists the role is killed and kept down for the seconds written in it.
    """

    file: Path
    dead_note: Path
    hold_file: Path
    limit_s: float = HEARTBEAT_LIMIT_S


@dataclass(frozen=True, kw_only=True)
class RoleSpec:
    """How one role is started and judged."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    is_ready: Callable[[], Awaitable[bool]] | None = None
    heartbeat: Heartbeat | None = None
    start_deadline_s: float = 60.0
    stop_deadline_s: float = 1.5


class _Role:
    """One role: its present process and the wish to stop it."""

    def __init__(self, spec: RoleSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_fd: int | None = None
        self.stopping = asyncio.Event()
        self.first_ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.failures = 0

    def close_ready_fd(self) -> None:
        if self.ready_fd is not None:
            os.close(self.ready_fd)
            self.ready_fd = None

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None


class Supervisor:
    """Owner of the roles' processes; use it as an asynchronous context manager from the main thread.

    On leaving the context every process is ended. Should this process die without leaving, the kernel and the roles'
    watch on their parent end them.
    """

    def __init__(self, *, run_dir: Path, log_dir: Path, clock: Clock) -> None:
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._clock = clock
        self._roles: dict[str, _Role] = {}
        self._engines: list[EngineServer] = []
        self._tasks = TaskSet("supervisor")
        self._parent_read, self._parent_write = os.pipe()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Supervisor"]:
        """Yield this supervisor; end what still runs afterwards."""
        try:
            yield self
        finally:
            await self.stop([[name] for name in reversed(self._roles)])
            await self._tasks.close()
            os.close(self._parent_read)
            os.close(self._parent_write)

    def watch_engine(self, engine: EngineServer) -> None:
        """Restart this engine, on its port, whenever it ends by itself."""
        self._engines.append(engine)
        self._tasks.start(self._keep_engine(engine), name=f"keep-{engine.name}")

    async def start(self, specs: Sequence[RoleSpec]) -> None:
        """Start these roles side by side and return when all of them are ready.

        Raises:
            RoleFailed: One ended again and again or was not ready in time; the message holds its last line.
        """
        for spec in specs:
            role = self._roles[spec.name] = _Role(spec)
            self._tasks.start(self._keep(role), name=f"keep-{spec.name}")
        for spec in specs:
            await self._await_first_ready(self._roles[spec.name])

    async def stop(self, groups: Sequence[Sequence[str]]) -> None:
        """End the roles, group after group: asked first, killed at their deadline."""
        for group in groups:
            roles = [self._roles[name] for name in group if name in self._roles]
            for role in roles:
                role.stopping.set()
                if not role.has_ended():
                    _signal(role, signal.SIGTERM)
            for role in roles:
                await self._await_end(role)
                self._roles.pop(role.spec.name, None)

    def pid(self, name: str) -> int | None:
        """Return the process id of a role; None while it does not run."""
        role = self._roles.get(name)
        return role.process.pid if role and role.process and not role.has_ended() else None

    async def _await_first_ready(self, role: _Role) -> None:
        deadline = self._clock.boottime_s() + role.spec.start_deadline_s
        while not role.first_ready.is_set():
            late = self._clock.boottime_s() > deadline
            if late or role.failures >= _START_ATTEMPTS:
                reason = "was not ready in time" if late else "ended during its start"
                raise RoleFailed(f"{role.spec.name} {reason}: {self._last_word(role)}")
            await self._pause(role, POLL_S)

    async def _keep(self, role: _Role) -> None:
        """Run the role until it is asked to stop, starting it again whenever it ends."""
        backoff_s = 0.0
        try:
            while not role.stopping.is_set():
                await self._keep_held(role)
                if role.stopping.is_set():
                    return
                self._spawn(role)
                began = self._clock.boottime_s()
                if await self._becomes_ready(role):
                    role.first_ready.set()
                    log.info("role_ready", name=role.spec.name, pid=role.process.pid if role.process else None)
                    await self._watch(role)
                if role.stopping.is_set():
                    return
                role.failures += 1
                self._bury(role)
                lived_s = self._clock.boottime_s() - began
                backoff_s = 0.0 if lived_s > _HEALTHY_AFTER_S else backoff_s  # the first restart is at once
                await self._pause(role, backoff_s)
                backoff_s = min(max(_BACKOFF_FIRST_S, backoff_s * 2), _BACKOFF_MOST_S)
        finally:
            role.close_ready_fd()
            role.ended.set()

    def _spawn(self, role: _Role) -> None:
        spec = role.spec
        role.close_ready_fd()
        if spec.heartbeat is not None:
            spec.heartbeat.file.unlink(missing_ok=True)
        read_fd, write_fd = os.pipe()
        os.set_blocking(read_fd, False)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        environ = {
            **spec.environ,
            "AXISOR_READY_FD": str(write_fd),
            "AXISOR_PARENT_FD": str(self._parent_read),
        }
        with self._output_file(role).open("ab") as out:
            role.process = subprocess.Popen(
                list(spec.command),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(write_fd, self._parent_read),
                preexec_fn=processes.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - prctl only: no lock is taken
            )
        os.close(write_fd)
        role.ready_fd = read_fd
        self._note_children()

    async def _becomes_ready(self, role: _Role) -> bool:
        deadline = self._clock.boottime_s() + role.spec.start_deadline_s
        pulse = _Pulse(role.spec.heartbeat, self._clock)
        said_so = False
        while not role.has_ended() and not role.stopping.is_set():
            if not said_so and role.ready_fd is not None:
                with contextlib.suppress(BlockingIOError):
                    said_so = os.read(role.ready_fd, 1) == b"1"
            if said_so and (role.spec.is_ready is None or await role.spec.is_ready()):
                return True
            if self._clock.boottime_s() > deadline or pulse.has_stopped(must_beat=False):
                await self._kill(role, why="not ready in time")
                return False
            await self._pause(role, POLL_S)
        return False

    async def _watch(self, role: _Role) -> None:
        """Return when the process has ended, by itself or because its heartbeat stopped or it is to be held."""
        pulse = _Pulse(role.spec.heartbeat, self._clock)
        while not role.has_ended():
            if not role.stopping.is_set():
                if pulse.has_stopped(must_beat=True):
                    await self._kill(role, why="no heartbeat")
                elif role.spec.heartbeat is not None and role.spec.heartbeat.hold_file.exists():
                    await self._kill(role, why="to be held")
            await self._clock.sleep(POLL_S)

    async def _kill(self, role: _Role, *, why: str) -> None:
        log.error("role_killed", name=role.spec.name, why=why)
        _signal(role, signal.SIGKILL)
        await self._reaped(role)

    async def _keep_held(self, role: _Role) -> None:
        """Stay here for the seconds that the hold file names."""
        heartbeat = role.spec.heartbeat
        if heartbeat is None or not heartbeat.hold_file.exists():
            return
        seconds = _read_number(heartbeat.hold_file) or 0.0
        log.warning("role_held", name=role.spec.name, seconds=seconds)
        await self._pause(role, seconds)
        heartbeat.hold_file.unlink(missing_ok=True)

    def _bury(self, role: _Role) -> None:
        assert role.process is not None
        log.warning("role_ended", name=role.spec.name, pid=role.process.pid, code=role.process.returncode)
        if role.spec.heartbeat is not None:
            role.spec.heartbeat.dead_note.write_text(f"{role.process.pid}\n", encoding="ascii")

    async def _await_end(self, role: _Role) -> None:
        deadline = self._clock.boottime_s() + role.spec.stop_deadline_s
        while not role.has_ended():
            if self._clock.boottime_s() > deadline:
                await self._kill(role, why="did not end in time")
                break
            await self._clock.sleep(POLL_S / 5)
        async with asyncio.timeout(role.spec.stop_deadline_s):
            await role.ended.wait()

    async def _reaped(self, role: _Role) -> None:
        while not role.has_ended():
            await self._clock.sleep(POLL_S / 5)

    async def _keep_engine(self, engine: EngineServer) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            while engine.is_running():
                await self._clock.sleep(POLL_S)
            log.error("engine_ended", engine=engine.name, pid=engine.pid)
            await asyncio.to_thread(engine.end_leftovers)
            engine.spawn()  # in this thread: the server is told to end when its spawning thread does
            while engine.is_running() and not await asyncio.to_thread(engine.is_ready):
                await self._clock.sleep(POLL_S)
            if engine.is_running():
                log.info("engine_restarted", engine=engine.name, pid=engine.pid)
                backoff_s = _BACKOFF_FIRST_S
                continue
            await self._clock.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _BACKOFF_MOST_S)

    async def _pause(self, role: _Role, seconds: float) -> None:
        """Wait, but not longer than until the role is asked to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await role.stopping.wait()

    def _note_children(self) -> None:
        """Keep on disk who our children are, for the start after a kill of everything at once."""
        children = {
            role.spec.name: {"pid": role.process.pid, "started_at": processes.started_at(role.process.pid)}
            for role in self._roles.values()
            if role.process is not None and not role.has_ended()
        }
        folder.write_secret(self._run_dir / "children.json", json.dumps(children))

    def _output_file(self, role: _Role) -> Path:
        return self._log_dir / f"{role.spec.name}.out"

    def _last_word(self, role: _Role) -> str:
        """Return the last line the role wrote, and where the rest is."""
        for path in (self._output_file(role), self._log_dir / f"{role.spec.name}.log"):
            if path.exists() and (text := path.read_text(encoding="utf-8", errors="replace").strip()):
                return f"{text.splitlines()[-1]} (more in {self._log_dir})"
        return f"it wrote nothing to {self._log_dir}"


def end_leftovers(run_dir: Path) -> list[int]:
    """End the roles of an earlier run that outlived their supervisor; return their process ids.

    A process counts only if it started at the instant that was noted: its number may belong to another by now.
    """
    note = run_dir / "children.json"
    if not note.exists():
        return []
    noted = json.loads(note.read_text(encoding="utf-8")).values()
    alive = [
        child["pid"]
        for child in noted
        if processes.is_alive(child["pid"]) and processes.started_at(child["pid"]) == child["started_at"]
    ]
    if alive:
        log.warning("role_leftovers", pids=alive)
        processes.end_all(alive, signum=signal.SIGTERM, grace_s=_LEFTOVER_GRACE_S)
    note.unlink()
    return alive


def write_heartbeat(file: Path, *, boottime_s: float) -> None:
    """Say that this role lives; call it several times a second from the loop that does the work."""
    draft = file.with_name(file.name + ".new")
    draft.write_text(f"{boottime_s:.3f}\n", encoding="ascii")
    draft.replace(file)


class _Pulse:
    """Judges a heartbeat; the time that this process itself did not run is not held against the other."""

    def __init__(self, heartbeat: Heartbeat | None, clock: Clock) -> None:
        self._heartbeat = heartbeat
        self._clock = clock
        self._looked_at = self._judged_from = clock.boottime_s()

    def has_stopped(self, *, must_beat: bool) -> bool:
        """Return whether the last beat is too old; without `must_beat` a role that never beat yet is given time."""
        now = self._clock.boottime_s()
        if self._heartbeat is None:
            return False
        if now - self._looked_at > self._heartbeat.limit_s / 2:
            self._judged_from = now  # we slept ourselves: give the other the chance to wake up too
        self._looked_at = now
        beat = _read_number(self._heartbeat.file)
        if beat is None and not must_beat:
            return False
        return now - max(self._judged_from, beat or 0.0) > self._heartbeat.limit_s


def _signal(role: _Role, signum: signal.Signals) -> None:
    if role.process is not None:
        with contextlib.suppress(ProcessLookupError):
            role.process.send_signal(signum)


def _read_number(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
