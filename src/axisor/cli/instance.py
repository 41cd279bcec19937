"""One instance of Axisor on this machine: its folder, its lock, its keys, and what its processes are told."""

import base64
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from axisor.domain.errors import ConfigurationError
from axisor.infra.engines import folder
from axisor.settings import PREFIX, Settings

DATABASE: Final = "axisor"
"""The database of an instance, in engines of its own."""
_KEY_BYTES: Final = 32
_CHECKOUT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Running:
    """Who runs an instance."""

    pid: int
    url: str | None


class Instance:
    """The folder of the demo or of the real instance."""

    def __init__(self, root: Path, kind: Literal["demo", "live"]) -> None:
        self.kind = kind
        self.data_dir = root.expanduser().absolute() / kind
        self.run_dir = self.data_dir / "run"
        self.log_dir = self.data_dir / "logs"
        self._lock: int | None = None

    @property
    def is_demo(self) -> bool:
        return self.kind == "demo"

    @property
    def url(self) -> str | None:
        """The address at which this instance was opened last."""
        return self._note().url

    def open(self) -> None:
        """Make the folder.

        Raises:
            ConfigurationError: It cannot be made or used, or lies inside the checkout.
        """
        if self.data_dir.is_relative_to(_CHECKOUT) and (_CHECKOUT / "pyproject.toml").exists():
            raise ConfigurationError(
                f"{self.data_dir} lies inside the checkout, where  git clean  would delete it: choose another folder"
            )
        if not self.data_dir.parent.exists():
            folder.open_folder(self.data_dir.parent)  # an existing one is the user's: its rights stay as they are
        folder.open_folder(self.data_dir)
        self.run_dir.mkdir(exist_ok=True, mode=0o700)
        self.log_dir.mkdir(exist_ok=True, mode=0o755)

    def lock(self) -> Running | None:
        """Become the one that runs this instance; return who does if somebody else already does.

        The lock is the kernel's: it is gone with its process, however that ended.
        """
        descriptor = os.open(self.run_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return self._note()
        self._lock = descriptor
        self.announce(url=None)
        return None

    def announce(self, *, url: str | None) -> None:
        """Write down who runs this instance, and where."""
        folder.write_secret(self.run_dir / "up.json", json.dumps({"pid": os.getpid(), "url": url}))

    def unlock(self) -> None:
        """Let another process run this instance."""
        if self._lock is not None:
            (self.run_dir / "up.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def make_keys(self, settings: Settings) -> dict[str, str]:
        """Return the variables that lead the processes to their keys, made at the first start."""
        given = {"MASTER_KEY": settings.keys.master, "JWT_KEY": settings.keys.jwt}
        variables = {}
        for name, value in given.items():
            if value is not None:
                continue  # told by the environment, which the processes inherit
            path = self.data_dir / "keys" / f"{name.removesuffix('_KEY').lower()}.key"
            if not path.exists():
                folder.write_secret(path, _new_key() + "\n")
            variables[f"{PREFIX}{name}_FILE"] = str(path)
        if settings.api.internal_key is None:
            path = self.run_dir / "internal.key"
            folder.write_secret(path, _new_key() + "\n")
            variables[f"{PREFIX}INTERNAL_KEY_FILE"] = str(path)
        return variables

    def _note(self) -> Running:
        try:
            note = json.loads((self.run_dir / "up.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Running(pid=0, url=None)
        return Running(pid=int(note["pid"]), url=note["url"])


def choose(root: Path, *, wants_demo: bool | None) -> Instance:
    """Return the instance to start: the demo until a real account is connected, the real one from then on."""
    live = Instance(root, "live")
    if wants_demo is None:
        wants_demo = not (live.data_dir / "connected").exists()
    return Instance(root, "demo") if wants_demo else live


def role_command(role: str, *arguments: str) -> list[str]:
    """Return the command line of one role in the same interpreter."""
    return [sys.executable, "-P", "-m", "axisor", role, *arguments]


def child_environ(environ: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process: what we were given, overridden by what we found out."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *(path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != source)]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths), **ours}


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
