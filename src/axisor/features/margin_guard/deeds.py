"""What a decision depends on and what it may be: the facts of one position, the deeds, and the reasons to hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from axisor.domain.contract import RESERVE_FEE_RATE
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, TradeId

type Arithmetic = tuple[tuple[str, str, str], ...]
"""Name, formula and value of each figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RungState:
    """Whether a step is ready, and which arming this is (counted from 1)."""

    arming_no: int
    is_armed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTopUp:
    """A top-up on its way or of unknown outcome; it may take effect until `quiet_until`."""

    amount_sats: int
    is_unknown: bool
    is_second_send: bool
    quiet_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What is left to spend. `None` for the balance means unknown, and unknown is not zero and not enough."""

    position_spent_sats: int  # confirmed and pending, for this trade
    position_count: int
    account_day_spent_sats: int  # confirmed and pending, in the last 24 hours
    balance_sats: int | None  # free at the exchange, less what is pending
    is_stopped: bool  # the owner pressed "stop spending"
    blocked_until: datetime | None = None  # quiet time after an unclean takeover
    account_spent_sats: int = 0  # confirmed and pending, for all running trades of the account
    allotted_sats: int | None = None  # this trade's part of a balance that several trades in danger share
    frees_at: datetime | None = None  # when sats that had no effect count against the limits no more


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTrade:
    """Another running trade of the account; `profit_sats` may be taken out of it without touching its margin."""

    trade_id: TradeId
    side: PositionSide
    quantity_usd: int
    liquidation_price: Price
    profit_sats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What could fund a top-up beside the free balance, and what was gathered for it already."""

    others: tuple[OtherTrade, ...] = ()
    synthetic_usd_cents: int = 0
    swap_price: Price | None = None  # the ask at which dollars become sats; None: no swap now
    node_sats: int = 0  # what the owner's Lightning node can pay now
    gathered_sats: int = 0  # moved into the balance for this arming of the step that is due
    arrives_until: datetime | None = None  # sats are on their way; they may arrive until then


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a decision may depend on. `trigger_price` is the side's pessimistic price.

    `payable_sats` is funding that the trade pays at a settlement which is announced, or which no reading shows yet:
    its triggers count with the margin that is left then.
    """

    trade: Trade
    trigger_price: Price
    full_room: Fraction
    rungs: Mapping[str, RungState]
    pending: tuple[PendingTopUp, ...]
    spending: Spending
    own_stop_price: Price | None  # the last stop Axisor set
    is_stop_removed: bool  # the owner took ours away: not put back without asking
    is_stop_pending: bool
    is_close_pending: bool
    seconds_to_liquidation: float | None  # at the present speed; None where the price does not approach it
    funding_rate: Fraction | None = None
    funding_at: datetime | None = None
    payable_sats: int = 0
    means: Means = Means()
    fee_rate: Fraction = RESERVE_FEE_RATE
    refused_stops: tuple[Price, ...] = ()
    """Levels of the stop that the exchange refused a short while ago."""
    lead: int = 0
    """By how many half-dollars the marks of top-ups lie nearer to the price: expected wait in the queue · speed."""
    steady_seconds_to_liquidation: float | None = None
    """At the slowest of the recent speeds; None unless the price falls steadily."""
    top_up_takes_s: float | None = None
    """Seconds until a top-up decided now would have its effect, those ahead in the queue included."""
    close_takes_s: float | None = None
    is_cross: bool = False
    """The cross position in the shape of a trade: no leverage bounds its margin."""


class HoldReason(StrEnum):
    NOT_RUNNING = "not_running"
    ROOM = "room"  # no step is due
    AWAITING_OUTCOME = "awaiting_outcome"
    QUIET_AFTER_TAKEOVER = "quiet_after_takeover"
    SPENDING_STOPPED = "spending_stopped"
    LIMIT_USED = "limit_used"
    DAY_LIMIT_USED = "day_limit_used"
    ACCOUNT_LIMIT_USED = "account_limit_used"
    COUNT_USED = "count_used"
    NO_BALANCE = "no_balance"
    BALANCE_UNKNOWN = "balance_unknown"
    AWAITING_SATS = "awaiting_sats"  # from another source, on their way to the balance
    REFILL_REACHED = "refill_reached"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeUps:
    """What makes it worth deciding again: a price either way, a time, or a change of the balance."""

    at_or_below: Price | None = None
    at_or_above: Price | None = None
    at: datetime | None = None
    on_balance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    reason: HoldReason
    rung: str | None = None
    wake: WakeUps = WakeUps()
    shortfall_sats: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMarginDeed:
    """Add `amount_sats` (before its tag, never above `cap_sats` with it)."""

    rung: str
    arming_no: int
    amount_sats: int
    cap_sats: int
    wanted_sats: int
    trigger_price: Price
    room_share: Fraction
    target_liquidation_price: Price
    is_second_send: bool
    arithmetic: Arithmetic = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStopDeed:
    stop_price: Price
    reason: str  # "place" | "follow" | "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDeed:
    rung: str
    arming_no: int
    room_share: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnDeed:
    rung: str
    arming_no: int
    room_share: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class CashInDeed:
    """Take `amount_sats` of profit out of another trade, to fund a top-up of this one."""

    rung: str
    arming_no: int
    from_trade_id: TradeId
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapDeed:
    """Swap `amount_cents` US cents of synthetic dollars, which give `expected_sats` at `price`."""

    rung: str
    arming_no: int
    amount_cents: int
    expected_sats: int
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositDeed:
    """Pay `amount_sats` from the owner's Lightning node into the balance."""

    rung: str
    arming_no: int
    amount_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOneDeed:
    """Close one of several trades of the same side."""

    rung: str
    arming_no: int
    room_share: Fraction
    trade_id: TradeId
    quantity_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStep:
    """Close a trade, which gives back `returns_sats` at the price of the decision."""

    trade_id: TradeId
    returns_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStep:
    """Open a trade at the market; margin and liquidation as they come out at the price of the decision."""

    side: PositionSide
    quantity_usd: int
    leverage: int
    margin_sats: int
    liquidation_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenDeed:
    """Close a trade and open a smaller one with what comes back: two steps, the second only after the first."""

    rung: str
    arming_no: int
    room_share: Fraction
    close_step: CloseStep
    open_step: OpenStep


type GatherDeed = CashInDeed | SwapDeed | DepositDeed
type ReduceDeed = CloseOneDeed | ReopenDeed
type Deed = AddMarginDeed | MoveStopDeed | CloseDeed | WarnDeed | GatherDeed | ReduceDeed
