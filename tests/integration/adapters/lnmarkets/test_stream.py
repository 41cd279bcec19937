"""The feeds against a real WebSocket server that goes silent, freezes, closes and comes back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from tests.factories.venue_clients import CREDENTIALS
from tests.fakes.venue_stream import StreamServer, push_frame, stream_server

from axisor.adapters.lnmarkets.auth import VenueClock
from axisor.adapters.lnmarkets.feeds import (
    BUCKETS,
    DEPOSIT,
    FUNDING,
    ISOLATED_TRADES,
    LAST_PRICE,
    WITHDRAWAL,
    LnMarketsAccountFeed,
    LnMarketsMarketFeed,
    TwinMarketFeed,
)
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.domain.trades import CloseReason
from axisor.infra.clock import SystemClock
from axisor.ports.market_feed import FeedDown, FeedUp, Funding, Ladder, LastPrice, TradeEvent, WalletEvent

CLOCK = SystemClock()
QUICK = StreamConfig(
    url="",
    open_deadline_s=1.0,
    request_deadline_s=0.5,
    ping_every_s=0.1,
    silent_after_s=0.3,
    probe_every_s=0.1,
    frozen_after_s=0.3,
    back_off_least_s=0.01,
    back_off_most_s=0.05,
)
A_PRICE = {"time": 1787227200123, "lastPrice": 100000.5}


@pytest.fixture
async def venue() -> AsyncIterator[StreamServer]:
    async with stream_server() as server:
        yield server


class Listener[E]:
    """Reads a feed event by event, each within a deadline."""

    def __init__(self, events: AsyncIterator[E]) -> None:
        self._events = events

    async def next(self, within_s: float = 3.0) -> E:
        async with asyncio.timeout(within_s):
            return await anext(self._events)

    async def expect[T](self, kind: type[T], within_s: float = 3.0) -> T:
        event = await self.next(within_s)
        assert isinstance(event, kind), event
        return event


@asynccontextmanager
async def listening(feed: Any) -> AsyncIterator[Listener[Any]]:
    async with aclosing(feed.stream()) as events:
        yield Listener(events)


def a_market_feed(venue: StreamServer, **changes: Any) -> LnMarketsMarketFeed:
    return LnMarketsMarketFeed(replace(QUICK, url=venue.url, **changes), clock=CLOCK, venue_clock=VenueClock(CLOCK))


def an_account_feed(
    venue: StreamServer, *, venue_clock: VenueClock | None = None, **changes: Any
) -> LnMarketsAccountFeed:
    config = replace(QUICK, url=venue.url, **changes)
    return LnMarketsAccountFeed(config, CREDENTIALS, clock=CLOCK, venue_clock=venue_clock or VenueClock(CLOCK))


async def test_prices_ladders_and_funding_come_through(venue: StreamServer) -> None:
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await venue.push(LAST_PRICE, A_PRICE)
        await venue.push(BUCKETS, {"time": 1787227200123, "buckets": [{"minSize": 0, "maxSize": 9, "askPrice": 2}]})
        await venue.push(FUNDING, {"pair": "btc_usd", "current": {"rate": 0.0001, "time": 1787241600000}})
        price = await listener.expect(LastPrice)
        assert (price.floor, price.ceil) == (200_001, 200_001)
        assert (await listener.expect(Ladder)).levels[0].bid_price is None
        assert (await listener.expect(Funding)).settles_at == datetime(2026, 8, 20, 16, 0, tzinfo=UTC)
    assert venue.methods()[:2] == ["hello", "subscribe"]
    assert venue.requests[1]["params"] == {"topics": [LAST_PRICE, BUCKETS, FUNDING]}


async def test_what_comes_before_the_subscription_is_confirmed_follows_feed_up(venue: StreamServer) -> None:
    venue.on_subscribe = [push_frame(LAST_PRICE, A_PRICE)]
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await listener.expect(LastPrice)


@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_a_close_by_the_server_is_told_and_everything_is_subscribed_again(venue: StreamServer, code: int) -> None:
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await venue.connections[0].close(code)
        assert (await listener.expect(FeedDown)).reason == f"closed_{code}"
        await listener.expect(FeedUp)
        await venue.push(LAST_PRICE, A_PRICE)
        await listener.expect(LastPrice)
    assert [method for method in venue.methods() if method != "ping"] == ["hello", "subscribe"] * 2


async def test_a_connection_that_vanishes_is_told_as_1006(venue: StreamServer) -> None:
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        venue.connections[0].transport.abort()
        assert (await listener.expect(FeedDown)).reason == "closed_1006"
        await listener.expect(FeedUp)


async def test_a_silent_socket_is_given_up(venue: StreamServer) -> None:
    async with listening(a_market_feed(venue, probe_every_s=100.0)) as listener:
        await listener.expect(FeedUp)
        venue.connections[0].transport.pause_reading()
        started_s = CLOCK.boottime_s()
        assert (await listener.expect(FeedDown)).reason == "silent"
        assert 0.2 < CLOCK.boottime_s() - started_s < 1.5
        await listener.expect(FeedUp)


async def test_pongs_alone_keep_a_quiet_socket_alive(venue: StreamServer) -> None:
    async with listening(a_market_feed(venue, probe_every_s=100.0)) as listener:
        await listener.expect(FeedUp)
        with pytest.raises(TimeoutError):
            await listener.next(within_s=0.9)
    assert len(venue.connections) == 1


async def test_a_server_that_pongs_but_answers_nothing_is_frozen(venue: StreamServer) -> None:
    venue.silent_methods = {"ping"}
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        assert (await listener.expect(FeedDown)).reason == "frozen"
        await listener.expect(FeedUp)


async def test_a_handshake_without_an_answer_is_given_up_and_tried_again(venue: StreamServer) -> None:
    venue.silent_methods = {"subscribe"}
    async with listening(a_market_feed(venue, request_deadline_s=0.1)) as listener:
        assert (await listener.expect(FeedDown)).reason == "subscribe_timeout"
        await venue.until_requests("subscribe", 3)
        venue.silent_methods = set()
        await listener.expect(FeedUp)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"hello": 7}, "protocol_error"),
        ({"subscribe": {"subscribed": "all"}}, "protocol_error"),
        ({"subscribe": {"subscribed": [LAST_PRICE]}}, "topics_missing"),
        ({"authenticate": {"authenticated": False, "permissions": []}}, "authenticate_refused"),
    ],
)
async def test_a_handshake_that_promises_less_is_not_up(
    venue: StreamServer, results: dict[str, Any], reason: str
) -> None:
    venue.results = results
    async with listening(an_account_feed(venue) if "authenticate" in results else a_market_feed(venue)) as listener:
        assert (await listener.expect(FeedDown)).reason == reason
        venue.results = {}
        await listener.expect(FeedUp)


async def test_an_unknown_protocol_version_is_spoken_to_all_the_same(venue: StreamServer) -> None:
    venue.results = {"hello": {"version": "1.1.0"}}
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)


async def test_a_feed_that_breaks_says_so_instead_of_falling_silent(venue: StreamServer) -> None:
    class BrokenClock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            raise RuntimeError("no time")

    feed = LnMarketsMarketFeed(replace(QUICK, url=venue.url), clock=BrokenClock(), venue_clock=VenueClock(CLOCK))
    async with listening(feed) as listener:
        await listener.expect(FeedUp)
        venue.connections[0].transport.abort()
        await listener.expect(FeedDown)
        with pytest.raises(RuntimeError, match="no time"):
            await listener.next()


async def test_an_outage_is_told_once_however_many_attempts_fail(venue: StreamServer) -> None:
    venue.refuses = {"subscribe"}
    async with listening(a_market_feed(venue)) as listener:
        assert (await listener.expect(FeedDown)).reason == "subscribe_refused"
        await venue.until_requests("subscribe", 5)
        venue.refuses = set()
        await listener.expect(FeedUp)


async def test_nobody_listening_is_down_until_somebody_does() -> None:
    async with stream_server() as gone:
        url = gone.url
    feed = LnMarketsMarketFeed(replace(QUICK, url=url), clock=CLOCK, venue_clock=VenueClock(CLOCK))
    async with listening(feed) as listener:
        assert (await listener.expect(FeedDown)).reason == "connect_failed"


async def test_frames_that_are_not_understood_are_passed_over(venue: StreamServer) -> None:
    async with listening(a_market_feed(venue)) as listener:
        await listener.expect(FeedUp)
        for text in (
            "not json",
            "[]",
            "{}",
            '{"jsonrpc":"2.0","method":"news","params":{"x":1}}',
            '{"id":7,"result":1}',
        ):
            await venue.push_text(text)
        await venue.push("unknown/topic", {})
        await venue.push(LAST_PRICE, {"time": 1, "lastPrice": -5})
        await venue.push(LAST_PRICE, {"time": "x"})
        await venue.push(LAST_PRICE, A_PRICE)
        await listener.expect(LastPrice)


async def test_a_busy_consumer_is_not_taken_for_a_silent_server(venue: StreamServer) -> None:
    patient = {"silent_after_s": 1.5, "frozen_after_s": 1.5}  # the test's own pushes may hold the loop for some tenths
    async with listening(a_market_feed(venue, **patient)) as listener:
        await listener.expect(FeedUp)
        for number in range(6_000):  # more than the feed's queue holds, so the socket itself has to wait
            await venue.push(LAST_PRICE, A_PRICE | {"time": 1787227200123 + number})
        await asyncio.sleep(2.5)
        for _ in range(6_000):
            await listener.expect(LastPrice)
    assert len(venue.connections) == 1


async def test_twin_sockets_tell_each_price_once_and_survive_the_loss_of_one(venue: StreamServer) -> None:
    async with stream_server() as other:
        feed = TwinMarketFeed(a_market_feed(venue), a_market_feed(other, back_off_least_s=5.0))
        async with listening(feed) as listener:
            await listener.expect(FeedUp)
            await venue.until_requests("subscribe")
            await other.until_requests("subscribe")
            for number in range(3):
                price = A_PRICE | {"time": A_PRICE["time"] + number}
                await venue.push(LAST_PRICE, price)
                await other.push(LAST_PRICE, price)
            times = [(await listener.expect(LastPrice)).at.microsecond for _ in range(3)]
            assert times == [123_000, 124_000, 125_000]
            other.connections[0].transport.abort()
            await venue.push(LAST_PRICE, A_PRICE | {"time": A_PRICE["time"] + 9})
            await listener.expect(LastPrice)
            venue.connections[0].transport.abort()
            await listener.expect(FeedDown)


async def test_an_account_is_authenticated_and_its_events_come_through(venue: StreamServer) -> None:
    async with listening(an_account_feed(venue)) as listener:
        assert (await listener.expect(FeedUp)).permissions == ("futures:isolated:read",)
        trade = {
            "id": "t",
            "closedAt": 1787230800000,
            "closingFee": 1052,
            "pl": -52632,
            "exitPrice": 95000,
            "clientId": "",
        }
        await venue.push(ISOLATED_TRADES, {"pair": "btc_usd", "event": "stoploss", "trade": trade})
        await venue.push(DEPOSIT, {"currency": "btc", "id": "d", "amount": 500, "balance": 1500, "status": "CONFIRMED"})
        await venue.push("announcements", {"id": "a"})
        await venue.push(WITHDRAWAL, {"currency": "btc", "id": "w", "amount": 70, "fee": 1, "balance": 1429})
        closed = await listener.expect(TradeEvent)
        assert (closed.close_reason, closed.pnl_sats, closed.exit_price) == (CloseReason.STOP_LOSS, -52_632, 190_000)
        deposit = await listener.expect(WalletEvent)
        assert (deposit.amount_sats, deposit.balance_sats, deposit.is_deposit) == (500, 1500, True)
        withdrawal = await listener.expect(WalletEvent)
        assert (withdrawal.amount_sats, withdrawal.balance_sats, withdrawal.is_deposit) == (70, 1429, False)
    subscribed = [request["params"]["topics"] for request in venue.requests if request["method"] == "subscribe"]
    assert venue.methods()[1] == "authenticate"
    assert subscribed == [[ISOLATED_TRADES], [DEPOSIT], [WITHDRAWAL]]


async def test_a_key_without_wallet_permission_still_hears_of_its_trades(venue: StreamServer) -> None:
    venue.refuses = {DEPOSIT, WITHDRAWAL}
    async with listening(an_account_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await venue.push(ISOLATED_TRADES, {"event": "canceled", "trade": {"id": "t"}})
        await listener.expect(TradeEvent)


async def test_an_account_authenticates_again_after_a_reconnect(venue: StreamServer) -> None:
    async with listening(an_account_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await venue.connections[0].close(1012)
        await listener.expect(FeedDown)
        await listener.expect(FeedUp)
    sent = [request["params"] for request in venue.requests if request["method"] == "authenticate"]
    assert len(sent) == 2
    assert sent[0]["nonce"] != sent[1]["nonce"]


@pytest.mark.parametrize(
    "text",
    [
        push_frame(ISOLATED_TRADES, {"event": "deleveraged", "trade": {"id": "t"}}),
        push_frame(ISOLATED_TRADES, {"event": "closed"}),
        "garbage",
    ],
)
async def test_an_event_that_cannot_be_read_is_told_as_a_gap(venue: StreamServer, text: str) -> None:
    async with listening(an_account_feed(venue)) as listener:
        await listener.expect(FeedUp)
        await venue.push_text(text)
        assert (await listener.expect(FeedDown)).reason == "unreadable_event"
        assert (await listener.expect(FeedUp)).permissions == ("futures:isolated:read",)
    assert len(venue.connections) == 1


async def test_a_refused_key_is_told_and_the_clock_is_measured(venue: StreamServer) -> None:
    venue.refuses = {"authenticate"}
    venue_clock = VenueClock(CLOCK)
    async with listening(an_account_feed(venue, venue_clock=venue_clock)) as listener:
        assert (await listener.expect(FeedDown)).reason == "authenticate_refused"
        assert venue_clock.timestamp_ms() == pytest.approx(1_700_000_000_000, abs=5_000)
        venue.refuses = set()
        await listener.expect(FeedUp)


async def test_no_secret_reaches_a_log(venue: StreamServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    venue.refuses = {"authenticate"}
    with structlog.testing.capture_logs() as lines:
        async with listening(an_account_feed(venue)) as listener:
            await listener.expect(FeedDown)
            venue.refuses = set()
            await listener.expect(FeedUp)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("axisor")]
    written = f"{lines} {ours}"
    assert "stream_auth_refused" in written
    assert "lnm_test_secret" not in written
    assert "lnm_test_passphrase" not in written
