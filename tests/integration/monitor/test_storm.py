"""A storm on one account while another has one trade in danger: real shard, PostgreSQL, paper exchange and sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.venue_clients import a_client
from tests.fixtures.stack import hold_rule
from tests.fixtures.worker import Databases, a_user
from tests.integration.monitor.conftest import FakeFeed, ShiftedClock, until

from axisor.adapters.lnmarkets.auth import Credentials
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.execution.executor import Executor, Timing
from axisor.features.execution.recorder import Recorder
from axisor.features.execution.spool import Spool
from axisor.features.margin_guard.repository import save_rule
from axisor.infra.ids import new_id
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.monitor.account import AccountRuntime
from axisor.monitor.decider import Decider
from axisor.monitor.market import MarketState
from axisor.monitor.reader import WatchTiming
from axisor.monitor.shard import AccountRow, NetworkWatch, Shard
from axisor.ports.credentials import Network
from axisor.ports.market_feed import FeedUp, LastPrice, MarketEvent

DUE = 300
QUANTITY_USD = 620
ADD_MARGIN = "/v3/futures/isolated/trade/add-margin"


class Prices:
    """The market feed in the test's hand."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self._events: asyncio.Queue[MarketEvent] = asyncio.Queue()

    def deal(self, price: Price) -> None:
        now, boottime_s = self._clock.now(), self._clock.boottime_s()
        self._events.put_nowait(LastPrice(at=now, floor=price, ceil=price, received_boottime_s=boottime_s))

    async def stream(self) -> AsyncIterator[MarketEvent]:
        yield FeedUp(boottime_s=self._clock.boottime_s())
        while True:
            yield await self._events.get()


class ListedShard(Shard):
    """A shard whose accounts are those of the test."""

    rows: list[AccountRow]

    async def _list_accounts(self) -> list[AccountRow]:
        return self.rows


async def an_account(databases: Databases) -> AccountRow:
    user_id, account_id = await a_user(databases.worker), ExchangeAccountId(new_id())
    rule = replace(hold_rule(leverage=25, margin_sats=40_000), stop_share=None)
    async with databases.worker.transaction() as connection:
        await connection.execute(
            text(
                "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded) "
                "values (:user, :account, 'alice', 'paper', true)"
            ),
            {"user": user_id, "account": account_id},
        )
        await save_rule(connection, account_id, None, rule, created_by=None)
    return AccountRow(user_id=user_id, exchange_account_id=account_id, network=Network.PAPER, is_guarded=True)


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server(max_live_trades=DUE + 10) as running:
        yield running


async def requests_of(server: PaperServer, keys: list[Keys]) -> list[str]:
    """Return whose add-margin requests the exchange received, oldest first."""
    log = await server.control("GET", f"/requests?path={ADD_MARGIN}")
    return [entry["account_id"] for entry in log if entry["account_id"] in {key.account_id for key in keys}]


async def test_three_hundred_due_trades_of_one_account_do_not_hold_up_the_only_one_of_another(
    server: PaperServer, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ShiftedClock()
    await server.set_price(62_000)
    stormy, calm = await server.create_account(balance_sats=10**9), await server.create_account()
    for _ in range(DUE):
        await server.open_long(stormy, quantity=QUANTITY_USD)
    # Farther from its end than all the others: by urgency alone it would come last.
    await server.open_long(calm, quantity=QUANTITY_USD, leverage=24)
    rows = [await an_account(databases), await an_account(databases)]
    keys = dict(zip((row.exchange_account_id for row in rows), (stormy, calm), strict=True))

    prices = Prices(clock)
    watch = NetworkWatch(network=Network.PAPER, feed=prices, market=MarketState(stale_after_s=60, use_quotes=False))
    lease = FileLease(tmp_path / "leases", "shard-0", owner=new_id(), ttl_s=3600, clock=clock)
    assert lease.try_acquire() is not None
    spool = Spool(tmp_path / "spool", "shard-0")
    recorder = Recorder(databases.guard, spool, clock)

    async def make_runtime(
        account: AccountRow, watch: NetworkWatch, tasks: TaskSet
    ) -> tuple[AccountRuntime, Callable[[], Awaitable[None]]]:
        key = keys[account.exchange_account_id]
        client = a_client(server.addresses.rest_url, credentials=Credentials(key.key, key.secret, key.passphrase))
        executor = Executor(
            exchange_account_id=account.exchange_account_id,
            client=client,
            database=databases.guard,
            recorder=recorder,
            spool=spool,
            lease=lease,
            clock=clock,
            timing=Timing(signature_window_s=30, quiet_period_s=40, send_deadline_s=5, commit_deadline_s=5),
            tasks=tasks,
        )
        runtime = AccountRuntime(
            user_id=account.user_id,
            exchange_account_id=account.exchange_account_id,
            is_guarded=True,
            client=client,
            feed=FakeFeed(clock),
            executor=executor,
            recorder=recorder,
            database=databases.guard,
            lease=lease,
            index=watch.index,
            market=watch.market,
            clock=clock,
            timing=WatchTiming(near_s=60, far_s=60),
            tasks=tasks,
            money_in_blocked_until=None,
            changed=lambda _: None,
            announce=lambda _: None,
            allow_second_send=False,
        )
        return runtime, client.close

    decided: list[str] = []
    evaluate = Decider.evaluate

    def note(self: Decider, trade_id: Any, **more: Any) -> None:
        decided.append(self._account_id)
        evaluate(self, trade_id, **more)

    shard = ListedShard(
        database=databases.guard,
        watches={Network.PAPER: watch},
        make_runtime=make_runtime,
        clock=clock,
        code_dir=tmp_path / "code",
    )
    shard.rows = rows
    async with TaskSet("process") as processes:
        processes.start(recorder.run(), name="recorder")
        processes.start(shard.run(), name="shard")
        prices.deal(Price(124_000))
        await until(lambda: len(watch.index) == DUE + 1, what="every trade is watched", deadline_s=20)
        for row in rows:
            runtime = shard.runtime(row.exchange_account_id)
            assert runtime is not None
            await until(lambda runtime=runtime: not len(runtime._decider.wakes), what="nobody waits")
        monkeypatch.setattr(Decider, "evaluate", note)

        await server.set_price(60_700)
        prices.deal(Price(121_400))

        async def is_served() -> bool:
            return calm.account_id in await requests_of(server, [stormy, calm])

        await until(is_served, what="the request of the other account", deadline_s=20)
        arrived = await requests_of(server, [stormy, calm])
        first_decided = decided.index(rows[1].exchange_account_id)

    # A handful of the storm's three hundred, whatever their number is, and not one more.
    assert arrived.index(calm.account_id) <= 16
    assert first_decided <= 16
