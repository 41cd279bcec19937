"""The web application of the paper exchange: every mount point and who answers it."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from axisor.paper.exchange import PaperExchange
from axisor.paper.server import rest
from axisor.paper.server.account_routes import ACCOUNT_ROUTES
from axisor.paper.server.auth import Authenticator
from axisor.paper.server.control.endpoint import ControlEndpoint
from axisor.paper.server.cross_routes import CROSS_ROUTES
from axisor.paper.server.isolated_routes import ISOLATED_ROUTES
from axisor.paper.server.notifications_routes import NOTIFICATIONS_ROUTES
from axisor.paper.server.public_routes import PUBLIC_ROUTES
from axisor.paper.server.rest import RestEndpoint
from axisor.paper.server.routes import RouteTable
from axisor.paper.server.stream import StreamEndpoint
from axisor.paper.server.strikes import Strikes
from axisor.paper.server.swaps_routes import SWAPS_ROUTES
from axisor.paper.server.wallet_routes import WALLET_ROUTES

STREAM_PATH: Final = "/v1"
ROUTES: RouteTable = {
    **PUBLIC_ROUTES,
    **ACCOUNT_ROUTES,
    **WALLET_ROUTES,
    **ISOLATED_ROUTES,
    **CROSS_ROUTES,
    **SWAPS_ROUTES,
    **NOTIFICATIONS_ROUTES,
}
_MAX_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The application and the parts of it that must be closed."""

    app: web.Application
    rest: RestEndpoint
    stream: StreamEndpoint
    strikes: Strikes


def build_server(exchange: PaperExchange, *, control_token: str) -> Server:
    """Return the application that serves an exchange."""
    authenticator = Authenticator(exchange.engine, window_s=exchange.config.window_s)
    stream = StreamEndpoint(exchange, authenticator=authenticator)
    strikes = Strikes(exchange, stream)
    endpoint = RestEndpoint(exchange, ROUTES, authenticator=authenticator, strikes=strikes)
    control = ControlEndpoint(exchange, stream, strikes, token=control_token)
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_routes(control.routes())
    app.router.add_get(STREAM_PATH, stream.handle)
    app.router.add_route("*", f"{rest.MOUNT}/{{tail:.*}}", endpoint.handle)
    app.router.add_route("*", "/{tail:.*}", _not_found)
    return Server(app=app, rest=endpoint, stream=stream, strikes=strikes)


async def _not_found(_: web.Request) -> web.Response:
    return web.Response(status=404, text="Not found")
