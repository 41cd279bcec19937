"""`axisor bench` as a program calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "axisor", "bench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def test_what_a_program_reads_is_nothing_but_json_though_a_server_starts() -> None:
    answer = bench("rekey-100", "--short", "--json")
    assert answer.returncode == 0, answer.stderr
    (result,) = json.loads(answer.stdout)["results"]
    assert [peer["name"] for peer in result["peers"]] == ["SortedList", "Valkey sorted sets, pipelined"]


def test_the_list_names_each_benchmark_without_running_it() -> None:
    answer = bench("--list")
    assert answer.returncode == 0
    assert [line.split()[0] for line in answer.stdout.splitlines()] == [
        "tick-1m",
        "rekey-100",
        "crash",
        "trail-100k",
        "funding-1m",
        "react",
    ]


def test_an_unknown_name_is_a_mistake_of_usage() -> None:
    answer = bench("tick-9m")
    assert answer.returncode == 2
    assert answer.stderr.startswith("axisor: there is no benchmark tick-9m; there are tick-1m")
