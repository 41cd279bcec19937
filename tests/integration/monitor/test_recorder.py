"""Writes behind the guard: in order, past what the database refuses, and not lost with a torn line."""

from collections.abc import Callable
from dataclasses import replace
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


async def test_of_what_states_how_things_are_only_the_newest_is_written(scene: Scene) -> None:
    done: list[str] = []
    for name in ("trade 1 as it was", "trade 2", "trade 1 as it is"):
        scene.recorder.put(replace(a_write(name, "select 1", done), replaces=name[:7]))
    scene.recorder.put(a_write("after them", "select 1", done))

    await written(scene, done, lambda: "after them" in done)

    assert done == ["trade 1 as it is", "trade 2", "after them"]


async def test_one_refused_statement_does_not_cost_its_neighbours_their_place(scene: Scene) -> None:
    done: list[str] = []
    for name, statement in (("trade 1", "select 1"), ("trade 2", "select 1/0"), ("trade 3", "select 1")):
        scene.recorder.put(replace(a_write(name, statement, done), replaces=name))

    await written(scene, done, lambda: "trade 3" in done)

    assert done == ["trade 1", "trade 3"]


async def test_what_replaced_a_silent_write_still_tells_what_the_first_had_to_tell(scene: Scene) -> None:
    done: list[str] = []
    scene.recorder.put(replace(a_write("told", "select 1", done), replaces="balance"))
    scene.recorder.put(replace(a_write("silent", "select 1", done), after=None, replaces="balance"))
    scene.recorder.put(a_write("after them", "select 1", done))

    await written(scene, done, lambda: "after them" in done)

    assert done == ["told", "after them"]


async def test_more_than_the_queue_holds_is_never_reached_by_one_trade_alone(scene: Scene) -> None:
    done: list[str] = []
    scene.database.is_away = True
    for number in range(1_000):
        scene.recorder.put(replace(a_write(str(number), "select 1", done), replaces="one trade"))
    scene.database.is_away = False

    await written(scene, done, lambda: bool(done))

    assert done == ["999"]
