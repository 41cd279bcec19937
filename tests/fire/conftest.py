"""What scenarios under fire share: databases made from the template, and a few scenarios at a time."""

import asyncio
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import asyncpg
import pytest
from tests.fire.assault import Place, fight
from tests.fire.oracle import Judgement
from tests.fire.scenario import Scenario
from tests.fixtures.engines import DatabaseUrls

from axisor.infra.db.migrate import migrate
from axisor.infra.db.provision import provision
from axisor.infra.engines import Engines

AT_A_TIME: Final = 4
collect_ignore = [] if "AXISOR_TEST_LONG" in os.environ else ["test_long.py"]
FIRST_VALKEY_DATABASE: Final = 32


class Grounds:
    """Gives every scenario a place of its own: a database on the engines of the run, or engines of its own."""

    def __init__(self, engines: Engines, template: str) -> None:
        self._engines = engines
        self._template = template
        self._numbers = itertools.count(1)
        self._one_copy_at_a_time = Lock()

    @contextmanager
    def place(self, *, has_own_engines: bool = False) -> Iterator[Place]:
        with tempfile.TemporaryDirectory(prefix="axisor-fire-") as name:
            folder = Path(name)
            if has_own_engines:
                with Engines(folder / "engines") as engines:
                    superuser, database = engines.postgres.url(), "axisor"
                    asyncio.run(provision(superuser, database=database, passwords=engines.role_passwords))
                    migrate(engines.database_url("axisor_owner", database=database))
                    valkey_url = engines.valkey.url()
                    (folder / "data").mkdir()
                    yield Place(folder / "data", _urls(engines, database), valkey_url, engines)
                return
            number = next(self._numbers)
            database = f"axisor_fire_{number}"
            superuser = self._engines.postgres.url()
            with self._one_copy_at_a_time:
                statement = f"create database {database} template {self._template} owner axisor_owner"
                asyncio.run(_execute(superuser, statement))
            valkey_url = self._engines.valkey.url(database=FIRST_VALKEY_DATABASE + number % 32)
            yield Place(folder, _urls(self._engines, database), valkey_url)
            asyncio.run(_execute(superuser, f"drop database {database} with (force)"))

    def fight(self, scenario: Scenario) -> Judgement:
        with self.place(has_own_engines=scenario.has_own_engines) as place:
            return fight(scenario, place)


@pytest.fixture(scope="session")
def grounds(engines: Engines, database_template: str) -> Grounds:
    return Grounds(engines, database_template)


@contextmanager
def at_once[K, T](work: Mapping[K, Callable[[], T]], *, at_a_time: int = AT_A_TIME) -> Iterator[Callable[[K], T]]:
    """Yield a function that waits for one of several pieces of work, a few of which are done at a time."""
    with ThreadPoolExecutor(at_a_time) as pool:
        running: dict[K, Future[T]] = {name: pool.submit(do) for name, do in work.items()}
        try:
            yield lambda name: running[name].result()
        finally:
            for future in running.values():
                future.cancel()


def chosen(request: pytest.FixtureRequest, name: str) -> set[Any]:
    """Return the values of a parameter for which tests of this module are to run."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    return {
        item.callspec.params[name]
        for item in items
        if item.module is request.module and hasattr(item, "callspec") and name in item.callspec.params
    }


@pytest.fixture(scope="module")
def fights(request: pytest.FixtureRequest, grounds: Grounds) -> Iterator[Callable[[str], Judgement]]:
    """Fights the module's `SCENARIOS`, a few at a time; gives the judgement of one by its name.

    Those that need the machine for themselves are fought first.
    """
    names = chosen(request, "name")
    scenarios = {name: scenario for name, scenario in request.module.SCENARIOS.items() if name in names}
    alone = {name: grounds.fight(scenario) for name, scenario in scenarios.items() if scenario.is_alone}
    work = {
        name: lambda scenario=scenario: grounds.fight(scenario)
        for name, scenario in scenarios.items()
        if not scenario.is_alone
    }
    with at_once(work, at_a_time=getattr(request.module, "AT_A_TIME", AT_A_TIME)) as judgement_of:
        yield lambda name: alone[name] if name in alone else judgement_of(name)


def _urls(engines: Engines, database: str) -> DatabaseUrls:
    return DatabaseUrls(
        name=database,
        superuser=engines.postgres.url(database=database),
        owner=engines.database_url("axisor_owner", database=database),
        app=engines.database_url("axisor_app", database=database),
        guard=engines.database_url("axisor_guard", database=database),
        worker=engines.database_url("axisor_worker", database=database),
    )


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
