"""Roles are restarted when they die, killed when they hang, and never outlive their supervisor."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.fixtures.processes import until

from axisor.infra import processes
from axisor.infra.clock import SystemClock
from axisor.infra.supervisor import Heartbeat, RoleFailed, RoleSpec, Supervisor, end_leftovers

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("roles.py")
DEADLINE_S = 15.0


def role(kind: str, folder: Path, *, heartbeat: Heartbeat | None = None) -> RoleSpec:
    return RoleSpec(
        name=kind,
        command=[sys.executable, str(PROGRAM), kind, str(folder)],
        environ={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        heartbeat=heartbeat,
        start_deadline_s=DEADLINE_S,
        stop_deadline_s=1.0,
    )


def beating(folder: Path) -> RoleSpec:
    heartbeat = Heartbeat(file=folder / "heartbeat", dead_note=folder / "dead", hold_file=folder / "hold", limit_s=0.5)
    return role("beats", folder, heartbeat=heartbeat)


def supervisor(folder: Path) -> Supervisor:
    return Supervisor(run_dir=folder, log_dir=folder / "logs", clock=SystemClock())


def runs(folder: Path, kind: str) -> list[int]:
    return [int(line) for line in (folder / f"{kind}.runs").read_text(encoding="ascii").split()]


async def test_a_role_counts_as_started_once_it_says_so_and_ends_cleanly_when_asked(tmp_path: Path) -> None:
    async with supervisor(tmp_path).running() as running:
        await running.start([role("good", tmp_path)])
        assert running.pid("good") == runs(tmp_path, "good")[0]
        await running.stop([["good"]])
        assert running.pid("good") is None
    assert (tmp_path / "good.clean").exists()


async def test_a_role_that_dies_is_started_again(tmp_path: Path) -> None:
    async with supervisor(tmp_path).running() as running:
        await running.start([role("good", tmp_path)])
        for count in (2, 3):
            os.kill(runs(tmp_path, "good")[-1], signal.SIGKILL)
            await until(lambda count=count: len(runs(tmp_path, "good")) == count, within_s=DEADLINE_S)
        await until(lambda: running.pid("good") == runs(tmp_path, "good")[-1], within_s=DEADLINE_S)
    assert not any(processes.is_alive(pid) for pid in runs(tmp_path, "good"))


async def test_a_role_that_cannot_start_fails_the_start_with_its_own_words(tmp_path: Path) -> None:
    async with supervisor(tmp_path).running() as running:
        with pytest.raises(RoleFailed, match="fails ended during its start: it cannot start like this"):
            await running.start([role("good", tmp_path), role("fails", tmp_path)])
    assert not any(processes.is_alive(pid) for pid in runs(tmp_path, "good"))


async def test_a_role_that_ignores_the_request_to_end_is_killed_at_its_deadline(tmp_path: Path) -> None:
    async with supervisor(tmp_path).running() as running:
        await running.start([role("deaf", tmp_path)])
        began = time.monotonic()
        await running.stop([["deaf"]])
        assert time.monotonic() - began < 3
    assert not processes.is_alive(runs(tmp_path, "deaf")[0])


@pytest.mark.parametrize("way", ["hangs", "is frozen"])
async def test_a_role_whose_heartbeat_stops_is_killed_noted_as_dead_and_replaced(tmp_path: Path, way: str) -> None:
    async with supervisor(tmp_path).running() as running:
        await running.start([beating(tmp_path)])
        first = runs(tmp_path, "beats")[0]
        began = time.monotonic()
        if way == "hangs":
            (tmp_path / "hang").touch()
        else:
            os.kill(first, signal.SIGSTOP)
        await until(lambda: not processes.is_alive(first), within_s=DEADLINE_S)
        (tmp_path / "hang").unlink(missing_ok=True)
        await until(lambda: len(runs(tmp_path, "beats")) == 2 and running.pid("beats") is not None, within_s=DEADLINE_S)
        assert time.monotonic() - began < 4
        assert (tmp_path / "dead").read_text(encoding="ascii").strip() == str(first)


async def test_a_held_role_is_killed_stays_down_for_the_stated_time_and_comes_back(tmp_path: Path) -> None:
    async with supervisor(tmp_path).running() as running:
        await running.start([beating(tmp_path)])
        first = runs(tmp_path, "beats")[0]
        (tmp_path / "hold").write_text("0.6\n", encoding="ascii")
        await until(lambda: not processes.is_alive(first), within_s=DEADLINE_S)
        killed = time.monotonic()
        await until(lambda: len(runs(tmp_path, "beats")) == 2, within_s=DEADLINE_S)
        assert 0.5 < time.monotonic() - killed < 3
        assert not (tmp_path / "hold").exists()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_no_role_outlives_a_killed_supervisor_beyond_the_next_start(tmp_path: Path, is_frozen: bool) -> None:
    program = f"""
        import asyncio
        from pathlib import Path
        from tests.integration.supervisor.test_supervisor import role, supervisor
        async def main():
            folder = Path({str(tmp_path)!r})
            async with supervisor(folder).running() as running:
                await running.start([role("good", folder)])
                print("started", flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, env=environ
    )
    with child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != "started":
            assert child.poll() is None
        pid = runs(tmp_path, "good")[0]
        if is_frozen:
            os.kill(pid, signal.SIGSTOP)
        child.kill()
    if is_frozen:
        assert processes.is_alive(pid)
        assert end_leftovers(tmp_path) == [pid]
    assert processes.wait_until(lambda: not processes.is_alive(pid), deadline_s=DEADLINE_S)
    assert end_leftovers(tmp_path) == []


def test_a_noted_process_id_that_belongs_to_another_program_by_now_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "children.json").write_text(
        json.dumps({"good": {"pid": os.getpid(), "started_at": "1"}}), encoding="utf-8"
    )
    assert end_leftovers(tmp_path) == []
