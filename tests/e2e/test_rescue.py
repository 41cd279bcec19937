"""A rescue with real processes: paper exchange, PostgreSQL, Valkey, monitor. Judged by the exchange's books."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import Stack, hold_rule, running_stack, wait_until

QUICK = {
    "AXISOR_SIGNATURE_WINDOW_S": "1.5",
    "AXISOR_APPLY_BOUND_S": "0.5",
    "AXISOR_SEND_DEADLINE_S": "1",
    "AXISOR_READ_NEAR_S": "0.5",
    "AXISOR_LEASE_TTL_S": "2",
    "AXISOR_LOG_LEVEL": "debug",
    "AXISOR_PRIVATE_RATE_PER_S": "10",
    "AXISOR_PRIVATE_BURST": "10",
}


@pytest.fixture
def stack(tmp_path: Path, database_urls: DatabaseUrls, valkey_url: str) -> Iterator[Stack]:
    with running_stack(tmp_path, database_urls, valkey_url, **QUICK) as running:
        yield running


def test_a_trade_is_topped_up_once_and_its_stop_follows(stack: Stack) -> None:
    exchange = stack.start_exchange("--scenario", "manual")
    exchange.set_price(61_999.5)
    trader = exchange.create_account(balance_sats=2_000_000, username="alice")
    trade = trader.open_trade(leverage=25, quantity_usd=6_200, name="25x long")
    account_id = stack.connect_account(stack.add_person(), trader)
    stack.guard_trade(account_id, trade.trade_id, hold_rule(leverage=25, margin_sats=400_000))
    stack.start("monitor")
    wait_until(lambda: trader.live()["25x long"]["stoploss"] > 0, deadline_s=15, what="the safety stop is placed")

    exchange.set_price(60_784.5)
    wait_until(lambda: trader.top_ups(trade.trade_id), deadline_s=5, what="the top-up")
    moved = wait_until(
        lambda: trader.live()["25x long"]["stoploss"] < 59_000 and trader.live()["25x long"],
        deadline_s=5,
        what="the stop follows",
    )

    assert moved["liquidation"] == pytest.approx(58_446.5, abs=20)
    assert len(trader.top_ups(trade.trade_id)) == 1
    assert exchange.discrepancies() == []
