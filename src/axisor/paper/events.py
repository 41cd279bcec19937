"""What happened in the engine, for the stream. Each event carries the record as it was at that moment."""

from dataclasses import dataclass
from enum import StrEnum

from axisor.paper.records import PaperTrade


class TradeEventKind(StrEnum):
    """The words of the topic `isolated/trades`."""

    OPEN = "open"
    FILLED = "filled"
    CLOSED = "closed"
    STOP_LOSS = "stoploss"
    TAKE_PROFIT = "takeprofit"
    CANCELED = "canceled"
    LIQUIDATION = "liquidation"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeHappened:
    account_id: str
    kind: TradeEventKind
    trade: PaperTrade
    at_ms: int
    funding_fee_sats: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositHappened:
    account_id: str
    deposit_id: str
    amount_sats: int
    balance_sats: int
    at_ms: int


type EngineEvent = TradeHappened | DepositHappened
