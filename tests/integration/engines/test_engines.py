"""The embedded engines: data outlive every kind of end, processes outlive none."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import asyncpg
import pytest
import redis

from axisor.domain.errors import ConfigurationError
from axisor.infra import processes
from axisor.infra.engines import Engines

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 15.0


def execute(engines: Engines, *statements: str) -> list[object]:
    async def run() -> list[object]:
        connection = await asyncpg.connect(engines.postgres.url(), timeout=5)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()

    return asyncio.run(run())


def engines_in_a_child(folder: Path, *, tells_kernel: bool) -> subprocess.Popen[str]:
    """Start engines from another process, which prints their ids and waits."""
    program = f"""
        import time
        from pathlib import Path
        from axisor.infra import processes
        from axisor.infra.engines import Engines
        if not {tells_kernel}:
            processes.die_with_parent = lambda signum: lambda: None
        engines = Engines(Path({str(folder)!r}))
        engines.start()
        print(engines.postgres.pid, engines.valkey.pid, flush=True)
        time.sleep(60)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def printed_pids(child: subprocess.Popen[str]) -> list[int]:
    assert child.stdout is not None
    for line in child.stdout:
        words = line.split()
        if len(words) == 2 and all(word.isdecimal() for word in words):
            return [int(word) for word in words]
    raise AssertionError("the child ended before its engines ran")


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def gone(pids: list[int]) -> bool:
    return processes.wait_until(lambda: not any(processes.is_alive(pid) for pid in pids), deadline_s=DEADLINE_S)


def test_a_second_start_finds_the_data_of_the_first(used_folder: Path) -> None:
    with Engines(used_folder) as engines:
        execute(engines, "create table if not exists kept (n int)", "insert into kept values (1)")
        with redis.Redis.from_url(engines.valkey.url()) as client:
            client.set("kept", "1")
        pids = [engines.postgres.pid, engines.valkey.pid]
    assert not any(pid is None or processes.is_alive(pid) for pid in pids)
    with Engines(used_folder) as engines:
        assert execute(engines, "select count(*) from kept") == [1]
        with redis.Redis.from_url(engines.valkey.url()) as client:
            assert client.get("kept") == b"1"


def test_servers_killed_under_load_come_back_with_every_acknowledged_row(used_folder: Path) -> None:
    engines = Engines(used_folder)
    engines.start()
    try:
        execute(engines, "create table acknowledged as select generate_series(1, 1000) n")
        with redis.Redis.from_url(engines.valkey.url()) as client:
            client.incrby("counter", 7)
        for server in (engines.postgres, engines.valkey):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            assert processes.wait_until(lambda server=server: not server.is_running(), deadline_s=DEADLINE_S)
        engines.start()
        assert execute(engines, "select count(*) from acknowledged") == [1000]
        with redis.Redis.from_url(engines.valkey.url()) as client:
            assert client.get("counter") == b"7"
    finally:
        engines.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_the_servers_end_when_their_parent_is_killed(used_folder: Path) -> None:
    child = engines_in_a_child(used_folder, tells_kernel=True)
    pids = printed_pids(child)
    kill(child)
    assert gone(pids)


def test_servers_that_outlived_a_killed_parent_are_ended_by_the_next_start(used_folder: Path) -> None:
    child = engines_in_a_child(used_folder, tells_kernel=False)
    orphans = printed_pids(child)
    kill(child)
    assert all(processes.is_alive(pid) for pid in orphans)
    with Engines(used_folder) as engines:
        assert gone(orphans)
        assert execute(engines, "select 1") == [1]


def test_a_lock_file_whose_process_id_belongs_to_another_program_now_does_not_bar_the_start(used_folder: Path) -> None:
    lock = used_folder / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{used_folder / 'postgres'}\n", encoding="ascii")
    with Engines(used_folder) as engines:
        assert execute(engines, "select 1") == [1]


def test_the_servers_listen_on_loopback_alone_and_ask_for_a_password(used_folder: Path) -> None:
    with Engines(used_folder) as engines:
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(asyncpg.connect(engines.postgres.url(password="wrong"), timeout=5))
        with socket.create_connection(("127.0.0.1", engines.valkey.port), timeout=2) as stranger:
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(64).startswith(b"-NOAUTH")
        assert execute(engines, "show listen_addresses", "show ssl") == ["127.0.0.1", "off"]
        for server in (engines.postgres, engines.valkey):
            with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", server.port), timeout=2):
                pass


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's servers run as that user")
def test_under_root_the_servers_run_as_an_unlisted_user_that_stays_the_same(used_folder: Path) -> None:
    seen = set()
    for _ in range(2):
        with Engines(used_folder) as engines:
            for server in (engines.postgres, engines.valkey):
                seen.add(Path(f"/proc/{server.pid}").stat().st_uid)
    assert len(seen) == 1
    assert seen.isdisjoint({0, 65534})


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may enter folders of its own")
def test_under_root_the_servers_run_in_a_folder_that_only_root_can_reach(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with Engines(closed / "data") as engines:
        assert execute(engines, "select 1") == [1]
    assert closed.stat().st_mode & 0o777 == 0o700


def test_every_secret_is_readable_by_its_owner_alone(used_folder: Path) -> None:
    for secret in (used_folder / "engines" / "passwords.json", used_folder / "valkey" / "valkey.conf"):
        assert secret.stat().st_mode & 0o777 == 0o600
    password = Engines(used_folder).passwords["postgres"]
    assert password not in (used_folder / "logs" / "postgres.log").read_text(encoding="utf-8")


def test_a_folder_of_another_major_version_is_refused_with_the_way_out(used_folder: Path) -> None:
    version = used_folder / "postgres" / "PG_VERSION"
    present = version.read_text(encoding="ascii")
    version.write_text("17\n", encoding="ascii")
    try:
        with pytest.raises(ConfigurationError, match=r"made by PostgreSQL 17.*Go back to the release"):
            Engines(used_folder).start()
    finally:
        version.write_text(present, encoding="ascii")


def test_a_database_without_its_passwords_is_refused_with_the_way_out(open_folder: Path) -> None:
    (open_folder / "postgres").mkdir()
    with pytest.raises(ConfigurationError, match=r"passwords.json is missing.*backup"):
        Engines(open_folder)


def test_an_interrupted_first_start_leaves_nothing_half_made(open_folder: Path) -> None:
    draft = open_folder / "postgres.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n", encoding="ascii")
    with Engines(open_folder, is_durable=False) as engines:
        assert execute(engines, "select 1") == [1]
    assert not draft.exists()
