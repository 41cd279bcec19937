"""What Axisor needs of an exchange: readings that carry their age, and commands with a three-valued outcome.

A command is signed once, stored, and sent as exactly those bytes. Sending never raises: whatever happens is an
`Answer`. Readings raise the errors of `axisor.domain.errors.ExchangeError`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from axisor.domain.commands import Command
from axisor.domain.cross_facts import CrossOrderFact, CrossPositionFact, CrossTransfer
from axisor.domain.trades import AccountFacts, Candle, FundingFee, Ticker, Trade
from axisor.domain.units import TradeId
from axisor.domain.wallet import DepositInvoice, LightningDeposit, LightningWithdrawal, NodePayment, SwapFact

type Shown = CrossOrderFact | CrossPositionFact | SwapFact | LightningWithdrawal | NodePayment
"""What the answer to a command of the account shows; a command of a trade is answered with the trade."""


class Lane(IntEnum):
    """Who goes first when the rate limit is short; a share is kept for the first two."""

    PROTECT = 0  # commands that protect, and the readings that settle an unknown outcome
    USER = 1  # what a person asked for
    ROUTINE = 2  # periodic readings


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterState:
    """How a limiter stands: what a PROTECT request may use now and from now on."""

    rate_per_s: float
    burst: int
    tokens: float
    paused_s: float


class RateLimiter(Protocol):
    """The token bucket of one key (or of the public address)."""

    @property
    def state(self) -> LimiterState:
        """Return how many requests may leave now, and how fast the next ones."""
        ...

    async def acquire(self, lane: Lane, *, deadline_s: float) -> bool:
        """Return True once a token was taken, False if none was free within `deadline_s` seconds."""
        ...

    def punish(self, retry_after_s: float | None) -> None:
        """Take note of a 429: nothing leaves for `retry_after_s` (or a default), and the rate is lowered."""
        ...

    @property
    def wait_s(self) -> float:
        """Return how long a PROTECT request would wait now, in seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading[T]:
    """An answer with its age: `requested_boottime_s` is taken before the first byte is written."""

    value: T
    requested_boottime_s: float
    requested_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[T]:
    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """The bytes of one attempt: sent as they are or never, and signed once.

    `timestamp_ms` is the signature's time on the exchange's clock, `signed_boottime_s` the same instant on ours.
    """

    command: Command
    method: str
    target: str  # path and query, e.g. /v3/futures/isolated/trade/add-margin
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes
    timestamp_ms: int
    signed_boottime_s: float


class AnswerKind(StrEnum):
    ACCEPTED = "accepted"  # 2xx, well-formed, of the right id: the caller still checks the effect
    REFUSED = "refused"  # the exchange understood and said no, in its own JSON form
    NOT_PROCESSED = "not_processed"  # certainly without effect: a new attempt may follow
    UNKNOWN = "unknown"  # may or may not have taken effect, now or later


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    kind: AnswerKind
    reason: str  # machine word: "http_400", "timeout", "connect_failed", "rate_limited", ...
    trade: Trade | None = None
    shown: Shown | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None  # the exchange's words, shortened, never a secret
    body_digest: str | None = None  # SHA-256 of the answer's bytes, as hexadecimal; None where no answer came
    retry_after_s: float | None = None
    is_auth_failure: bool = False
    first_byte_at: datetime | None = None  # when the request began to leave; None if no byte was written
    answered_at: datetime | None = None


class ExchangeClient(Protocol):
    """One account's (or the public) connection to the exchange."""

    async def fetch_time(self) -> Reading[datetime]: ...
    async def fetch_ticker(self) -> Reading[Ticker]: ...
    async def list_candles(
        self, *, interval: str, since: datetime | None, until: datetime | None, limit: int
    ) -> Reading[Page[Candle]]: ...
    async def fetch_account(self, *, lane: Lane) -> Reading[AccountFacts]: ...
    async def list_open_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]: ...
    async def list_running_trades(self, *, lane: Lane) -> Reading[tuple[Trade, ...]]: ...
    async def list_closed_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]: ...
    async def list_canceled_trades(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[Trade]]: ...
    async def list_funding_fees(self, trade_id: TradeId, *, lane: Lane) -> Reading[tuple[FundingFee, ...]]:
        """Return every funding fee of a trade, newest first, all pages."""
        ...

    async def fetch_cross_position(self, *, lane: Lane) -> Reading[CrossPositionFact]: ...
    async def list_open_cross_orders(self, *, lane: Lane) -> Reading[tuple[CrossOrderFact, ...]]: ...
    async def list_filled_cross_orders(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[CrossOrderFact]]: ...
    async def list_cross_transfers(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[CrossTransfer]]: ...
    async def list_cross_funding_fees(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[FundingFee]]: ...
    async def list_swaps(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[SwapFact]]: ...
    async def list_lightning_withdrawals(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[LightningWithdrawal]]: ...
    async def list_lightning_deposits(
        self, *, lane: Lane, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> Reading[Page[LightningDeposit]]: ...
    async def create_deposit_invoice(
        self, *, amount_sats: int, comment: str | None, lane: Lane
    ) -> Reading[DepositInvoice]:
        """Return a new invoice that pays into the balance; it moves nothing, so it may be asked for again."""
        ...

    def sign(self, command: Command) -> SignedRequest:
        """Return the signed bytes of a command; take the token first, commit second, send third."""
        ...

    async def send(self, request: SignedRequest, *, deadline_s: float) -> Answer:
        """Write exactly these bytes once and return what is known; never raises, never repeats, follows no redirect.

        Money-in leaves only on a connection that answered within the last 2 s or on a fresh one.
        """
        ...

    async def keep_warm(self) -> None:
        """Keep one connection established and recently used."""
        ...

    @property
    def limiter(self) -> RateLimiter: ...

    @property
    def clock_offset_ms(self) -> float:
        """Return exchange clock minus ours, in milliseconds."""
        ...

    async def sync_clock(self) -> None:
        """Measure the clock offset from the exchange's time."""
        ...

    async def close(self) -> None: ...
