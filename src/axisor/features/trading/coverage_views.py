"""How far positions are protected, as their owner sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from axisor.infra.wire import Instant

type CoverageStateView = Literal["green", "amber", "red", "unknown", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageReasonView:
    """Why a position is not green; the code is stable, the data are its figures."""

    code: str
    state: CoverageStateView
    data: Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersView:
    """What stands between a position and its liquidation now."""

    guard: bool
    stop: bool
    alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageView:
    """A promise and its limits; a figure that cannot be promised is null, never 0.

    Green only where everything is known, fresh and enough. `uses_sats` is the most that protection down (for a short:
    up) to `protected_to_price` takes; `worst_case_sats` the most that can be lost, negative; `returns_if_lost_sats`
    what the stop at the exchange gives back where all of Axisor is lost. Reasons stand with the gravest first.
    """

    state: CoverageStateView
    reasons: tuple[CoverageReasonView, ...]
    as_of: Instant
    age_s: float | None
    protected_to_price: float | None
    uses_sats: int | None
    worst_case_sats: int | None
    returns_if_lost_sats: int | None
    shortfall_sats: int
    fund_address_hint: str | None
    layers: LayersView


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredTradeView:
    trade_id: str
    label: str | None
    coverage: CoverageView


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredAccountView:
    exchange_account_id: str
    name: str
    coverage: CoverageView
    cross: CoverageView | None
    trades: tuple[CoveredTradeView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCoverageView:
    """The meter of everything that a person has under guard."""

    user: CoverageView
    accounts: tuple[CoveredAccountView, ...]
