"""A trade is closed to be opened again smaller, and the monitor dies between the steps: the books tell what came of it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import Stack, hold_rule, running_stack, wait_until

from axisor.features.margin_guard.steps import Reduce, ReduceHow, Rung

QUICK = {
    "AXISOR_SIGNATURE_WINDOW_S": "1.5",
    "AXISOR_APPLY_BOUND_S": "0.5",
    "AXISOR_SEND_DEADLINE_S": "0.5",
    "AXISOR_READ_NEAR_S": "0.5",
    "AXISOR_LEASE_TTL_S": "2",
    "AXISOR_PRIVATE_RATE_PER_S": "10",
    "AXISOR_PRIVATE_BURST": "10",
}


@pytest.fixture
def stack(tmp_path: Path, database_urls: DatabaseUrls, valkey_url: str) -> Iterator[Stack]:
    with running_stack(tmp_path, database_urls, valkey_url, **QUICK) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "left_usd"), [("isolated/trade/close", 0), ("isolated/trade$", 3_100)], ids=["closing", "opening"]
)
def test_a_monitor_killed_between_the_steps_leaves_one_close_and_one_opening(
    stack: Stack, path: str, left_usd: int
) -> None:
    exchange = stack.start_exchange("--scenario", "manual")
    exchange.set_price(61_999.5)
    trader = exchange.create_account(balance_sats=2_000_000, username="alice")
    trade = trader.open_trade(leverage=25, quantity_usd=6_200, name="25x long")
    account_id = stack.connect_account(stack.add_person(), trader)
    smaller = Rung(key="smaller", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2), ReduceHow.REOPEN))
    rule = hold_rule(leverage=25, margin_sats=400_000)
    stack.guard_trade(account_id, trade.trade_id, replace(rule, rungs=(rule.rungs[0], smaller)))
    stack.start("monitor")
    wait_until(lambda: trader.live()["25x long"]["stoploss"] > 0, deadline_s=15, what="the safety stop is placed")

    exchange.control("POST", "/faults", {"kind": "lose_answer_after_apply", "path": path, "count": 1, "hang_s": 30})
    exchange.set_price(60_700)
    wait_until(
        lambda: sum(each["quantity"] for each in trader.live().values()) == left_usd,
        deadline_s=8,
        what="the step whose answer is lost",
    )
    stack.kill("monitor")
    stack.start("monitor")

    told = wait_until(
        lambda: stack.rows("select data::text from notification where kind = 'reopened'"), deadline_s=15, what="the end"
    )
    [left] = trader.live().values()
    assert left["quantity"] == 3_100
    ends = list(trader.books()["trades"].values())
    assert len(ends) == 2, f"one closed, one opened: {ends}"
    assert len(told) == 1
    assert '"done": true' in told[0]["data"]
    assert stack.rows("select 1 from notification where kind = 'trade_closed'") == [], "told as one deed"
    carried = stack.rows("select 1 from rule where position_id = $1", left["id"])
    assert len(carried) == 1, "it keeps its rule"
    wait_until(lambda: next(iter(trader.live().values()))["stoploss"], deadline_s=8, what="its safety stop")
    assert exchange.discrepancies() == []
