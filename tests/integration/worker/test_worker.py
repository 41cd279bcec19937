"""Workers and the scheduler on real engines and a real paper exchange."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest
from sqlalchemy import text
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.paper import a_paper_exchange, demo_settings
from tests.fixtures.processes import until
from tests.fixtures.worker import Databases, a_user

from axisor.adapters.paper.control import PaperControl
from axisor.bootstrap.exchange import make_venue, signing_key
from axisor.bootstrap.worker import WorkerParts
from axisor.domain.commands import CloseTrade
from axisor.domain.errors import ConfigurationError
from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, TradeId
from axisor.features.demo.opening import open_trades
from axisor.features.demo.stories import planned_trades
from axisor.features.execution.jobs import RequestTaker, take_request
from axisor.features.execution.ledger import INSERT_DECISION, DecisionRecord, decision_values, verify
from axisor.features.execution.periodic_jobs import (
    SYNC_EVERY_S,
    SYNC_UNWATCHED_EVERY_S,
    HeartbeatReader,
    seal_ledgers,
    sweep_requests,
    sync_account,
    sync_due_accounts,
)
from axisor.features.execution.positions import list_positions
from axisor.infra import keys, outbox
from axisor.infra.clock import SystemClock
from axisor.infra.ids import new_id
from axisor.infra.leadership import Leadership
from axisor.infra.queue.bull import BullConsumer
from axisor.infra.queue.jobs import JobContext
from axisor.infra.valkey import Heard, LinkUp, Valkey, listen
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.ports.credentials import Network
from axisor.ports.job_queue import QueueName
from axisor.settings import KeySettings, Settings
from axisor.worker.housekeeping import ensure_partitions, sweep_outbox
from axisor.worker.main import run_scheduler, run_worker
from axisor.worker.timetable import COMMAND_TOPIC, JOBS, ROUTES, SCHEDULES

CLOCK = SystemClock()
NO_LIMITS = RateLimits(private_per_s=0, public_per_s=0, stream_per_s=0)


@pytest.fixture
async def paper() -> AsyncIterator[PaperAddresses]:
    config = PaperConfig(scenario="crash", start_paused=True, speed=10, history_minutes=30, limits=NO_LIMITS)
    async with a_paper_exchange(config) as addresses:
        yield addresses


@pytest.fixture
async def settings(
    database_urls: DatabaseUrls, valkey: Valkey, valkey_url: str, paper: PaperAddresses, tmp_path: Path
) -> Settings:
    await valkey.flushdb()
    return demo_settings(database_urls, valkey_url, paper, tmp_path)


@pytest.fixture
async def parts(settings: Settings, databases: Databases) -> AsyncIterator[WorkerParts]:
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from exchange_account"))
    parts = WorkerParts.build(settings, role="test")
    yield parts
    await parts.close()


async def connect_account(parts: WorkerParts, paper: PaperAddresses) -> ExchangeAccountId:
    """Return a connected account of a new trader at the paper exchange."""
    control = PaperControl(paper.control_url, paper.control_token)
    credentials = await control.open_account(username=new_id(), balance_sats=3_000_000)
    await control.close()
    user_id = await a_user(parts.database)
    async with parts.database.transaction() as connection:
        return await parts.credentials.connect_paper(
            connection, user_id=user_id, name="A", credentials=credentials, is_guarded=True
        )


async def a_request(parts: WorkerParts, account_id: ExchangeAccountId, *, age_s: float, expires_in_s: float) -> str:
    """Insert a request and return its id."""
    request_id, now = new_id(), CLOCK.now()
    async with parts.database.transaction() as connection:
        await connection.execute(
            text(
                "insert into command_request (exchange_account_id, request_id, user_id, position_id, command, "
                "arguments, idempotency_key, status, created_at, expires_at) select exchange_account_id, :request, "
                "user_id, :position, 'close_trade', '{}', gen_random_uuid()::text, 'requested', :created, :expires "
                "from exchange_account where exchange_account_id = :account"
            ),
            {
                "request": request_id,
                "position": new_id(),
                "account": account_id,
                "created": now - timedelta(seconds=age_s),
                "expires": now + timedelta(seconds=expires_in_s),
            },
        )
    return request_id


@asynccontextmanager
async def running(*roles: object, stop: asyncio.Event) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for role in roles:
            tasks.create_task(role)  # type: ignore[arg-type] # coroutines of the roles
        try:
            yield
        finally:
            stop.set()


async def test_one_scheduler_records_and_the_next_takes_over_when_it_ends(
    settings: Settings, databases: Databases, valkey: Valkey
) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    heard = listen(valkey, (keys.MARKET_PRICE,))
    assert await anext(heard) == LinkUp()
    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(run_scheduler(settings, stop=first))
        async with asyncio.timeout(10):
            event = await anext(heard)
        assert isinstance(event, Heard)
        assert event.message["last_price"] == pytest.approx(62_000, rel=0.001)
        assert event.message["age_s"] < 1
        await until_bars(databases)
        tasks.create_task(run_scheduler(settings, stop=second))
        await asyncio.sleep(0.3)
        first.set()
        await leader
        ended_at = CLOCK.now()
        async with asyncio.timeout(10):
            async for event in heard:
                if isinstance(event, Heard) and datetime.fromisoformat(event.message["price_at"]) > ended_at:
                    break
        second.set()
    await heard.aclose()


async def until_bars(databases: Databases) -> None:
    """Return once the bars of the past and of the present second are stored."""
    for _ in range(100):
        async with databases.worker.transaction() as connection:
            counted = await connection.execute(text("select interval_s, count(*) as bars from candle group by 1"))
        bars = {row.interval_s: row.bars for row in counted}
        if bars.get(60, 0) >= 30 and bars.get(1, 0) >= 1:
            return
        await asyncio.sleep(0.1)
    pytest.fail("no bars were stored")


async def test_a_leader_whose_connection_dies_gives_up_and_another_follows(database_urls: DatabaseUrls) -> None:
    contenders = [Leadership(database_urls.worker, lock=77, role="test", clock=CLOCK) for _ in range(2)]
    superuser = await asyncpg.connect(database_urls.superuser)
    async with contenders[0].won() as hold:
        watching = asyncio.get_running_loop().create_task(hold.watch())
        waiting = asyncio.get_running_loop().create_task(contenders[1].won().__aenter__())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'axisor-test-leader' "
            "and pid in (select pid from pg_locks where locktype = 'advisory' and granted)"
        )
        async with asyncio.timeout(5):
            await asyncio.wait((watching,))
            assert type(watching.exception()).__name__ == "LeaseLost"
            await waiting
    await superuser.close()


async def test_a_worker_does_the_timetable_and_hands_over_commands(
    settings: Settings, parts: WorkerParts, paper: PaperAddresses, valkey_url: str
) -> None:
    account_id = await connect_account(parts, paper)
    taken: list[str] = []

    class Monitor:
        async def take_requests(self, exchange_account_id: str) -> None:
            taken.append(exchange_account_id)

    context = JobContext()
    context.provide(RequestTaker, Monitor())  # type: ignore[type-abstract] # a Protocol is the key of the service
    stop = asyncio.Event()
    monitor = BullConsumer(valkey_url, QueueName.COMMANDS, [take_request], context=context)
    async with running(
        run_worker(settings, stop=stop), run_scheduler(settings, stop=stop), monitor.run(stop), stop=stop
    ):
        async with parts.database.transaction() as connection:
            ids = {"exchange_account_id": account_id, "request_id": new_id()}
            await outbox.add(connection, COMMAND_TOPIC, ids)
        await outbox.nudge_relays(parts.valkey)
        await until(lambda: taken == [account_id], within_s=5)
        # No monitor's heartbeat: the account is read at once, and its balance stands a moment later.
        async with asyncio.timeout(15):
            while True:
                async with parts.database.transaction() as connection:
                    balance = await connection.execute(
                        text("select balance_sats from exchange_account where exchange_account_id = :account"),
                        {"account": account_id},
                    )
                    if balance.scalar_one() == 3_000_000:
                        break
                await asyncio.sleep(0.2)
        asked_at = CLOCK.boottime_s()
        stop.set()
    assert CLOCK.boottime_s() - asked_at < 2


async def test_a_wrong_master_key_stops_the_start(
    settings: Settings, parts: WorkerParts, paper: PaperAddresses
) -> None:
    await connect_account(parts, paper)
    other = settings.model_copy(update={"keys": KeySettings(master="eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=")})
    with pytest.raises(ConfigurationError, match="AXISOR_MASTER_KEY"):
        await run_worker(other, stop=asyncio.Event())


async def test_reading_an_account_stores_its_trades_and_closed_is_final(
    settings: Settings, parts: WorkerParts, paper: PaperAddresses
) -> None:
    account_id = await connect_account(parts, paper)
    credentials = await parts.credentials.open(account_id)
    client = make_venue(settings, Network.PAPER, clock=CLOCK).account_client(signing_key(credentials))
    trades = await open_trades(client, planned_trades(PositionSide.LONG, Price(124_000)), clock=CLOCK)
    context = parts.job_context()

    async def stored() -> dict[str, TradeStatus]:
        async with parts.database.transaction() as connection:
            return {
                str(each.trade.client_id): each.trade.status for each in await list_positions(connection, account_id)
            }

    await sync_account.handler(context, exchange_account_id=account_id)
    assert set((await stored()).values()) == {TradeStatus.RUNNING}
    await client.send(client.sign(CloseTrade(trade_id=trades["10x long"].trade_id)), deadline_s=5)
    await client.close()
    await sync_account.handler(context, exchange_account_id=account_id)
    assert (await stored())["10x long"] is TradeStatus.CLOSED
    async with parts.database.transaction() as connection:
        await connection.execute(text("update exchange_account set archived_at = now()"))
    await sync_account.handler(context, exchange_account_id=account_id)
    await sync_account.handler(context, exchange_account_id=new_id())


async def test_accounts_are_read_each_minute_and_more_often_while_no_monitor_is_alive(
    parts: WorkerParts, paper: PaperAddresses
) -> None:
    for _ in range(2):
        await connect_account(parts, paper)
    reader, context = HeartbeatReader(parts.valkey, CLOCK), parts.job_context()
    assert await reader.is_stale()

    async def beat(*, age_s: float) -> None:
        body = msgspec.json.encode({"boottime_s": CLOCK.boottime_s() - age_s})
        await parts.valkey.set(keys.MONITOR_HEARTBEAT, body)

    async def waiting_jobs() -> int:
        return (await parts.queues.counts(QueueName.ROUTINE))["prioritized"]

    await beat(age_s=0)
    assert not await reader.is_stale()
    for _ in range(2):
        await sync_due_accounts.handler(context)
    assert await waiting_jobs() == 2
    assert await reader.may_sync(ExchangeAccountId(new_id()), every_s=SYNC_EVERY_S) is not None
    await beat(age_s=4)
    assert await reader.is_stale()
    account = ExchangeAccountId(new_id())
    assert await reader.may_sync(account, every_s=SYNC_UNWATCHED_EVERY_S)
    assert not await reader.may_sync(account, every_s=SYNC_UNWATCHED_EVERY_S)
    assert await parts.valkey.pttl(keys.account_sync_pause(account, every_s=SYNC_UNWATCHED_EVERY_S)) <= 4_500


async def test_requests_nobody_took_are_handed_over_again_once_and_given_up_in_time(
    parts: WorkerParts, paper: PaperAddresses
) -> None:
    account_id = await connect_account(parts, paper)
    await a_request(parts, account_id, age_s=0, expires_in_s=60)
    await a_request(parts, account_id, age_s=3, expires_in_s=60)
    late = await a_request(parts, account_id, age_s=90, expires_in_s=-1)
    for _ in range(3):
        await sweep_requests.handler(parts.job_context())
    assert (await parts.queues.counts(QueueName.COMMANDS))["prioritized"] == 1
    async with parts.database.transaction() as connection:
        rows = (await connection.execute(text("select request_id, status from command_request"))).all()
        told = (await connection.execute(text("select kind, data from notification"))).all()
    assert {str(row.request_id) for row in rows if row.status == "expired"} == {late}
    assert [(row.kind, row.data["status"]) for row in told] == [("request_settled", "expired")]


async def test_new_decisions_get_their_place_in_the_chain(parts: WorkerParts, paper: PaperAddresses) -> None:
    accounts = [await connect_account(parts, paper) for _ in range(2)]
    async with parts.database.transaction() as connection:
        for number in range(3):
            for account_id in accounts:
                record = DecisionRecord(
                    exchange_account_id=account_id,
                    decision_id=new_id(),
                    trade_id=TradeId(new_id()),
                    at=CLOCK.now(),
                    action="hold",
                    reason="calm",
                    inputs={"number": number},
                    arithmetic=[],
                    rule_id=None,
                    rule_version=None,
                    code_version="test",
                )
                await connection.execute(INSERT_DECISION, decision_values(record))
    await seal_ledgers.handler(parts.job_context())
    async with parts.database.transaction() as connection:
        unsealed = await connection.execute(text("select count(*) from decision where seq is null"))
        assert unsealed.scalar_one() == 0
        for account_id in accounts:
            assert (await verify(connection, account_id)).broken_seq is None


async def test_partitions_of_the_months_ahead_stand_and_take_over_what_the_default_held(
    parts: WorkerParts, database_urls: DatabaseUrls
) -> None:
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(
        "insert into candle (interval_s, at, network, open, high, low, close) "
        "values (60, '2031-02-03 04:05:00+00', 'paper', 1, 1, 1, 1), (60, '2031-05-03 04:05:00+00', 'paper', 1, 1, 1, 1)"
    )
    async with parts.database.transaction() as connection:
        for expected in (4, 0):
            made = await connection.execute(text("select axisor_ensure_partitions(1, '2031-02-28 23:59:59+00')"))
            assert made.scalar_one() == expected
    assert await superuser.fetchval("select count(*) from only candle_2031_02") == 1
    assert await superuser.fetchval("select count(*) from only candle_default") == 1
    await superuser.execute("delete from candle where at > '2031-01-01'")
    await superuser.close()
    await ensure_partitions.handler(parts.job_context())
    await sweep_outbox.handler(parts.job_context())


def test_every_scheduled_and_routed_job_is_done_by_somebody() -> None:
    done = {each.name for each in (*JOBS, take_request)}
    assert {each.schedule_id for each in SCHEDULES} <= done
    assert {route.job for route in ROUTES.values()} <= done
    assert len(done) == len(JOBS) + 1
    assert replace(SCHEDULES[0], every_s=9).schedule_id == SCHEDULES[0].schedule_id
