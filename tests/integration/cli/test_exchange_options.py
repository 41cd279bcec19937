"""What the command line says about the market reaches the exchange that runs."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.processes import child_environment

from axisor.paper.market.stories import STORIES

TOKEN = "t" * 32


def environment(folder: Path) -> dict[str, str]:
    ours = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "AXISOR_PAPER_CONTROL_TOKEN": TOKEN, "COLUMNS": "100"}
    clean = {name: value for name, value in child_environment().items() if not name.startswith("AXISOR_")}
    return clean | ours


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "axisor", "exchange", *arguments]


@contextmanager
def an_exchange(folder: Path, *arguments: str) -> Iterator[str]:
    """Run the exchange as a user does; give the address of its control interface."""
    with subprocess.Popen(
        command(*arguments), env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            rest_url = process.stdout.readline().split()[1]
            yield rest_url.removesuffix("/v3") + "/control"
        finally:
            process.terminate()


def market(control_url: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{control_url}/market", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        state = json.load(answer)
    assert isinstance(state, dict)
    return state


def test_speed_and_what_liquidates_are_chosen_on_the_command_line(tmp_path: Path) -> None:
    with an_exchange(tmp_path, "--scenario", "bear", "--speed", "max", "--liquidates-on", "quote") as control_url:
        first = market(control_url)
        assert (first["scenario"], first["speed"], first["liquidates_on"]) == ("bear", "max", "quote")
        assert market(control_url)["market_ms"] > first["market_ms"]


def test_unless_told_otherwise_the_last_price_liquidates_in_real_time(tmp_path: Path) -> None:
    with an_exchange(tmp_path) as control_url:
        state = market(control_url)
        assert (state["scenario"], state["speed"], state["liquidates_on"]) == ("calm", 1.0, "last")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "moon"], "there is no market called 'moon': choose one of crash, "),
        (["--speed", "fast"], "--speed is max or a number from 0.1 to 100000, not fast"),
        (["--speed", "0"], "--speed is max or a number from 0.1 to 100000, not 0"),
    ],
)
def test_a_market_that_cannot_be_played_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    answer = subprocess.run(
        command(*arguments), env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 2
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_help_tells_every_scenario_in_its_line(tmp_path: Path) -> None:
    answer = subprocess.run(
        command("--help"), env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    lines = {line.strip() for line in answer.stdout.splitlines()}
    assert {f"{name:<8} {story}" for name, story in STORIES.items()} <= lines
