"""The port people open, and who has it when we cannot."""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axisor.domain.errors import AxisorError

DEFAULT_PORT: Final = 8000
_LISTEN_STATE: Final = "0A"
_TRIES: Final = 100


class PortTaken(AxisorError):
    code = "port_taken"


@dataclass(frozen=True)
class PortChoice:
    port: int
    taken: int | None
    """The port we would have preferred, when another program has it."""


def choose_port(requested: int | None, *, host: str = "127.0.0.1") -> PortChoice:
    """Return the port to listen on: the requested one or none, else the first free one from 8000 on.

    Raises:
        PortTaken: The requested port is taken; the message names the program where the system tells.
    """
    if requested is not None:
        if not _is_free(host, requested):
            raise PortTaken(f"port {requested} is taken by {listener_on(requested)}", port=requested)
        return PortChoice(port=requested, taken=None)
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        if _is_free(host, port):
            return PortChoice(port=port, taken=None if port == DEFAULT_PORT else DEFAULT_PORT)
    raise PortTaken(f"ports {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} are all taken: choose one with --port")


def listener_on(port: int) -> str:
    """Return the program that listens on `port`, as words for a message."""
    if sys.platform != "linux":
        return "another program"
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if any(str(link.readlink()) in sockets for link in (entry / "fd").iterdir()):
                name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (process {entry.name})"
        except OSError:  # it ended meanwhile, or it is another user's
            continue
    return "another program"


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for row in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = row.split()
            if fields[3] == _LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
