"""`axisor bench react`: from a price frame to the protective request at the exchange, between real processes.

A paper exchange, PostgreSQL, Valkey and the monitor run as they do in production, the intent is durable before its
bytes leave. The exchange's own log says when a request arrived; the monitor's attempt says when the frame that caused
it came in, when it was signed and when it was written. Both read the clock of this machine.

The peer is the design that polls: every 20 s a job goes through the same queue, its worker reads the account's trades
and sends. What a crossing waits for its turn is half the interval on average, by construction; all else is measured.
"""

import asyncio
import base64
import os
import secrets
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import aiohttp
from sqlalchemy import text

from axisor.adapters.lnmarkets.client import LnMarketsClient
from axisor.bootstrap.exchange import make_venue, signing_key
from axisor.cli.instance import DATABASE, child_environ, role_command
from axisor.domain.commands import AddMargin, OpenTrade
from axisor.domain.trades import PositionSide
from axisor.domain.units import ExchangeAccountId, RuleId, TradeId, price_from_usd
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.service import create_user
from axisor.features.credentials.service import CredentialsService
from axisor.features.lab.bench.measure import Bench, Limit, Result, Say, check, peer
from axisor.features.margin_guard.marks import is_at_or_beyond
from axisor.features.margin_guard.repository import save_rule
from axisor.features.margin_guard.rule import GuardRule, Limits, Preset
from axisor.features.margin_guard.steps import AtPrice, Notify, Rung, TopUpSats
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.migrate import migrate
from axisor.infra.db.provision import provision
from axisor.infra.db.session import Database, make_engine
from axisor.infra.engines import Engines
from axisor.infra.engines.server import free_port
from axisor.infra.ids import new_id
from axisor.infra.queue.bull import BullConsumer, BullQueues
from axisor.infra.queue.jobs import JobContext, job
from axisor.infra.supervisor import RoleSpec, Supervisor
from axisor.infra.tasks import TaskSet
from axisor.ports.credentials import Credentials, Network
from axisor.ports.exchange import Lane
from axisor.ports.job_queue import Priority, QueueName
from axisor.settings import Settings, load

POLL_EVERY_S: Final = 20.0
START_PRICE_USD: Final = Decimal("61999.5")
FIRST_MARK_USD: Final = Decimal(61_990)
MARK_STEP_USD: Final = Decimal(1)
BURST_MARK_USD: Final = Decimal(61_000)
TOP_UP_SATS: Final = 2_000
BALANCE_SATS: Final = 100_000_000
TRADES_AN_ACCOUNT: Final = 100
WARM_UP: Final = 5
ANSWER_DEADLINE_S: Final = 30.0
READ_DEADLINE_S: Final = 180.0
RATE_PER_S: Final = "5000"
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One protective request, in milliseconds after the frame that caused it."""

    decided_ms: float
    """Frame in, index, policy, token and signature."""
    durable_ms: float
    """Until what is about to leave stands in the database."""
    arrived_ms: float
    """All of it: the request's first bytes are at the exchange."""


@dataclass(slots=True)
class _Trader:
    account_id: ExchangeAccountId
    paper_id: str
    client: LnMarketsClient
    trades: list[TradeId] = field(default_factory=list)


def _bench(is_short: bool, say: Say) -> Result:
    sizes, rounds, burst = ((1, 20), 15, 20) if is_short else ((1, 100, 10_000), 60, 500)
    details: dict[str, float] = {}
    by_size: dict[int, list[Reaction]] = {}
    polled: list[float] = []
    for size in sizes:
        say(f"{size:,} guarded trades: engines, exchange and monitor start")
        is_last = size == sizes[-1]
        measured = asyncio.run(_one_world(size, rounds, burst if is_last else 0, wants_peer=is_last, say=say))
        by_size[size] = measured.reactions
        polled += measured.polled_s
        details |= measured.details
    for size, reactions in by_size.items():
        arrived = sorted(each.arrived_ms for each in reactions)
        details[f"p50_ms_of_{size}"] = round(statistics.median(arrived), 2)
        details[f"p99_ms_of_{size}"] = round(_quantile(arrived, 0.99), 2)
        details[f"decided_p50_ms_of_{size}"] = round(statistics.median(each.decided_ms for each in reactions), 2)
        details[f"durable_p50_ms_of_{size}"] = round(statistics.median(each.durable_ms for each in reactions), 2)
    every = sorted(each.arrived_ms for reactions in by_size.values() for each in reactions)
    mean_s = statistics.fmean(every) / 1000
    polling_s = POLL_EVERY_S / 2 + statistics.fmean(polled)
    details["polling_without_wait_ms"] = round(1000 * statistics.fmean(polled), 2)
    return Result(
        name="react",
        work=f"a price frame to the add-margin request at the exchange, {' / '.join(f'{n:,}' for n in sizes)} guarded "
        f"trades, one due, {rounds} times each; then {burst} due at once",
        unit="reaction, on the mean",
        seconds=mean_s,
        peers=(peer(f"polling every {POLL_EVERY_S:.0f} s through the queue", polling_s, mean_s, 1_000),),
        limits=(
            Limit(name="one due, p50", measured=round(statistics.median(every), 2), at_most=6, unit="ms"),
            Limit(name="one due, p99", measured=round(_quantile(every, 0.99), 2), at_most=25, unit="ms"),
            Limit(
                name=f"of {burst} due at once, pairs that left against the order of their ends",
                measured=details["burst_inverted_share"],
                at_most=0.01,
                unit="of all",
            ),
        ),
        checked="every due trade was topped up once, by the exchange's books, and no other",
        details=details,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


REACT: Final = Bench(name="react", work="a price frame to the protective request, real processes", run=_bench)


@dataclass(slots=True, kw_only=True)
class _Measured:
    reactions: list[Reaction]
    polled_s: list[float]
    details: dict[str, float]


async def _one_world(size: int, rounds: int, burst: int, *, wants_peer: bool, say: Say) -> _Measured:
    with tempfile.TemporaryDirectory(prefix="axisor-bench-") as folder:
        async with _world(Path(folder)) as world:
            due = rounds + WARM_UP
            await world.open_trades(background=max(0, size - 1), due=due, burst=burst, say=say)
            await world.start_monitor()
            await world.until_read()
            say(f"{size:,} guarded trades: {rounds} crossings")
            reactions = [await world.cross(number) for number in range(due)][WARM_UP:]
            details = await world.cross_all(burst) if burst else {}
            check(await world.books_agree(due + burst), "the exchange's books show another number of top-ups")
            polled = await world.poll(rounds) if wants_peer else []
            return _Measured(reactions=reactions, polled_s=polled, details=details)


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator["_World"]:
    clock = SystemClock()
    engines = Engines(folder / "data")
    engines.start()
    try:
        await provision(engines.postgres.url(), database=DATABASE, passwords=engines.role_passwords)
        await asyncio.to_thread(migrate, engines.database_url("axisor_owner", database=DATABASE))
        port = free_port()
        key = secrets.token_bytes(32)
        token = secrets.token_urlsafe(32)
        ours = {
            "AXISOR_DATABASE_GUARD_URL": engines.database_url("axisor_guard", database=DATABASE),
            "AXISOR_DATABASE_WORKER_URL": engines.database_url("axisor_worker", database=DATABASE),
            "AXISOR_VALKEY_URL": engines.valkey.url(),
            "AXISOR_DATA_DIR": str(folder / "data"),
            "AXISOR_MASTER_KEY": base64.b64encode(key).decode(),
            "AXISOR_JWT_KEY": base64.b64encode(key[::-1]).decode(),
            "AXISOR_INTERNAL_KEY": secrets.token_urlsafe(16),
            "AXISOR_DEMO": "true",
            "AXISOR_LOG_LEVEL": "warning",
            "AXISOR_PRIVATE_RATE_PER_S": RATE_PER_S,
            "AXISOR_PRIVATE_BURST": RATE_PER_S,
            "AXISOR_PAPER_REST_URL": f"http://127.0.0.1:{port}/v3",
            "AXISOR_PAPER_STREAM_URL": f"ws://127.0.0.1:{port}/v1",
            "AXISOR_PAPER_CONTROL_URL": f"http://127.0.0.1:{port}/control",
            "AXISOR_PAPER_CONTROL_TOKEN": token,
        }
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
        environ = child_environ(theirs, ours)
        supervisor = Supervisor(run_dir=folder / "run", log_dir=folder / "log", clock=clock)
        (folder / "run").mkdir()
        exchange = role_command(
            "exchange", "--port", str(port), "--scenario", "manual", "--private-rate", "0", "--public-rate", "0"
        )
        async with (
            supervisor.running(),
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=ANSWER_DEADLINE_S)
            ) as session,
        ):
            await supervisor.start([RoleSpec(name="exchange", command=exchange, environ=environ)])
            settings = load(environ)
            database = Database(make_engine(settings.database.worker_url, application_name="bench"))
            world = _World(
                settings=settings, environ=environ, supervisor=supervisor, session=session, database=database, key=key
            )
            try:
                yield world
            finally:
                await world.close()
    finally:
        engines.stop()


class _World:
    """An installation of real processes, and the accounts that it guards."""

    def __init__(
        self,
        *,
        settings: Settings,
        environ: dict[str, str],
        supervisor: Supervisor,
        session: aiohttp.ClientSession,
        database: Database,
        key: bytes,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._supervisor = supervisor
        self._session = session
        self._database = database
        self._key = key
        self._clock = SystemClock()
        self._venue = make_venue(settings, Network.PAPER, clock=self._clock)
        self._control_url = environ["AXISOR_PAPER_CONTROL_URL"]
        self._traders: list[_Trader] = []
        self._due: list[tuple[_Trader, TradeId]] = []
        self._burst: list[tuple[_Trader, TradeId]] = []
        self._trades = 0
        self._seq = 0

    async def close(self) -> None:
        for trader in self._traders:
            await trader.client.close()
        await self._database.close()

    async def _control(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, self._control_url + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _set_price(self, usd: Decimal) -> None:
        await self._control("POST", "/market/price", {"last_price": float(usd)})

    async def open_trades(self, *, background: int, due: int, burst: int, say: Say) -> None:
        """Open trades that only wait, trades that fall due one by one, and trades that fall due together."""
        await self._set_price(START_PRICE_USD)
        owner = await create_user(
            self._database, clock=self._clock, passwords=Passwords(), display_name="Bench", role="owner"
        )
        service = CredentialsService(self._database, KeyRing(Key(self._key)), clock=self._clock, is_demo=True)
        wanted = ["due"] * due + ["burst"] * burst + ["waits"] * background
        for first in range(0, len(wanted), TRADES_AN_ACCOUNT):
            trader = await self._trader(service, owner.user_id, number=len(self._traders))
            kinds = wanted[first : first + TRADES_AN_ACCOUNT]
            for number, kind in enumerate(kinds):
                await self._open(trader, kind, number=number)
            say(f"{first + len(kinds):,} of {len(wanted):,} trades are open")

    async def _trader(self, service: CredentialsService, user_id: Any, *, number: int) -> _Trader:
        raw = await self._control("POST", "/accounts", {"balance_sats": BALANCE_SATS, "username": f"trader{number}"})
        credentials = Credentials(key=raw["key"], secret=raw["secret"], passphrase=raw["passphrase"])
        async with self._database.transaction() as connection:
            account_id = await service.connect(
                connection,
                user_id=user_id,
                name=f"trader{number}",
                network=Network.PAPER,
                credentials=credentials,
                is_guarded=True,
            )
            await save_rule(connection, account_id, None, _rule(Decimal(1)), created_by=None)
        client = self._venue.account_client(signing_key(credentials), name=f"trader{number}")
        await client.sync_clock()
        trader = _Trader(account_id=account_id, paper_id=raw["account_id"], client=client)
        self._traders.append(trader)
        return trader

    async def _open(self, trader: _Trader, kind: str, *, number: int) -> None:
        leverage = 10 + number % 30 if kind == "burst" else 5
        answer = await trader.client.send(
            trader.client.sign(
                OpenTrade(
                    side=PositionSide.LONG,
                    quantity_usd=100,
                    leverage=leverage,
                    limit_price=None,
                    stop_loss_price=None,
                    take_profit_price=None,
                    client_id=f"{kind}-{len(self._traders)}-{number}",
                )
            ),
            deadline_s=ANSWER_DEADLINE_S,
        )
        check(answer.trade is not None, f"the exchange opened no trade: {answer.reason}")
        assert answer.trade is not None
        trade_id = answer.trade.trade_id
        trader.trades.append(trade_id)
        self._trades += 1
        if kind == "waits":
            return
        mine = self._due if kind == "due" else self._burst
        mark = BURST_MARK_USD if kind == "burst" else FIRST_MARK_USD - MARK_STEP_USD * len(mine)
        mine.append((trader, trade_id))
        async with self._database.transaction() as connection:
            await save_rule(connection, trader.account_id, trade_id, _rule(mark), created_by=None)

    async def start_monitor(self) -> None:
        await self._supervisor.start(
            [RoleSpec(name="monitor", command=role_command("monitor"), environ=self._environ, start_deadline_s=120)]
        )

    async def until_read(self) -> None:
        """Return once the monitor has read every trade."""
        async with asyncio.timeout(READ_DEADLINE_S):
            while await self._count("select count(*) from position where status = 'running'") < self._trades:
                await self._clock.sleep(POLL_S)
            await self._clock.sleep(2.0)  # the first reading of a trade arms it in the loop that follows
        self._seq = await self._newest_seq()

    async def _count(self, statement: str) -> int:
        async with self._database.transaction() as connection:
            return int((await connection.execute(text(statement))).scalar_one())

    async def _requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._control("GET", f"/requests?path=add-margin&after_seq={self._seq}")
        return found

    async def _newest_seq(self) -> int:
        found = await self._control("GET", "/requests")
        return max((int(each["seq"]) for each in found), default=0)

    async def _until_requests(self, wanted: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(READ_DEADLINE_S):
            while len(found := await self._requests()) < wanted:
                await self._clock.sleep(POLL_S)
        return found

    async def cross(self, number: int) -> Reaction:
        """Let the price pass the mark of one trade, and return how fast it was answered."""
        trader, trade_id = self._due[number]
        await self._set_price(FIRST_MARK_USD - MARK_STEP_USD * number)
        found = await self._until_requests(1)
        check(
            len(found) == 1 and found[0]["account_id"] == trader.paper_id and trade_id in found[0]["body"],
            f"one request for {trade_id}, not {found}",
        )
        self._seq = int(found[0]["seq"])
        tick_at, signed_at, sent_at = await self._times(trade_id)
        return Reaction(
            decided_ms=_ms(signed_at) - _ms(tick_at),
            durable_ms=_ms(sent_at) - _ms(signed_at),
            arrived_ms=float(found[0]["received_at_ms"]) - _ms(tick_at),
        )

    async def _times(self, trade_id: TradeId) -> tuple[datetime, datetime, datetime]:
        statement = text("select tick_at, signed_at, sent_at from attempt where position_id = :trade")
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            while True:
                async with self._database.transaction() as connection:
                    row = (await connection.execute(statement, {"trade": trade_id})).one_or_none()
                if row is not None and row.sent_at is not None:
                    return row.tick_at, row.signed_at, row.sent_at
                await self._clock.sleep(POLL_S)

    async def cross_all(self, burst: int) -> dict[str, float]:
        """Let many trades fall due at one price, and return in which order and how fast their requests came."""
        ends: dict[TradeId, int] = {}
        for trader in self._traders:
            for trade in (await trader.client.list_running_trades(lane=Lane.USER)).value:
                ends[trade.trade_id] = trade.liquidation_price
        began_ms = _ms(self._clock.now())
        await self._set_price(BURST_MARK_USD)
        found = await self._until_requests(burst)
        ids = {trade_id for _, trade_id in self._burst}
        order = [next(trade_id for trade_id in ids if trade_id in each["body"]) for each in found[:burst]]
        check(sorted(order) == sorted(ids), "each trade that was due was topped up once")
        self._seq = max(int(each["seq"]) for each in found)
        # A long with the higher liquidation price dies first; one account sends in this order.
        inverted = pairs = 0
        for trader in self._traders:
            mine = [ends[trade_id] for trade_id in order if trade_id in trader.trades]
            pairs += len(mine) * (len(mine) - 1) // 2
            inverted += sum(1 for at, end in enumerate(mine) for later in mine[at + 1 :] if later > end)
        arrived = sorted(float(each["received_at_ms"]) - began_ms for each in found[:burst])
        return {
            "burst_first_ms": round(arrived[0], 1),
            "burst_last_ms": round(arrived[-1], 1),
            "burst_inverted_share": round(inverted / max(1, pairs), 4),
        }

    async def books_agree(self, wanted: int) -> bool:
        """Return whether the exchange booked so many top-ups in all, one for each trade that was due."""
        booked: list[str] = []
        for trader in self._traders:
            books = await self._control("GET", f"/accounts/{trader.paper_id}/books")
            booked += [each["trade_id"] for each in books["postings"] if each["kind"] == "add_margin"]
        due = {trade_id for _, trade_id in (*self._due, *self._burst)}
        return len(booked) == wanted == len(set(booked)) and set(booked) == due

    async def poll(self, rounds: int) -> list[float]:
        """Return what the design that polls takes from its turn to the request at the exchange, in seconds."""
        await self._supervisor.stop([["monitor"]])
        mark = price_from_usd(BURST_MARK_USD)
        traders = {trader.account_id: trader for trader in self._traders}

        @job("bench.poll_account", queue=QueueName.ROUTINE, priority=Priority.URGENT, deadline_s=ANSWER_DEADLINE_S)
        async def poll_account(ctx: JobContext, *, exchange_account_id: str) -> None:  # noqa: ARG001 - every job takes it
            trader = traders[ExchangeAccountId(exchange_account_id)]
            for trade in (await trader.client.list_running_trades(lane=Lane.USER)).value:
                if trade.trade_id == trader.trades[0] and is_at_or_beyond(trade.side, mark, mark):
                    command = AddMargin(trade_id=trade.trade_id, amount_sats=TOP_UP_SATS)
                    await trader.client.send(trader.client.sign(command), deadline_s=ANSWER_DEADLINE_S)

        valkey_url = self._settings.valkey.url
        queues = BullQueues(valkey_url)
        consumer = BullConsumer(valkey_url, QueueName.ROUTINE, [poll_account], context=JobContext())
        stop = asyncio.Event()
        took: list[float] = []
        try:
            async with TaskSet("bench polling") as tasks:
                tasks.start(consumer.run(stop), name="poll")
                for number in range(rounds + WARM_UP):
                    trader = self._traders[number % len(self._traders)]
                    began_ms = _ms(self._clock.now())
                    await poll_account.enqueue(queues, exchange_account_id=trader.account_id)
                    found = (await self._until_requests(1))[0]
                    self._seq = int(found["seq"])
                    if number >= WARM_UP:
                        took.append((float(found["received_at_ms"]) - began_ms) / 1000)
                stop.set()
        finally:
            await queues.close()
        return took


def _ms(at: datetime) -> float:
    return at.timestamp() * 1000


def _rule(mark_usd: Decimal) -> GuardRule:
    """Return a rule with a top-up at a price, without a stop that would have to move with it."""
    step = Rung(key="top_up", trigger=AtPrice(price_from_usd(mark_usd)), action=TopUpSats(TOP_UP_SATS))
    warn = Rung(key="warn", room_share=Fraction(1, 100), action=Notify())
    return GuardRule(
        rule_id=RuleId(new_id()),
        version=1,
        preset=Preset.CUSTOM,
        rungs=(warn, step),
        limits=Limits(position_sats=TOP_UP_SATS * 2, account_day_sats=None, max_count=1, reserve_sats=0),
        stop_share=None,
    )
