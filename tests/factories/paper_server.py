"""A paper exchange on a real socket, and the ways a test speaks to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from lnmarkets_sdk.rest.v3.http.client import APIAuthContext, APIClientConfig, LNMClient

from axisor.infra.clock import SystemClock
from axisor.infra.tasks import TaskSet
from axisor.paper.clock import epoch_ms
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.main import serve
from axisor.paper.server.auth import signature_of

NO_LIMITS = RateLimits(private_per_s=0, public_per_s=0, stream_per_s=0)


@dataclass(frozen=True)
class Keys:
    account_id: str
    key: str
    secret: str
    passphrase: str

    def headers(self, method: str, path: str, data: str = "", *, age_s: float = 0) -> dict[str, str]:
        """Return the headers of a request that was signed `age_s` ago."""
        timestamp = str(epoch_ms(SystemClock().now()) - int(age_s * 1000))
        return {
            "lnm-access-key": self.key,
            "lnm-access-passphrase": self.passphrase,
            "lnm-access-timestamp": timestamp,
            "lnm-access-signature": signature_of(self.secret, f"{timestamp}{method.lower()}{path}{data}".encode()),
        }


@dataclass(frozen=True)
class PaperServer:
    """One running exchange."""

    addresses: PaperAddresses
    http: aiohttp.ClientSession

    async def control(
        self, method: str, path: str, body: object = None, *, expect: int = 200, token: str | None = None
    ) -> Any:
        """Return what the control interface answers."""
        headers = {"Authorization": f"Bearer {self.addresses.control_token if token is None else token}"}
        url = self.addresses.control_url + path
        async with asyncio.timeout(10), self.http.request(method, url, json=body, headers=headers) as response:
            data = await response.json()
            assert response.status == expect, data
            return data

    async def create_account(self, *, balance_sats: int = 10_000_000, **more: object) -> Keys:
        made = await self.control("POST", "/accounts", {"balance_sats": balance_sats, **more})
        return Keys(made["account_id"], made["key"], made["secret"], made["passphrase"])

    async def call(
        self,
        method: str,
        path: str,
        keys: Keys | None = None,
        *,
        body: Mapping[str, object] | None = None,
        query: str = "",
        age_s: float = 0,
    ) -> tuple[int, Any]:
        """Return status and data of one signed request; nothing is repeated."""
        raw = "" if body is None else json.dumps(body)
        signed_path = f"/v3{path}"
        headers = {} if keys is None else keys.headers(method, signed_path, raw or (query and f"?{query}"), age_s=age_s)
        url = self.addresses.rest_url + path + (f"?{query}" if query else "")
        async with asyncio.timeout(10), self.http.request(method, url, data=raw or None, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def open_long(self, keys: Keys, **more: object) -> dict[str, Any]:
        """Return a running 25x long of 6,200 USD."""
        order = {"side": "buy", "type": "market", "leverage": 25, "quantity": 6_200, **more}
        status, trade = await self.call("POST", "/futures/isolated/trade", keys, body=order)
        assert status == 200, trade
        assert isinstance(trade, dict)
        return trade

    async def set_price(self, usd: float) -> None:
        await self.control("POST", "/market/price", {"last_price": usd})

    def sdk(self, keys: Keys | None = None, *, max_retries: int = 0) -> LNMClient:
        """Return the official client, pointed here; to be used as a context."""
        auth = None if keys is None else APIAuthContext(key=keys.key, secret=keys.secret, passphrase=keys.passphrase)
        client = LNMClient(APIClientConfig(authentication=auth, max_retries=max_retries))
        client._base_client.base_url = self.addresses.rest_url
        return client


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 3) -> None:
    """Return once `condition` holds; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens behind a socket
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_paper_server(**config: Any) -> AsyncIterator[PaperServer]:
    """Run an exchange; by default its price moves only by hand and nothing is rate-limited."""
    settings = {"scenario": "manual", "limits": NO_LIMITS} | config
    stop = asyncio.Event()
    ready: asyncio.Future[PaperAddresses] = asyncio.get_running_loop().create_future()
    async with TaskSet("paper exchange under test") as tasks:
        running = tasks.start(serve(PaperConfig(**settings), ready=ready.set_result, stop=stop), name="serve")
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        async with aiohttp.ClientSession() as http:
            yield PaperServer(ready.result(), http)
        stop.set()
        async with asyncio.timeout(5):
            await running
