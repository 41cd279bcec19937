"""The paper exchange under load: matching, stream and REST of many accounts on one core, and memory over a week.

Prints one JSON object. See benchmarks/README.md for how to run it and for figures.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import msgspec
from benchmarks.paper_exchange_server import ServerOrder, spread

from axisor.domain.contract import clamp_price
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.infra.clock import SystemClock
from axisor.infra.tasks import TaskSet
from axisor.paper import topics
from axisor.paper.clock import epoch_ms
from axisor.paper.config import PaperConfig
from axisor.paper.engine import Engine
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.engine.orders import NewTrade
from axisor.paper.history import CLOSED_TRADES
from axisor.paper.market.ladder import ladder
from axisor.paper.player import MarketStatus, PlayerState
from axisor.paper.records import ApiKey, CloseKind, PaperTrade
from axisor.paper.server.auth import signature_of
from axisor.paper.sources import open_path
from axisor.paper.store import MarketPosition, Store, encode_account

CLOCK = SystemClock()
ROOT = Path(__file__).resolve().parent.parent
BALANCE_SATS = 2_000_000_000
LEVERAGES = (2, 3, 5, 10, 25, 50, 75, 100)
PUBLIC = [topics.LAST_PRICE]
MORE_PUBLIC = [topics.LAST_PRICE, topics.TICKER, topics.BUCKETS, topics.OHLC["1m"]]
PRIVATE = [topics.ISOLATED_TRADES, topics.CROSS_POSITION]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much load."""

    accounts: int = 2_000
    trades: int = 10_000
    cross_share: float = 0.1
    clients: int = 500
    authenticated_share: float = 0.7
    requests_per_s: float = 20.0
    seconds: float = 60.0
    week_seconds: float = 150.0
    week_accounts: int = 200
    week_days: float = 7.0


SMALL = Size(
    accounts=20,
    trades=60,
    clients=8,
    requests_per_s=20.0,
    seconds=3.0,
    week_seconds=3.0,
    week_accounts=5,
    week_days=0.2,
)


# A populated exchange


def random_order(rng: random.Random, last_price: Price) -> NewTrade:
    """Return a market order with levels at random distances."""
    side = rng.choice(list(PositionSide))
    leverage = rng.choice(LEVERAGES)

    def away(fraction: float, sign: int) -> Price:
        return clamp_price(round(last_price * (1 + sign * side.sign * fraction)))

    kind = rng.random()
    room = 0.8 / leverage
    return NewTrade(
        side=side,
        order_type=OrderType.MARKET,
        leverage=Fraction(leverage),
        quantity_usd=rng.randint(10, 2_000),
        stop_loss_price=away(rng.uniform(0.2, 0.8) * room, -1) if kind < 0.3 else None,
        trailing_distance=Decimal("0.02") if 0.3 <= kind < 0.4 and leverage <= 10 else None,
        take_profit_price=away(rng.uniform(0.003, 0.1), 1) if rng.random() < 0.5 else None,
    )


def populate(engine: Engine, *, accounts: int, trades: int, cross_share: float, rng: random.Random) -> list[ApiKey]:
    """Return a key of each new account; the accounts have opened `trades` trades and some a cross position."""
    everyone = [engine.create_account(username=f"user{n}", balance_sats=BALANCE_SATS) for n in range(accounts)]
    for number in range(trades):
        engine.isolated.open_trade(everyone[number % accounts], random_order(rng, engine.last_price))
    for account in rng.sample(everyone, int(accounts * cross_share)):
        engine.cross.deposit(account, amount_sats=BALANCE_SATS // 10)
        order = NewCrossOrder(side=rng.choice(list(PositionSide)), order_type=OrderType.MARKET, quantity_usd=500)
        engine.cross.new_order(account, order)
    return [account.keys[0] for account in everyone]


def an_engine(store: Store, last_price: Price) -> Engine:
    return Engine(clock=CLOCK, last_price=last_price, ladder=ladder(last_price, Fraction(0)), history=store.history)


def populate_folder(folder: Path, size: Size, *, scenario: str) -> list[ApiKey]:
    """Return the keys of the accounts that a data folder now holds."""
    with closing(Store(folder)) as store:
        engine = an_engine(store, open_path(PaperConfig(scenario=scenario)).start_price)
        keys = populate(
            engine, accounts=size.accounts, trades=size.trades, cross_share=size.cross_share, rng=random.Random(1)
        )
        status = MarketStatus.PAUSED
        player = PlayerState(run_id="benchmark", status=status, resumes_to=status, speed=1.0)
        accounts = [encode_account(account, engine.books.sums(account)) for account in engine.accounts]
        store.write(store.batch(accounts, market=MarketPosition(source="benchmark", player=player)))
    return keys


# The server and its clients


@dataclass
class Server:
    """The child process."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]

    async def ask(self, word: str) -> Any:
        """Return the statistics, for `stats` or `mark`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n".encode())
        return await _answer(self.process.stdout)

    def rss_mib(self) -> float:
        """Return the resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def a_server(order: ServerOrder) -> AsyncIterator[Server]:
    """Run the exchange as a child."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.paper_exchange_server", msgspec.json.encode(order).decode()),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "src"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        assert process.stdout is not None
        yield Server(process, await _answer(process.stdout))
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(60):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answer(stdout: asyncio.StreamReader) -> Any:
    """Return the next line that is JSON; the others are log lines."""
    async with asyncio.timeout(120):
        while line := await stdout.readline():
            if line.startswith(b"{"):
                return json.loads(line)
    raise RuntimeError("the exchange ended")


def signed(key: ApiKey, method: str, path: str, data: str = "") -> dict[str, str]:
    """Return the headers of a request."""
    timestamp = str(epoch_ms(CLOCK.now()))
    return {
        "lnm-access-key": key.key,
        "lnm-access-passphrase": key.passphrase,
        "lnm-access-timestamp": timestamp,
        "lnm-access-signature": signature_of(key.secret, f"{timestamp}{method.lower()}{path}{data}".encode()),
    }


@dataclass
class Seen:
    """What the clients saw, all of them together."""

    late_ms: list[float] = field(default_factory=list)
    points: dict[int, float] = field(default_factory=dict)
    """Every price point that any client saw: its time and its price."""
    per_client: list[int] = field(default_factory=list)
    private_events: int = 0
    read_ms: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


@dataclass
class Load:
    """The load generator."""

    server: Server
    http: aiohttp.ClientSession
    keys: list[ApiKey]
    seen: Seen = field(default_factory=Seen)
    is_measuring: bool = False

    async def listen(self, number: int, key: ApiKey | None, connected: asyncio.Semaphore) -> None:
        """Be one client of the stream."""
        self.seen.per_client.append(0)
        async with self.http.ws_connect(self.server.addresses["stream_url"], max_msg_size=0) as ws:
            wanted = MORE_PUBLIC if number % 4 == 0 else PUBLIC
            if key is not None:
                timestamp = str(epoch_ms(CLOCK.now()))
                params = {
                    "key": key.key,
                    "passphrase": key.passphrase,
                    "timestamp": timestamp,
                    "nonce": "n",
                    "signature": signature_of(key.secret, f"{timestamp}n".encode()),
                }
                await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "authenticate", "params": params})
                wanted = wanted + PRIVATE
            await ws.send_json({"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": {"topics": wanted}})
            connected.release()
            async for message in ws:
                self._take(number, message.data)

    def _take(self, number: int, text: str) -> None:
        if not self.is_measuring or '"method":"subscription"' not in text:
            return
        if topics.LAST_PRICE in text:
            received_ms = CLOCK.now().timestamp() * 1000
            data = json.loads(text)["params"]["data"]
            self.seen.late_ms.append(received_ms - data["time"])
            self.seen.points[data["time"]] = data["lastPrice"]
            self.seen.per_client[number] += 1
        elif any(topic in text for topic in PRIVATE):
            self.seen.private_events += 1

    async def trade(self, rng: random.Random, requests_per_s: float) -> None:
        """Read and write like a crowd of bots, evenly."""
        due_s = CLOCK.boottime_s()
        async with TaskSet("requests") as requests:
            while True:
                due_s += 1 / requests_per_s
                await asyncio.sleep(max(0.0, due_s - CLOCK.boottime_s()))
                requests.start(self._one_request(rng), name="request")

    async def _one_request(self, rng: random.Random) -> None:
        key, kind = rng.choice(self.keys), rng.random()
        if kind < 0.3:
            await self.call(key, "GET", "/futures/isolated/trades/running")
        elif kind < 0.4:
            await self.call(key, "GET", "/futures/isolated/trades/closed", query="limit=50")
        elif kind < 0.5:
            await self.call(None, "GET", "/futures/ticker")
        else:
            _, running = await self.call(key, "GET", "/futures/isolated/trades/running")
            if running and kind < 0.8:
                body = {"id": rng.choice(running)["id"], "amount": rng.randint(1, 500)}
                await self.call(key, "POST", "/futures/isolated/trade/add-margin", body)
            elif running and kind < 0.9:
                await self.call(key, "POST", "/futures/isolated/trade/close", {"id": rng.choice(running)["id"]})
            else:
                side = rng.choice(["buy", "sell"])
                body = {"type": "market", "side": side, "quantity": rng.randint(10, 500), "leverage": 50}
                await self.call(key, "POST", "/futures/isolated/trade", body)

    async def call(
        self, key: ApiKey | None, method: str, path: str, body: dict[str, Any] | None = None, *, query: str = ""
    ) -> tuple[int, Any]:
        """Return status and data of a request, and note how long it took."""
        raw = "" if body is None else json.dumps(body)
        headers = {} if key is None else signed(key, method, f"/v3{path}", raw or (query and f"?{query}"))
        begun_s = perf_counter()
        url = self.server.addresses["rest_url"] + path + (f"?{query}" if query else "")
        async with (
            asyncio.timeout(30),
            self.http.request(method, url, data=raw or None, headers=headers) as answer,
        ):
            data = await answer.json()
        if self.is_measuring:
            took = self.seen.read_ms if method == "GET" else self.seen.write_ms
            took.append((perf_counter() - begun_s) * 1000)
            self.seen.statuses[answer.status] = self.seen.statuses.get(answer.status, 0) + 1
        return answer.status, data

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the control interface answers."""
        headers = {"Authorization": f"Bearer {self.server.addresses['control_token']}"}
        url = self.server.addresses["control_url"] + path
        async with asyncio.timeout(60), self.http.request(method, url, json=body, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.json()


@asynccontextmanager
async def a_load(order: ServerOrder, keys: list[ApiKey]) -> AsyncIterator[Load]:
    connector = aiohttp.TCPConnector(limit=0)
    async with a_server(order) as server, aiohttp.ClientSession(connector=connector) as http:
        yield Load(server, http, keys)


async def measure_load(size: Size, *, server_core: int | None) -> dict[str, Any]:
    """Return the figures of a minute of a crash with every account and client there is."""
    rng = random.Random(2)
    with tempfile.TemporaryDirectory(prefix="axisor-benchmark-") as folder:
        keys = populate_folder(Path(folder), size, scenario="crash")
        order = ServerOrder(data_dir=folder, scenario="crash", core=server_core, start_paused=True)
        begun_s = perf_counter()
        async with a_load(order, keys) as load, TaskSet("clients") as clients:
            started_s = perf_counter() - begun_s
            connected = asyncio.Semaphore(0)
            for number in range(size.clients):
                key = keys[number % len(keys)] if rng.random() < size.authenticated_share else None
                clients.start(load.listen(number, key, connected), name=f"client {number}")
                if number % 20 == 19:
                    await asyncio.sleep(0.05)  # not a storm of connections: that is another measurement
            async with asyncio.timeout(60):
                for _ in range(size.clients):
                    await connected.acquire()
            clients.start(load.trade(rng, size.requests_per_s), name="requests")
            await load.control("POST", "/market/start")
            await asyncio.sleep(5.5)  # the prelude ends with its round
            before = await load.control("GET", "/market")
            load.is_measuring = True
            await load.server.ask("mark")
            await asyncio.sleep(size.seconds)
            prices = await load.server.ask("stats")
            seen, load.seen = load.seen, Seen(per_client=[0] * size.clients)
            await load.server.ask("mark")
            begun_s = perf_counter()
            await load.control("POST", "/market/funding", {"rate": "0.0001"})
            settled_s = perf_counter() - begun_s
            await asyncio.sleep(min(5.0, size.seconds))
            funding = await load.server.ask("stats")
            after = await load.control("GET", "/market")
            begun_s = perf_counter()
            books = await load.control("GET", "/books")
            books_s = perf_counter() - begun_s
            load.is_measuring = False
        ends = _ends(Path(folder), seen.points)
    expected = len(seen.points)
    gaps = _gaps_ms(sorted(seen.points))
    return {
        "accounts": size.accounts,
        "running_trades": [before["running_trades"], after["running_trades"]],
        "clients": {"all": size.clients, "authenticated": round(size.authenticated_share, 2)},
        "start_s": round(started_s, 2),
        "price_points": {"published": expected, "per_s": round(expected / size.seconds, 2), "gap_ms": spread(gaps)},
        "frames": {
            "received": sum(seen.per_client),
            "of_possible": round(sum(seen.per_client) / max(1, expected * size.clients), 4),
            "fewest_of_a_client": min(seen.per_client),
            "late_ms": spread(seen.late_ms),
            "private_events": seen.private_events,
        },
        "requests": {"read_ms": spread(seen.read_ms), "write_ms": spread(seen.write_ms), "statuses": seen.statuses},
        "server": prices,
        "ends": ends,
        "funding_settlement": {
            "answered_ms": round(settled_s * 1000, 1),
            "settlement_ms": funding["settlement_ms"],
            "loop_late_ms": funding["loop_late_while_settling_ms"],
            "frames_late_ms": spread(load.seen.late_ms),
            "price_gap_ms": spread(_gaps_ms(sorted(load.seen.points))),
        },
        "books": {"discrepancies": len(books["discrepancies"]), "ms": round(books_s * 1000, 1)},
    }


def _gaps_ms(times: list[int]) -> list[float]:
    return [float(after - before) for before, after in pairwise(times)]


def _ends(folder: Path, points: dict[int, float]) -> dict[str, Any]:
    """Return how long after its price point each liquidation, stop and take-profit happened."""
    times = sorted(points)
    late_ms: list[float] = []
    counts: dict[str, int] = {}
    with closing(Store(folder)) as store:
        for trade in _ended(store):
            assert trade.closed_at_ms is not None
            assert trade.filled_at_ms is not None
            assert trade.exit_price is not None
            if not times[0] <= trade.closed_at_ms <= times[-1] or trade.close_kind is None:
                continue
            falls = (trade.side is PositionSide.LONG) is (trade.close_kind is not CloseKind.TAKE_PROFIT)
            level = trade.exit_price / 2
            reached = (
                at_ms
                for at_ms in times
                if at_ms > trade.filled_at_ms and (points[at_ms] <= level if falls else points[at_ms] >= level)
            )
            counts[str(trade.close_kind)] = counts.get(str(trade.close_kind), 0) + 1
            first_ms = next(reached, None)
            # A trailing stop moves, so its last level may have been passed before it stood there.
            if first_ms is not None and trade.trailing_distance is None:
                late_ms.append(float(trade.closed_at_ms - first_ms))
    return {
        "counts": counts,
        "after_their_price_ms": spread(late_ms),
        "in_a_later_tick": sum(n >= 200 for n in late_ms),
    }


def _ended(store: Store) -> Iterator[PaperTrade]:
    for account, _ in store.load_accounts():
        for trade in store.history.oldest_first(account.account_id, CLOSED_TRADES):
            if trade.close_kind is not CloseKind.USER:
                yield trade


async def measure_week(size: Size, *, server_core: int | None, tape: Path | None) -> dict[str, Any]:
    """Return the resident memory day by day over a simulated week in which the accounts trade all the time."""
    week_s = size.week_days * 86_400
    rng = random.Random(3)
    with tempfile.TemporaryDirectory(prefix="axisor-benchmark-") as folder:
        few = Size(accounts=size.week_accounts, trades=size.week_accounts * 5)
        keys = populate_folder(Path(folder), few, scenario="bear")
        order = ServerOrder(
            data_dir=folder,
            scenario="bear",
            tape=None if tape is None else str(tape),
            speed=week_s / size.week_seconds,
            core=server_core,
        )
        async with a_load(order, keys) as load, TaskSet("clients") as clients:
            connected = asyncio.Semaphore(0)
            for number in range(20):
                clients.start(load.listen(number, keys[number % len(keys)], connected), name=f"client {number}")
            clients.start(load.trade(rng, size.requests_per_s), name="requests")
            load.is_measuring = True
            rss, begun_s = [], CLOCK.boottime_s()
            while (market := await load.control("GET", "/market"))["market_ms"] < week_s * 1000:
                if CLOCK.boottime_s() - begun_s > 10 * size.week_seconds + 60:
                    break
                rss.append((7 * market["market_ms"] / 1000 / week_s, load.server.rss_mib()))
                await asyncio.sleep(size.week_seconds / 100)
            stats = await load.server.ask("stats")
            disk_mib = _size_mib(Path(folder))
            books = await load.control("GET", "/books")
    by_day = {f"day {day}": _mean([mib for at, mib in rss if int(at) == day - 1]) for day in range(1, 8)}
    return {
        "market": "bear" if tape is None else tape.name,
        "simulated_days": round(market["market_ms"] / 86_400_000, 2),
        "wall_s": round(CLOCK.boottime_s() - begun_s, 1),
        "rss_mib": by_day,
        "growth_day_2_to_7_mib": round((by_day["day 7"] or 0) - (by_day["day 2"] or 0), 1),
        "disk_mib": round(disk_mib, 1),
        "requests": sum(load.seen.statuses.values()),
        "running_trades": market["running_trades"],
        "core_share": stats["core_share"],
        "settlements": stats["settlement_ms"],
        "discrepancies": len(books["discrepancies"]),
    }


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 2**20


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


def measure_matching(size: Size) -> dict[str, Any]:
    """Return what a price point costs with the index and with a look at every trade, in the same run."""
    rng = random.Random(4)
    with closing(Store.temporary()) as store:
        engine = an_engine(store, Price(124_000))
        populate(engine, accounts=size.accounts, trades=size.trades, cross_share=0, rng=rng)
        index_us: list[float] = []
        scan_us: list[float] = []
        price = engine.last_price
        for _ in range(300):
            price = Price(price + rng.randint(-12, 12))
            quotes = ladder(price, Fraction(0))
            begun_s = perf_counter()
            due = _scan(engine, price)
            scan_us.append((perf_counter() - begun_s) * 1e6)
            ended_before = engine.isolated.live_count
            begun_s = perf_counter()
            engine.advance(price, quotes)
            index_us.append((perf_counter() - begun_s) * 1e6)
            assert (ended_before > engine.isolated.live_count) <= (due > 0)
        live = engine.isolated.live_count
    index, scan = spread(index_us), spread(scan_us)
    return {"trades": live, "index_us": index, "scan_us": scan, "ratio_p50": round(scan["p50"] / index["p50"], 1)}


def _scan(engine: Engine, price: Price) -> int:
    """Return how many trades a price ends, found by looking at each: the peer of the index."""
    due = 0
    for account in engine.accounts:
        for trade in account.live.values():
            sign = trade.side.sign
            stop, profit = trade.stop_loss_price, trade.take_profit_price
            if (
                sign * (price - trade.liquidation_price) <= 0
                or (stop is not None and sign * (price - stop) <= 0)
                or (profit is not None and sign * (price - profit) >= 0)
            ):
                due += 1
    return due


async def run(
    size: Size, *, only: str | None, server_core: int | None = None, tape: Path | None = None
) -> dict[str, Any]:
    """Return the figures of every part, or of one."""
    results: dict[str, Any] = {}
    if only in {None, "matching"}:
        results["matching"] = measure_matching(size)
    if only in {None, "load"}:
        results["load"] = await measure_load(size, server_core=server_core)
    if only in {None, "week"}:
        results["week"] = await measure_week(size, server_core=server_core, tape=tape)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["matching", "load", "week"])
    parser.add_argument("--small", action="store_true", help="a few accounts for a few seconds: does it run?")
    parser.add_argument("--seconds", type=float, help="how long the load is measured")
    parser.add_argument("--tape", type=Path, help="one-minute candles to play the week from, instead of a bear market")
    options = parser.parse_args()
    size = SMALL if options.small else Size()
    if options.seconds is not None:
        size = Size(seconds=options.seconds)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    server_core = cores[0]
    results = asyncio.run(run(size, only=options.only, server_core=server_core, tape=options.tape))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
