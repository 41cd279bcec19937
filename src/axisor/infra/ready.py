"""The words between a supervisor and its children: ready, and still alive."""

import os
import signal
import threading
import time
from typing import Final

_GRACE_S: Final = 5.0


def signal_ready(fd: int | None) -> None:
    """Tell the supervisor, if there is one, that this role now does its work.

    Args:
        fd: `settings.process.ready_fd`; None when the role was started by hand.
    """
    if fd is None:
        return
    try:
        os.write(fd, b"1")
    except BrokenPipeError:
        return  # the supervisor is gone: the watch on its death ends this process
    finally:
        os.close(fd)


def end_with_parent(fd: int | None) -> None:
    """End this process when the supervisor that holds the other end of `fd` dies, however it dies.

    Asks with SIGTERM and, when the process is too busy to hear it, leaves hard 5 s later. Works where the kernel
    cannot signal the death of a parent.
    """
    if fd is None:
        return
    threading.Thread(target=_wait_for_parent, args=(fd,), name="parent-watch", daemon=True).start()


def _wait_for_parent(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)
