"""What is asked and answered about accounts, trades and requests."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from axisor.features.trading.coverage_views import CoverageView
from axisor.features.trading.views import TradeView
from axisor.infra.wire import Body, Instant
from axisor.ports.credentials import Network

type WatchState = Literal["watched", "unwatched", "degraded", "unknown"]
type RequestStatus = Literal["requested", "sent", "confirmed", "refused", "not_applied", "unknown", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchView:
    """Whether the guard sees an account now; `last_seen_age_s` is null where it never did."""

    state: WatchState
    since: Instant
    last_seen_age_s: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsView:
    position_sats: int | None
    """Per trade; null where the limit is stated in entry margins."""
    position_margins: float | None
    account_day_sats: int | None
    reserve_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    exchange_account_id: str
    name: str
    network: Network
    is_guarded: bool
    compares_with: str | None
    balance_sats: int | None
    balance_age_s: float | None
    limits: LimitsView | None
    spent_24h_sats: int
    watch: WatchView
    is_spending_stopped: bool
    coverage: CoverageView


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountList:
    items: tuple[AccountView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeList:
    items: tuple[TradeView, ...]


class CloseBody(Body):
    """Closing needs no words."""


class AddMarginBody(Body):
    amount_sats: int = Field(strict=True, ge=1, le=2_100_000_000_000_000)


class TakeBackBody(Body):
    """What is to come back at most; all that may, without an amount."""

    amount_sats: int | None = Field(default=None, strict=True, ge=1, le=2_100_000_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A command that a person asked for; `unknown` is a state of its own: it may have taken effect."""

    request_id: str
    command: str
    status: RequestStatus
    detail: str | None
    created_at: Instant
    settled_at: Instant | None
