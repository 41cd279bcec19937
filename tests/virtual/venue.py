"""The exchange of the simulation: the paper engine, its REST routes and its signatures, behind a treacherous network.

The product's client speaks to it in the product's bytes: what is replaced is `HttpTransport` alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import parse_qsl

from tests.virtual.faults import FaultKind, Plan, Step
from tests.virtual.world import Process, World

from axisor.adapters.lnmarkets.auth import Credentials
from axisor.adapters.lnmarkets.limits import TokenBucket
from axisor.adapters.lnmarkets.transport import Flight, HttpAnswer, SignatureTooOld
from axisor.domain.errors import DomainError
from axisor.domain.trades import CloseReason
from axisor.domain.units import Price, TradeId
from axisor.paper.clock import epoch_ms
from axisor.paper.engine import Engine
from axisor.paper.errors import Refusal
from axisor.paper.events import TradeEventKind as PaperEvent
from axisor.paper.events import TradeHappened
from axisor.paper.history import CLOSED_TRADES, POSTINGS
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Account, Book
from axisor.paper.server.account_routes import ACCOUNT_ROUTES
from axisor.paper.server.auth import Authenticator
from axisor.paper.server.cross_routes import CROSS_ROUTES
from axisor.paper.server.isolated_routes import ISOLATED_ROUTES
from axisor.paper.server.params import Members, parse_body
from axisor.paper.server.public_routes import PUBLIC_ROUTES
from axisor.paper.server.reply import Reply
from axisor.paper.server.routes import Call
from axisor.ports.market_feed import AccountEvent, FeedUp, LastPrice, MarketEvent, TradeEvent, TradeEventKind

WINDOW_S: Final = 30.0
QUIET_S: Final = 40.0
LATE_S: Final = (5.5, 39.5)
TOO_LATE_S: Final = (42.0, 60.0)
"""When a late effect is booked, in seconds after its signature."""
FUNDING_RATE: Final = Decimal("0.0005")
ROUTES: Final = {**ACCOUNT_ROUTES, **CROSS_ROUTES, **ISOLATED_ROUTES, **PUBLIC_ROUTES}
_EVENTS: Final = {
    PaperEvent.FILLED: (TradeEventKind.FILLED, None),
    PaperEvent.CLOSED: (TradeEventKind.CLOSED, CloseReason.USER),
    PaperEvent.STOP_LOSS: (TradeEventKind.CLOSED, CloseReason.STOP_LOSS),
    PaperEvent.TAKE_PROFIT: (TradeEventKind.CLOSED, CloseReason.TAKE_PROFIT),
    PaperEvent.LIQUIDATION: (TradeEventKind.CLOSED, CloseReason.LIQUIDATION),
    PaperEvent.FUNDING: (TradeEventKind.FUNDED, None),
}


class VenueClock:
    """The exchange's clock is the true one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> Any:
        return self._world.now()

    def boottime_s(self) -> float:
        return self._world.now_s

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("the paper engine never waits")


@dataclass(frozen=True, slots=True)
class Effect:
    """One add-margin that the exchange booked: what the judge goes by."""

    at_s: float
    trade_id: str
    amount_sats: int
    sent_at_s: float
    signed_ms: int
    process: Process
    is_beyond_bound: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer that shows trades as they stood when it was served; `trade_id` where it shows that one alone."""

    served_s: float
    given_s: float
    process: Process
    trade_id: str | None


@dataclass(slots=True)
class Request:
    """One HTTP request on its way."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    process: Process
    sent_at_s: float
    arrived_at_s: float = 0.0

    @property
    def is_top_up(self) -> bool:
        return self.target.endswith("/add-margin")


class Venue:
    """The paper engine and what of its server needs no socket."""

    def __init__(self, world: World, *, price: Price, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.clock = VenueClock(world)
        self.engine = Engine(clock=self.clock, last_price=price, ladder=ladder(price, Fraction(0)))
        self._authenticator = Authenticator(self.engine, window_s=WINDOW_S)
        self._exchange: Any = SimpleNamespace(
            engine=self.engine, clock=self.clock, wrong_clock=SimpleNamespace(told_time=world.now)
        )
        self.late_under_way = 0
        self.effects: list[Effect] = []
        self.shown: list[Shown] = []
        """When a reading or the answer to a top-up was served, and when it was handed over."""
        self.arrivals: list[Request] = []
        self.market_feeds: list[Callable[[MarketEvent], None]] = []
        self.account_feeds: list[tuple[str, Callable[[AccountEvent], None]]] = []

    def account(self, *, balance_sats: int, name: str) -> Account:
        account = self.engine.create_account(username=name, balance_sats=balance_sats)
        self.engine.take_events()
        return account

    def credentials(self, account: Account) -> Credentials:
        key = account.keys[0]
        return Credentials(key=key.key, secret=key.secret, passphrase=key.passphrase)

    def tick(self, price: Price) -> None:
        """Move the market; everybody who listens hears of it."""
        self.engine.advance(price, ladder(price, Fraction(0)))
        self.announce()
        frame = LastPrice(at=self.world.now(), floor=price, ceil=price, received_boottime_s=self.world.now_s)
        for _ in range(1 + self.plan.takes(FaultKind.DUPLICATE_FRAMES)):
            for hear in self.market_feeds:
                hear(frame)

    def settle_funding(self, settlement_id: str) -> None:
        """Let longs pay 0.05 % of their size out of their margin."""
        self.engine.settle_funding(
            settlement_id=settlement_id,
            rate=FUNDING_RATE,
            fixing_price=self.engine.last_price,
            at_ms=epoch_ms(self.world.now()),
        )
        self.announce()

    def announce(self) -> None:
        """Send the engine's events to the sockets of their accounts."""
        copies = 1 + (self.plan.takes(FaultKind.DUPLICATE_FRAMES))
        for event in self.engine.take_events():
            if not isinstance(event, TradeHappened) or event.kind not in _EVENTS:
                continue
            kind, reason = _EVENTS[event.kind]
            for account_id, hear in self.account_feeds * copies:
                if account_id == event.account_id:
                    heard = TradeEvent(
                        kind=kind,
                        trade_id=TradeId(event.trade.trade_id),
                        close_reason=reason,
                        at=self.world.now(),
                        received_boottime_s=self.world.now_s,
                        funding_fee_sats=event.funding_fee_sats,
                    )
                    hear(heard)

    def serve(self, request: Request) -> HttpAnswer:
        """Return the exchange's answer to a request that has arrived; an effect is in the books by then."""
        self.arrivals.append(request)
        path, _, query = request.target.partition("?")
        try:
            reply = self._reply(request, path, query)
        except Refusal as refusal:
            reply = Reply.refusing(refusal)
        except DomainError as error:
            reply = Reply.refusing(Refusal(error.message, details={"reason": error.code}))
        self.announce()
        return HttpAnswer(status=reply.status, headers=reply.headers, body=reply.body)

    def _reply(self, request: Request, path: str, query: str) -> Reply:
        route = ROUTES[request.method, path.removeprefix("/v3")]
        owner: Account | None = None
        if route.scope is not None:
            # What is booked late was accepted in time.
            at_ms = epoch_ms(self.world.now() - timedelta(seconds=self.world.now_s - request.arrived_at_s))
            owner, _ = self._authenticator.check_request(
                request.headers, method=request.method, path=path, query=query, body=request.body, now_ms=at_ms
            )
        members = Members(dict(parse_qsl(query)))
        call = Call(exchange=self._exchange, query=members, body=Members(parse_body(request.body)), owner=owner)
        data = route.handle(call)
        if request.is_top_up:
            body, signed_ms = parse_body(request.body), int(request.headers["lnm-access-timestamp"])
            self.effects.append(
                Effect(
                    at_s=self.world.now_s,
                    trade_id=body["id"],
                    amount_sats=int(body["amount"]),
                    sent_at_s=request.sent_at_s,
                    signed_ms=signed_ms,
                    process=request.process,
                    is_beyond_bound=epoch_ms(self.world.now()) - signed_ms > QUIET_S * 1000,
                )
            )
        return Reply.of(data)

    def was_shown(self, effect: Effect, *, by_s: float, to: Process) -> bool:
        """Return whether a process had been handed an answer that shows an effect: its own, or a reading's."""
        return any(
            shown.served_s >= effect.at_s
            and shown.given_s <= by_s
            and shown.process is to
            and shown.trade_id in (None, effect.trade_id)
            for shown in self.shown
        )

    def booked_top_ups(self, account: Account, trade_id: str) -> list[int]:
        """Return what the books say was added to a trade, oldest first, in sats."""
        return [
            posting.entries[Book.MARGIN]
            for posting in self.engine.history.oldest_first(account.account_id, POSTINGS)
            if posting.kind == "add_margin" and posting.trade_id == trade_id
        ]

    def ended(self, account: Account, trade_id: str) -> Any:
        """Return the closed trade, or None while it runs."""
        return self.engine.history.find(account.account_id, CLOSED_TRADES, trade_id)


class VirtualTransport:
    """The product's `HttpTransport` over the simulated network."""

    def __init__(self, venue: Venue, process: Process) -> None:
        self._venue = venue
        self._process = process
        self._world = venue.world
        self._answered_s: float | None = None

    @property
    def idle_s(self) -> float | None:
        return None if self._answered_s is None else self._world.now_s - self._answered_s

    async def close(self) -> None:
        return

    async def exchange(
        self, method: str, target: str, *, headers: Sequence[tuple[str, str]], body: bytes, flight: Flight
    ) -> HttpAnswer:
        """Send one request over the network and return its answer, if the network gives it."""
        process, plan = self._process, self._venue.plan
        is_top_up, is_reading = target.endswith("/add-margin"), target.endswith("/running")
        if is_top_up:
            await plan.before(Step.WRITE, process)
        if is_reading:
            await plan.before(Step.READ, process)
        if process.is_dead:
            raise ConnectionResetError("the process is gone")
        flight.is_connected = True
        if flight.not_after_boottime_s is not None and self._world.now_s > flight.not_after_boottime_s:
            raise SignatureTooOld
        flight.first_byte_at = process.clock.now()
        request = Request(method, target, dict(headers), body, process, self._world.now_s)
        answer: asyncio.Future[HttpAnswer] = process.loop.create_future()
        self._send(request, answer)
        if is_top_up:
            await plan.after(Step.WRITE, process)
        http = await answer
        self._answered_s = self._world.now_s
        if is_top_up:
            await plan.after(Step.ANSWER, process)
        if is_reading:
            await plan.after(Step.READ, process)
        return http

    def _send(self, request: Request, answer: "asyncio.Future[HttpAnswer]") -> None:
        plan, world, lot = self._venue.plan, self._world, self._world.lot
        there_s = lot.uniform(0.004, 0.03)
        request.arrived_at_s = world.now_s + there_s
        if request.is_top_up:
            if plan.takes(FaultKind.LOSE_REQUEST):
                return
            if plan.takes(FaultKind.RESET_BEFORE):
                world.after(there_s, lambda: _break(answer))
                return
            if plan.takes(FaultKind.REFUSE_BUSY):
                busy = HttpAnswer(
                    status=429,
                    headers={"Retry-After": "1"},
                    body=b'{"code":"RATE_LIMIT_EXCEEDED","message":"Too many requests"}',
                )
                world.after(2 * there_s, lambda: _give(answer, busy))
                return
            for kind, (least_s, most_s) in ((FaultKind.APPLY_LATE, LATE_S), (FaultKind.APPLY_TOO_LATE, TOO_LATE_S)):
                if plan.takes(kind):
                    age_s = epoch_ms(world.now()) / 1000 - int(request.headers["lnm-access-timestamp"]) / 1000
                    self._venue.late_under_way += 1
                    world.after(max(there_s, lot.uniform(least_s, most_s) - age_s), lambda: self._apply_late(request))
                    return
        elif request.method == "GET":
            if plan.takes(FaultKind.LOSE_READING, when=request.target.endswith("/running")):
                return
            if plan.takes(FaultKind.STALE_READING, when=request.target.endswith("/running")):
                request.arrived_at_s = world.now_s
                http = self._venue.serve(request)
                world.after(lot.uniform(1.0, 4.5), lambda: _give(answer, http))
                return
        world.after(there_s, lambda: self._apply(request, answer))

    def _apply_late(self, request: Request) -> None:
        self._venue.late_under_way -= 1
        self._apply(request, None)

    def _apply(self, request: Request, answer: "asyncio.Future[HttpAnswer] | None") -> None:
        plan, world = self._venue.plan, self._world
        if request.is_top_up:
            plan.strike(Step.APPLY, request.process, is_before=True)
        http = self._venue.serve(request)
        if request.is_top_up:
            plan.strike(Step.APPLY, request.process, is_before=False)
            plan.strike(Step.ANSWER, request.process, is_before=True)
            if answer is not None and plan.takes(FaultKind.RESET_AFTER):
                world.after(0.01, lambda: _break(answer))
                return
            if plan.takes(FaultKind.LOSE_ANSWER):
                return
        if answer is not None:
            served_s, back_s = world.now_s, world.lot.uniform(0.004, 0.03)
            if http.status == HTTPStatus.OK and (request.is_top_up or request.target.endswith("/running")):
                trade_id = parse_body(request.body)["id"] if request.is_top_up else None
                self._venue.shown.append(Shown(served_s, served_s + back_s, request.process, trade_id))
            world.after(back_s, lambda: _give(answer, http))


def _give(answer: "asyncio.Future[HttpAnswer]", http: HttpAnswer) -> None:
    if not answer.done():
        answer.set_result(http)


def _break(answer: "asyncio.Future[HttpAnswer]") -> None:
    if not answer.done():
        answer.set_exception(ConnectionResetError("connection reset by peer"))


class WatchedBucket(TokenBucket):
    """The product's token bucket; where a rescue asks for a token and gets one can be struck."""

    def attach(self, plan: Plan, process: Process) -> None:
        self._plan, self._process = plan, process
        self.waits_s: list[float] = []

    async def acquire(self, lane: Any, *, deadline_s: float) -> bool:
        is_rescue = deadline_s == 1.0
        if is_rescue:
            await self._plan.after(Step.DECIDE, self._process)
            await self._plan.before(Step.TOKEN, self._process)
        asked_s = self._process.world.now_s
        got = await super().acquire(lane, deadline_s=deadline_s)
        if is_rescue and got:
            self.waits_s.append(self._process.world.now_s - asked_s)
            await self._plan.after(Step.TOKEN, self._process)
        return got


class Socket:
    """A stream socket of one process: what is heard while it is frozen waits in the kernel."""

    def __init__(self, process: Process, plan: Plan) -> None:
        self._process = process
        self._plan = plan
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    def hear(self, event: Any) -> None:
        if not self._process.is_dead:
            self._heard.put_nowait(event)

    async def stream(self) -> AsyncIterator[Any]:
        yield FeedUp(boottime_s=self._process.clock.boottime_s())
        while True:
            event = await self._heard.get()
            if isinstance(event, LastPrice):
                await self._plan.before(Step.DECIDE, self._process)
            yield event
