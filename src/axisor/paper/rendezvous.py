"""Lets a command of the same user find the control token of a running paper exchange by its port.

The token stands in a file that only this user can read, in the user's runtime folder.
"""

import os
import tempfile
from pathlib import Path

from axisor.domain.errors import ConfigurationError


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "axisor"
    return Path(tempfile.gettempdir()) / f"axisor-{os.getuid()}"


def _own_folder() -> Path:
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ConfigurationError(f"{folder} must belong to this user alone: remove it, it is made again")
    return folder


def leave_token(port: int, token: str) -> Path:
    """Return the file in which the token of the exchange at `port` now stands."""
    path = _own_folder() / f"exchange-{port}.token"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return path


def find_token(port: int) -> str:
    """Return the control token of the exchange that this user runs at `port`.

    Raises:
        ConfigurationError: no exchange of this user runs there.
    """
    path = _own_folder() / f"exchange-{port}.token"
    if not path.exists():
        raise ConfigurationError(
            f"no paper exchange of this user runs at port {port}: start one with axisor exchange --port {port}"
        )
    return path.read_text()
