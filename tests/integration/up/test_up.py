"""`axisor up` on real engines and real roles: one command starts everything, and nothing survives it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.fixtures.up import DEADLINE_S, Up, belonging_to, eventually, gets_ok

from axisor.infra import processes

ROLES = {"api", "monitor", "worker", "scheduler", "exchange"}


def test_one_command_starts_everything_and_the_interrupt_leaves_no_process(
    up_in: Callable[..., Up], open_folder: Path
) -> None:
    up = up_in()
    url = up.await_open()
    assert gets_ok(f"{url}/readyz")
    assert set(up.role_pids()) == ROLES

    second = up_in()
    assert second.process.wait(DEADLINE_S) == 0
    assert f"Already running as process {up.process.pid}: {url}" in second.output

    began = time.monotonic()
    assert up.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 5
    assert "No process left. ./axisor up continues where you were." in up.output
    assert belonging_to(open_folder) == []
    secrets = (open_folder / "demo" / "engines" / "passwords.json", open_folder / "demo" / "keys" / "master.key")
    for secret in secrets:
        assert secret.stat().st_mode & 0o777 == 0o600


def test_a_monitor_that_is_killed_frozen_or_held_comes_back_by_itself(
    up_in: Callable[..., Up], open_folder: Path
) -> None:
    up = up_in()
    up.await_open()
    run_dir = open_folder / "demo" / "run"

    def another_than(pid: int) -> bool:
        return up.role_pids().get("monitor", pid) != pid

    for way in (signal.SIGKILL, signal.SIGSTOP):
        pid = up.role_pids()["monitor"]
        os.kill(pid, way)
        began = time.monotonic()
        assert eventually(lambda pid=pid: another_than(pid))
        assert time.monotonic() - began < 5
        assert not processes.is_alive(pid)
        # The successor has taken the lease once it has read, and removed, the note of its predecessor's death.
        assert eventually(lambda: not (run_dir / "monitor.dead").exists())

    pid = up.role_pids()["monitor"]
    (run_dir / "monitor.hold").write_text("1.5\n", encoding="ascii")
    assert eventually(lambda: not processes.is_alive(pid))
    held = time.monotonic()
    assert eventually(lambda: another_than(pid))
    assert time.monotonic() - held > 1
    assert up.end(signal.SIGTERM) == 0


def test_after_a_kill_of_the_parent_nothing_lives_on_and_the_next_start_recovers_on_another_port(
    up_in: Callable[..., Up], open_folder: Path
) -> None:
    up = up_in()
    up.await_open()
    frozen = up.role_pids()["worker"]
    os.kill(frozen, signal.SIGSTOP)
    up.process.kill()
    up.process.wait()
    assert eventually(lambda: set(belonging_to(open_folder)) <= {frozen})
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8000))
            other.listen()
        except OSError:
            pass  # somebody has the port already: as good
        again = up_in()
        url = again.await_open()
    assert not processes.is_alive(frozen)
    assert not url.endswith(":8000")
    assert "8000 is taken by another program: using " in again.output
    assert again.end(signal.SIGHUP) == 0
    assert belonging_to(open_folder) == []


def test_the_ledger_is_verified_beside_the_running_instance_and_after_its_end_without_any_variable(
    up_in: Callable[..., Up], open_folder: Path
) -> None:
    up = up_in()
    up.await_open()

    def look(command: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
        here = Path(__file__).resolve().parents[3] / "src"
        return subprocess.run(
            [sys.executable, "-m", "axisor", "ledger", command, "--data-dir", str(open_folder), "--json"],
            env={**clean, "PYTHONPATH": str(here)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def has_entries() -> bool:
        return any(each["entries"] for each in json.loads(look("verify").stdout)["accounts"])

    assert eventually(has_entries)
    again = look("replay")
    assert (again.returncode, json.loads(again.stdout)["different"]) == (0, [])
    assert up.end(signal.SIGTERM) == 0
    after = look("verify")
    assert (after.returncode, json.loads(after.stdout)["is_whole"]) == (0, True), after.stderr
    assert belonging_to(open_folder) == []
