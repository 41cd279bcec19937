"""Directing the paper exchange over its control interface."""

import asyncio
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from axisor.domain.errors import ExchangeAuthFailed, ExchangeProtocolError, ExchangeRejected, ExchangeUnavailable
from axisor.domain.units import price_nearest
from axisor.ports.credentials import Credentials
from axisor.ports.paper_market import MarketStatus, PaperMarketState

ANSWER_DEADLINE_S: Final = 3.0


class _Key(msgspec.Struct):
    key: str
    secret: str
    passphrase: str


class _Market(msgspec.Struct):
    scenario: str | None
    seed: int
    status: MarketStatus
    is_start_requested: bool
    market_ms: int
    speed: float
    last_price: Decimal


class PaperControl:
    """Implements `PaperMarket`."""

    def __init__(self, control_url: str, token: str) -> None:
        self._url = control_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http: aiohttp.ClientSession | None = None

    async def open_account(self, *, username: str, balance_sats: int) -> Credentials:
        status, body = await self._ask("POST", "/accounts", {"username": username, "balance_sats": balance_sats})
        if status == HTTPStatus.CONFLICT:
            status, body = await self._ask("POST", f"/accounts/{username}/keys", {})
        made = _parse(_accepted(status, body), _Key)
        return Credentials(key=made.key, secret=made.secret, passphrase=made.passphrase)

    async def fetch_state(self) -> PaperMarketState:
        market = _parse(_accepted(*await self._ask("GET", "/market")), _Market)
        return PaperMarketState(
            scenario=market.scenario,
            seed=market.seed,
            status=market.status,
            is_start_requested=market.is_start_requested,
            market_s=market.market_ms / 1000,
            speed=market.speed,
            last_price=price_nearest(Fraction(market.last_price)),
        )

    async def start(self) -> None:
        _accepted(*await self._ask("POST", "/market/start", {}))

    async def pause(self) -> None:
        _accepted(*await self._ask("POST", "/market/pause", {}))

    async def set_speed(self, speed: float) -> None:
        _accepted(*await self._ask("PUT", "/market/speed", {"speed": speed}))

    async def restart(self, *, scenario: str | None, seed: int | None) -> None:
        wanted = {"scenario": scenario, "seed": seed, "force": True, "start_paused": True}
        _accepted(*await self._ask("POST", "/market/restart", wanted))

    async def plunge(self, *, percent: Decimal, seconds: float) -> None:
        _accepted(*await self._ask("POST", "/market/plunge", {"percent": str(percent), "seconds": seconds}))

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        if self._http is None:
            self._http = aiohttp.ClientSession(headers=self._headers)
        try:
            async with (
                asyncio.timeout(ANSWER_DEADLINE_S),
                self._http.request(
                    method,
                    self._url + path,
                    data=None if body is None else msgspec.json.encode(body),
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                ) as answer,
            ):
                return answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ExchangeUnavailable("the paper exchange did not answer", path=path) from error


def _accepted(status: int, body: bytes) -> bytes:
    if status == HTTPStatus.UNAUTHORIZED:
        raise ExchangeAuthFailed("the paper exchange refused the control token")
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise ExchangeRejected("the paper exchange refused", status=status, answer=body[:200].decode(errors="replace"))
    return body


def _parse[T](body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ExchangeProtocolError("the paper exchange answered in another form", problem=str(error)) from error
