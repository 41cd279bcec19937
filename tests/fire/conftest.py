"""What scenarios under fire share: databases made from the template, and a few scenarios at a time."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import asyncpg
import pytest
from tests.fire.assault import Scenario, fight
from tests.fire.oracle import Judgement
from tests.fixtures.engines import DatabaseUrls

from axisor.infra.engines import Engines

AT_A_TIME: Final = 4
FIRST_VALKEY_DATABASE: Final = 32

type Place = tuple[Path, DatabaseUrls, str]
"""A folder, a database and an address of Valkey that one scenario has to itself."""


class Grounds:
    """Gives every scenario a place of its own on the engines of the run."""

    def __init__(self, engines: Engines, template: str) -> None:
        self._engines = engines
        self._template = template
        self._numbers = itertools.count(1)
        self._one_copy_at_a_time = Lock()

    @contextmanager
    def place(self) -> Iterator[Place]:
        engines, number = self._engines, next(self._numbers)
        name, superuser = f"axisor_fire_{number}", engines.postgres.url()
        with self._one_copy_at_a_time:
            statement = f"create database {name} template {self._template} owner axisor_owner"
            asyncio.run(_execute(superuser, statement))
        urls = DatabaseUrls(
            name=name,
            superuser=engines.postgres.url(database=name),
            owner=engines.database_url("axisor_owner", database=name),
            app=engines.database_url("axisor_app", database=name),
            guard=engines.database_url("axisor_guard", database=name),
            worker=engines.database_url("axisor_worker", database=name),
        )
        valkey_url = engines.valkey.url(database=FIRST_VALKEY_DATABASE + number % 32)
        with tempfile.TemporaryDirectory(prefix="axisor-fire-") as folder:
            yield Path(folder), urls, valkey_url
        asyncio.run(_execute(superuser, f"drop database {name} with (force)"))

    def fight(self, scenario: Scenario) -> Judgement:
        with self.place() as (folder, urls, valkey_url):
            return fight(scenario, folder, urls, valkey_url)


@pytest.fixture(scope="session")
def grounds(engines: Engines, database_template: str) -> Grounds:
    return Grounds(engines, database_template)


@pytest.fixture(scope="module")
def fights(request: pytest.FixtureRequest, grounds: Grounds) -> Iterator[Callable[[str], Judgement]]:
    """Fights the module's `SCENARIOS`, a few at a time; gives the judgement of one by its name."""
    scenarios: dict[str, Scenario] = request.module.SCENARIOS
    chosen = " ".join(item.name for item in request.session.items if item.module is request.module)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running: dict[str, Future[Judgement]] = {
            name: pool.submit(grounds.fight, scenario) for name, scenario in scenarios.items() if f"[{name}]" in chosen
        }
        try:
            yield lambda name: running[name].result()
        finally:
            for future in running.values():
                future.cancel()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
