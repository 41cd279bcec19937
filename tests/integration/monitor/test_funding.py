"""A top-up that the free balance does not pay for: fetched from elsewhere, once, on a real exchange that loses answers.

The account holds a long that comes into danger and a short of the same size, which gains what the long loses.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.trades import a_running_trade
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import MakeScene, Scene, until
from tests.integration.monitor.test_paper_outcomes import FAULTS, an_account_scene

from axisor.adapters.lnd.client import LndAccess, LndNode
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.replay import replay
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import FundingSource
from axisor.infra.clock import SystemClock
from axisor.ports.market_feed import LastPrice

DANGER_USD = 60_700
LIMIT_SATS = 400_000
TOO_LITTLE_SATS = 860_000
"""Two trades of 400,000 sats and their fees, and next to nothing beside them."""
NODE_FAULTS: dict[str, dict[str, Any]] = {
    "held": {"kind": "hold"},
    "answer lost": {"kind": "lose_answer"},
    "no route": {"kind": "fail", "reason": "NO_ROUTE"},
}


@dataclass
class Pair:
    """A long in danger and a short in profit."""

    server: PaperServer
    scene: Scene
    keys: Keys
    long_id: str
    short_id: str

    async def fall(self, usd: float = DANGER_USD) -> None:
        """Let the price fall as after a calm minute: there is time to fetch sats."""
        await self.server.set_price(usd)
        scene, price = self.scene, Price(int(usd * 2))
        later_s = scene.clock.boottime_s() + 60
        scene.market.take_price(LastPrice(at=scene.clock.now(), floor=price, ceil=price, received_boottime_s=later_s))
        for _, trade_id in scene.index.due(scene.market, scene.clock.boottime_s()):
            scene.runtime.evaluate(trade_id, tick_at=scene.clock.now())

    async def trade(self, trade_id: str) -> dict[str, Any]:
        running = await ask(self.server, self.keys, "GET", "/futures/isolated/trades/running")
        return next(trade for trade in running if trade["id"] == trade_id)

    async def is_topped_up(self) -> bool:
        return bool((await self.trade(self.long_id))["margin"] > 450_000)

    async def attempts(self) -> list[Any]:
        return await self.scene.rows(
            "select i.command, a.state, a.reason, a.amount_sats, i.cause_key, a.signed_at::time(2), a.settled_at::time(2) "
            "from attempt a join intent i using (exchange_account_id, intent_id) where a.exchange_account_id = :account "
            "order by a.signed_at"
        )

    async def holds(self) -> list[Any]:
        return await self.scene.rows(
            "select action, reason, at::time(2) from decision where exchange_account_id = :account order by at"
        )

    async def balance(self) -> int:
        return int((await ask(self.server, self.keys, "GET", "/account"))["balance"])


def a_rule(*sources: FundingSource, **members: Any) -> GuardRule:
    rule = hold_rule(leverage=25, margin_sats=LIMIT_SATS)
    return replace(rule, sources=sources or rule.sources, **members)


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


@asynccontextmanager
async def a_pair(
    server: PaperServer,
    make_scene: MakeScene,
    rule: GuardRule,
    *,
    balance_sats: int = TOO_LITTLE_SATS,
    **options: Any,
) -> AsyncIterator[Pair]:
    async with an_account_scene(server, make_scene, balance_sats=balance_sats, **options) as (scene, keys):
        long_raw = await server.open_long(keys)
        short_raw = await server.open_long(keys, side="sell")
        for raw, of in ((long_raw, rule), (short_raw, hold_rule(leverage=25, margin_sats=LIMIT_SATS))):
            await scene.guard(a_running_trade(trade_id=TradeId(raw["id"])), rule=of)
        await scene.start()
        await scene.until_attempts("set_stop_loss", ["confirmed", "confirmed"])
        yield Pair(server, scene, keys, long_raw["id"], short_raw["id"])


async def _story(pair: Pair) -> str:
    return "\n".join(str(dict(row)) for row in [*await pair.attempts(), *await pair.holds()])


async def is_replayed(scene: Scene) -> int:
    """Return how many decisions of a rule the ledger holds, all decided in the same way again."""
    await asyncio.sleep(0)
    async with scene.databases.worker.transaction() as connection:
        found = [each async for each in replay(connection, scene.account_id, since=None)]
    assert [each for each in found if not each.is_identical] == []
    return len(found)


async def test_the_profit_of_another_trade_funds_a_top_up_behind_a_stop_that_stays(
    server: PaperServer, make_scene: MakeScene
) -> None:
    names = ("lost request", "lost answer", "503 with effect", "malformed 2xx")
    everybody = asyncio.Barrier(len(names))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        rule = a_rule(FundingSource.BALANCE, FundingSource.CASH_IN)
        async with a_pair(server, make_scene, rule) as pair:
            await everybody.wait()  # they share one market: nobody opens after it fell
            await server.control("POST", "/faults", {**fault, "path": "cash-in$", "account": pair.keys.account_id})
            await pair.fall()

            await until(
                pair.is_topped_up, what=f"{name}: the long is topped up", deadline_s=8, last=lambda: _story(pair)
            )

            short, long = await pair.trade(pair.short_id), await pair.trade(pair.long_id)
            cashed_sats = short["sumCashInPl"] + short["sumCashInMargin"]
            assert short["sumCashInMargin"] <= 100, f"{name}: profit, not margin"
            assert 150_000 < cashed_sats <= 230_000, f"{name}: once"
            assert long["margin"] - long["entryMargin"] <= LIMIT_SATS
            assert short["stoploss"] < short["liquidation"], f"{name}: the stop of the short has outlived it"
            assert (await pair.scene.until_told("funds_moved"))[0]["source"] == "cash_in"

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(run(name))
    assert (await server.control("GET", "/books"))["discrepancies"] == []


async def test_synthetic_dollars_fund_a_top_up_once(server: PaperServer, make_scene: MakeScene) -> None:
    names = ("lost request", "lost answer", "503 that lies", "malformed 2xx")
    everybody = asyncio.Barrier(len(names))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        rule = a_rule(FundingSource.BALANCE, FundingSource.SWAP)
        async with a_pair(server, make_scene, rule, balance_sats=TOO_LITTLE_SATS + 500_000) as pair:
            await everybody.wait()  # they share one market: nobody opens after it fell
            swap = {"inAmount": 500_000, "inAsset": "BTC", "outAsset": "USD"}
            await ask(server, pair.keys, "POST", "/synthetic-usd/swap", swap)
            await until(lambda: pair.scene.runtime._wallet.synthetic_usd_cents > 0, what="the dollars are read")
            await server.control("POST", "/faults", {**fault, "path": "usd/swap$", "account": pair.keys.account_id})
            await pair.fall()

            await until(pair.is_topped_up, what=f"{name}: topped up", deadline_s=8, last=lambda: _story(pair))

            swaps = (await ask(server, pair.keys, "GET", "/synthetic-usd/swaps"))["data"]
            assert len([each for each in swaps if each["inAsset"] == "USD"]) == 1, f"{name}: once"
            long = await pair.trade(pair.long_id)
            assert 190_000 < long["margin"] - long["entryMargin"] <= LIMIT_SATS
            assert (await pair.scene.until_told("funds_moved"))[0]["source"] == "swap"
            assert await is_replayed(pair.scene) >= 3

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(run(name))


@pytest.mark.parametrize("fault", ["none", "held", "answer lost", "no route"])
async def test_the_owners_node_funds_a_top_up_and_pays_an_invoice_once(
    make_scene: MakeScene, tmp_path: Path, fault: str
) -> None:
    async with a_paper_server(lnd_port=0, data_dir=tmp_path / "exchange") as server:
        rule = a_rule(FundingSource.BALANCE, FundingSource.DEPOSIT, FundingSource.CASH_IN)
        async with a_node(server) as node, a_pair(server, make_scene, rule, node=node, send_deadline_s=0.6) as pair:
            await until(lambda: pair.scene.runtime._wallet.node_sats > 0, what="the node is read")
            if fault != "none":
                await server.control("POST", "/lightning/faults", NODE_FAULTS[fault])
            await pair.fall()
            if fault == "held":
                await pair.scene.until_attempts("deposit_lightning", ["unknown"])
                assert not await pair.is_topped_up(), "what is on its way is waited for"
                [row] = await pair.scene.rows(
                    "select arguments from attempt where exchange_account_id = :account and arguments ? 'payment_hash'"
                )
                held = row["arguments"]["payment_hash"]
                await server.control("POST", f"/lightning/payments/{held}/release", {})

            await until(pair.is_topped_up, what="topped up", deadline_s=8, last=lambda: _story(pair))

            deposits = (await ask(server, pair.keys, "GET", "/account/deposits/lightning"))["data"]
            paid = [each for each in deposits if each["settledAt"] is not None and each["amount"] != TOO_LITTLE_SATS]
            assert len(paid) == (0 if fault == "no route" else 1)
            assert (await pair.scene.until_told("funds_moved"))[0]["source"] == (
                "cash_in" if fault == "no route" else "deposit"
            )
            assert await is_replayed(pair.scene) >= 3


@asynccontextmanager
async def a_node(server: PaperServer) -> AsyncIterator[LndNode]:
    folder, url = server.addresses.lnd_folder, server.addresses.lnd_url
    assert folder is not None
    assert url is not None
    access = LndAccess.from_files(url=url, macaroon=folder / "admin.macaroon", certificate=folder / "tls.cert")
    node = LndNode(access, clock=SystemClock())
    try:
        yield node
    finally:
        await node.close()
