"""Writes behind the guard: in order, past what the database refuses, and not lost with a torn line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text
from tests.integration.monitor.conftest import Scene, until

from axisor.features.execution.recorder import Recorder, Write
from axisor.features.execution.spool import LineKind, Spool, SpoolLine

A_LINE = SpoolLine(kind=LineKind.DECISION, decision={"action": "hold"})


def a_write(name: str, statement: str, done: list[str], *, spool: tuple[SpoolLine, ...] = ()) -> Write:
    async def run(connection: Any) -> None:
        await connection.execute(text(statement))

    return Write(name, run, spool, after=lambda: done.append(name))


def a_write_of(values: dict[str, Any], done: list[str]) -> Write:
    async def run(connection: Any) -> None:
        await connection.execute(text("select cast(:number as bigint)"), values)

    return Write("argument", run, after=lambda: done.append("argument"))


async def written(scene: Scene, done: list[str], look: Callable[[], bool]) -> None:
    scene.processes.start(scene.recorder.run(), name="recorder")
    await until(look, what="the writes", deadline_s=10)


async def test_a_write_that_the_database_refuses_holds_up_nothing(scene: Scene) -> None:
    done: list[str] = []
    scene.recorder.put(a_write("division", "select 1/0", done))
    scene.recorder.put(a_write("table", "select * from nowhere", done))
    scene.recorder.put(a_write_of({"number": "many"}, done))
    scene.recorder.put(a_write("sound", "select 1", done))

    await written(scene, done, lambda: "sound" in done)

    assert done == ["sound"]
    assert not scene.recorder.is_database_away


async def test_the_content_of_a_refused_write_is_set_aside(scene: Scene) -> None:
    done: list[str] = []
    scene.recorder.put(a_write("refused", "select 1/0", done, spool=(A_LINE,)))
    refused = scene.folder / "spool" / "shard-0.refused.jsonl"

    await written(scene, done, lambda: refused.exists() and scene.spool.is_empty)

    assert refused.read_bytes().count(b"\n") == 1


async def test_writes_wait_for_a_database_that_is_away_and_keep_their_order(scene: Scene) -> None:
    done: list[str] = []
    scene.database.is_away = True
    for name in ("first", "second", "third"):
        scene.recorder.put(a_write(name, "select 1", done))
    scene.processes.start(scene.recorder.run(), name="recorder")
    await until(lambda: scene.recorder.is_database_away, what="the outage is noticed")

    scene.database.is_away = False
    await until(lambda: len(done) == 3, what="the writes")

    assert done == ["first", "second", "third"]


async def test_what_is_queued_at_the_end_is_still_written(scene: Scene) -> None:
    done: list[str] = []
    recorder = Recorder(scene.database, scene.spool, scene.clock)
    recorder.put(a_write("last", "select 1", done))

    assert await recorder.drain(deadline_s=2)
    assert done == ["last"]


async def test_what_cannot_be_written_at_the_end_is_spooled(scene: Scene) -> None:
    scene.database.is_away = True
    recorder = Recorder(scene.database, scene.spool, scene.clock)
    recorder.put(a_write("last", "select 1", [], spool=(A_LINE,)))

    assert not await recorder.drain(deadline_s=2)
    assert not scene.spool.is_empty


def test_a_line_after_a_torn_one_is_not_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "shard-0")
    spool.write(A_LINE)
    with (tmp_path / "shard-0.jsonl").open("ab") as file:
        file.write(b'{"kind":"sent","att')

    spool.write(A_LINE)

    lines, end = spool.read()
    assert lines == [A_LINE, A_LINE]
    spool.drop(end)
    assert spool.is_empty
