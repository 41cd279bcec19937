"""The exchange applies a top-up and never answers: paid once, whatever happens to the monitor."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import PaperAccount, Stack, hold_rule, running_stack, wait_until

from axisor.domain.trades import Trade

QUIET_S = 2.0
QUICK = {
    "AXISOR_SIGNATURE_WINDOW_S": "1.5",
    "AXISOR_APPLY_BOUND_S": "0.5",
    "AXISOR_SEND_DEADLINE_S": "0.5",
    "AXISOR_READ_NEAR_S": "0.5",
    "AXISOR_LEASE_TTL_S": "2",
    "AXISOR_PRIVATE_RATE_PER_S": "10",
    "AXISOR_PRIVATE_BURST": "10",
}
LOSE_THE_ANSWER = {"kind": "lose_answer_after_apply", "path": "add-margin", "count": 1, "hang_s": 30}


@dataclass
class Scene:
    """A guarded 25x long at rest, its safety stop placed."""

    stack: Stack
    trader: PaperAccount
    trade: Trade

    @property
    def top_ups(self) -> list[int]:
        return self.trader.top_ups(self.trade.trade_id)

    def fall_to_the_mark(self) -> None:
        assert self.stack.exchange is not None
        self.stack.exchange.set_price(60_784.5)

    def inject(self, fault: dict[str, object]) -> None:
        assert self.stack.exchange is not None
        self.stack.exchange.control("POST", "/faults", fault)

    def top_up_states(self) -> list[str]:
        rows = self.stack.rows("select state from attempt where command_class = 'money_in' order by signed_at")
        return [row["state"] for row in rows]


type MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path, database_urls: DatabaseUrls, valkey_url: str) -> Iterator[MakeScene]:
    with ExitStack() as open_stacks:

        def make(*, module: str = "axisor", **extra: str) -> Scene:
            stack = open_stacks.enter_context(running_stack(tmp_path, database_urls, valkey_url, **(QUICK | extra)))
            exchange = stack.start_exchange("--scenario", "manual")
            exchange.set_price(61_999.5)
            trader = exchange.create_account(balance_sats=2_000_000, username="alice")
            trade = trader.open_trade(leverage=25, quantity_usd=6_200, name="25x long")
            account_id = stack.connect_account(stack.add_person(), trader)
            stack.guard_trade(account_id, trade.trade_id, hold_rule(leverage=25, margin_sats=400_000))
            stack.start("monitor", module=module)
            wait_until(lambda: trader.live()["25x long"]["stoploss"] > 0, deadline_s=15, what="the safety stop")
            return Scene(stack, trader, trade)

        yield make


def test_a_lost_answer_is_settled_by_reading_and_paid_once(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.inject(LOSE_THE_ANSWER)
    scene.fall_to_the_mark()

    wait_until(lambda: scene.top_up_states() == ["confirmed"], deadline_s=8, what="the reading settles it")

    assert len(scene.top_ups) == 1


def test_a_monitor_killed_before_the_answer_leaves_one_top_up(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.inject(LOSE_THE_ANSWER)
    scene.fall_to_the_mark()
    wait_until(lambda: scene.top_ups, deadline_s=5, what="the exchange applies the top-up")
    scene.stack.kill("monitor")
    assert scene.top_up_states() == ["sent"]

    scene.stack.start("monitor")
    wait_until(lambda: scene.top_up_states() == ["confirmed"], deadline_s=10, what="settled after takeover")
    time.sleep(QUIET_S + 1)  # whatever might still be sent would have been sent by now

    assert len(scene.top_ups) == 1
    assert scene.top_up_states() == ["confirmed"]


def test_a_lost_request_is_sent_anew_only_after_the_quiet_period(make_scene: MakeScene) -> None:
    scene = make_scene(AXISOR_SECOND_SEND="false")
    scene.inject({"kind": "lose_request", "path": "add-margin", "count": 1, "hang_s": 30})
    scene.fall_to_the_mark()

    wait_until(lambda: scene.top_ups, deadline_s=12, what="the second attempt")

    rows = scene.stack.rows(
        "select state, signed_at, quiet_until from attempt where command_class = 'money_in' order by signed_at"
    )
    wait_until(lambda: scene.top_up_states() == ["not_applied", "confirmed"], deadline_s=5, what="both are settled")
    assert rows[1]["signed_at"] >= rows[0]["quiet_until"]
    assert len(scene.top_ups) == 1


def test_a_second_send_goes_out_where_waiting_would_kill(make_scene: MakeScene) -> None:
    scene = make_scene()
    scene.inject({"kind": "lose_request", "path": "add-margin", "count": 1, "hang_s": 30})
    scene.fall_to_the_mark()  # 2 % within a moment: liquidation would come before certainty

    wait_until(lambda: scene.top_ups, deadline_s=5, what="the second send")

    rows = scene.stack.rows(
        "select is_second_send, tag from attempt where command_class = 'money_in' order by signed_at"
    )
    assert [row["is_second_send"] for row in rows] == [False, True]
    assert rows[0]["tag"] != rows[1]["tag"]
    wait_until(lambda: scene.top_up_states() == ["not_applied", "confirmed"], deadline_s=8, what="both are settled")
    assert len(scene.top_ups) == 1


def test_resending_on_time_out_would_pay_twice(make_scene: MakeScene) -> None:
    scene = make_scene(module="tests.e2e.mutants.resend_on_timeout")
    scene.inject(LOSE_THE_ANSWER)
    scene.fall_to_the_mark()

    wait_until(lambda: len(scene.top_ups) > 1, deadline_s=8, what="the mistake shows in the exchange's books")
