"""The official Python stream client hears every topic, and every event fits the models that the SDK ships."""

from collections import defaultdict
from typing import Any, Final

import pytest
from lnmarkets_sdk.stream.v1 import models
from lnmarkets_sdk.stream.v1.client import StreamClient
from lnmarkets_sdk.stream.v1.models import AuthenticateParams, HelloParams, SubscribeParams, UnsubscribeParams
from pydantic import TypeAdapter
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.seeded_account import (
    START_USD,
    a_foreign_invoice,
    done,
    give_cross_position,
    give_isolated_history,
    open_trade,
)
from tests.fixtures.processes import until

from axisor.paper.candles import RANGES

F: Final = "futures/inverse/btc_usd"
PAYLOADS: Final[dict[str, Any]] = {
    "announcements": models.AnnouncementEvent,
    "wallet/deposit": models.WalletDepositData,
    "wallet/withdrawal": models.WalletWithdrawData,
    f"{F}/ticker": models.FuturesTickerData,
    f"{F}/lastPrice": models.FuturesLastPriceData,
    f"{F}/index": models.FuturesIndexData,
    f"{F}/buckets": models.FuturesBucketData,
    f"{F}/funding": models.FuturesFundingData,
    f"{F}/isolated/trades": models.IsolatedTradesEvent,
    f"{F}/cross/orders": models.CrossOrderEvent,
    f"{F}/cross/position": models.CrossPositionData,
    **{f"{F}/ohlc/{interval}": models.OhlcData for interval in RANGES},
}
EVENTS: Final = {
    f"{F}/isolated/trades": {
        *("open", "filled", "closed", "canceled"),
        *("liquidation", "stoploss", "takeprofit", "funding"),
    },
    f"{F}/cross/orders": {"new", "limit", "canceled"},
    f"{F}/cross/position": {"new", "limit", "cancel", "leverage", "deposit", "withdraw", "liquidation", "funding"},
}


async def test_every_topic_is_heard_in_the_form_of_the_sdks_models(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_paper_server() as server:
        keys = await server.create_account(balance_sats=50_000_000)
        monkeypatch.setenv("STREAM_V1_API_URL", server.addresses.stream_url)
        heard: dict[str, list[Any]] = defaultdict(list)
        async with StreamClient() as stream:
            for topic in PAYLOADS:
                stream.on(topic, heard[topic].append)
            await stream.connect()
            assert (await stream.public.hello(HelloParams(client_name="t", client_version="1"))).version == "1.0.0"
            assert await stream.public.ping() == "pong"
            assert (await stream.public.time()).time > 0
            signed = AuthenticateParams(key=keys.key, secret=keys.secret, passphrase=keys.passphrase)
            assert (await stream.auth.authenticate(signed)).authenticated
            assert (await stream.auth.whoami()).user_id == keys.account_id
            topics = list(PAYLOADS)
            assert (await stream.subscription.subscribe(SubscribeParams(topics=topics))).subscribed == topics

            await cause_every_event(server, keys)
            await until(lambda: all(heard[topic] for topic in PAYLOADS) and kinds(heard) == EVENTS, within_s=5)

            await stream.subscription.unsubscribe(UnsubscribeParams(topics=topics[:1]))
            assert set((await stream.subscription.unsubscribe_all()).unsubscribed) == set(topics[1:])
        for topic, payload in PAYLOADS.items():
            model = TypeAdapter(payload)
            for frame in heard[topic]:
                model.validate_python(frame)
        assert (await server.control("GET", "/books"))["discrepancies"] == []


def kinds(heard: dict[str, list[Any]]) -> dict[str, set[str]]:
    return {topic: {frame["event"] for frame in heard[topic]} for topic in EVENTS}


async def cause_every_event(server: PaperServer, keys: Keys) -> None:
    await server.control("POST", "/announcements", {"title": "Test", "message": "All topics"})
    await give_isolated_history(server, keys)
    await open_trade(server, keys, type="market", side="buy", quantity=100, leverage=5, takeprofit=63_000)
    await server.set_price(63_000)
    await server.set_price(START_USD)
    await give_cross_position(server, keys)
    await done(server, keys, "POST", "/futures/cross/withdraw", amount=1_000)
    await done(server, keys, "POST", "/futures/cross/orders/cancel-all")
    await server.set_price(30_000)
    await server.control("POST", f"/accounts/{keys.account_id}/deposit", {"amount_sats": 5_000})
    invoice = await a_foreign_invoice(server, amount_sats=1_000)
    await done(server, keys, "POST", "/account/withdraw/lightning", invoice=invoice)
