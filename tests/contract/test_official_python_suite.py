"""The official Python SDK's own tests, as shipped in its wheel, pass against the paper exchange.

The files run where they were installed, and only the address is redirected (`tests/fixtures/redirect_to_paper.py`).
Many of them swallow refusals, so the exchange's request log is asked as well what it really answered.
"""

import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from lnmarkets_sdk.rest.v3.http import client as official_client
from lnmarkets_sdk.rest.v3.models.futures_cross import CancelOrderParams, FuturesCrossOrderLimit
from lnmarkets_sdk.rest.v3.models.futures_isolated import CancelTradeParams, FuturesOrder
from tests.factories.paper_server import Keys, PaperServer
from tests.factories.seeded_account import (
    give_cross_position,
    give_isolated_history,
    give_running_trades,
    give_synthetic_usd,
)
from tests.fixtures.exchange_process import exchange_process, speaking_to, user_environment
from tests.fixtures.redirect_to_paper import VARIABLE

from axisor.paper.config import PaperAddresses

SUITE: Final = Path(official_client.__file__).parents[2] / "tests"
AS_SHIPPED: Final = {
    "conftest.py": "9b262c2fb7d5de251e8480c392f12b97be365086a6eaa11b61f22efb44940202",
    "test_integration.py": "7a8b7f7afe92dff30770482c86a0e5e385631dd6372c3c5122217f243f14fb67",
    "test_unit.py": "6e794dc507239350142c3d3723a64b6d705f31f71f269ac4de08780a40fc9f2c",
}
INTEGRATION_TESTS: Final = 43
UNIT_TESTS: Final = 13
OF_RETIRED_API: Final = {
    "TestFuturesIsolatedIntegration::test_new_trade",
    "TestFuturesCrossIntegration::test_new_order",
}
"""They compare `side` with the retired API's word "b" and turn the failed comparison into a skip."""
SUITE_DEADLINE_S: Final = 90

RIGHTLY_REFUSED: Final = {
    ("POST", "/account/withdraw/lightning"): {400},  # "test_invoice" is no invoice
    ("POST", "/account/withdraw/on-chain"): {400},  # "test_address" is no address
    ("POST", "/futures/cross/position/close"): {200, 400},  # the clean-up closes once more what is closed
}
ANSWERED: Final = {
    *[("GET", f"/futures/{name}") for name in ("ticker", "leaderboard", "candles", "funding-settlements")],
    ("GET", "/ping"),
    ("GET", "/time"),
    ("GET", "/synthetic-usd/best-price"),
}
SIGNED_AND_ANSWERED: Final = {
    ("GET", "/account"),
    ("GET", "/account/address/bitcoin"),
    ("POST", "/account/address/bitcoin"),
    ("POST", "/account/deposit/lightning"),
    ("POST", "/account/withdraw/lightning"),
    ("POST", "/account/withdraw/on-chain"),
    *[("GET", f"/account/{way}/{net}") for way in ("deposits", "withdrawals") for net in ("lightning", "on-chain")],
    *[("GET", f"/futures/isolated/trades/{state}") for state in ("open", "running", "closed")],
    ("POST", "/futures/isolated/trade"),
    *[("POST", f"/futures/isolated/trade/{what}") for what in ("add-margin", "cancel", "cash-in", "close")],
    ("POST", "/futures/isolated/trades/cancel-all"),
    *[(verb, f"/futures/isolated/trade/{end}") for verb in ("PUT", "DELETE") for end in ("stoploss", "takeprofit")],
    ("GET", "/futures/isolated/funding-fees"),
    *[("GET", f"/futures/cross/orders/{state}") for state in ("open", "filled")],
    *[("POST", f"/futures/cross/{what}") for what in ("order", "order/cancel", "orders/cancel-all")],
    *[("POST", f"/futures/cross/{what}") for what in ("position/close", "deposit", "withdraw")],
    *[("GET", f"/futures/cross/{what}") for what in ("position", "transfers", "funding-fees")],
    ("PUT", "/futures/cross/leverage"),
    ("GET", "/synthetic-usd/swaps"),
    ("POST", "/synthetic-usd/swap"),
}


@dataclass(frozen=True)
class Report:
    """What one run of the suite came to; a test is named by its class and name."""

    passed: frozenset[str]
    skipped: dict[str, str]
    failed: dict[str, str]
    output: str


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperAddresses]:
    with exchange_process(tmp_path_factory.mktemp("suite"), "--scenario", "manual") as addresses:
        yield addresses


def test_the_suite_is_the_one_that_was_read() -> None:
    assert {name: hashlib.sha256((SUITE / name).read_bytes()).hexdigest() for name in AS_SHIPPED} == AS_SHIPPED


def test_the_official_unit_tests_pass_on_this_machine(exchange: PaperAddresses, tmp_path: Path) -> None:
    report = run_suite("test_unit.py", folder=tmp_path, addresses=exchange, keys=None)
    assert (report.failed, report.skipped) == ({}, {}), report.output
    assert len(report.passed) == UNIT_TESTS


async def test_the_official_integration_tests_pass_on_a_seeded_account(
    exchange: PaperAddresses, tmp_path: Path
) -> None:
    async with speaking_to(exchange) as server:
        keys = await server.create_account(username="suite")
        await give_past_and_present(server, keys)
        report, log = await run_and_log(server, keys, folder=tmp_path)
        assert_as_a_faithful_server_does(report, log)
        assert len(report.passed) + len(report.skipped) == INTEGRATION_TESTS

        # The suite has canceled, closed and withdrawn everything: only what it needs to run is given back. The newest
        # trade is a short now. What does not need a key is not asked a second time: each such test waits a second.
        await give_running_trades(server, keys, newest="sell")
        await give_cross_position(server, keys)
        again, log = await run_and_log(server, keys, "-k", "not Basics and not TestFuturesIntegration", folder=tmp_path)
        assert_as_a_faithful_server_does(again, log)
        assert len(again.passed) + len(again.skipped) == INTEGRATION_TESTS - 6

        books = await server.control("GET", "/books")
        assert books["discrepancies"] == []


async def test_the_steps_of_the_two_tests_of_the_retired_api_hold_with_todays_words(exchange: PaperAddresses) -> None:
    async with speaking_to(exchange) as server:
        keys = await server.create_account(username="todays-words")
        async with server.sdk(keys) as client:
            isolated, cross = client.futures.isolated, client.futures.cross
            trade = await isolated.new_trade(
                FuturesOrder(type="limit", side="buy", price=100_000, quantity=1, leverage=100)
            )
            assert (trade.side, trade.type, trade.leverage) == ("buy", "limit", 100)
            assert (trade.open, trade.running, trade.closed, trade.canceled) == (True, False, False, False)
            assert (trade.price, trade.quantity, trade.margin) == (100_000, 1, 10)
            assert (trade.pl, trade.opening_fee, trade.closing_fee) == (0, 0, 0)
            assert (trade.sum_funding_fees, trade.sum_cash_in_pl, trade.sum_cash_in_margin) == (0, 0, 0)
            assert trade.created_at.endswith("Z")
            await isolated.cancel(CancelTradeParams(id=trade.id))

            await server.call("POST", "/futures/cross/deposit", keys, body={"amount": 100_000})
            order = await cross.new_order(
                FuturesCrossOrderLimit(type="limit", side="buy", price=100_000, quantity=1, client_id="test-order-123")
            )
            assert (order.side, order.type, order.price, order.quantity) == ("buy", "limit", 100_000, 1)
            assert (order.open, order.filled, order.canceled) == (True, False, False)
            assert (order.trading_fee, order.client_id) == (0, "test-order-123")
            assert order.created_at.endswith("Z")
            assert (await cross.cancel(CancelOrderParams(id=order.id))).canceled is True


async def give_past_and_present(server: PaperServer, keys: Keys) -> None:
    """Seed an account so that no test of the suite lacks anything."""
    await give_isolated_history(server, keys)
    await give_cross_position(server, keys)
    await give_synthetic_usd(server, keys)
    await server.control("POST", f"/accounts/{keys.account_id}/deposit", {"amount_sats": 1_000_000})
    await give_running_trades(server, keys, newest="buy")


async def run_and_log(
    server: PaperServer, keys: Keys, *options: str, folder: Path
) -> tuple[Report, list[dict[str, Any]]]:
    """Return the report of a run of the integration tests, and every request the exchange got meanwhile."""
    before = await server.control("GET", "/requests")
    report = run_suite("test_integration.py", *options, folder=folder, addresses=server.addresses, keys=keys)
    log: list[dict[str, Any]] = await server.control("GET", f"/requests?after_seq={before[-1]['seq']}")
    return report, log


def run_suite(name: str, *options: str, folder: Path, addresses: PaperAddresses, keys: Keys | None) -> Report:
    """Run a file of the suite with pytest in a process of its own and return what it came to."""
    settings, junit = folder / "pytest.ini", folder / "junit.xml"
    settings.write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\njunit_family = xunit2\n"
    )
    signet = {} if keys is None else {"KEY": keys.key, "SECRET": keys.secret, "PASSPHRASE": keys.passphrase}
    environment = user_environment(
        folder,
        PYTHONDONTWRITEBYTECODE="1",
        NO_PROXY="*",
        CI="",  # where it is set, the suite takes this machine for one that the exchange does not serve
        **{VARIABLE: addresses.rest_url},
        **{f"SIGNET_API_{name}": value for name, value in signet.items()},
    )
    command = [sys.executable, "-P", "-m", "pytest", "-p", "tests.fixtures.redirect_to_paper", "-p", "no:cacheprovider"]
    places = ["-c", str(settings), "--rootdir", str(SUITE), "--collect-in-virtualenv", f"--junitxml={junit}"]
    finished = subprocess.run(
        [*command, *places, "-q", "-rA", *options, str(SUITE / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SUITE_DEADLINE_S,
        check=False,
    )
    output = finished.stdout + finished.stderr
    assert junit.exists(), output
    return read_report(junit, output)


def read_report(junit: Path, output: str) -> Report:
    passed: set[str] = set()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for case in ET.parse(junit).iter("testcase"):
        name = f"{case.attrib['classname'].rpartition('.')[2]}::{case.attrib['name']}"
        if (skip := case.find("skipped")) is not None:
            skipped[name] = skip.attrib["message"]
        elif (
            failure := next((case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None)
        ) is not None:
            failed[name] = failure.attrib["message"]
        else:
            passed.add(name)
    return Report(passed=frozenset(passed), skipped=skipped, failed=failed, output=output)


def assert_as_a_faithful_server_does(report: Report, log: list[dict[str, Any]]) -> None:
    """Assert that everything passed, and that nothing passed because a refusal was swallowed."""
    assert report.failed == {}, report.output
    assert report.skipped.keys() == OF_RETIRED_API, report.skipped
    # Both got as far as the comparison with "b": what they asked for was done.
    assert all("== 'b'" in reason for reason in report.skipped.values()), report.skipped

    statuses: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entry in log:
        statuses[entry["method"], entry["path"].removeprefix("/v3")].add(entry["status"])
    assert statuses.keys() - ANSWERED == SIGNED_AND_ANSWERED
    unexpected = {
        endpoint: sorted(seen) for endpoint, seen in statuses.items() if seen != RIGHTLY_REFUSED.get(endpoint, {200})
    }
    assert unexpected == {}, [entry for entry in log if entry["status"] != 200]
