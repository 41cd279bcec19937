"""The words between a supervisor and its children: ready, and still alive."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Final

_GRACE_S: Final = 5.0


@dataclass
class _Attached:
    ready_fd: int | None = None
    is_supervised: bool = False


_attached = _Attached()


def attach(*, ready_fd: int | None, parent_fd: int | None) -> None:
    """Take the two file descriptors that a supervisor handed over; both None when started by hand.

    From now on this process ends when the supervisor dies, however it dies: it is asked with SIGTERM and, when it is
    too busy to hear it, leaves hard 5 s later. Works where the kernel cannot signal the death of a parent.
    """
    _attached.ready_fd = ready_fd
    if ready_fd is not None:
        os.set_inheritable(ready_fd, False)
    _attached.is_supervised = parent_fd is not None
    if parent_fd is not None:
        os.set_inheritable(parent_fd, False)
        threading.Thread(target=_end_with_parent, args=(parent_fd,), name="parent-watch", daemon=True).start()


def is_attached() -> bool:
    """Return whether a supervisor started this process."""
    return _attached.is_supervised


def signal_ready(fd: int | None = None) -> None:
    """Tell the supervisor, if there is one, that this role now does its work. Later calls do nothing.

    Args:
        fd: `settings.process.ready_fd` where `attach` was not called.
    """
    target = _attached.ready_fd if _attached.ready_fd is not None else fd
    _attached.ready_fd = None
    if target is None:
        return
    try:
        os.write(target, b"1")
        os.close(target)
    except OSError:
        return  # said before, or the supervisor is gone: then the watch on its death ends this process


def _end_with_parent(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)
