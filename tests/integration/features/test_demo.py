"""The demonstration on a real paper exchange; what the monitor does is done by a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.paper import a_paper_exchange, demo_settings
from tests.fixtures.processes import free_port
from tests.fixtures.worker import Databases

from axisor.adapters.paper.control import PaperControl
from axisor.bootstrap.demo import make_demo
from axisor.bootstrap.exchange import make_venue, signing_key
from axisor.domain.errors import ExchangeAuthFailed, ExchangeRejected, ExchangeUnavailable
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.credentials.repository import list_accounts
from axisor.features.demo.opening import open_trades
from axisor.features.demo.service import DemoService, NothingToShow, SpeedOutOfRange, UnknownStory
from axisor.features.demo.stories import STORIES, planned_trades, story_of
from axisor.features.execution.positions import save_facts
from axisor.features.margin_guard.repository import list_rules
from axisor.infra.clock import SystemClock
from axisor.infra.valkey import Valkey
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.market.scenarios import SCENARIOS, scenario
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient, Lane
from axisor.ports.paper_market import MarketStatus
from axisor.settings import Settings

CLOCK = SystemClock()
NO_LIMITS = RateLimits(private_per_s=0, public_per_s=0, stream_per_s=0)


@dataclass
class Stage:
    """A demonstration that is led, and what stands around it."""

    demo: DemoService
    databases: Databases
    settings: Settings
    paper: PaperAddresses
    control: PaperControl

    async def until(self, status: str, *, within_s: float = 15) -> None:
        """Return once the demonstration has this status; adopt its trades as the monitor would."""
        async with asyncio.timeout(within_s):
            while True:
                await self.adopt()
                if (await self.demo.state()).status == status:
                    return
                await asyncio.sleep(0.05)

    async def adopt(self) -> None:
        """Store every trade of every account, with a safety stop where the account is guarded."""
        async with self.databases.worker.transaction() as connection:
            accounts = await list_accounts(connection)
        for account in accounts:
            try:
                trades = await self.trades(account.exchange_account_id)
            except ExchangeAuthFailed:
                continue  # an account of an exchange that is gone
            for trade in trades:
                stop = Price(trade.liquidation_price + trade.side.sign * 200) if account.is_guarded else None
                async with self.databases.worker.transaction() as connection:
                    await save_facts(
                        connection,
                        account.exchange_account_id,
                        replace(trade, stop_loss_price=stop),
                        requested_at=CLOCK.now(),
                        source="reading",
                        own_stop_price=stop,
                    )

    async def trades(self, account_id: ExchangeAccountId) -> tuple[Trade, ...]:
        """Return what runs on an account, as the exchange says."""
        return await self.ask(account_id, _running)

    async def ask[T](self, account_id: ExchangeAccountId, question: Callable[[ExchangeClient], Awaitable[T]]) -> T:
        user_id = await self.demo.ensure_user()
        async with self.databases.app.transaction(user_id=user_id) as connection:
            credentials = await self.demo._credentials.open_within(connection, account_id)
        venue = make_venue(self.settings, Network.PAPER, clock=CLOCK)
        client = venue.account_client(signing_key(credentials))
        try:
            await client.sync_clock()
            return await question(client)
        finally:
            await client.close()


async def _running(client: ExchangeClient) -> tuple[Trade, ...]:
    return (await client.list_running_trades(lane=Lane.USER)).value


@asynccontextmanager
async def led(demo: DemoService) -> AsyncIterator[DemoService]:
    """Lead a demonstration until the block ends."""
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(demo.run(stop))
            try:
                yield demo
            finally:
                stop.set()
    finally:
        await demo.close()


@pytest.fixture(autouse=True)
async def nobody_yet(databases: Databases) -> None:
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from position"))
        await connection.execute(text("delete from app_user where is_demo"))


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest,
    databases: Databases,
    database_urls: DatabaseUrls,
    valkey: Valkey,
    valkey_url: str,
    tmp_path: Path,
) -> AsyncIterator[Stage]:
    """A demonstration of `crash`, or of the story that the test names."""
    story = getattr(request, "param", "crash")
    # So fast that a round of the calm loop takes a sixth of a second.
    config = PaperConfig(scenario=story, seed=7, start_paused=True, speed=30, history_minutes=5, limits=NO_LIMITS)
    async with a_paper_exchange(config) as paper:
        settings = demo_settings(database_urls, valkey_url, paper, tmp_path)
        demo = make_demo(settings, database=databases.app, valkey=valkey, clock=CLOCK, locale="pt-BR")
        control = PaperControl(paper.control_url, paper.control_token)
        async with led(demo):
            yield Stage(demo=demo, databases=databases, settings=settings, paper=paper, control=control)
        await control.close()


async def test_both_accounts_hold_the_same_three_trades_and_the_story_waits_for_a_page(stage: Stage) -> None:
    await stage.until("waiting")
    state = await stage.demo.state()
    assert (state.run_no, state.scenario, state.seed, state.market_s) == (1, "crash", 7, 0)
    assert state.guarded_account_id is not None
    assert state.unguarded_account_id is not None
    guarded = {trade.client_id: trade for trade in await stage.trades(state.guarded_account_id)}
    unguarded = {trade.client_id: trade for trade in await stage.trades(state.unguarded_account_id)}
    assert set(guarded) == set(unguarded) == {"25x long", "50x long", "10x long"}
    for label, margin_sats in (("25x long", 400_000), ("50x long", 290_000), ("10x long", 500_000)):
        assert guarded[label].entry_price == unguarded[label].entry_price == 124_000
        assert guarded[label].margin_sats == unguarded[label].margin_sats == margin_sats
    async with stage.databases.worker.transaction() as connection:
        rules = await list_rules(connection, state.guarded_account_id)
        accounts = await list_accounts(connection)
    limits = {each.trade_id: each.rule.limits for each in rules}
    assert {limits[trade.trade_id].position_sats for trade in guarded.values()} == {400_000, 290_000, 500_000}
    free_sats = (await stage.ask(state.guarded_account_id, lambda client: client.fetch_account(lane=Lane.USER))).value
    assert {each.reserve_sats for each in limits.values()} == {free_sats.balance_sats // 5}
    assert {each.account_day_sats for each in limits.values()} == {free_sats.balance_sats // 2}
    assert [(each.is_guarded, each.name) for each in accounts] == [(True, "Com guarda"), (False, "Sem guarda")]
    assert accounts[0].compares_with == accounts[1].exchange_account_id
    await asyncio.sleep(0.7)
    assert (await stage.control.fetch_state()).status is MarketStatus.PRELUDE


async def test_the_first_page_starts_the_story_once_and_it_ends(stage: Stage) -> None:
    await stage.demo.page_connected()  # before everything is in place: the story begins as soon as it is
    await stage.until("running")
    started_at = (await stage.demo.state()).story_started_at
    assert started_at is not None
    await stage.demo.page_connected()
    assert (await stage.demo.pause()).status == "paused"
    assert (await stage.demo.resume()).status == "running"
    assert (await stage.demo.set_speed(100)).speed == 100
    await stage.until("ended")
    state = await stage.demo.state()
    assert state.story_started_at == started_at
    assert (await stage.control.fetch_state()).market_s >= 150
    assert state.wire()["scenarios"][0]["name"] == "crash"


async def test_play_again_closes_the_old_pair_and_plays_another_story_on_a_new_one(stage: Stage) -> None:
    await stage.until("waiting")
    old = await stage.demo.state()
    assert old.guarded_account_id is not None
    asked = await stage.demo.play_again(scenario="squeeze", seed=3)
    assert asked.status == "preparing"
    await stage.until("running")
    new = await stage.demo.state()
    assert (new.run_no, new.scenario, new.seed) == (2, "squeeze", 3)
    assert new.guarded_account_id not in (None, old.guarded_account_id)
    assert new.guarded_account_id is not None
    assert {trade.side for trade in await stage.trades(new.guarded_account_id)} == {PositionSide.SHORT}
    assert await stage.trades(old.guarded_account_id) == ()
    async with stage.databases.worker.transaction() as connection:
        assert len(await list_accounts(connection)) == 2


async def test_what_a_killed_process_opened_is_taken_over_and_not_opened_twice(stage: Stage) -> None:
    await stage.until("waiting")
    first = await stage.demo.state()
    assert first.unguarded_account_id is not None
    trades = await stage.trades(first.unguarded_account_id)
    # A process that was killed after the exchange took the orders has left nothing in the database.
    async with stage.databases.worker.transaction() as connection:
        await connection.execute(text("delete from position"))
        await connection.execute(text("delete from demo_run"))
        await connection.execute(text("delete from exchange_account"))
    stage.demo._is_checked = False
    await stage.until("waiting")
    again = await stage.demo.state()
    assert again.unguarded_account_id not in (None, first.unguarded_account_id)
    assert again.unguarded_account_id is not None
    known = {trade.trade_id for trade in await stage.trades(again.unguarded_account_id)}
    assert known == {trade.trade_id for trade in trades}


async def test_the_next_start_goes_on_with_the_run_and_begins_anew_where_the_exchange_forgot_it(
    stage: Stage, database_urls: DatabaseUrls, valkey: Valkey, valkey_url: str, tmp_path: Path
) -> None:
    await stage.until("waiting")
    before = await stage.demo.state()
    next_start = make_demo(stage.settings, database=stage.databases.app, valkey=valkey, clock=CLOCK, locale="en")
    async with led(next_start):
        await asyncio.sleep(1)
        assert await next_start.state() == before
    config = PaperConfig(scenario="crash", seed=7, start_paused=True, speed=30, history_minutes=5, limits=NO_LIMITS)
    async with a_paper_exchange(config) as forgetful:
        settings = demo_settings(database_urls, valkey_url, forgetful, tmp_path)
        demo = make_demo(settings, database=stage.databases.app, valkey=valkey, clock=CLOCK, locale="en")
        later = replace(stage, demo=demo, settings=settings, paper=forgetful)
        async with led(demo):
            await later.until("waiting")
            assert (await demo.state()).run_no == 2


@pytest.mark.parametrize("stage", ["crash", "squeeze"], indirect=True)
async def test_pulling_the_plug_holds_the_monitor_and_moves_the_market_past_the_nearest_stop(stage: Stage) -> None:
    await stage.until("waiting")
    state = await stage.demo.state()
    assert state.guarded_account_id is not None
    trades = await stage.trades(state.guarded_account_id)
    nearest = min(
        (Price(trade.liquidation_price + trade.side.sign * 200) for trade in trades),
        key=lambda stop: abs(stop - 124_000),
    )
    plug = (await stage.demo.pull_the_plug(5)).plug
    assert plug.is_pulled
    assert 4 < plug.seconds_left <= 5
    assert (stage.settings.paths.run_dir / "monitor.hold").read_text() == "5"
    sign = trades[0].side.sign
    for _ in range(80):
        if ((await stage.control.fetch_state()).last_price - nearest) * sign <= 0:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the market did not reach the stop")
    (stage.settings.paths.run_dir / "monitor.hold").unlink()  # the supervisor does this when the time is over
    assert not (await stage.demo.state()).plug.is_pulled


async def test_what_cannot_be_shown_is_refused(stage: Stage) -> None:
    await stage.until("waiting")
    with pytest.raises(UnknownStory):
        await stage.demo.play_again(scenario="moon")
    with pytest.raises(SpeedOutOfRange):
        await stage.demo.set_speed(1e9)
    async with stage.databases.worker.transaction() as connection:
        await connection.execute(text("update position set status = 'closed'"))
    with pytest.raises(NothingToShow):
        await stage.demo.pull_the_plug()


async def test_the_control_interface_s_failures_have_their_names(stage: Stage) -> None:
    with pytest.raises(ExchangeRejected):
        await stage.control.set_speed(-1)
    stranger = PaperControl(stage.paper.control_url, "wrong")
    with pytest.raises(ExchangeAuthFailed):
        await stranger.fetch_state()
    await stranger.close()
    gone = PaperControl(f"http://127.0.0.1:{free_port()}/control", "token")
    with pytest.raises(ExchangeUnavailable):
        await gone.fetch_state()
    await gone.close()


async def test_orders_that_are_sent_again_open_nothing_twice(stage: Stage) -> None:
    credentials = await stage.control.open_account(username="twice", balance_sats=3_000_000)
    same_person = await stage.control.open_account(username="twice", balance_sats=3_000_000)
    planned = planned_trades(PositionSide.LONG, Price(124_000))
    venue = make_venue(stage.settings, Network.PAPER, clock=CLOCK)
    for key in (credentials, same_person):
        client = venue.account_client(signing_key(key))
        trades = await open_trades(client, planned, clock=CLOCK)
        account = (await client.fetch_account(lane=Lane.USER)).value
        await client.close()
        assert {trade.status for trade in trades.values()} == {TradeStatus.RUNNING}
        assert account.balance_sats == 3_000_000 - sum(trade.cost_sats for trade in planned)


def test_the_stories_told_are_those_of_the_paper_exchange() -> None:
    assert set(STORIES) == set(SCENARIOS)
    for name, story in STORIES.items():
        market = scenario(name, 1)
        assert (story.story, story.side) == (market.story, market.suggested_side)
        for seed in range(5):
            assert story.ends_after_s * 1000 >= scenario(name, seed).story_ms
    assert story_of(None).name == "tape"
