"""The client and the feeds against a running paper exchange: both keep the same wire protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from tests.factories.venue_clients import ROOMY
from tests.fakes.manual_clock import ManualClock

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock
from axisor.adapters.lnmarkets.client import ClientConfig, LnMarketsClient
from axisor.adapters.lnmarkets.feeds import LnMarketsAccountFeed, LnMarketsMarketFeed
from axisor.adapters.lnmarkets.limits import TokenBucket
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.domain.commands import (
    AddMargin,
    CancelOrder,
    CashIn,
    CloseTrade,
    Command,
    OpenTrade,
    SetStopLoss,
    SetTakeProfit,
)
from axisor.domain.errors import ExchangeAuthFailed
from axisor.domain.trades import CloseReason, PositionSide, Trade, TradeStatus
from axisor.domain.units import Price, TradeId
from axisor.infra.clock import SystemClock
from axisor.infra.ids import new_id
from axisor.infra.tasks import TaskSet
from axisor.paper.main import PaperAddresses, PaperConfig, RateLimits, serve
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, Lane
from axisor.ports.market_feed import FeedDown, FeedUp, LastPrice, TradeEvent, TradeEventKind, WalletEvent

BALANCE_SATS = 1_000_000
NO_LIMITS = RateLimits(private_per_s=0, public_per_s=0, stream_per_s=0)


@dataclass(frozen=True)
class Paper:
    """A paper exchange whose price moves only when told to, and one account on it."""

    addresses: PaperAddresses
    account: str
    credentials: Credentials
    session: aiohttp.ClientSession

    async def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.addresses.control_token}"}
        url = f"{self.addresses.control_url}{path}"
        async with asyncio.timeout(5), self.session.request(method, url, json=body, headers=headers) as response:
            answered = await response.json()
            assert response.status == 200, answered
            return answered

    async def has_fault(self, kind: str, path: str, **members: Any) -> None:
        await self.control("POST", "/faults", {"kind": kind, "path": path} | members)

    def client(self, clock: Clock | None = None) -> LnMarketsClient:
        clock = clock or SystemClock()
        return LnMarketsClient(
            ClientConfig(rest_url=self.addresses.rest_url, read_deadline_s=3.0),
            clock=clock,
            limiter=TokenBucket(ROOMY, clock),
            public_limiter=TokenBucket(ROOMY, clock),
            venue_clock=VenueClock(clock),
            credentials=self.credentials,
        )


@asynccontextmanager
async def paper_exchange(*, scenario: str) -> AsyncIterator[Paper]:
    stop = asyncio.Event()
    addresses: asyncio.Future[PaperAddresses] = asyncio.get_running_loop().create_future()
    config = PaperConfig(scenario=scenario, limits=NO_LIMITS)
    async with TaskSet("paper") as tasks, aiohttp.ClientSession() as session:
        server = tasks.start(serve(config, ready=addresses.set_result, stop=stop), name="paper")
        async with asyncio.timeout(10):
            known = await addresses
        nobody = Paper(known, "", Credentials("", "", ""), session)
        made = await nobody.control("POST", "/accounts", {"balance_sats": BALANCE_SATS, "username": "ours"})
        credentials = Credentials(made["key"], made["secret"], made["passphrase"])
        yield replace(nobody, account="ours", credentials=credentials)
        stop.set()
        async with asyncio.timeout(5):
            await server


@pytest.fixture
async def paper() -> AsyncIterator[Paper]:
    async with paper_exchange(scenario="manual") as paper:
        yield paper


@pytest.fixture
async def client(paper: Paper) -> AsyncIterator[LnMarketsClient]:
    client = paper.client()
    yield client
    await client.close()


async def sent(client: LnMarketsClient, command: Command, *, deadline_s: float = 3.0) -> Answer:
    return await client.send(client.sign(command), deadline_s=deadline_s)


async def done(client: LnMarketsClient, command: Command) -> Trade:
    answered = await sent(client, command)
    assert answered.kind is AnswerKind.ACCEPTED, answered
    assert answered.trade is not None
    return answered.trade


def an_order(**changes: Any) -> OpenTrade:
    members: dict[str, Any] = {
        "side": PositionSide.LONG,
        "quantity_usd": 1_000,
        "leverage": 25,
        "limit_price": None,
        "stop_loss_price": None,
        "take_profit_price": None,
        "client_id": new_id(),
    }
    return OpenTrade(**(members | changes))


async def running(client: LnMarketsClient) -> Trade:
    (trade,) = (await client.list_running_trades(lane=Lane.PROTECT)).value
    return trade


async def test_a_trade_lives_from_opening_to_closing(client: LnMarketsClient) -> None:
    opened = await done(client, an_order())
    assert (opened.status, opened.side, opened.quantity_usd) == (TradeStatus.RUNNING, PositionSide.LONG, 1_000)
    added = await done(client, AddMargin(trade_id=opened.trade_id, amount_sats=10_007))
    assert added.margin_sats == opened.margin_sats + 10_007
    assert added.liquidation_price < opened.liquidation_price
    stop = Price(added.liquidation_price + 401)
    assert (await done(client, SetStopLoss(trade_id=opened.trade_id, stop_price=stop))).stop_loss_price == stop
    target = Price(140_000)
    trade = await done(client, SetTakeProfit(trade_id=opened.trade_id, take_profit_price=target))
    assert trade.take_profit_price == target
    cashed = await done(client, CashIn(trade_id=opened.trade_id, amount_sats=5_003))
    assert cashed.sum_cash_in_pnl_sats + cashed.sum_cash_in_margin_sats == 5_003
    assert (await running(client)).trade_id == opened.trade_id
    closed = await done(client, CloseTrade(trade_id=opened.trade_id))
    assert closed.status is TradeStatus.CLOSED
    page = (await client.list_closed_trades(lane=Lane.USER)).value
    assert [item.trade_id for item in page.items] == [opened.trade_id]
    assert (await client.list_running_trades(lane=Lane.USER)).value == ()
    assert (await client.fetch_account(lane=Lane.USER)).value.balance_sats < BALANCE_SATS


async def test_a_resting_order_is_listed_and_canceled(client: LnMarketsClient) -> None:
    order = await done(client, an_order(limit_price=Price(120_001)))
    (listed,) = (await client.list_open_trades(lane=Lane.USER)).value
    assert (listed.trade_id, listed.status, listed.price) == (order.trade_id, TradeStatus.OPEN, 120_001)
    assert (await done(client, CancelOrder(trade_id=order.trade_id))).status is TradeStatus.CANCELED
    page = (await client.list_canceled_trades(lane=Lane.USER)).value
    assert [item.trade_id for item in page.items] == [order.trade_id]


async def test_what_the_exchange_refuses_is_refused(client: LnMarketsClient) -> None:
    unknown = TradeId("00000000-0000-4000-8000-000000000000")
    assert (await sent(client, AddMargin(trade_id=unknown, amount_sats=5))).kind is AnswerKind.REFUSED
    trade = await done(client, an_order())
    stop = SetStopLoss(trade_id=trade.trade_id, stop_price=Price(trade.liquidation_price + 100))
    await done(client, stop)
    again = await sent(client, stop)
    assert (again.kind, again.status) == (AnswerKind.REFUSED, 400)
    assert "same as the previous one" in (again.message or "")
    too_much = AddMargin(trade_id=trade.trade_id, amount_sats=BALANCE_SATS * 2)
    assert (await sent(client, too_much)).kind is AnswerKind.REFUSED


async def test_a_wrong_clock_is_refused_until_it_is_measured(paper: Paper) -> None:
    clock = ManualClock(SystemClock().now() - timedelta(minutes=5))
    client = paper.client(clock)
    with pytest.raises(ExchangeAuthFailed):
        await client.fetch_account(lane=Lane.USER)
    answered = await sent(client, an_order())
    assert (answered.kind, answered.is_auth_failure) == (AnswerKind.NOT_PROCESSED, True)
    await client.sync_clock()
    assert client.clock_offset_ms == pytest.approx(300_000, abs=5_000)
    await done(client, an_order())
    await client.close()


@pytest.mark.parametrize(
    ("fault", "kind", "is_applied"),
    [
        pytest.param({"kind": "lose_answer_after_apply"}, AnswerKind.UNKNOWN, True, id="answer lost"),
        pytest.param({"kind": "lose_request"}, AnswerKind.UNKNOWN, False, id="request lost"),
        pytest.param({"kind": "malformed_json"}, AnswerKind.UNKNOWN, True, id="answer cut"),
        pytest.param({"kind": "reset_connection", "with_effect": True}, AnswerKind.UNKNOWN, True, id="reset, applied"),
        pytest.param({"kind": "reset_connection"}, AnswerKind.UNKNOWN, False, id="reset, not applied"),
        pytest.param({"kind": "status", "status": 503}, AnswerKind.NOT_PROCESSED, False, id="503"),
        pytest.param({"kind": "status", "status": 503, "is_html": True}, AnswerKind.UNKNOWN, False, id="503 HTML"),
        pytest.param({"kind": "status", "status": 502, "with_effect": True}, AnswerKind.UNKNOWN, True, id="502"),
        pytest.param({"kind": "status", "status": 429, "retry_after_s": 1}, AnswerKind.NOT_PROCESSED, False, id="429"),
        pytest.param({"kind": "delay_answer_s", "seconds": 2.0}, AnswerKind.UNKNOWN, True, id="answer late"),
    ],
)
async def test_no_fault_makes_a_command_look_other_than_it_is(
    paper: Paper, client: LnMarketsClient, fault: dict[str, Any], kind: AnswerKind, is_applied: bool
) -> None:
    trade = await done(client, an_order())
    await paper.has_fault(path="add-margin", **fault)
    answered = await sent(client, AddMargin(trade_id=trade.trade_id, amount_sats=10_007), deadline_s=0.5)
    assert answered.kind is kind, answered
    other = paper.client()
    grown = (await running(other)).margin_sats - trade.margin_sats
    await other.close()
    assert grown == (10_007 if is_applied else 0)


async def test_funding_fees_explain_the_trades_sum(paper: Paper, client: LnMarketsClient) -> None:
    trade = await done(client, an_order())
    for rate in ("0.0005", "-0.0002", "0.0001"):
        await paper.control("POST", "/market/funding", {"rate": rate})
    fees = (await client.list_funding_fees(trade.trade_id, lane=Lane.PROTECT)).value
    assert len(fees) == 3
    assert sum(fee.fee_sats for fee in fees) == (await running(client)).sum_funding_fees_sats


async def test_the_market_can_be_read(client: LnMarketsClient) -> None:
    ticker = (await client.fetch_ticker()).value
    assert ticker.last_price == Price(124_000)
    assert ticker.ladder
    await client.sync_clock()
    assert abs(client.clock_offset_ms) < 1_000
    await client.keep_warm()


async def test_the_markets_history_can_be_read_page_by_page() -> None:
    async with paper_exchange(scenario="calm") as paper:
        client = paper.client()
        newest = (await client.list_candles(interval="1m", since=None, until=None, limit=10)).value.items
        older = (await client.list_candles(interval="1m", since=None, until=min(b.at for b in newest), limit=10)).value
        await client.close()
    times = [candle.at for candle in newest]
    assert times == [times[0] - timedelta(minutes=number) for number in range(10)]
    assert older.items[-1].at < times[-1]
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in newest)


@asynccontextmanager
async def listening(feed: Any) -> AsyncIterator[AsyncIterator[Any]]:
    async with aclosing(feed.stream()) as events:
        yield events


async def next_of[T](events: AsyncIterator[Any], kind: type[T]) -> T:
    async with asyncio.timeout(5):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the feed ended")


async def test_the_price_that_the_market_goes_to_is_heard(paper: Paper) -> None:
    clock = SystemClock()
    feed = LnMarketsMarketFeed(StreamConfig(url=paper.addresses.stream_url), clock=clock, venue_clock=VenueClock(clock))
    async with listening(feed) as events:
        await next_of(events, FeedUp)
        await paper.control("POST", "/market/price", {"last_price": "61000.5"})
        while (await next_of(events, LastPrice)).floor != 122_001:
            pass


async def test_an_account_hears_of_its_trades_and_deposits(paper: Paper, client: LnMarketsClient) -> None:
    clock = SystemClock()
    config = StreamConfig(url=paper.addresses.stream_url)
    feed = LnMarketsAccountFeed(config, paper.credentials, clock=clock, venue_clock=VenueClock(clock))
    async with listening(feed) as events:
        assert "futures:isolated:read" in (await next_of(events, FeedUp)).permissions
        trade = await done(client, an_order())
        filled = await next_of(events, TradeEvent)
        assert (filled.kind, filled.trade_id) == (TradeEventKind.FILLED, trade.trade_id)
        await paper.control("POST", "/market/funding", {"rate": "0.0001"})
        funded = await next_of(events, TradeEvent)
        assert (funded.kind, funded.margin_sats) == (TradeEventKind.FUNDED, (await running(client)).margin_sats)
        await paper.control("POST", f"/accounts/{paper.account}/deposit", {"amount_sats": 4_321})
        assert (await next_of(events, WalletEvent)).amount_sats == 4_321
        await paper.control("POST", "/market/price", {"last_price": "55000"})
        liquidated = await next_of(events, TradeEvent)
        assert (liquidated.kind, liquidated.close_reason) == (TradeEventKind.CLOSED, CloseReason.LIQUIDATION)


async def test_a_frozen_stream_is_told_and_comes_back(paper: Paper) -> None:
    clock = SystemClock()
    config = StreamConfig(url=paper.addresses.stream_url, ping_every_s=0.1, silent_after_s=0.4, back_off_least_s=0.01)
    feed = LnMarketsMarketFeed(config, clock=clock, venue_clock=VenueClock(clock))
    async with listening(feed) as events:
        await next_of(events, FeedUp)
        await paper.control("POST", "/faults", {"kind": "freeze_stream", "seconds": 30})
        assert (await next_of(events, FeedDown)).reason == "silent"
        await next_of(events, FeedUp)
