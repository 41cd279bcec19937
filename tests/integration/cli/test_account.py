"""`axisor account` on a real instance; the paper exchange answers under signet's name."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import Exchange, PaperAccount, running_stack

ROOT = Path(__file__).resolve().parents[3]
type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def exchange(
    tmp_path_factory: pytest.TempPathFactory, database_urls: DatabaseUrls, valkey_url: str
) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("exchange")
    with running_stack(folder, database_urls, valkey_url) as stack:
        yield stack.start_exchange("--scenario", "calm")


@pytest.fixture
def run(open_folder: Path, exchange: Exchange) -> Run:
    """Runs `axisor account` on an instance of this test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
    environ = {
        **clean,
        "PYTHONPATH": str(ROOT / "src"),
        "AXISOR_SIGNET_REST_URL": exchange.rest_url,
        "AXISOR_SIGNET_STREAM_URL": exchange.stream_url,
        "AXISOR_MAINNET_REST_URL": exchange.rest_url,
        "AXISOR_MAINNET_STREAM_URL": exchange.stream_url,
    }

    def run_account(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "axisor", "account", *arguments, "--data-dir", str(open_folder)],
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_account


def lines_of(account: PaperAccount) -> str:
    keys = account.credentials
    return f"{keys.key}\n{keys.secret}\n{keys.passphrase}\n"


def test_a_connected_account_only_watches_until_it_is_protected(
    run: Run, exchange: Exchange, open_folder: Path
) -> None:
    trader = exchange.create_account(balance_sats=2_000_000, username="night-trader")

    connected = run("connect", "night", "--network", "signet", stdin=lines_of(trader))
    assert connected.returncode == 0, connected.stderr
    assert "night-trader at signet: 2000000 sat free, 0 running trades" in connected.stdout
    assert "Watch only." in connected.stdout
    assert json.loads(run("list", "--json").stdout)[0]["protection"] == "watch only"
    assert (open_folder / "live" / "connected").exists()

    protected = run("protect", "night", "--preset", "hold", "--spend-at-most", "400000")
    assert protected.returncode == 0, protected.stderr
    assert json.loads(run("list", "--json").stdout)[0]["protection"] == "on"

    assert run("unprotect", "night").returncode == 0
    assert json.loads(run("list", "--json").stdout)[0]["protection"] == "watch only"
    secrets = (trader.credentials.secret, trader.credentials.passphrase)
    logged = "".join(path.read_text() for path in (open_folder / "live" / "logs").glob("*.log"))
    for text in (connected.stdout, connected.stderr, logged):
        assert not any(secret in text for secret in secrets)


def test_a_key_that_the_exchange_does_not_take_is_not_stored(run: Run) -> None:
    refused = run("connect", "night", "--network", "signet", stdin="wrong\nwrong\nwrong\n")

    assert refused.returncode == 1
    assert "signet did not take the key" in refused.stderr
    assert json.loads(run("list", "--json").stdout) == []


def test_mainnet_is_protected_only_with_its_name_said_once_more(run: Run, exchange: Exchange) -> None:
    trader = exchange.create_account(balance_sats=1_000_000, username="real-money")
    assert run("connect", "real", "--network", "mainnet", stdin=lines_of(trader)).returncode == 0

    hasty = run("protect", "real", "--preset", "cut")
    assert hasty.returncode == 1
    assert "--confirm real" in hasty.stderr
    assert json.loads(run("list", "--json").stdout)[0]["protection"] == "watch only"

    assert run("protect", "real", "--preset", "cut", "--confirm", "real").returncode == 0
    assert json.loads(run("list", "--json").stdout)[0]["protection"] == "on"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("connect", "x", "--network", "paper"), "--network is signet or mainnet"),
        (("connect", "x", "--network", "signet"), "three lines are read"),
        (("protect", "x", "--preset", "hold"), "--spend-at-most is needed"),
        (("protect", "x", "--preset", "hope"), "--preset is hold"),
    ],
)
def test_a_wrong_word_is_named_and_nothing_is_done(run: Run, arguments: tuple[str, ...], words: str) -> None:
    refused = run(*arguments)

    assert refused.returncode == 2
    assert words in refused.stderr
