"""The crash of the demo with real processes: three endings, judged by the exchange's own books alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.stack import PaperAccount, Stack, hold_rule, running_stack, wait_until

from axisor.cli.ledger import replay
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.features.margin_guard import record
from axisor.features.margin_guard.policy import AddMarginDeed, Deed, Facts, Hold, decide
from axisor.features.margin_guard.rule import GuardRule

SPEED = 5
ENTRY = Price(124_000)  # 62,000 USD
STORY_S = 100  # of market time
TRADES = {"25x long": (25, 6_200, 400_000), "50x long": (50, 8_990, 290_000), "10x long": (10, 3_100, 500_000)}


@dataclass
class Story:
    """The same three trades at two accounts, one of them guarded."""

    stack: Stack
    guarded: PaperAccount
    unguarded: PaperAccount
    ids: dict[str, dict[str, str]]  # account -> label -> trade id

    def play(self) -> None:
        """Let the market fall and recover."""
        exchange = self.stack.exchange
        assert exchange is not None
        exchange.control("POST", "/market/start")
        wait_until(
            lambda: exchange.control("GET", "/market")["market_ms"] >= STORY_S * 1000,
            deadline_s=STORY_S / SPEED + 20,
            what="the story ends",
        )

    def ending(self, account: PaperAccount, label: str) -> str:
        return account.end_of(self.ids[account.username][label])

    def top_ups(self, label: str) -> list[int]:
        return self.guarded.top_ups(self.ids["guarded"][label])

    def broken_promises(self) -> list[str]:
        """Return every promise of the demo that the exchange's books contradict."""
        wanted = {
            ("guarded", "25x long"): "running",
            ("guarded", "50x long"): "stoploss",
            ("guarded", "10x long"): "running",
            ("unguarded", "25x long"): "liquidation",
            ("unguarded", "50x long"): "liquidation",
            ("unguarded", "10x long"): "running",
        }
        accounts = {"guarded": self.guarded, "unguarded": self.unguarded}
        broken = [
            f"{name} {label}: {self.ending(accounts[name], label)} instead of {ending}"
            for (name, label), ending in wanted.items()
            if self.ending(accounts[name], label) != ending
        ]
        for label, (_, _, limit_sats) in TRADES.items():
            if sum(self.top_ups(label)) > limit_sats:
                broken.append(f"{label}: {sum(self.top_ups(label))} sat added, more than {limit_sats}")
        if len(self.top_ups("25x long")) != 1:
            broken.append(f"25x long: {self.top_ups('25x long')} added, not once")
        if self.top_ups("10x long"):
            broken.append("10x long: was never in danger")
        return broken


@pytest.fixture
def stack(tmp_path: Path, database_urls: DatabaseUrls, valkey_url: str) -> Iterator[Stack]:
    with running_stack(tmp_path, database_urls, valkey_url, AXISOR_READ_NEAR_S="1") as running:
        yield running


def prepare(stack: Stack, *, is_guard_on: bool = True) -> Story:
    """Open the same trades twice, guard one of the accounts, and wait until its safety stops stand."""
    exchange = stack.start_exchange("--scenario", "crash", "--seed", "1", "--speed", str(SPEED), "--start-paused")
    person = stack.add_person()
    guarded = exchange.create_account(balance_sats=3_000_000, username="guarded")
    unguarded = exchange.create_account(balance_sats=3_000_000, username="unguarded")
    ids = {}
    for account in (guarded, unguarded):
        opened = {
            label: account.open_trade(
                leverage=leverage, quantity_usd=quantity_usd, name=label, limit_price=ENTRY, side=PositionSide.LONG
            ).trade_id
            for label, (leverage, quantity_usd, _) in TRADES.items()
        }
        ids[account.username] = dict(opened)
    wait_until(
        lambda: all(trade["running"] for account in (guarded, unguarded) for trade in account.live().values()),
        deadline_s=15,
        what="all six trades run",
    )
    account_id = stack.connect_account(person, guarded, is_guarded=is_guard_on)
    stack.connect_account(person, unguarded, is_guarded=False)
    for label, (leverage, _, limit_sats) in TRADES.items():
        stack.guard_trade(account_id, ids["guarded"][label], hold_rule(leverage=leverage, margin_sats=limit_sats))
    stack.start("monitor")
    if is_guard_on:
        wait_until(
            lambda: all(trade["stoploss"] > 0 for trade in guarded.live().values()),
            deadline_s=20,
            what="three safety stops stand",
        )
    return Story(stack, guarded, unguarded, ids)


def one_sat_more(facts: Facts, rule: GuardRule, *, now: datetime) -> Deed | Hold:
    """Decide as the policy does, but for a sat."""
    deed = decide(facts, rule, now=now)
    return replace(deed, amount_sats=deed.amount_sats + 1) if isinstance(deed, AddMarginDeed) else deed


def test_one_is_rescued_one_was_never_in_danger_one_is_closed_by_its_stop(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = prepare(stack)

    story.play()

    assert story.broken_promises() == []
    assert stack.exchange is not None
    assert stack.exchange.discrepancies() == []
    again = replay(stack.environment(), account=None, since=None)
    assert again["different"] == []
    assert again["compared"] >= 5
    assert again["of_another_code_version"] == 0

    monkeypatch.setattr(record, "decide", one_sat_more)
    changed = replay(stack.environment(), account=None, since=None)
    assert changed["compared"] == again["compared"]
    assert {field["field"] for each in changed["different"] for field in each["fields"]} >= {"decision.amount_sats"}


def test_the_same_crash_with_the_guard_switched_off_breaks_the_promises(stack: Stack) -> None:
    story = prepare(stack, is_guard_on=False)

    story.play()

    assert "guarded 25x long: liquidation instead of running" in story.broken_promises()
