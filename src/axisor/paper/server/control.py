"""The control interface: makes accounts, moves the market, injects faults, opens the books.

It answers the machine's own loopback alone, and only who knows the token printed at start.
"""

import hmac
from collections.abc import Awaitable, Callable
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from axisor.domain.errors import ConfigurationError, DomainError
from axisor.domain.units import price_from_usd
from axisor.paper.clock import iso
from axisor.paper.errors import InvalidRequest, MarketBusy, Refusal
from axisor.paper.exchange import PaperExchange, with_source
from axisor.paper.faults import STREAM_KINDS, Fault
from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES
from axisor.paper.records import Account, ApiKey
from axisor.paper.scopes import ALL_SCOPES
from axisor.paper.server.stream import StreamEndpoint
from axisor.paper.wire import cross as wire_cross
from axisor.paper.wire import market as wire_market
from axisor.paper.wire import trades as wire_trades

MOUNT: Final = "/control"
_Sats = Annotated[int, msgspec.Meta(ge=0)]


class _NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    balance_sats: _Sats = 0
    username: str | None = None
    scopes: list[str] | None = None
    fee_tier: int = 0


class _Deposit(msgspec.Struct, forbid_unknown_fields=True):
    amount_sats: int


class _Scopes(msgspec.Struct, forbid_unknown_fields=True):
    scopes: list[str] | None = None


class _Speed(msgspec.Struct, forbid_unknown_fields=True):
    speed: float


class _Restart(msgspec.Struct, forbid_unknown_fields=True):
    scenario: str | None = None
    seed: int | None = None
    force: bool = False
    start_paused: bool = False


class _Plunge(msgspec.Struct, forbid_unknown_fields=True):
    percent: Decimal
    seconds: float = 10.0


class _PriceBody(msgspec.Struct, forbid_unknown_fields=True):
    last_price: Decimal


class _Funding(msgspec.Struct, forbid_unknown_fields=True):
    rate: Decimal | None = None


class _Maintenance(msgspec.Struct, forbid_unknown_fields=True):
    is_on: bool
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


class _News(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    message: str
    link: str | None = None


class ControlEndpoint:
    """Answers everything under /control."""

    def __init__(self, exchange: PaperExchange, stream: StreamEndpoint, *, token: str) -> None:
        self._exchange = exchange
        self._stream = stream
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, each behind the token."""
        table: list[tuple[str, str, Callable[[web.Request], Awaitable[Any]]]] = [
            ("GET", "/accounts", self._list_accounts),
            ("POST", "/accounts", self._create_account),
            ("GET", "/accounts/{account}", self._get_account),
            ("GET", "/accounts/{account}/books", self._get_account_books),
            ("POST", "/accounts/{account}/deposit", self._deposit),
            ("POST", "/accounts/{account}/keys", self._create_key),
            ("PUT", "/keys/{key}", self._set_scopes),
            ("DELETE", "/keys/{key}", self._revoke_key),
            ("GET", "/market", self._get_market),
            ("POST", "/market/start", self._start),
            ("POST", "/market/pause", self._pause),
            ("PUT", "/market/speed", self._set_speed),
            ("POST", "/market/restart", self._restart),
            ("POST", "/market/plunge", self._plunge),
            ("POST", "/market/price", self._set_price),
            ("POST", "/market/funding", self._settle),
            ("POST", "/market/maintenance", self._maintain),
            ("GET", "/announcements", self._list_announcements),
            ("POST", "/announcements", self._announce),
            ("DELETE", "/announcements/{announcement}", self._withdraw_announcement),
            ("GET", "/books", self._get_books),
            ("GET", "/requests", self._list_requests),
            ("GET", "/faults", self._list_faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("DELETE", "/faults/{fault}", self._clear_faults),
        ]
        return [web.route(method, MOUNT + path, self._guarded(handle)) for method, path, handle in table]

    def _guarded(
        self, handle: Callable[[web.Request], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if not _is_loopback(request.remote):
                return _json({"code": "NOT_FOUND", "message": "Not found"}, status=404)
            offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(offered.encode(), self._token.encode()):
                return _json({"code": "UNAUTHORIZED", "message": "the control token is missing or wrong"}, status=401)
            try:
                data = await handle(request)
            except Refusal as refusal:
                return _json({"code": refusal.wire_code, "message": refusal.message}, status=refusal.status)
            except (DomainError, ConfigurationError) as error:
                return _json({"code": "BAD_REQUEST", "message": error.message}, status=400)
            await self._exchange.commit()
            return _json(data)

        return answer

    # Accounts

    async def _list_accounts(self, _: web.Request) -> Any:
        return [self._account_view(account) for account in self._exchange.engine.accounts]

    async def _create_account(self, request: web.Request) -> Any:
        wanted = await _read(request, _NewAccount)
        engine = self._exchange.engine
        username = wanted.username or f"trader{sum(1 for _ in engine.accounts) + 1}"
        if any(account.username == username for account in engine.accounts):
            raise MarketBusy(f"there is already an account {username}")
        account = engine.create_account(
            username=username,
            balance_sats=wanted.balance_sats,
            scopes=_scopes(wanted.scopes),
            fee_tier=wanted.fee_tier,
        )
        return {**self._account_view(account), **_key_view(account.keys[0])}

    async def _get_account(self, request: web.Request) -> Any:
        account = self._find(request)
        engine = self._exchange.engine
        return {
            **self._account_view(account),
            "trades": [
                wire_trades.trade(trade, pnl_sats=engine.isolated.unrealized_pnl_sats(trade))
                for trade in account.live.values()
            ],
            "cross": wire_cross.position(engine.cross.position(account)),
            "cross_orders": [wire_cross.order(order) for order in engine.cross.open_orders(account)],
        }

    async def _get_account_books(self, request: web.Request) -> Any:
        account = self._find(request)
        books, history = self._exchange.engine.books, self._exchange.engine.history
        closed = history.oldest_first(account.account_id, CLOSED_TRADES)
        canceled = history.oldest_first(account.account_id, CANCELED_TRADES)
        return {
            "account_id": account.account_id,
            "balance_sats": account.balance_sats,
            "net_flow_sats_of_trade": books.net_flows(account),
            "postings": list(books.of(account)),
            "trades": {
                trade.trade_id: str(trade.close_kind or trade.status)
                for trade in (*account.live.values(), *closed, *canceled)
            },
        }

    async def _deposit(self, request: web.Request) -> Any:
        account = self._find(request)
        wanted = await _read(request, _Deposit)
        deposit_id = self._exchange.engine.wallet.deposit(account, amount_sats=wanted.amount_sats)
        return {"deposit_id": deposit_id, "balance_sats": account.balance_sats}

    async def _create_key(self, request: web.Request) -> Any:
        account = self._find(request)
        wanted = await _read(request, _Scopes)
        return _key_view(self._exchange.engine.keys.issue(account, scopes=_scopes(wanted.scopes)))

    async def _set_scopes(self, request: web.Request) -> Any:
        wanted = await _read(request, _Scopes)
        key = self._known_key(request)
        self._exchange.engine.keys.set_scopes(key, scopes=_scopes(wanted.scopes))
        return {"key": key, "scopes": sorted(_scopes(wanted.scopes))}

    async def _revoke_key(self, request: web.Request) -> Any:
        key = self._known_key(request)
        self._exchange.engine.keys.revoke(key)
        await self._stream.close_sockets_of(key)
        return {"key": key, "is_revoked": True}

    # The market

    async def _get_market(self, _: web.Request) -> Any:
        return self._exchange.market_state()

    async def _start(self, _: web.Request) -> Any:
        self._exchange.player.start()
        return self._exchange.market_state()

    async def _pause(self, _: web.Request) -> Any:
        self._exchange.player.pause()
        return self._exchange.market_state()

    async def _set_speed(self, request: web.Request) -> Any:
        wanted = await _read(request, _Speed)
        try:
            self._exchange.player.set_speed(wanted.speed)
        except ValueError as error:
            raise InvalidRequest("speed", str(error)) from error
        return self._exchange.market_state()

    async def _restart(self, request: web.Request) -> Any:
        wanted = await _read(request, _Restart)
        self._exchange.restart(
            with_source(
                self._exchange.config,
                scenario=wanted.scenario,
                seed=wanted.seed,
                start_paused=wanted.start_paused,
            ),
            is_forced=wanted.force,
        )
        return self._exchange.market_state()

    async def _plunge(self, request: web.Request) -> Any:
        wanted = await _read(request, _Plunge)
        if not -100 < wanted.percent < 100 or not wanted.percent or not 0 <= wanted.seconds <= 86_400:
            raise InvalidRequest("percent", "must lie between -100 (a rise) and 100, and seconds between 0 and 86,400")
        self._exchange.player.plunge(fraction=wanted.percent / 100, duration_s=wanted.seconds)
        return self._exchange.market_state()

    async def _set_price(self, request: web.Request) -> Any:
        wanted = await _read(request, _PriceBody)
        self._exchange.set_price(price_from_usd(wanted.last_price))
        return self._exchange.market_state()

    async def _settle(self, request: web.Request) -> Any:
        wanted = await _read(request, _Funding)
        settlement = self._exchange.settle(self._exchange.player.settle_now(wanted.rate))
        return wire_market.settlement(settlement)

    async def _maintain(self, request: web.Request) -> Any:
        wanted = await _read(request, _Maintenance)
        self._exchange.set_available(not wanted.is_on, reason="control interface", for_s=wanted.seconds)
        return self._exchange.market_state()

    # Announcements

    async def _list_announcements(self, _: web.Request) -> Any:
        return self._exchange.news.standing

    async def _announce(self, request: web.Request) -> Any:
        wanted = await _read(request, _News)
        return self._exchange.news.add(title=wanted.title, message=wanted.message, link=wanted.link)

    async def _withdraw_announcement(self, request: web.Request) -> Any:
        announcement_id = request.match_info["announcement"]
        if not self._exchange.news.remove(announcement_id):
            raise _NotThere(f"there is no announcement {announcement_id}")
        return {"id": announcement_id}

    # Evidence

    async def _get_books(self, _: web.Request) -> Any:
        engine = self._exchange.engine
        return {
            "totals_sats": {str(book): amount for book, amount in sorted(engine.books.totals.items())},
            "totals_usd_cents": {str(book): amount for book, amount in engine.swaps.books.totals.items()},
            "discrepancies": engine.discrepancies(),
        }

    async def _list_requests(self, request: web.Request) -> Any:
        after = request.query.get("after_seq", "0")
        if not after.isdigit():
            raise InvalidRequest("after_seq", "must be a number")
        return self._exchange.requests.entries(
            after_seq=int(after), path=request.query.get("path"), account_id=request.query.get("account_id")
        )

    async def _list_faults(self, _: web.Request) -> Any:
        return self._exchange.faults.faults

    async def _add_fault(self, request: web.Request) -> Any:
        fault = await _read(request, Fault)
        self._exchange.faults.add(fault)
        if fault.kind in STREAM_KINDS:
            await self._stream.strike(fault)
        return fault

    async def _clear_faults(self, request: web.Request) -> Any:
        return {"withdrawn": self._exchange.faults.clear(request.match_info.get("fault"))}

    def _find(self, request: web.Request) -> Account:
        name = request.match_info["account"]
        engine = self._exchange.engine
        account = engine.find_account(name)
        if account is not None:
            return account
        for other in engine.accounts:
            if other.username == name:
                return other
        raise _NotThere(f"there is no account {name}")

    def _account_view(self, account: Account) -> dict[str, Any]:
        return {
            "account_id": account.account_id,
            "username": account.username,
            "balance_sats": account.balance_sats,
            "usd_cents": account.usd_cents,
            "fee_tier": account.fee_tier,
            "created_at": iso(account.created_at_ms),
            "live_trades": len(account.live),
            "closed_trades": self._exchange.engine.history.count(account.account_id, CLOSED_TRADES),
        }

    def _known_key(self, request: web.Request) -> str:
        key = request.match_info["key"]
        if self._exchange.engine.keys.find(key) is None:
            raise _NotThere("there is no such key")
        return key


class _NotThere(Refusal):
    code = "not_there"
    status = 404
    wire_code = "NOT_FOUND"


def _is_loopback(remote: str | None) -> bool:
    return remote is not None and ip_address(remote).is_loopback


async def _read[T](request: web.Request, kind: type[T]) -> T:
    raw = await request.read()
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest("body", str(error)) from error


def _scopes(names: list[str] | None) -> frozenset[str]:
    return ALL_SCOPES if names is None else frozenset(names)


def _key_view(key: ApiKey) -> dict[str, Any]:
    return {"key": key.key, "secret": key.secret, "passphrase": key.passphrase, "scopes": sorted(key.scopes)}


def _json(data: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")
