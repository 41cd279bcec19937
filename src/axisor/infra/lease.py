"""The lease of one host: a file that says which process may send, until when, and under which fence.

The file {owner_pid, owner, fence, expires_boottime_s, is_released} is replaced under a short lock. Times are on the
boot-time clock, which counts the time a machine sleeps: a process that wakes late finds its lease gone. The fence grows
by one with each acquisition and is written into every attempt.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from axisor.domain.errors import LeaseLost
from axisor.ports.clock import Clock


class LeaseRecord(msgspec.Struct, frozen=True):
    """What the file holds. `boot_id` tells a record of an earlier boot, whose clock says nothing today."""

    owner: str
    owner_pid: int
    fence: int
    expires_boottime_s: float
    is_released: bool
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What the new owner must know about its predecessor.

    `predecessor_ends_boottime_s` is the latest instant at which the predecessor may have sent; None where it
    released the lease cleanly, or never was.
    """

    fence: int
    predecessor_ends_boottime_s: float | None


class FileLease:
    """One named lease in a folder."""

    def __init__(self, folder: Path, name: str, *, owner: str, ttl_s: float, clock: Clock) -> None:
        self._path = folder / f"{name}.lease"
        self._lock_path = folder / f"{name}.lock"
        self._owner = owner
        self._ttl_s = ttl_s
        self._clock = clock
        self._fence: int | None = None
        self._expires_s = float("-inf")
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def fence(self) -> int:
        """Return the fence of the held lease.

        Raises:
            LeaseLost: no lease is held.
        """
        if self._fence is None:
            raise LeaseLost("no lease is held")
        return self._fence

    @property
    def is_held(self) -> bool:
        """Return whether this process may send at this instant."""
        return self._fence is not None and self._clock.boottime_s() < self._expires_s

    @property
    def expires_boottime_s(self) -> float:
        """Return when the held lease ends unless it is renewed."""
        return self._expires_s

    def try_acquire(self, *, is_dead_pid: int | None = None) -> Takeover | None:
        """Take the lease if it is free, released, expired, or held by a process known to be dead.

        Args:
            is_dead_pid: A process that was seen to be dead (reaped by its parent).
        """
        now_s = self._clock.boottime_s()
        with self._locked():
            present = self._read()
            if present is not None and present.boot_id == self._boot_id():
                is_free = (
                    present.is_released
                    or present.expires_boottime_s <= now_s
                    or present.owner_pid == is_dead_pid
                    or not self._is_alive(present.owner_pid)
                )
                if not is_free and present.owner != self._owner:
                    return None
            fence = 1 if present is None else present.fence + 1
            ends_s = None
            if present is not None and not present.is_released:
                # The owner of a lease of an earlier boot sent whatever it sent before this boot.
                ends_s = min(present.expires_boottime_s, now_s) if present.boot_id == self._boot_id() else 0.0
            self._write(fence, now_s + self._ttl_s, is_released=False)
            self._fence = fence
            self._expires_s = now_s + self._ttl_s
            return Takeover(fence=fence, predecessor_ends_boottime_s=ends_s)

    def renew(self) -> None:
        """Prolong the lease.

        Raises:
            LeaseLost: it expired, or another process holds it; this one must stop sending.
        """
        now_s = self._clock.boottime_s()
        with self._locked():
            present = self._read()
            if present is None or present.fence != self._fence or not self.is_held:
                self._fence = None
                raise LeaseLost("the lease was taken over or ran out", owner=self._owner)
            self._write(present.fence, now_s + self._ttl_s, is_released=False)
            self._expires_s = now_s + self._ttl_s

    def release(self) -> None:
        """Give the lease back: everything that was sent has been settled or recorded."""
        with self._locked():
            present = self._read()
            if present is not None and present.fence == self._fence:
                self._write(present.fence, self._clock.boottime_s(), is_released=True)
        self._fence = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._lock_path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> LeaseRecord | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=LeaseRecord)
        except FileNotFoundError:
            return None

    def _write(self, fence: int, expires_s: float, *, is_released: bool) -> None:
        record = LeaseRecord(self._owner, os.getpid(), fence, expires_s, is_released, self._boot_id())
        scratch = self._path.with_suffix(f".{os.getpid()}")
        with scratch.open("wb") as file:
            file.write(msgspec.json.encode(record))
            file.flush()
            os.fsync(file.fileno())  # a torn lease after a power cut would stop the guard
        scratch.replace(self._path)

    def _boot_id(self) -> str:
        path = Path("/proc/sys/kernel/random/boot_id")
        return path.read_text().strip() if path.exists() else "unknown"

    def _is_alive(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
