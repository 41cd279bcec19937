"""An exchange in memory behind the client port: its books are the truth, its answers are what a test programs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.fakes.outcomes import Outcome, Treatment

from axisor.adapters.lnmarkets.limits import RateLimit, TokenBucket
from axisor.domain.commands import AddMargin, CloseTrade, Command, SetStopLoss
from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.errors import ExchangeAuthFailed, ExchangeUnavailable
from axisor.domain.trades import AccountFacts, FundingFee, Trade, TradeStatus
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.plan import with_margin
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, Lane, Page, Reading, SignedRequest

_FLAT = CrossPositionFact(
    position_id="01900000-0000-7000-8000-000000000000",
    quantity_usd=0,
    leverage=1,
    margin_sats=0,
    entry_price=None,
    liquidation_price=None,
    running_margin_sats=0,
    initial_margin_sats=0,
    maintenance_margin_sats=0,
    trading_fees_sats=0,
    funding_fees_sats=0,
    total_pnl_sats=0,
    delta_pnl_sats=0,
    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True)
class Arrival:
    """A command that reached the exchange, or tried to."""

    command: Command
    at: datetime
    treatment: Treatment


class FakeExchange:
    """One account's client. `arrivals` is every sending, `applied` what took effect."""

    def __init__(self, clock: Clock, *, balance_sats: int = 2_000_000) -> None:
        self._clock = clock
        self._limiter = TokenBucket(RateLimit(rate_per_s=500, burst=500), clock)
        self.balance_sats = balance_sats
        self.trades: dict[TradeId, Trade] = {}
        self.ended: list[Trade] = []
        self.fees: list[FundingFee] = []
        self.arrivals: list[Arrival] = []
        self.applied: list[Command] = []
        self.reads = 0
        self.clock_syncs = 0
        self.failing: type[ExchangeUnavailable | ExchangeAuthFailed] | None = None
        self.before_send: Callable[[Command], None] | None = None
        self.is_hiding_ends = False
        self.is_lagging = False
        self._seen: tuple[Trade, ...] = ()
        self._outcomes: list[Outcome] = []

    # What a test arranges

    def open(self, trade: Trade) -> Trade:
        self.trades[trade.trade_id] = trade
        return trade

    def treat(self, *outcomes: Outcome) -> None:
        """Treat the next commands so, in this order; then they are accepted."""
        self._outcomes += outcomes

    def change(self, trade_id: TradeId, **members: Any) -> None:
        """Let the owner change a trade by hand."""
        self.trades[trade_id] = replace(self.trades[trade_id], **members)

    def end(self, trade_id: TradeId, *, exit_price: Price | None = None) -> None:
        trade = self.trades.pop(trade_id)
        closed = replace(
            trade, status=TradeStatus.CLOSED, exit_price=exit_price or trade.price, closed_at=self._clock.now()
        )
        self.ended.append(closed)

    def apply_unseen(self, command: Command) -> None:
        """Let a command take effect as it arrives, whatever its sender is told."""
        self._apply(command)

    def top_ups(self, trade_id: TradeId) -> list[int]:
        """Return the sats that were really added to a trade."""
        return [
            command.amount_sats
            for command in self.applied
            if isinstance(command, AddMargin) and command.trade_id == trade_id
        ]

    def sent(self, kind: type[Command]) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if isinstance(arrival.command, kind)]

    # The port

    @property
    def limiter(self) -> TokenBucket:
        return self._limiter

    @property
    def clock_offset_ms(self) -> float:
        return 0.0

    async def sync_clock(self) -> None:
        self.clock_syncs += 1

    async def keep_warm(self) -> None:
        return

    async def close(self) -> None:
        return

    async def fetch_account(self, *, lane: Lane) -> Reading[AccountFacts]:
        balance_sats = self.balance_sats
        facts = AccountFacts(
            venue_user_id="1", username="alice", balance_sats=balance_sats, synthetic_usd=Decimal(0), fee_tier=0
        )
        return await self._reading(facts)

    async def list_running_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]:
        if not self.is_lagging:
            self._seen = tuple(self.trades.values())
        return await self._reading(self._seen)

    async def list_open_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]:
        return await self._reading(())

    async def list_closed_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]:
        items = () if self.is_hiding_ends else tuple(self.ended)
        return await self._reading(Page(items=items, next_cursor=None))

    async def list_canceled_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]:
        return await self._reading(Page(items=(), next_cursor=None))

    async def fetch_cross_position(self, *, lane: Lane) -> Reading[CrossPositionFact]:
        return await self._reading(_FLAT)

    async def list_funding_fees(self, trade_id: TradeId, *, lane: Lane) -> Reading[tuple[FundingFee, ...]]:
        return await self._reading(tuple(fee for fee in self.fees if fee.trade_id == trade_id))

    async def _reading[T](self, value: T) -> Reading[T]:
        self.reads += 1
        requested_boottime_s, requested_at = self._clock.boottime_s(), self._clock.now()
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing("failing by arrangement")
        return Reading(
            value=value,
            requested_boottime_s=requested_boottime_s,
            requested_at=requested_at,
            received_at=self._clock.now(),
        )

    def sign(self, command: Command) -> SignedRequest:
        return SignedRequest(
            command=command,
            method="POST",
            target="/",
            headers=(),
            body=b"",
            timestamp_ms=int(self._clock.now().timestamp() * 1000),
            signed_boottime_s=self._clock.boottime_s(),
        )

    async def send(self, request: SignedRequest, *, deadline_s: float) -> Answer:
        command, at = request.command, self._clock.now()
        if self.before_send is not None:
            self.before_send(command)
        outcome = self._next_outcome(command)
        self.arrivals.append(Arrival(command, at, outcome.treatment))
        await asyncio.sleep(0)
        match outcome.treatment:
            case Treatment.ACCEPT:
                return self._answer(AnswerKind.ACCEPTED, "http_200", at, trade=self._apply(command))
            case Treatment.LOSE_ANSWER:
                self._apply(command)
                return self._answer(AnswerKind.UNKNOWN, "timeout", at)
            case Treatment.LOSE_REQUEST:
                return self._answer(AnswerKind.UNKNOWN, "timeout", at)
            case Treatment.APPLY_LATE:
                asyncio.get_running_loop().call_later(outcome.after_s, self._apply, command)
                return self._answer(AnswerKind.UNKNOWN, "timeout", at)
            case Treatment.HANG:
                await asyncio.sleep(deadline_s)
                return self._answer(AnswerKind.UNKNOWN, "timeout", at)
            case Treatment.REFUSE:
                return self._answer(AnswerKind.REFUSED, "http_400", at)
            case Treatment.RATE_LIMIT:
                self._limiter.punish(outcome.after_s)
                return self._answer(AnswerKind.NOT_PROCESSED, "rate_limited", at)
            case Treatment.REFUSE_KEY:
                return replace(self._answer(AnswerKind.NOT_PROCESSED, "http_401", at), is_auth_failure=True)
            case Treatment.UNAVAILABLE:
                return self._answer(AnswerKind.NOT_PROCESSED, "http_503", at)

    async def fetch_time(self) -> Reading[datetime]:
        return await self._reading(self._clock.now())

    async def fetch_ticker(self) -> Any:
        raise NotImplementedError("the monitor hears prices from its feed")

    async def list_candles(self, **_: Any) -> Any:
        raise NotImplementedError("the monitor reads no candles")

    def _next_outcome(self, command: Command) -> Outcome:
        for number, outcome in enumerate(self._outcomes):
            if outcome.command is None or isinstance(command, outcome.command):
                return self._outcomes.pop(number)
        return Outcome(Treatment.ACCEPT)

    def _answer(self, kind: AnswerKind, reason: str, sent_at: datetime, *, trade: Trade | None = None) -> Answer:
        return Answer(kind=kind, reason=reason, trade=trade, first_byte_at=sent_at, answered_at=self._clock.now())

    def _apply(self, command: Command) -> Trade:
        self.applied.append(command)
        match command:
            case AddMargin(trade_id=trade_id, amount_sats=amount_sats):
                trade = self.trades[trade_id]
                self.balance_sats -= amount_sats
                return self.open(with_margin(trade, trade.margin_sats + amount_sats))
            case SetStopLoss(trade_id=trade_id, stop_price=price):
                return self.open(replace(self.trades[trade_id], stop_loss_price=price))
            case CloseTrade(trade_id=trade_id):
                if trade_id in self.trades:
                    self.end(trade_id)
                return next(trade for trade in self.ended if trade.trade_id == trade_id)
            case _:
                raise NotImplementedError(command)
