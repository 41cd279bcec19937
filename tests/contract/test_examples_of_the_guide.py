"""The examples of `docs/paper-exchange.md` do what the document says, run as they stand there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from tests.fixtures.exchange_process import ROOT, exchange_process, user_environment
from tests.fixtures.node import installed_project, node

from axisor.paper.config import PaperAddresses

GUIDE: Final = (ROOT / "docs" / "paper-exchange.md").read_text(encoding="utf-8")
PYTHON_REST, PYTHON_STREAM = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
TYPESCRIPT_REST, TYPESCRIPT_STREAM = re.findall(r"^```ts\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
CONTROL: Final = re.findall(r"^axisor (exchange control .*?)(?: {2,}#.*)?$", GUIDE, re.MULTILINE)
MOST_LINES: Final = 10
DEADLINE_S: Final = 30


@dataclass(frozen=True)
class Guided:
    """A running exchange and an account, made as the guide says, and a folder for the reader's files."""

    addresses: PaperAddresses
    folder: Path
    account: dict[str, str]

    @property
    def port(self) -> int:
        port = urlsplit(self.addresses.rest_url).port
        assert port is not None
        return port

    def filled_in(self, example: str) -> str:
        """Return an example with this exchange's port and this account's key."""
        keys = {"KEY": "key", "SECRET": "secret", "PASSPHRASE": "passphrase"}
        with_port = example.replace("9000", str(self.port))
        return re.sub(r"""(?<=['"])(KEY|SECRET|PASSPHRASE)(?=['"])""", lambda m: self.account[keys[m[0]]], with_port)

    def run(self, *command: str, **environ: str) -> str:
        """Return what a reader's command prints."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=user_environment(self.folder, NO_PROXY="*", **environ),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def trades(self) -> list[dict[str, Any]]:
        shown = self.run(*AXISOR, "exchange", "control", "--port", str(self.port), "GET", "/accounts/reader")
        trades: list[dict[str, Any]] = json.loads(shown)["trades"]
        return trades


AXISOR: Final = (sys.executable, "-P", "-m", "axisor")


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guided]:
    folder = tmp_path_factory.mktemp("guide")
    (folder / "node_modules").symlink_to(installed_project() / "node_modules")
    with exchange_process(folder, "--scenario", "manual") as addresses:
        guided = Guided(addresses, folder, {})
        create = ("exchange", "account", "create", "--port", str(guided.port), "--balance", "1000000")
        made = guided.run(*AXISOR, *create, "--username", "reader", "--json")
        guided.account.update(json.loads(made))
        yield guided


def lines_of(example: str) -> int:
    return sum(1 for line in example.splitlines() if line.strip())


@pytest.mark.parametrize("example", [PYTHON_REST, PYTHON_STREAM, TYPESCRIPT_REST, TYPESCRIPT_STREAM])
def test_an_example_has_ten_lines(example: str) -> None:
    assert lines_of(example) <= MOST_LINES


def test_the_python_example_opens_a_trade(guided: Guided) -> None:
    before = len(guided.trades())
    script = guided.folder / "example.py"
    script.write_text(guided.filled_in(PYTHON_REST))
    assert "running=True" in guided.run(sys.executable, "-P", str(script))
    assert len(guided.trades()) == before + 1


def test_the_typescript_example_opens_a_trade(guided: Guided) -> None:
    before = len(guided.trades())
    script = guided.folder / "example.mjs"
    script.write_text(guided.filled_in(TYPESCRIPT_REST))
    assert "running: true" in guided.run(node(), str(script))
    assert len(guided.trades()) == before + 1


def test_the_python_stream_example_hears_the_price(guided: Guided) -> None:
    script = guided.folder / "stream.py"
    script.write_text(PYTHON_STREAM)
    heard = guided.run(sys.executable, "-P", str(script), STREAM_V1_API_URL=guided.addresses.stream_url)
    assert "'lastPrice': 62000" in heard


def test_the_typescript_stream_example_hears_the_price(guided: Guided) -> None:
    script = guided.folder / "stream.mjs"
    script.write_text(guided.filled_in(TYPESCRIPT_STREAM))
    assert "lastPrice: 62000" in guided.run(node(), str(script))


def test_the_commands_that_make_it_hard_are_obeyed(guided: Guided) -> None:
    assert CONTROL
    answers = {
        command: json.loads(guided.run("sh", "-c", f"{' '.join(AXISOR)} {guided.filled_in(command)}"))
        for command in CONTROL
    }
    price, funding, fault, requests, books = answers.values()
    assert price["last_price"] == 55_000
    assert funding["fundingRate"] == 0.0005
    assert fault["kind"] == "lose_answer_after_apply"
    assert isinstance(requests, list)
    assert books["discrepancies"] == []
