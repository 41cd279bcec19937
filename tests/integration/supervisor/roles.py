"""Small programs that behave like roles, good and bad; started as `python roles.py KIND FOLDER`."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from axisor.infra import ready
from axisor.infra.supervisor import write_heartbeat

BEAT_S = 0.05


def main(kind: str, folder: Path) -> None:
    with (folder / f"{kind}.runs").open("a", encoding="ascii") as runs:
        runs.write(f"{os.getpid()}\n")
    if kind == "fails":
        print("it cannot start like this", flush=True)  # noqa: T201 - its last words, which the test reads
        sys.exit(1)
    ready.attach(
        ready_fd=int(os.environ["AXISOR_READY_FD"]),
        parent_fd=int(os.environ["AXISOR_PARENT_FD"]),
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: None if kind == "deaf" else stop.set())
    if kind == "beats":
        write_heartbeat(folder / "heartbeat", boottime_s=time.clock_gettime(time.CLOCK_BOOTTIME))
    ready.signal_ready()
    while not stop.wait(BEAT_S):
        if kind == "beats" and not (folder / "hang").exists():
            write_heartbeat(folder / "heartbeat", boottime_s=time.clock_gettime(time.CLOCK_BOOTTIME))
    (folder / f"{kind}.clean").touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
