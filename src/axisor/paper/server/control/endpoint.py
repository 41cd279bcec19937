"""Answers the machine's own loopback alone, and only who knows the token printed at start."""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from aiohttp import web

from axisor.domain.errors import ConfigurationError, DomainError
from axisor.paper.errors import Refusal
from axisor.paper.exchange import PaperExchange
from axisor.paper.server.control.accounts import ACCOUNTS
from axisor.paper.server.control.announcements import ANNOUNCEMENTS
from axisor.paper.server.control.evidence import EVIDENCE
from axisor.paper.server.control.faults import FAULTS
from axisor.paper.server.control.lightning import LIGHTNING
from axisor.paper.server.control.market import MARKET
from axisor.paper.server.control.routes import ControlCall, ControlTable
from axisor.paper.server.control.wallet import WALLET
from axisor.paper.server.stream import StreamEndpoint
from axisor.paper.server.strikes import Strikes

MOUNT: Final = "/control"
CONTROLS: ControlTable = {
    **ACCOUNTS,
    **WALLET,
    **MARKET,
    **ANNOUNCEMENTS,
    **EVIDENCE,
    **FAULTS,
    **LIGHTNING,
}


class ControlEndpoint:
    """Answers everything under /control."""

    def __init__(self, exchange: PaperExchange, stream: StreamEndpoint, strikes: Strikes, *, token: str) -> None:
        self._exchange = exchange
        self._stream = stream
        self._strikes = strikes
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, each behind the token."""
        return [web.route(method, MOUNT + path, self._guarded(handle)) for (method, path), handle in CONTROLS.items()]

    def _guarded(
        self, handle: Callable[[ControlCall], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if not _is_loopback(request.remote):
                return _json({"code": "NOT_FOUND", "message": "Not found"}, status=404)
            offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(offered.encode(), self._token.encode()):
                return _json({"code": "UNAUTHORIZED", "message": "the control token is missing or wrong"}, status=401)
            try:
                data = await handle(
                    ControlCall(exchange=self._exchange, stream=self._stream, strikes=self._strikes, request=request)
                )
            except Refusal as refusal:
                return _json({"code": refusal.wire_code, "message": refusal.message}, status=refusal.status)
            except (DomainError, ConfigurationError) as error:
                return _json({"code": "BAD_REQUEST", "message": error.message}, status=400)
            await self._exchange.commit()
            return _json(data)

        return answer


def _is_loopback(remote: str | None) -> bool:
    return remote is not None and ip_address(remote).is_loopback


def _json(data: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")
