"""The client against a real socket that misbehaves in every way we know."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.factories.venue_clients import a_client
from tests.factories.wire_trades import WIRE_TRADE_ID, a_wire_account, a_wire_ticker, a_wire_trade
from tests.fakes.manual_clock import ManualClock
from tests.fakes.venue_http import (
    Exchange,
    Reaction,
    VenueServer,
    answer,
    answer_and_close,
    close_silently,
    drip,
    hang,
    raw,
    reset,
    truncated,
    venue_server,
)

from axisor import __version__
from axisor.adapters.lnmarkets.client import LnMarketsClient
from axisor.adapters.lnmarkets.limits import RateLimit, TokenBucket
from axisor.domain.commands import AddMargin, CloseTrade, Command, OpenTrade, SetStopLoss
from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeError,
    ExchangeProtocolError,
    ExchangeRateLimited,
    ExchangeRejected,
    ExchangeUnavailable,
)
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.infra.clock import SystemClock
from axisor.ports.exchange import Answer, AnswerKind, Lane

TRADE_ID = TradeId(WIRE_TRADE_ID)
ADD = AddMargin(trade_id=TRADE_ID, amount_sats=10_001)
STOP = SetStopLoss(trade_id=TRADE_ID, stop_price=Price(190_001))
CLOSE = CloseTrade(trade_id=TRADE_ID)
OPEN = OpenTrade(
    side=PositionSide.LONG,
    quantity_usd=1000,
    leverage=10,
    limit_price=None,
    stop_loss_price=None,
    take_profit_price=None,
    client_id="ours-1",
)
REFUSAL = {"code": "BAD_REQUEST", "message": "You do not own this trade"}
ENGINE_DOWN = {"code": "SERVICE_UNAVAILABLE", "message": "Trading engine is temporarily unavailable"}
HTML = b"<html>Service Unavailable</html>"


@pytest.fixture
async def venue() -> AsyncIterator[VenueServer]:
    async with venue_server() as server:
        server.will(answer(200, a_wire_trade()))
        yield server


@pytest.fixture
async def client(venue: VenueServer) -> AsyncIterator[LnMarketsClient]:
    client = a_client(venue.rest_url)
    yield client
    await client.close()


async def sent(client: LnMarketsClient, command: Command = ADD, *, deadline_s: float = 2.0) -> Answer:
    return await client.send(client.sign(command), deadline_s=deadline_s)


# What an answer means


async def test_a_well_formed_trade_of_the_same_id_is_accepted(client: LnMarketsClient) -> None:
    answered = await sent(client)
    assert (answered.kind, answered.status) == (AnswerKind.ACCEPTED, 200)
    assert answered.trade is not None
    assert answered.trade.margin_sats == 100_000
    assert answered.first_byte_at is not None
    assert answered.answered_at is not None
    assert answered.first_byte_at <= answered.answered_at


async def test_a_new_trade_is_accepted_under_our_client_id(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(201, a_wire_trade(clientId="ours-1")))
    assert (await sent(client, OPEN)).kind is AnswerKind.ACCEPTED


@pytest.mark.parametrize(
    "changes", [{"clientId": None}, {"clientId": "another"}, {"clientId": "ours-1", "side": "sell"}]
)
async def test_a_new_trade_that_is_not_ours_is_unknown(
    client: LnMarketsClient, venue: VenueServer, changes: dict[str, Any]
) -> None:
    venue.will(answer(200, a_wire_trade(**changes)))
    answered = await sent(client, OPEN)
    assert (answered.kind, answered.reason, answered.trade) == (AnswerKind.UNKNOWN, "wrong_trade_in_answer", None)


@pytest.mark.parametrize(
    ("reaction", "kind", "reason"),
    [
        pytest.param(answer(200, a_wire_trade(id="other")), AnswerKind.UNKNOWN, "wrong_trade_in_answer", id="wrong id"),
        pytest.param(answer(200, a_wire_trade(side="b")), AnswerKind.UNKNOWN, "malformed_answer", id="unknown side"),
        pytest.param(answer(200), AnswerKind.UNKNOWN, "malformed_answer", id="empty 200"),
        pytest.param(answer(204), AnswerKind.UNKNOWN, "malformed_answer", id="204"),
        pytest.param(answer(200, {}), AnswerKind.UNKNOWN, "malformed_answer", id="empty object"),
        pytest.param(answer(200, b'{"id":'), AnswerKind.UNKNOWN, "malformed_answer", id="broken JSON"),
        pytest.param(answer(302, Location="/v3/elsewhere"), AnswerKind.UNKNOWN, "http_302", id="302"),
        pytest.param(answer(307, Location="/v3/elsewhere"), AnswerKind.UNKNOWN, "http_307", id="307"),
        pytest.param(answer(308, Location="/v3/elsewhere"), AnswerKind.UNKNOWN, "http_308", id="308"),
        pytest.param(answer(400, REFUSAL), AnswerKind.REFUSED, "http_400", id="400 JSON"),
        pytest.param(answer(400, HTML), AnswerKind.UNKNOWN, "http_400", id="400 HTML"),
        pytest.param(answer(404, b"Not found"), AnswerKind.UNKNOWN, "http_404", id="404 text"),
        pytest.param(answer(429, REFUSAL, Retry_After="3"), AnswerKind.NOT_PROCESSED, "rate_limited", id="429"),
        pytest.param(answer(401, REFUSAL), AnswerKind.NOT_PROCESSED, "http_401", id="401 JSON"),
        pytest.param(answer(403, HTML), AnswerKind.UNKNOWN, "http_403", id="403 HTML"),
        pytest.param(answer(500, REFUSAL), AnswerKind.UNKNOWN, "http_500", id="500 JSON"),
        pytest.param(answer(503, ENGINE_DOWN), AnswerKind.NOT_PROCESSED, "http_503", id="503 JSON"),
        pytest.param(answer(503, HTML), AnswerKind.UNKNOWN, "http_503", id="503 HTML"),
        pytest.param(reset(), AnswerKind.UNKNOWN, "connection_lost", id="reset before the answer"),
        pytest.param(close_silently(), AnswerKind.UNKNOWN, "connection_lost", id="closed before the answer"),
        pytest.param(
            truncated(200, json.dumps(a_wire_trade()).encode(), missing=1),
            AnswerKind.UNKNOWN,
            "answer_truncated",
            id="truncated",
        ),
        pytest.param(
            truncated(400, json.dumps(REFUSAL).encode(), missing=1),
            AnswerKind.UNKNOWN,
            "answer_truncated",
            id="truncated refusal",
        ),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), AnswerKind.UNKNOWN, "malformed_http", id="not HTTP"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Le"), AnswerKind.UNKNOWN, "connection_lost", id="truncated head"),
    ],
)
async def test_each_answer_has_one_outcome_and_one_request(
    client: LnMarketsClient, venue: VenueServer, reaction: Reaction, kind: AnswerKind, reason: str
) -> None:
    venue.will(reaction)
    answered = await sent(client)
    assert (answered.kind, answered.reason) == (kind, reason)
    assert answered.first_byte_at is not None
    assert len(venue.requests) == 1


async def test_a_reset_within_the_answer_is_unknown(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(truncated(200, json.dumps(a_wire_trade()).encode(), missing=1, is_reset=True))
    answered = await sent(client)
    assert answered.kind is AnswerKind.UNKNOWN
    assert answered.reason in {"connection_lost", "answer_truncated"}  # the reset may overtake the bytes before it


async def test_a_reset_after_the_whole_answer_changes_nothing(client: LnMarketsClient, venue: VenueServer) -> None:
    async def answer_then_reset(exchange: Exchange) -> None:
        await answer(200, a_wire_trade())(exchange)
        await reset()(exchange)

    venue.will(answer_then_reset)
    # The reset may overtake the answer in the kernel: then it is unknown, never anything else.
    assert (await sent(client)).kind in {AnswerKind.ACCEPTED, AnswerKind.UNKNOWN}


@pytest.mark.parametrize(
    "reaction", [hang(), drip(200, json.dumps(a_wire_trade()).encode(), every_s=0.02)], ids=["hang", "drip"]
)
async def test_no_complete_answer_in_time_is_unknown(
    client: LnMarketsClient, venue: VenueServer, reaction: Reaction
) -> None:
    venue.will(reaction)
    answered = await sent(client, deadline_s=0.2)
    assert (answered.kind, answered.reason) == (AnswerKind.UNKNOWN, "timeout")


async def test_a_refusal_carries_the_exchanges_words(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(400, REFUSAL))
    answered = await sent(client)
    assert (answered.status, answered.code, answered.message) == (400, "BAD_REQUEST", "You do not own this trade")


async def test_an_echoed_secret_is_masked_and_long_words_are_cut(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(400, {"code": "X", "message": "bad\n lnm_test_passphrase " + "x" * 500}))
    answered = await sent(client)
    assert answered.message is not None
    assert answered.message.startswith("bad *** xxx")
    assert len(answered.message) == 200


async def test_an_authentication_failure_is_flagged(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(401, {"code": "UNAUTHORIZED", "message": "Api key does not exist"}))
    assert (await sent(client)).is_auth_failure


async def test_a_429_is_passed_on_and_slows_the_bucket(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(429, Retry_After="3"))
    assert (await sent(client)).retry_after_s == 3
    assert 2.5 < client.limiter.wait_s < 3.5


async def test_an_engine_that_is_down_can_be_distrusted(venue: VenueServer) -> None:
    venue.will(answer(503, ENGINE_DOWN))
    client = a_client(venue.rest_url, is_engine_down_without_effect=False)
    assert (await sent(client)).kind is AnswerKind.UNKNOWN
    await client.close()


# What never left


async def test_a_refused_connection_was_not_processed() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = a_client(f"http://127.0.0.1:{unused.getsockname()[1]}/v3")
        answered = await sent(client)
    await client.close()
    assert (answered.kind, answered.reason) == (AnswerKind.NOT_PROCESSED, "connect_failed")
    assert answered.first_byte_at is None


async def test_a_name_that_does_not_exist_was_not_processed() -> None:
    client = a_client("http://exchange.invalid/v3")
    answered = await sent(client, deadline_s=5)
    await client.close()
    assert answered.kind is AnswerKind.NOT_PROCESSED
    assert answered.reason in {"dns_failed", "connect_timeout"}


async def test_a_failed_tls_handshake_was_not_processed(venue: VenueServer) -> None:
    venue.will(raw(b"not a handshake"))
    client = a_client(venue.rest_url.replace("http://", "https://"))
    answered = await sent(client, deadline_s=0.5)
    await client.close()
    assert answered.kind is AnswerKind.NOT_PROCESSED
    assert answered.first_byte_at is None


async def test_a_listener_that_never_accepts_was_not_processed() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        others = [socket.socket() for _ in range(8)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(address)
        client = a_client(f"http://127.0.0.1:{address[1]}/v3")
        answered = await sent(client, deadline_s=0.3)
        await client.close()
        for other in others:
            other.close()
    assert (answered.kind, answered.reason) == (AnswerKind.NOT_PROCESSED, "connect_timeout")


async def test_bytes_with_an_old_signature_do_not_leave(venue: VenueServer) -> None:
    clock = ManualClock()
    client = a_client(venue.rest_url, clock=clock, signature_max_age_s=10.0)
    request = client.sign(ADD)
    clock.advance(10.5)
    answered = await client.send(request, deadline_s=2)
    await client.close()
    assert (answered.kind, answered.reason) == (AnswerKind.NOT_PROCESSED, "signature_expired")
    assert venue.requests == []


async def test_a_closed_client_sends_nothing(venue: VenueServer) -> None:
    client = a_client(venue.rest_url)
    request = client.sign(ADD)
    await client.close()
    assert (await client.send(request, deadline_s=1)).kind is AnswerKind.NOT_PROCESSED
    assert venue.requests == []


# Sent once, and exactly


@pytest.mark.parametrize("command", [ADD, STOP, CLOSE], ids=["POST", "PUT", "POST close"])
async def test_nothing_is_sent_again_on_a_kept_connection_that_dies(
    client: LnMarketsClient, venue: VenueServer, command: Command
) -> None:
    """aiohttp resends a PUT on its own when the kept-alive connection breaks under it; that is switched off."""
    venue.will(answer(200, a_wire_trade()), close_silently(), answer(200, a_wire_trade()))
    assert (await sent(client, command)).kind is AnswerKind.ACCEPTED
    answered = await sent(client, command)
    assert (answered.kind, answered.reason) == (AnswerKind.UNKNOWN, "connection_lost")
    assert [request.connection for request in venue.requests] == [1, 1]


async def test_a_reading_is_not_sent_again_either(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(200, a_wire_account()), reset(), answer(200, a_wire_account()))
    await client.fetch_account(lane=Lane.ROUTINE)
    with pytest.raises(ExchangeUnavailable):
        await client.fetch_account(lane=Lane.ROUTINE)
    assert len(venue.requests) == 2


async def test_exactly_the_signed_bytes_leave(client: LnMarketsClient, venue: VenueServer) -> None:
    request = client.sign(STOP)
    await client.send(request, deadline_s=2)
    (arrived,) = venue.requests
    assert (arrived.method, arrived.target, arrived.body) == ("PUT", request.target, request.body)
    assert all(arrived.header(name) == value for name, value in request.headers)
    assert arrived.header("user-agent") == f"axisor/{__version__}"


async def test_a_connection_is_used_again_while_it_is_fresh(client: LnMarketsClient, venue: VenueServer) -> None:
    for _ in range(3):
        await sent(client)
    assert venue.connections == 1


async def test_money_goes_on_a_new_connection_after_a_pause(venue: VenueServer) -> None:
    client = a_client(venue.rest_url, reuse_within_s=0.05)
    await sent(client)
    await asyncio.sleep(0.15)
    await sent(client)
    await client.close()
    assert [request.connection for request in venue.requests] == [1, 2]


async def test_money_goes_on_a_new_connection_after_the_machine_slept(venue: VenueServer) -> None:
    clock = ManualClock()
    client = a_client(venue.rest_url, clock=clock)
    await sent(client)
    clock.advance(3600)  # only the boot-time clock counts a sleep
    await sent(client)
    await client.close()
    assert [request.connection for request in venue.requests] == [1, 2]


async def test_a_server_that_closed_meanwhile_costs_a_new_connection_only(
    client: LnMarketsClient, venue: VenueServer
) -> None:
    venue.will(answer_and_close(200, a_wire_trade()), answer(200, a_wire_trade()))
    await sent(client)
    await asyncio.sleep(0.05)
    assert (await sent(client)).kind is AnswerKind.ACCEPTED
    assert venue.connections == 2


async def test_a_hanging_reading_does_not_hold_up_a_command(client: LnMarketsClient, venue: VenueServer) -> None:
    has_arrived = asyncio.Event()

    async def hang_audibly(exchange: Exchange) -> None:
        has_arrived.set()
        await hang()(exchange)

    venue.will(hang_audibly, answer(200, a_wire_trade()))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(client.list_running_trades(lane=Lane.ROUTINE))
        await has_arrived.wait()
        answered = await sent(client, deadline_s=1)
        reading.cancel()
    assert answered.kind is AnswerKind.ACCEPTED


async def test_keeping_warm_leaves_a_connection_that_a_command_uses(
    client: LnMarketsClient, venue: VenueServer
) -> None:
    venue.will(answer(200, b'"pong"'), answer(200, a_wire_trade()))
    await client.keep_warm()
    await client.keep_warm()  # an answer this young needs no second ping
    await sent(client)
    assert [(request.target, request.connection) for request in venue.requests] == [
        ("/v3/ping", 1),
        ("/v3/futures/isolated/trade/add-margin", 1),
    ]


async def test_keeping_warm_gives_way_and_slows_down(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(429, Retry_After="3"))
    await client.keep_warm()
    assert 2.5 < client._public_limiter.wait_s < 3.5
    client._http._answered = None  # as if nothing had been heard for long
    await client.keep_warm()
    assert len(venue.requests) == 1


async def test_keeping_warm_survives_an_exchange_that_is_away(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(reset())
    await client.keep_warm()
    assert len(venue.requests) == 1


# Readings


async def test_a_reading_knows_when_it_was_asked_for(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(200, [a_wire_trade()]))
    before_s = SystemClock().boottime_s()
    reading = await client.list_running_trades(lane=Lane.PROTECT)
    assert before_s <= reading.requested_boottime_s <= SystemClock().boottime_s()
    assert reading.requested_at <= reading.received_at
    assert [trade.trade_id for trade in reading.value] == [TRADE_ID]


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        pytest.param(answer(400, REFUSAL), ExchangeRejected, id="400"),
        pytest.param(answer(401, REFUSAL), ExchangeAuthFailed, id="401"),
        pytest.param(answer(429, Retry_After="2"), ExchangeRateLimited, id="429"),
        pytest.param(answer(503, HTML), ExchangeUnavailable, id="503"),
        pytest.param(answer(302, Location="/v3/account"), ExchangeUnavailable, id="302"),
        pytest.param(answer(200, b"{"), ExchangeProtocolError, id="broken JSON"),
        pytest.param(answer(200), ExchangeProtocolError, id="empty"),
        pytest.param(reset(), ExchangeUnavailable, id="reset"),
        pytest.param(hang(), ExchangeUnavailable, id="hang"),
    ],
)
async def test_a_failed_reading_raises_what_happened(
    venue: VenueServer, reaction: Reaction, error: type[ExchangeError]
) -> None:
    venue.will(reaction)
    client = a_client(venue.rest_url, read_deadline_s=0.3)
    with pytest.raises(error) as caught:
        await client.fetch_account(lane=Lane.USER)
    await client.close()
    assert type(caught.value) is error


async def test_a_reading_without_a_token_is_given_up(venue: VenueServer) -> None:
    clock = SystemClock()
    client = a_client(venue.rest_url, read_deadline_s=0.05)
    client._limiter = TokenBucket(RateLimit(rate_per_s=0.1, burst=1), clock)
    venue.will(answer(200, a_wire_account()))
    await client.fetch_account(lane=Lane.ROUTINE)
    with pytest.raises(ExchangeRateLimited):
        await client.fetch_account(lane=Lane.ROUTINE)
    await client.close()
    assert len(venue.requests) == 1


async def test_funding_fees_come_from_every_page_once(client: LnMarketsClient, venue: VenueServer) -> None:
    def page(ids: list[str], cursor: str | None) -> Reaction:
        fees = [
            {"fee": 5, "settlementId": i, "time": "2026-08-20T16:00:00.000Z", "tradeId": WIRE_TRADE_ID} for i in ids
        ]
        return answer(200, {"data": fees, "nextCursor": cursor})

    venue.will(page(["s3", "s2"], "2026-08-20T08:00:00.000Z"), page(["s2", "s1"], None))
    reading = await client.list_funding_fees(TRADE_ID, lane=Lane.PROTECT)
    assert [fee.settlement_id for fee in reading.value] == ["s3", "s2", "s1"]
    assert [request.target for request in venue.requests] == [
        f"/v3/futures/isolated/funding-fees?limit=1000&tradeId={WIRE_TRADE_ID}",
        f"/v3/futures/isolated/funding-fees?limit=1000&cursor=2026-08-20T08%3A00%3A00.000Z&tradeId={WIRE_TRADE_ID}",
    ]


async def test_pages_that_never_end_are_an_error(client: LnMarketsClient, venue: VenueServer) -> None:
    venue.will(answer(200, {"data": [], "nextCursor": "2026-08-20T08:00:00.000Z"}))
    with pytest.raises(ExchangeProtocolError):
        await client.list_funding_fees(TRADE_ID, lane=Lane.PROTECT)
    assert len(venue.requests) == 2


async def test_the_public_client_reads_without_a_key(venue: VenueServer) -> None:
    client = a_client(venue.rest_url, credentials=None)
    venue.will(answer(200, a_wire_ticker()))
    ticker = await client.fetch_ticker()
    assert ticker.value.last_price == 200_000
    with pytest.raises(ExchangeAuthFailed):
        await client.fetch_account(lane=Lane.USER)
    with pytest.raises(ExchangeAuthFailed):
        client.sign(ADD)
    await client.close()
    assert venue.requests[0].header("lnm-access-key") is None


async def test_the_clock_is_measured_at_the_middle_of_the_call(venue: VenueServer) -> None:
    clock = ManualClock()

    async def slowly(exchange: Exchange) -> None:
        clock.advance(0.4)
        await answer(200, {"time": "2026-11-23T12:00:05.200Z"})(exchange)

    venue.will(slowly)
    client = a_client(venue.rest_url, clock=clock)
    await client.sync_clock()
    assert client.clock_offset_ms == pytest.approx(5_000)
    assert client.sign(ADD).timestamp_ms == int(clock.now().timestamp() * 1000) + 5_000
    await client.close()


async def test_no_secret_stands_in_a_signed_requests_representation(client: LnMarketsClient) -> None:
    shown = repr(client.sign(ADD))
    assert "lnm_test" not in shown
