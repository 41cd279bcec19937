"""The exchange client of one account (or of the public): readings that carry their age, commands sent once."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import structlog

from axisor.adapters.lnmarkets import parse
from axisor.adapters.lnmarkets.auth import Credentials, VenueClock, request_headers
from axisor.adapters.lnmarkets.errors import judge, retry_after_s
from axisor.adapters.lnmarkets.limits import TokenBucket
from axisor.adapters.lnmarkets.requests import candle_query, command_request, deposit_request, page_query
from axisor.adapters.lnmarkets.transport import Flight, HttpAnswer, HttpTransport, failure_word
from axisor.domain.commands import (
    AddMargin,
    CancelCrossOrder,
    CancelOrder,
    CashIn,
    CloseCross,
    CloseTrade,
    Command,
    CrossDeposit,
    CrossOrder,
    CrossWithdraw,
    DepositLightning,
    OpenTrade,
    ReduceCross,
    SetCrossLeverage,
    SetStopLoss,
    SetTakeProfit,
    Swap,
    WithdrawLightning,
)
from axisor.domain.cross_facts import CrossOrderFact, CrossPositionFact, CrossTransfer
from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeProtocolError,
    ExchangeRateLimited,
    ExchangeUnavailable,
)
from axisor.domain.trades import AccountFacts, Candle, FundingFee, Ticker, Trade
from axisor.domain.units import TradeId
from axisor.domain.wallet import DepositInvoice, LightningDeposit, LightningWithdrawal, SwapFact
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, Lane, Page, Reading, Shown, SignedRequest

log = structlog.get_logger(__name__)

_PAGE: Final = 1000
_MAX_PAGES: Final = 100
_MAX_MESSAGE: Final = 200
_JSON: Final = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Where the exchange is and how long we wait for it, in seconds."""

    rest_url: str = "https://api.lnmarkets.com/v3"
    read_deadline_s: float = 5.0
    reuse_within_s: float = 2.0
    signature_max_age_s: float = 10.0  # well inside the exchange's window, whose width is not published
    is_engine_down_without_effect: bool = True
    tls: ssl.SSLContext | None = None


class LnMarketsClient:
    """Implements `ExchangeClient`.

    Args:
        limiter: The bucket of this key; of the public address where there are no credentials.
        public_limiter: The bucket of the public address, shared by every client of the process.
        venue_clock: The exchange's clock, shared by every client of the process.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        clock: Clock,
        limiter: TokenBucket,
        public_limiter: TokenBucket,
        venue_clock: VenueClock,
        credentials: Credentials | None = None,
    ) -> None:
        parts = urlsplit(config.rest_url)
        self._prefix = parts.path.rstrip("/")
        self._config = config
        self._clock = clock
        self._limiter = limiter
        self._public_limiter = public_limiter
        self._venue_clock = venue_clock
        self._credentials = credentials
        self._http = HttpTransport(
            f"{parts.scheme}://{parts.netloc}", clock, reuse_within_s=config.reuse_within_s, verify=config.tls
        )

    @property
    def limiter(self) -> TokenBucket:
        return self._limiter

    @property
    def clock_offset_ms(self) -> float:
        """Return exchange clock minus ours, in milliseconds."""
        return self._venue_clock.offset_ms

    async def close(self) -> None:
        await self._http.close()

    # Public readings

    async def fetch_time(self) -> Reading[datetime]:
        # Whoever asks for the time cannot sign without it, so it goes before every other public reading.
        return await self._read_public("/time", parse.parse_time, lane=Lane.PROTECT)

    async def fetch_ticker(self) -> Reading[Ticker]:
        return await self._read_public("/futures/ticker", parse.parse_ticker, lane=Lane.USER)

    async def list_candles(
        self, *, interval: str, since: datetime | None, until: datetime | None, limit: int
    ) -> Reading[Page[Candle]]:
        query = candle_query(interval=interval, since=since, until=until, limit=limit)
        return await self._read_public(f"/futures/candles{query}", parse.parse_candle_page, lane=Lane.ROUTINE)

    async def sync_clock(self) -> None:
        """Measure the clock offset from the exchange's time, taken to have been read in the middle of the call."""
        reading = await self.fetch_time()
        middle = reading.requested_at + (reading.received_at - reading.requested_at) / 2
        offset_ms = (reading.value - middle).total_seconds() * 1_000
        self._venue_clock.measured(offset_ms)
        round_trip_ms = (reading.received_at - reading.requested_at).total_seconds() * 1_000
        log.debug("clock_measured", offset_ms=round(offset_ms, 1), round_trip_ms=round(round_trip_ms, 1))

    async def keep_warm(self) -> None:
        """Keep one connection established and recently used: ask for a pong unless an answer is younger than 1/2 reuse.

        Gives way at once where the public limit has no token left: a cold connection costs a handshake, no more.
        """
        idle_s = self._http.idle_s
        if idle_s is not None and idle_s < self._config.reuse_within_s / 2:
            return
        if not await self._public_limiter.acquire(Lane.ROUTINE, deadline_s=0):
            return
        try:
            http = await self._get(f"{self._prefix}/ping", headers=())
        except ExchangeUnavailable as error:
            log.info("keep_warm_failed", reason=error.message)
            return
        if http.status == 429:
            self._public_limiter.punish(retry_after_s(http.headers.get("Retry-After"), now=self._clock.now()))

    # Private readings

    async def fetch_account(self, *, lane: Lane) -> Reading[AccountFacts]:
        return await self._read_private("/account", parse.parse_account, lane=lane)

    async def list_open_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]:
        return await self._read_private("/futures/isolated/trades/open", parse.parse_trades, lane=lane)

    async def list_running_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]:
        return await self._read_private("/futures/isolated/trades/running", parse.parse_trades, lane=lane)

    async def list_closed_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/futures/isolated/trades/closed{query}", parse.parse_trade_page, lane=lane)

    async def list_canceled_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/futures/isolated/trades/canceled{query}", parse.parse_trade_page, lane=lane)

    async def list_funding_fees(self, trade_id: TradeId, *, lane: Lane) -> Reading[tuple[FundingFee, ...]]:
        """Return every funding fee of a trade, newest first, all pages; its age is that of the first page."""
        fees: dict[str, FundingFee] = {}
        cursor: str | None = None
        first: Reading[Page[FundingFee]] | None = None
        for _ in range(_MAX_PAGES):
            query = page_query(limit=_PAGE, cursor=cursor, trade_id=trade_id)
            page = await self._read_private(
                f"/futures/isolated/funding-fees{query}", parse.parse_funding_fee_page, lane=lane
            )
            first = first or page
            # Whether a cursor includes its own item is not documented: an item seen twice counts once.
            fees.update((fee.settlement_id, fee) for fee in page.value.items if fee.trade_id in {None, trade_id})
            if page.value.next_cursor is None:
                return Reading(
                    value=tuple(fees.values()),
                    requested_boottime_s=first.requested_boottime_s,
                    requested_at=first.requested_at,
                    received_at=page.received_at,
                )
            if page.value.next_cursor == cursor:
                break
            cursor = page.value.next_cursor
        raise ExchangeProtocolError("the pages of funding fees do not come to an end", trade_id=trade_id)

    async def fetch_cross_position(self, *, lane: Lane) -> Reading[CrossPositionFact]:
        return await self._read_private("/futures/cross/position", parse.parse_cross_position, lane=lane)

    async def list_open_cross_orders(self, *, lane: Lane) -> Reading[tuple[CrossOrderFact, ...]]:
        return await self._read_private("/futures/cross/orders/open", parse.parse_cross_orders, lane=lane)

    async def list_filled_cross_orders(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[CrossOrderFact]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/futures/cross/orders/filled{query}", parse.parse_cross_order_page, lane=lane)

    async def list_cross_transfers(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[CrossTransfer]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/futures/cross/transfers{query}", parse.parse_cross_transfer_page, lane=lane)

    async def list_cross_funding_fees(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[FundingFee]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/futures/cross/funding-fees{query}", parse.parse_funding_fee_page, lane=lane)

    async def list_swaps(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[SwapFact]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/synthetic-usd/swaps{query}", parse.parse_swap_page, lane=lane)

    async def list_lightning_withdrawals(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[LightningWithdrawal]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(
            f"/account/withdrawals/lightning{query}", parse.parse_withdrawal_page, lane=lane
        )

    async def list_lightning_deposits(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[LightningDeposit]]:
        query = page_query(since=since, limit=limit, cursor=cursor)
        return await self._read_private(f"/account/deposits/lightning{query}", parse.parse_deposit_page, lane=lane)

    async def create_deposit_invoice(
        self, *, amount_sats: int, comment: str | None, lane: Lane
    ) -> Reading[DepositInvoice]:
        method, path, body = deposit_request(amount_sats, comment=comment)
        credentials = self._required_credentials()
        await self._take_token(self._limiter, lane)
        target = f"{self._prefix}{path}"
        headers = request_headers(
            credentials,
            timestamp_ms=self._venue_clock.timestamp_ms(),
            method=method,
            path=target,
            data=body.decode(),
        )
        return await self._reading(
            target, (_JSON, *headers), parse.parse_new_deposit, self._limiter, method=method, body=body
        )

    # Commands

    def sign(self, command: Command) -> SignedRequest:
        """Return the signed bytes of a command; take the token first, commit second, send third."""
        credentials = self._required_credentials()
        method, path, body = command_request(command)
        target = f"{self._prefix}{path}"
        signed_boottime_s = self._clock.boottime_s()
        timestamp_ms = self._venue_clock.timestamp_ms()
        headers = request_headers(
            credentials, timestamp_ms=timestamp_ms, method=method, path=target, data=body.decode()
        )
        return SignedRequest(
            command=command,
            method=method,
            target=target,
            headers=(_JSON, *headers) if body else headers,
            body=body,
            timestamp_ms=timestamp_ms,
            signed_boottime_s=signed_boottime_s,
        )

    async def send(self, request: SignedRequest, *, deadline_s: float) -> Answer:
        """Write exactly these bytes once and return what is known; never raises, never repeats, follows no redirect.

        Cancellation alone passes through: whoever cancels must count the outcome as unknown. Bytes whose signature
        is older than the configured age do not leave.
        """
        flight = Flight(not_after_boottime_s=request.signed_boottime_s + self._config.signature_max_age_s)
        started_s = self._clock.boottime_s()
        try:
            async with asyncio.timeout(deadline_s):
                http = await self._http.exchange(
                    request.method, request.target, headers=request.headers, body=request.body, flight=flight
                )
            answer = self._answer(request, http, flight)
        except Exception as error:  # noqa: BLE001 - whatever happens is an answer, and the flight knows which
            answer = self._no_answer(error, flight)
        log.info(
            "command_answered",
            command=request.command.name,
            trade_id=getattr(request.command, "trade_id", None),
            outcome=answer.kind,
            reason=answer.reason,
            status=answer.status,
            code=answer.code,
            is_reused=flight.is_reused,
            took_ms=round((self._clock.boottime_s() - started_s) * 1_000, 1),
        )
        return answer

    def _no_answer(self, error: Exception, flight: Flight) -> Answer:
        reason = failure_word(error, flight)
        if reason == "internal_error":
            log.error("command_failed_unexpectedly", exc_info=error)
        was_sent = flight.first_byte_at is not None
        return Answer(
            kind=AnswerKind.UNKNOWN if was_sent else AnswerKind.NOT_PROCESSED,
            reason=reason,
            message=self._short(str(error)) or None,
            first_byte_at=flight.first_byte_at,
        )

    def _answer(self, request: SignedRequest, http: HttpAnswer, flight: Flight) -> Answer:
        answered_at = self._clock.now()
        self._limiter.observe(http.headers)
        if 200 <= http.status < 300:
            return self._accepted(request.command, http, flight, answered_at)
        api_error = parse.parse_api_error(http.body)
        verdict = judge(
            http.status, api_error, is_engine_down_without_effect=self._config.is_engine_down_without_effect
        )
        wait_s = retry_after_s(http.headers.get("Retry-After"), now=answered_at)
        if http.status == 429:
            self._limiter.punish(wait_s)
        return Answer(
            kind=verdict.kind,
            reason="rate_limited" if http.status == 429 else f"http_{http.status}",
            status=http.status,
            body_digest=_digest(http),
            code=None if api_error is None else self._short(api_error.code),
            message=self._short(http.body.decode(errors="replace") if api_error is None else api_error.message),
            retry_after_s=wait_s,
            is_auth_failure=verdict.is_auth_failure,
            first_byte_at=flight.first_byte_at,
            answered_at=answered_at,
        )

    def _accepted(self, command: Command, http: HttpAnswer, flight: Flight, answered_at: datetime) -> Answer:
        shown: Trade | Shown | None = None
        reason = f"http_{http.status}"
        try:
            shown = _read_answer(command, http.body)
        except ExchangeProtocolError as error:
            reason = "malformed_answer"
            log.exception("answer_unreadable", command=command.name, problem=error.message, context=error.context)
        if shown is not None and not _is_same(command, shown):
            reason = "wrong_trade_in_answer" if isinstance(shown, Trade) else "wrong_subject_in_answer"
            shown = None
        return Answer(
            kind=AnswerKind.UNKNOWN if shown is None else AnswerKind.ACCEPTED,
            reason=reason,
            trade=shown if isinstance(shown, Trade) else None,
            shown=None if isinstance(shown, Trade) else shown,
            status=http.status,
            body_digest=_digest(http),
            first_byte_at=flight.first_byte_at,
            answered_at=answered_at,
        )

    # How readings travel

    async def _read_public[T](self, target: str, convert: Callable[[bytes], T], *, lane: Lane) -> Reading[T]:
        await self._take_token(self._public_limiter, lane)
        return await self._reading(f"{self._prefix}{target}", (), convert, self._public_limiter)

    async def _read_private[T](self, target: str, convert: Callable[[bytes], T], *, lane: Lane) -> Reading[T]:
        credentials = self._required_credentials()
        await self._take_token(self._limiter, lane)
        path, mark, query = f"{self._prefix}{target}".partition("?")
        headers = request_headers(
            credentials,
            timestamp_ms=self._venue_clock.timestamp_ms(),
            method="GET",
            path=path,
            data=mark + query,
        )
        return await self._reading(path + mark + query, headers, convert, self._limiter)

    async def _take_token(self, limiter: TokenBucket, lane: Lane) -> None:
        if not await limiter.acquire(lane, deadline_s=self._config.read_deadline_s):
            raise ExchangeRateLimited("our own rate limit left no room for this reading", retry_after_s=limiter.wait_s)

    async def _reading[T](
        self,
        target: str,
        headers: tuple[tuple[str, str], ...],
        convert: Callable[[bytes], T],
        limiter: TokenBucket,
        *,
        method: str = "GET",
        body: bytes = b"",
    ) -> Reading[T]:
        requested_boottime_s = self._clock.boottime_s()
        requested_at = self._clock.now()
        http = await self._get(target, headers=headers, method=method, body=body)
        received_at = self._clock.now()
        limiter.observe(http.headers)
        if not 200 <= http.status < 300:
            self._raise_refusal(http, limiter, target=target, now=received_at)
        return Reading(
            value=convert(http.body),
            requested_boottime_s=requested_boottime_s,
            requested_at=requested_at,
            received_at=received_at,
        )

    async def _get(
        self, target: str, *, headers: tuple[tuple[str, str], ...], method: str = "GET", body: bytes = b""
    ) -> HttpAnswer:
        flight = Flight()
        try:
            async with asyncio.timeout(self._config.read_deadline_s):
                return await self._http.exchange(method, target, headers=headers, body=body, flight=flight)
        except Exception as error:
            reason, path = failure_word(error, flight), target.partition("?")[0]
            if reason == "internal_error":
                log.exception("reading_failed_unexpectedly", target=path)
            raise ExchangeUnavailable(reason, target=path) from error

    def _raise_refusal(self, http: HttpAnswer, limiter: TokenBucket, *, target: str, now: datetime) -> None:
        api_error = parse.parse_api_error(http.body)
        verdict = judge(http.status, api_error, is_engine_down_without_effect=True)
        wait_s = retry_after_s(http.headers.get("Retry-After"), now=now)
        if http.status == 429:
            limiter.punish(wait_s)
            raise ExchangeRateLimited("the exchange's rate limit", retry_after_s=wait_s)
        text = self._short(http.body.decode(errors="replace") if api_error is None else api_error.message)
        raise verdict.error(
            f"HTTP {http.status}: {text}",
            status=http.status,
            venue_code=None if api_error is None else self._short(api_error.code),
            target=target.partition("?")[0],
        )

    def _required_credentials(self) -> Credentials:
        if self._credentials is None:
            raise ExchangeAuthFailed("this client has no key")
        return self._credentials

    def _short(self, text: str) -> str:
        """Return the exchange's words on one line, shortened, without our key should it be echoed."""
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: _MAX_MESSAGE * 4]).split())
        masked = line if self._credentials is None else self._credentials.mask(line)
        return masked[:_MAX_MESSAGE]


def _digest(http: HttpAnswer) -> str:
    return hashlib.sha256(http.body).hexdigest()


def _read_answer(command: Command, raw: bytes) -> Trade | Shown:
    """Return what the answer to a command shows.

    Raises:
        ExchangeProtocolError: it does not have the promised shape.
    """
    match command:
        case AddMargin() | CashIn() | CloseTrade() | CancelOrder() | SetStopLoss() | SetTakeProfit() | OpenTrade():
            return parse.parse_trade(raw)
        case CrossOrder() | ReduceCross() | CloseCross() | CancelCrossOrder():
            return parse.parse_cross_order(raw)
        case CrossDeposit() | CrossWithdraw() | SetCrossLeverage():
            return parse.parse_cross_position(raw)
        case Swap():
            return parse.parse_swap(raw)
        case WithdrawLightning():
            return parse.parse_new_withdrawal(raw)
        case DepositLightning():
            raise ExchangeProtocolError("the exchange does not answer for the owner's node")


def _is_same(command: Command, shown: Trade | Shown) -> bool:
    """Return whether an answer is about what was sent."""
    match command, shown:
        case OpenTrade(), Trade():
            return shown.client_id == command.client_id and shown.side is command.side
        case ((CrossOrder() | ReduceCross()), CrossOrderFact()):
            return shown.client_id == command.client_id and shown.side is command.side
        case CancelCrossOrder(), CrossOrderFact():
            return shown.order_id == command.order_id
        case Swap(), SwapFact():
            asked = (command.in_asset, command.in_amount, command.out_asset)
            return (shown.in_asset, shown.in_amount, shown.out_asset) == asked
        case WithdrawLightning(), LightningWithdrawal():
            return shown.payment_hash == command.payment_hash
        case ((AddMargin() | CashIn() | CloseTrade() | CancelOrder() | SetStopLoss() | SetTakeProfit()), Trade()):
            return shown.trade_id == command.trade_id
        case _:
            return True  # the one position of the account, or the order that closed it
