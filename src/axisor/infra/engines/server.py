"""One embedded server as a child process: spawned, waited for by its own word, stopped with a deadline."""

import os
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

import structlog

from axisor.domain.errors import InfraError
from axisor.infra import processes
from axisor.infra.engines.folder import Owner

log = structlog.get_logger(__name__)

_START_ATTEMPTS: Final = 3
_STOP_DEADLINE_S: Final = 20.0
_ORPHAN_GRACE_S: Final = 15.0
_LOG_TAIL: Final = 2000


class EngineFailed(InfraError):
    code = "engine_failed"


class EngineServer(ABC):
    """A database server in `home`, listening on 127.0.0.1 on a free port, which dies with this process."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, *, home: Path, owner: Owner, log_file: Path) -> None:
        self.home = home
        self.port = 0
        self._owner = owner
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder ready for a start: created, owned, nothing of an earlier run left."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the server's command line for `self.port`."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server answers a real request now."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, deadline_s: float = 60.0) -> None:
        """Start the server and return when it answers.

        Raises:
            EngineFailed: It ended or did not answer in time; the message holds the end of its log.
        """
        self.prepare()
        for attempt in range(1, _START_ATTEMPTS + 1):
            self.spawn(port=free_port())
            if processes.wait_until(lambda: not self.is_running() or self.is_ready(), deadline_s=deadline_s):
                if self.is_running():
                    log.info("engine_started", engine=self.name, pid=self.pid, port=self.port)
                    return
                if attempt < _START_ATTEMPTS and not _can_bind(self.port):
                    continue  # another program took the port between our look and the server's
            break
        self.stop()
        raise EngineFailed(f"{self.name} did not start; the end of {self._log_file}:\n{self._log_tail()}")

    def spawn(self, *, port: int | None = None) -> None:
        """Start the process without waiting, on the same port as before unless told otherwise.

        Call it from the main thread: the server is told to end when the thread that spawned it does.
        """
        if port is not None:
            self.port = port
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as out:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.home,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._before_exec(self._owner),  # noqa: PLW1509 - only prctl and unshare: no lock is taken
                **self._owner.popen_user(),
            )

    def ask_to_stop(self) -> None:
        """Ask the server to stop, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Stop the server cleanly; kill it when it does not end in time. Does nothing when it does not run."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self.ask_to_stop()
            try:
                process.wait(_STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                log.warning("engine_killed", engine=self.name, pid=process.pid)
                process.kill()
                process.wait()
        self._process = None

    def end_leftovers(self) -> None:
        """End the servers of an earlier run in this folder; only processes that work in it are touched."""
        leftovers = processes.working_in(self.home)
        if leftovers:
            log.warning("engine_leftovers", engine=self.name, pids=leftovers)
            processes.end_all(leftovers, signum=self.stop_signal, grace_s=_ORPHAN_GRACE_S)

    def _before_exec(self, owner: Owner) -> Callable[[], None]:
        die = processes.die_with_parent(self.stop_signal)
        if not owner.is_mapped or owner.uid is None:
            return die
        become = processes.map_root_to(owner.uid)

        def before_exec() -> None:
            become()  # first: a change of rights forgets the signal of the parent's death
            die()

        return before_exec

    def _log_tail(self) -> str:
        text = self._log_file.read_bytes()[-_LOG_TAIL:].decode(errors="replace") if self._log_file.exists() else ""
        return "\n".join(text.strip().splitlines()[-8:])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
