"""`axisor up` on real engines and real roles: one command starts everything, and nothing survives it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axisor.infra import processes

ROOT = Path(__file__).resolve().parents[3]
START_DEADLINE_S = 90.0
DEADLINE_S = 30.0
ROLES = {"api", "monitor", "worker", "scheduler", "exchange"}


class Up:
    """One `axisor up`, its words, and the processes that belong to its folder."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.lines: list[str] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AXISOR_", "SSH_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "axisor", "up", "--data-dir", str(data_dir), *arguments],
            env={**clean, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def await_open(self) -> str:
        """Return the address that was printed once everything ran."""
        assert processes.wait_until(
            lambda: any(line.startswith("Open  ") for line in self.lines) or self.process.poll() is not None,
            deadline_s=START_DEADLINE_S,
        ), self.output
        found = [line.split()[1] for line in self.lines if line.startswith("Open  ")]
        assert found, self.output
        return found[0].split("#")[0].rstrip("/")

    def end(self, signum: signal.Signals) -> int:
        self.process.send_signal(signum)
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def role_pids(self) -> dict[str, int]:
        """Return the roles' process ids, as the supervisor noted them."""
        noted = json.loads((self.data_dir / "demo" / "run" / "children.json").read_text(encoding="utf-8"))
        return {name: child["pid"] for name, child in noted.items() if processes.is_alive(child["pid"])}


def belonging_to(folder: Path) -> list[int]:
    """Return every process that knows `folder`, by its environment, command line or working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            texts = [(entry / name).read_bytes() for name in ("environ", "cmdline")]
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if where.startswith(str(folder)) or any(str(folder).encode() in text for text in texts):
            found.append(int(entry.name))
    return found


def gets_ok(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200


def eventually(condition: Callable[[], bool]) -> bool:
    return processes.wait_until(condition, deadline_s=DEADLINE_S)


@pytest.fixture
def up_in(open_folder: Path) -> Iterator[Callable[..., Up]]:
    """Starts `axisor up` in a folder of this test; kills what a failing test leaves."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(open_folder, *arguments))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()
        assert up.process.stdout is not None
        up._reader.join(DEADLINE_S)
        up.process.stdout.close()
    assert eventually(lambda: not belonging_to(open_folder))


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
