"""What the parts of one venue share."""

import asyncio
from contextlib import aclosing

from tests.factories.venue_clients import CREDENTIALS
from tests.factories.wire_trades import a_wire_account, a_wire_ticker
from tests.fakes.venue_http import Exchange, answer, venue_server
from tests.fakes.venue_stream import stream_server

from axisor.adapters.lnmarkets.client import ClientConfig
from axisor.adapters.lnmarkets.limits import RateLimit
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.adapters.lnmarkets.venue import LnMarketsVenue
from axisor.infra.clock import SystemClock
from axisor.ports.exchange import Lane
from axisor.ports.market_feed import FeedUp

ROOMY = RateLimit(rate_per_s=1000, burst=1000)


async def test_every_client_waits_for_the_one_public_limit_and_knows_the_one_clock() -> None:
    async def react(exchange: Exchange) -> None:
        path = exchange.request.target.removeprefix("/v3")
        bodies = {
            "/time": {"time": "2030-01-01T00:00:00.000Z"},
            "/futures/ticker": a_wire_ticker(),
            "/account": a_wire_account(),
        }
        await answer(200, bodies[path])(exchange)

    clock = SystemClock()
    async with venue_server() as server:
        server.will(react)
        venue = LnMarketsVenue(
            rest=ClientConfig(rest_url=server.rest_url),
            stream=StreamConfig(),
            clock=clock,
            public_limit=RateLimit(rate_per_s=5.0, burst=1),
            private_limit=ROOMY,
        )
        public, first, second = (
            venue.public_client(),
            venue.account_client(CREDENTIALS),
            venue.account_client(CREDENTIALS),
        )
        started_s = clock.boottime_s()
        await first.sync_clock()
        await public.fetch_ticker()
        await second.fetch_ticker()
        assert clock.boottime_s() - started_s > 0.39  # two waits of 1/5 s
        assert second.clock_offset_ms == public.clock_offset_ms > 0
        await second.fetch_account(lane=Lane.USER)
        for client in (public, first, second):
            await client.close()


async def test_the_market_comes_over_two_sockets_and_the_account_over_its_own() -> None:
    async with stream_server() as server:
        venue = LnMarketsVenue(rest=ClientConfig(), stream=StreamConfig(url=server.url), clock=SystemClock())
        async with asyncio.timeout(3), aclosing(venue.market_feed().stream()) as prices:
            assert isinstance(await anext(prices), FeedUp)
            await server.until_requests("subscribe", 2)
            async with aclosing(venue.account_feed(CREDENTIALS).stream()) as events:
                assert isinstance(await anext(events), FeedUp)
    assert len(server.connections) == 3
    assert server.methods().count("authenticate") == 1
