"""The database of an instance on this machine, for commands that look into it: running or not."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from axisor.cli.instance import DATABASE, Instance, choose
from axisor.cli.up import data_root
from axisor.domain.errors import ConfigurationError
from axisor.infra import logs
from axisor.infra.db.provision import provision
from axisor.infra.engines import Engines, folder
from axisor.settings import load

WORKER: Final = "axisor_worker"
_PORT_LINE: Final = 3
"""Where `postmaster.pid` states the port."""


@contextmanager
def worker_database(environ: Mapping[str, str], *, data_dir: Path | None, wants_demo: bool | None) -> Iterator[str]:
    """Yield the address of the database for the workers' role.

    The one the environment names; else that of the instance that runs on this machine; else the instance's own
    database is started for as long as it is needed.

    Raises:
        ConfigurationError: there is none, or its tables are those of another release.
    """
    settings = load(environ)
    try:
        if settings.database.worker is not None:
            yield settings.database.worker_url
            return
        place = choose(data_root(data_dir, environ), wants_demo=wants_demo)
        if not (place.data_dir / "postgres" / "PG_VERSION").exists():
            raise ConfigurationError(
                f"there is no database in {place.data_dir}: run  axisor up  first, name its folder with --data-dir, or "
                "set AXISOR_DATABASE_WORKER_URL to a database of your own"
            )
        running = place.lock()
        if running is not None:
            yield _running_url(place)
            return
        try:
            logs.configure(
                role="ledger",
                level=settings.logging.level,
                form=settings.logging.format,
                log_dir=place.log_dir,
                to_stderr=False,
            )
            yield from _started(place)
        finally:
            place.unlock()
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise ConfigurationError(
            f"the database does not hold what this release reads ({reason}): run  axisor up  once"
        ) from error


def _running_url(place: Instance) -> str:
    """Return the address of the database that a running instance has started."""
    passwords = folder.passwords(place.data_dir)
    try:
        lines = (place.data_dir / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        port = int(lines[_PORT_LINE])
    except (OSError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"the instance in {place.data_dir} runs without a database of its own, or is just starting: set "
            "AXISOR_DATABASE_WORKER_URL to the one it uses, or try again in a moment"
        ) from error
    return f"postgresql://{WORKER}:{passwords[WORKER]}@127.0.0.1:{port}/{DATABASE}"


def _started(place: Instance) -> Iterator[str]:
    engines = Engines(place.data_dir)
    engines.postgres.start()
    try:
        asyncio.run(provision(engines.postgres.url(), database=DATABASE, passwords=engines.role_passwords))
        yield engines.database_url(WORKER, database=DATABASE)
    finally:
        engines.postgres.stop()
