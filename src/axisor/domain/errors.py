"""The error tree of the whole program.

AxisorError                    code · retryable · context (never a secret)
├─ DomainError                 a rule of trading says no
│  ├─ PriceOffTick  PriceOutOfRange  LeverageOutOfRange  QuantityOutOfRange  AmountOutOfRange  FeeTierUnknown
│  ├─ StopLossOutOfRange  TakeProfitOutOfRange  EntryMarginUnknown  InsufficientMargin  TradeNotRunning  InvalidRule
├─ AccessError                 NotAuthenticated  NotPermitted  SessionExpired
├─ NotFound  Conflict
├─ ExchangeError               raised only by adapters, and only by readings: commands answer with a value
│  ├─ ExchangeRejected         understood and refused; do not retry
│  ├─ ExchangeUnavailable      not answered; a reading may be repeated
│  │  └─ ExchangeRateLimited   retry_after_s
│  ├─ ExchangeAuthFailed       the keys do not work
│  └─ ExchangeProtocolError    an answer that does not have the promised shape
├─ InfraError                  DatabaseUnavailable  QueueUnavailable  LeaseLost
└─ ConfigurationError          the program must not start; exit 2, naming the variable
"""

from decimal import Decimal
from typing import Any, ClassVar


class AxisorError(Exception):
    """The root: every expected failure has a stable `code` and a context without secrets."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = context


class DomainError(AxisorError):
    code = "domain_error"


class PriceOffTick(DomainError):
    code = "price_off_tick"

    def __init__(self, *, usd: Decimal) -> None:
        super().__init__(f"{usd} USD is not a multiple of 0.5", usd=str(usd))


class PriceOutOfRange(DomainError):
    code = "price_out_of_range"


class LeverageOutOfRange(DomainError):
    code = "leverage_out_of_range"


class QuantityOutOfRange(DomainError):
    code = "quantity_out_of_range"


class AmountOutOfRange(DomainError):
    code = "amount_out_of_range"


class FeeTierUnknown(DomainError):
    code = "fee_tier_unknown"


class StopLossOutOfRange(DomainError):
    code = "stop_loss_out_of_range"


class TakeProfitOutOfRange(DomainError):
    code = "take_profit_out_of_range"


class EntryMarginUnknown(DomainError):
    code = "entry_margin_unknown"


class InsufficientMargin(DomainError):
    code = "insufficient_margin"


class TradeNotRunning(DomainError):
    code = "trade_not_running"


class InvalidRule(DomainError):
    code = "invalid_rule"


class AccessError(AxisorError):
    code = "access_error"


class NotAuthenticated(AccessError):
    code = "not_authenticated"


class NotPermitted(AccessError):
    code = "not_permitted"


class SessionExpired(AccessError):
    code = "session_expired"


class NotFound(AxisorError):
    code = "not_found"

    def __init__(self, what: str, ident: str) -> None:
        super().__init__(f"there is no {what} {ident}", what=what, id=ident)


class Conflict(AxisorError):
    code = "conflict"


class ExchangeError(AxisorError):
    code = "exchange_error"


class ExchangeRejected(ExchangeError):
    code = "exchange_rejected"


class ExchangeUnavailable(ExchangeError):
    code = "exchange_unavailable"
    retryable = True


class ExchangeRateLimited(ExchangeUnavailable):
    code = "exchange_rate_limited"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class ExchangeAuthFailed(ExchangeError):
    code = "exchange_auth_failed"


class ExchangeProtocolError(ExchangeError):
    code = "exchange_protocol_error"


class InfraError(AxisorError):
    code = "infra_error"
    retryable = True


class DatabaseUnavailable(InfraError):
    code = "database_unavailable"


class QueueUnavailable(InfraError):
    code = "queue_unavailable"


class LeaseLost(InfraError):
    code = "lease_lost"


class ConfigurationError(AxisorError):
    code = "configuration_error"
