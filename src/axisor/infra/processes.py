"""Child processes that never outlive us, and the search for those of an earlier run."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.01
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` after which the kernel sends `signum` to the child when its parent's thread dies.

    Call the spawning from the main thread: the signal is sent when the *thread* that spawned ends. Linux only;
    elsewhere the child is left to its own watch (`axisor.infra.ready`) or found by the next start.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return before_exec


def map_root_to(uid: int) -> Callable[[], None]:
    """Return a `preexec_fn` that makes root look like `uid` in a user namespace of its own.

    For servers that refuse to run as root in a folder that only root can reach.
    """

    def before_exec() -> None:
        os.unshare(os.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{uid} 0 1", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} 0 1", encoding="ascii")

    return before_exec


def can_map_root() -> bool:
    """Return whether this machine lets root make a user namespace."""
    if sys.platform != "linux":
        return False
    try:
        subprocess.run(["/bin/true"], preexec_fn=map_root_to(1000), check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process with this id exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def started_at(pid: int) -> str | None:
    """Return a token that tells this process from another one with the same id later; None when there is none."""
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        return fields[19] if fields else None
    answer = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def working_in(folder: Path) -> list[int]:
    """Return the processes whose working directory is exactly `folder`: a database server's are in its data folder."""
    wanted = str(folder.resolve())
    if sys.platform == "linux":
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                where = (entry / "cwd").readlink()
            except OSError:  # it ended meanwhile, or it is another user's
                continue
            if str(where) == wanted and _state(int(entry.name)) != "Z":
                found.append(int(entry.name))
        return sorted(found)
    answer = subprocess.run(["/usr/sbin/lsof", "-t", "-a", "-d", "cwd", "--", wanted], capture_output=True, check=False)
    return sorted(int(pid) for pid in answer.stdout.split())


def wait_until(condition: Callable[[], bool], *, deadline_s: float) -> bool:
    """Return whether `condition` came true within `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def end_all(pids: Iterable[int], *, signum: signal.Signals, grace_s: float) -> None:
    """End these processes: `signum` first, SIGKILL to those that are still there after `grace_s` seconds."""
    left = list(pids)

    def are_gone() -> bool:
        return not any(is_alive(pid) for pid in left)

    for step in (signum, signal.SIGKILL):
        for pid in left:
            _send(pid, step)
        if wait_until(are_gone, deadline_s=grace_s):
            return


def _send(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def _state(pid: int) -> str:
    fields = _stat_fields(pid) if sys.platform == "linux" else None
    return fields[0] if fields else "?"


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the program's name: state first, start time as number 19."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
