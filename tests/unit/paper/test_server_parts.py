"""Signatures, rate limits, request members, pages and stream queues, each on its own."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.factories.paper import PaperMarket

from axisor.domain.units import Price
from axisor.paper.clock import epoch_ms, iso
from axisor.paper.errors import InvalidRequest, Unauthorized
from axisor.paper.hub import Hub, Subscriber
from axisor.paper.records import ApiKey
from axisor.paper.scopes import ALL_SCOPES
from axisor.paper.server.auth import Authenticator, signature_of
from axisor.paper.server.limits import RateLimit, retry_after
from axisor.paper.server.pages import page
from axisor.paper.server.params import Members, parse_body

KEY, SECRET, PASSPHRASE, AT_MS = "lnm_test_key", "lnm_test_secret", "lnm_test_passphrase", 1_700_000_000_000
TRADE = "/v3/futures/isolated/trade"
VECTORS = [
    ("get", "/v3/account", "", "", "ftdO9uG2dpnMbqpdkR+6xHEjTLBmhx4MiL4r6+iZEpI="),
    (
        "get",
        f"{TRADE}s/closed",
        "limit=5&cursor=2026-01-01T00%3A00%3A00.000Z",
        "",
        "S5SWD6tCEISzvf77/6kFwRhXcug2z6RRyhUqo/ATT90=",
    ),
    (
        "get",
        "/v3/account/deposits/lightning",
        "from=2026-01-01T00%3A00%3A00.000Z&limit=1000&settled=true",
        "",
        "fM2rhuIeCddGOEj3FQd11khOeECRVHJZa0N0Pr3qdS4=",
    ),
    (
        "post",
        TRADE,
        "",
        '{"leverage":10,"side":"buy","quantity":1000,"type":"market"}',
        "/F31/Guuaav8/k7qnYrBcqQ817xnIvqWOzLwEooIg6U=",
    ),
    (
        "post",
        TRADE,
        "",
        '{"leverage":10,"quantity":1000,"side":"buy","type":"market"}',
        "Y9+zP6q+IHf+yzT2AhZDmZMxG5aBUy298wx7K2YJxbY=",
    ),
    ("post", "/v3/futures/cross/position/close", "", "", "mgBO6DSBWcnvReK2il0nEb8oNvvdbeuOlwxi+TPwiEQ="),
    ("put", "/v3/futures/cross/leverage", "", '{"leverage":12}', "ebZA7/Jftcf+1GFw/RVV0WlfMsCjKxdiiaHBRoYyNzg="),
    (
        "delete",
        f"{TRADE}/stoploss",
        "id=a6c4d2fa-8d5e-4a5b-9d0d-000000000001",
        "",
        "nIplHwKlFHwOUVxUBZ/ksw5NI6XAT/rBTrZVGUxCAy4=",
    ),
]


@pytest.fixture
def judge() -> Authenticator:
    market = PaperMarket.started()
    key = ApiKey(key=KEY, secret=SECRET, passphrase=PASSPHRASE, scopes=ALL_SCOPES)
    market.account.keys.append(key)
    market.engine.adopt(market.account)
    return Authenticator(market.engine, window_s=30)


def headers(signed: str, **changes: str) -> dict[str, str]:
    values = {"key": KEY, "passphrase": PASSPHRASE, "timestamp": str(AT_MS), "signature": signed} | changes
    return {f"lnm-access-{name}": value for name, value in values.items()}


def sign(message: str) -> str:
    return signature_of(SECRET, message.encode())


@pytest.mark.parametrize(("method", "path", "query", "body", "signature"), VECTORS)
def test_the_known_signatures_are_accepted(
    judge: Authenticator, method: str, path: str, query: str, body: str, signature: str
) -> None:
    request: dict[str, Any] = {"method": method.upper(), "path": path, "query": query, "body": body.encode()}
    account, key = judge.check_request(headers(signature), now_ms=AT_MS, **request)
    assert (account.username, key.key) == ("trader", KEY)
    with pytest.raises(Unauthorized, match="signature"):
        judge.check_request(headers(signature[::-1]), now_ms=AT_MS, **request)
    with pytest.raises(Unauthorized, match="signature"):
        judge.check_request(headers(signature), now_ms=AT_MS, **(request | {"path": path + "x"}))


def test_the_known_stream_signature_is_accepted(judge: Authenticator) -> None:
    params = {
        "key": KEY,
        "passphrase": PASSPHRASE,
        "timestamp": AT_MS,
        "nonce": "0011223344556677",
        "signature": "YLad1qNypGs5pU3BXB5RzVvd+C1fKO9S8M4VBur8fsA=",
    }
    assert judge.check_socket(params, now_ms=AT_MS)[0].username == "trader"
    with pytest.raises(Unauthorized):
        judge.check_socket(params | {"nonce": "00"}, now_ms=AT_MS)


@pytest.mark.parametrize("away_ms", [-30_000, 30_000])
def test_the_window_is_thirty_seconds_on_both_sides(judge: Authenticator, away_ms: int) -> None:
    request: dict[str, Any] = {"method": "GET", "path": "/v3/account", "query": "", "body": b""}
    judge.check_request(headers(VECTORS[0][4]), now_ms=AT_MS + away_ms, **request)
    beyond = away_ms + (1 if away_ms > 0 else -1)
    with pytest.raises(Unauthorized, match="window"):
        judge.check_request(headers(VECTORS[0][4]), now_ms=AT_MS + beyond, **request)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "unknown"}, "does not exist"),
        ({"passphrase": "wrong"}, "passphrase"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "-5"}, "timestamp"),
        ({"signature": ""}, "Missing"),
        ({"key": ""}, "Missing"),
    ],
)
def test_what_is_missing_or_wrong_is_refused(judge: Authenticator, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(Unauthorized, match=reason):
        judge.check_request(
            headers(VECTORS[0][4], **changes), method="GET", path="/v3/account", query="", body=b"", now_ms=AT_MS
        )


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('{"leverage":10.0,"list":[{"a":1.0}]}', '{"leverage":10,"list":[{"a":1}]}'),
        ('{"clientId":"é1"}', '{"clientId":"\\u00e91"}'),
        ("{}", ""),
        ("not json", "not json"),
    ],
)
def test_the_forms_that_official_clients_sign_are_accepted(judge: Authenticator, sent: str, signed: str) -> None:
    signature = sign(f"{AT_MS}post{TRADE}{signed}")
    judge.check_request(headers(signature), method="POST", path=TRADE, query="", body=sent.encode(), now_ms=AT_MS)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    limit = RateLimit(rate_per_s=2, burst=3)
    assert [limit.take("a", now_s=0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.take("b", now_s=0) == 0, "callers do not share"
    assert limit.remaining("b") == 2
    assert limit.take("a", now_s=0.5) == 0
    assert limit.take("a", now_s=0.5) == 0.5
    limit.forget("a")
    assert limit.take("a", now_s=0.5) == 0


def test_a_rate_of_zero_allows_everything() -> None:
    limit = RateLimit(rate_per_s=0, burst=0)
    assert all(limit.take("a", now_s=0) == 0 for _ in range(1_000))


def test_forgotten_callers_do_not_pile_up() -> None:
    limit = RateLimit(rate_per_s=10, burst=10)
    for number in range(10_500):
        limit.take(str(number), now_s=number)
    assert len(limit._buckets) < 600


def test_retry_after_is_whole_and_at_least_one() -> None:
    assert [retry_after(wait) for wait in (0.01, 1.0, 1.2)] == [1, 1, 2]


def test_numbers_stay_exact_and_have_their_shape() -> None:
    body = Members(parse_body(b'{"value":0.1,"whole":10.0,"half":1.5,"text":"x","flag":true,"huge":1e99,"zero":0}'))
    assert body.number("value") == Decimal("0.1")
    assert body.integer("whole") == 10
    assert body.price("half") == Price(3)
    assert body.optional_price("zero") is None
    for read in (
        lambda: body.integer("half"),
        lambda: body.number("text"),
        lambda: body.number("flag"),
        lambda: body.number("huge"),
        lambda: body.number("absent"),
        lambda: body.price("value"),
        lambda: body.positive_integer("zero"),
        lambda: body.text("zero"),
        lambda: body.choice("text", {"buy": 1}),
    ):
        with pytest.raises(InvalidRequest):
            read()


@pytest.mark.parametrize("body", [b"[1]", b"{", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(body)


@pytest.mark.parametrize("client_id", ["", "x" * 65, 5])
def test_a_client_id_has_one_to_64_characters(client_id: object) -> None:
    with pytest.raises(InvalidRequest):
        Members({"clientId": client_id}).client_id()


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "many"}, {"from": "yesterday"}])
def test_a_query_outside_the_rules_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        page([], Members(query), at_ms=int, wire=lambda _: {})


NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=UTC))


def at_noon(offset_ms: int) -> str:
    return iso(NOON_MS + offset_ms)


def pages_of(items: list[int], query: dict[str, str]) -> list[list[int]]:
    """Return all pages, following the cursor."""
    pages: list[list[int]] = []
    while True:
        answer = page(items, Members(query), at_ms=lambda ms: NOON_MS + ms, wire=lambda ms: {"ms": ms})
        pages.append([row["ms"] for row in answer["data"]])
        if answer["nextCursor"] is None:
            return pages
        query = query | {"cursor": answer["nextCursor"]}


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    assert pages_of([9, 7, 5, 3, 1], {"limit": "2"}) == [[9, 7], [5, 3], [1]]
    assert pages_of([9, 7], {"limit": "2"}) == [[9, 7]]
    assert pages_of([], {}) == [[]]


def test_items_of_one_millisecond_stay_together_where_they_fit_and_never_exceed_the_limit() -> None:
    assert pages_of([9, 7, 7, 5], {"limit": "2"}) == [[9], [7, 7], [5]]
    assert pages_of([7, 7, 7, 7, 7, 5], {"limit": "2"}) == [[7, 7], [7, 7], [7, 5]]
    assert pages_of([7, 7, 7], {"limit": "1", "to": at_noon(7)}) == [[7], [7], [7]]
    assert pages_of([7, 7], {"limit": "2"}) == [[7, 7]]


def test_a_cursor_is_the_time_of_the_last_item() -> None:
    answer = page([9, 7, 5], Members({"limit": "2"}), at_ms=lambda ms: NOON_MS + ms, wire=lambda ms: {"ms": ms})
    assert answer["nextCursor"] == at_noon(7)


def test_from_and_to_are_inclusive_but_an_instant_alone_is_empty() -> None:
    items = [9, 7, 5, 3, 1]
    assert pages_of(items, {"from": at_noon(3), "to": at_noon(7)}) == [[7, 5, 3]]
    assert pages_of(items, {"from": at_noon(5), "to": at_noon(5)}) == [[]]


def test_an_instant_without_a_zone_is_utc() -> None:
    assert pages_of([5, 0], {"to": "2026-11-23T12:00:00"}) == [[0]]
    assert pages_of([5, 0], {"to": "2026-11-23T13:00:00+01:00"}) == [[0]]


async def test_price_frames_replace_each_other_and_events_do_not() -> None:
    hub, subscriber = Hub(), Subscriber()
    hub.join(subscriber)
    hub.identify(subscriber, "a")
    for topic in ("price", "trades"):
        hub.subscribe(subscriber, topic)
    for number in range(3):
        hub.publish_price("price", {"n": number})
        hub.publish_event("trades", "a", {"n": number})
        hub.publish_event("trades", "b", {"n": "not mine"})
    frames = await subscriber.take()
    assert len(frames) == 4
    assert '"n":2' in frames[-1].text
    assert [frame.topic for frame in frames] == ["trades"] * 3 + ["price"]
    hub.leave(subscriber)
    hub.publish_price("price", {"n": 9})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await subscriber.take()
    assert len(hub) == 0


async def test_a_client_too_slow_for_its_events_is_given_up() -> None:
    subscriber = Subscriber(kept_events=2)
    for _ in range(2):
        subscriber.put_event("event")
    assert not subscriber.overrun.is_set()
    subscriber.put_event("event")
    assert subscriber.overrun.is_set()
    assert len(await subscriber.take()) == 2
