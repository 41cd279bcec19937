"""The part of LND's REST API that pays an invoice and tells what became of it.

LND pays a payment hash at most once: ordering it again is answered with "already paid" or "in transition". So an
order may be asked about by its hash for ever, and silence after it is neither success nor failure.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from axisor.domain.commands import Command, DepositLightning
from axisor.domain.errors import (
    ConfigurationError,
    ExchangeAuthFailed,
    ExchangeProtocolError,
    ExchangeRejected,
    ExchangeUnavailable,
)
from axisor.domain.wallet import NodePayment, NodePaymentState
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer, AnswerKind, SignedRequest

log = structlog.get_logger(__name__)

READ_DEADLINE_S: Final = 5.0
PAYMENT_TIMEOUT_S: Final = 30
FEE_SHARE: Final = 200
"""A route may cost one part in 200 of the amount, and at least LEAST_FEE_SATS."""
LEAST_FEE_SATS: Final = 10
RESERVE_SHARE: Final = 50
"""One part in 50 of what the channels hold is kept for their reserves and for fees."""
_MACAROON: Final = "Grpc-Metadata-macaroon"
_MOST_LINE_BYTES: Final = 1 << 20
_NOT_FOUND, _ALREADY_EXISTS = 5, 6
_UNAUTHENTICATED: Final = 16
_STATES: Final = {
    "IN_FLIGHT": NodePaymentState.IN_FLIGHT,
    "INITIATED": NodePaymentState.IN_FLIGHT,
    "SUCCEEDED": NodePaymentState.SUCCEEDED,
    "FAILED": NodePaymentState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LndAccess:
    """Where the node is, and what it wants to see."""

    url: str
    macaroon_hex: str = field(repr=False)
    verify: ssl.SSLContext | None = None

    @classmethod
    def from_files(cls, *, url: str, macaroon: Path, certificate: Path | None) -> "LndAccess":
        """Return the access that LND's own files give.

        Raises:
            ConfigurationError: one of them cannot be read.
        """
        try:
            verify = None if certificate is None else ssl.create_default_context(cafile=str(certificate))
            return cls(url=url.rstrip("/"), macaroon_hex=macaroon.read_bytes().hex(), verify=verify)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the files of the Lightning node cannot be read: {error}") from error


class _Failure(msgspec.Struct):
    code: int = 2
    message: str = ""


class _Payment(msgspec.Struct):
    payment_hash: str
    status: str
    value_sat: str = "0"
    fee_sat: str = "0"
    failure_reason: str = "FAILURE_REASON_NONE"


class _Line(msgspec.Struct):
    result: _Payment | None = None
    error: _Failure | None = None


class _Amount(msgspec.Struct):
    sat: str = "0"


class _Balance(msgspec.Struct):
    local_balance: _Amount = msgspec.field(default_factory=_Amount)


class LndNode:
    """The owner's node behind LND's REST API."""

    def __init__(self, access: LndAccess, *, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch_spendable_sats(self) -> int:
        async with self._reading("/v1/balance/channels") as response:
            body = await response.content.read(_MOST_LINE_BYTES)
            if response.status != 200:
                raise _error(response.status, body)
            local_sats = int(_decode(body, _Balance).local_balance.sat)
        return max(0, local_sats - local_sats // RESERVE_SHARE)

    async def find_payment(self, payment_hash: str) -> NodePayment | None:
        name = base64.urlsafe_b64encode(bytes.fromhex(payment_hash)).decode()
        async with self._reading(f"/v2/router/track/{name}") as response:
            # A payment in flight is told at once, and the stream stays open until it has ended.
            line = await response.content.readline()
            found = _decode(line, _Line)
            if found.error is not None:
                if found.error.code == _NOT_FOUND:
                    return None
                raise _error(response.status, line)
            if found.result is None:
                raise ExchangeProtocolError("the node says nothing of a payment")
            return _payment(found.result)

    def sign(self, command: DepositLightning) -> SignedRequest:
        """Return the bytes that order a payment: LND takes no signature, the macaroon opens the door."""
        body = {
            "payment_request": command.invoice,
            "timeout_seconds": PAYMENT_TIMEOUT_S,
            "fee_limit_sat": str(max(LEAST_FEE_SATS, command.amount_sats // FEE_SHARE)),
            "no_inflight_updates": True,
        }
        now = self._clock.now()
        return SignedRequest(
            command=command,
            method="POST",
            target="/v2/router/send",
            headers=(),
            body=msgspec.json.encode(body),
            timestamp_ms=int(now.timestamp() * 1000),
            signed_boottime_s=self._clock.boottime_s(),
        )

    async def send(self, request: SignedRequest, *, deadline_s: float) -> Answer:
        """Order the payment and wait for its end; never raises, and what is not known is unknown."""
        first_byte_at = self._clock.now()
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._present().post(
                    self._access.url + request.target, data=request.body, allow_redirects=False
                ) as response,
            ):
                line = await response.content.readline()
                answer = self._answer(request.command, response.status, line)
        except aiohttp.ClientConnectorError as error:
            return Answer(kind=AnswerKind.NOT_PROCESSED, reason="connect_failed", message=str(error)[:200])
        except Exception as error:  # noqa: BLE001 - whatever happens is an answer
            kind = "timeout" if isinstance(error, TimeoutError) else "connection_lost"
            answer = Answer(kind=AnswerKind.UNKNOWN, reason=kind, first_byte_at=first_byte_at)
        log.info("node_answered", outcome=answer.kind, reason=answer.reason, status=answer.status)
        return answer

    def _answer(self, command: Command, status: int, line: bytes) -> Answer:
        at = self._clock.now()
        try:
            found = _decode(line, _Line)
        except ExchangeProtocolError:
            return Answer(kind=AnswerKind.UNKNOWN, reason="malformed", status=status, answered_at=at)
        if found.error is not None:
            return _refusal(found.error, status, at)
        if found.result is None:
            return Answer(kind=AnswerKind.UNKNOWN, reason="malformed", status=status, answered_at=at)
        payment = _payment(found.result)
        is_ours = isinstance(command, DepositLightning) and payment.payment_hash == command.payment_hash
        if not is_ours or payment.state is NodePaymentState.IN_FLIGHT:
            return Answer(kind=AnswerKind.UNKNOWN, reason="in_flight", status=status, answered_at=at)
        if payment.state is NodePaymentState.FAILED:
            reason = (payment.reason or "failed").lower()
            return Answer(kind=AnswerKind.REFUSED, reason=reason, status=status, answered_at=at)
        return Answer(kind=AnswerKind.ACCEPTED, reason=f"http_{status}", shown=payment, status=status, answered_at=at)

    def _present(self) -> aiohttp.ClientSession:
        if self._session is None:
            verify: Any = True if self._access.verify is None else self._access.verify
            self._session = aiohttp.ClientSession(
                headers={_MACAROON: self._access.macaroon_hex},
                connector=aiohttp.TCPConnector(ssl=verify),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    @asynccontextmanager
    async def _reading(self, target: str) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with (
                asyncio.timeout(READ_DEADLINE_S),
                self._present().get(self._access.url + target, allow_redirects=False) as response,
            ):
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ExchangeUnavailable(f"the Lightning node does not answer: {type(error).__name__}") from error


def _refusal(failure: _Failure, status: int, at: Any) -> Answer:
    message = failure.message[:200]
    if failure.code == _UNAUTHENTICATED:
        return Answer(
            kind=AnswerKind.NOT_PROCESSED, reason="node_key_refused", status=status, message=message, answered_at=at
        )
    # Already paid, or under way: by us, with this very hash. What became of it is read.
    kind = AnswerKind.UNKNOWN if failure.code == _ALREADY_EXISTS else AnswerKind.REFUSED
    return Answer(kind=kind, reason=f"grpc_{failure.code}", status=status, message=message, answered_at=at)


def _payment(raw: _Payment) -> NodePayment:
    state = _STATES.get(raw.status)
    if state is None:
        raise ExchangeProtocolError(f"the node knows a payment state {raw.status!r}")
    return NodePayment(
        payment_hash=raw.payment_hash,
        state=state,
        amount_sats=int(raw.value_sat),
        fee_sats=int(raw.fee_sat),
        reason=raw.failure_reason.removeprefix("FAILURE_REASON_") if state is NodePaymentState.FAILED else None,
    )


def _decode[T](body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ExchangeProtocolError(f"the Lightning node answered in another form: {error}") from error


def _error(status: int, body: bytes) -> Exception:
    if status in (401, 403):
        return ExchangeAuthFailed("the Lightning node refuses the macaroon")
    if status >= 500:
        return ExchangeUnavailable(f"the Lightning node answered {status}")
    return ExchangeRejected(f"the Lightning node refused: {body[:120]!r}")
