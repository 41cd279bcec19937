"""What the paper exchange refuses, as the wire says it.

AxisorError
└─ Refusal                     wire status · wire code · message · details
   ├─ InvalidRequest           400 BAD_REQUEST: the payload does not have the promised shape
   ├─ NotYourTrade             400 BAD_REQUEST "You do not own this trade"
   ├─ NotYourOrder             400 BAD_REQUEST "You do not own this order"
   ├─ WrongState               400 BAD_REQUEST: the trade is not open / not running, there is no position
   ├─ SameAsPrevious           400 BAD_REQUEST "... same as the previous one"
   ├─ InsufficientBalance      400 BAD_REQUEST "Insufficient balance"
   ├─ InsufficientCrossMargin  400 BAD_REQUEST "Insufficient margin"
   ├─ LimitExceeded            400 BAD_REQUEST: positions per account, size of the position, client id in use,
   │                           unused addresses
   ├─ InvoiceRefused           400 BAD_REQUEST: an invoice that cannot be paid, or not again
   │  └─ BadInvoice            "Send a correct BOLT 11 invoice"
   ├─ BadAddress               400 BAD_REQUEST "Invalid address"
   ├─ TierLimitExceeded        400 TIER_LIMIT_EXCEEDED
   ├─ Unauthorized             401 UNAUTHORIZED
   ├─ Forbidden                403 FORBIDDEN: the key lacks a permission
   ├─ RouteNotFound            404, a text body
   ├─ MarketBusy               409 CONFLICT (control interface only)
   ├─ TooManyRequests          429 TOO_MANY_REQUESTS, with Retry-After
   ├─ ServiceUnavailable       503 SERVICE_UNAVAILABLE: maintenance, nothing was done
   └─ LightningDown            503 SERVICE_UNAVAILABLE: an engine without a Lightning node

A `DomainError` that reaches the wire is answered as 400 BAD_REQUEST with its message.
"""

from typing import Any, ClassVar

from axisor.domain.errors import AxisorError


class Refusal(AxisorError):
    """The exchange understood the request and said no."""

    code = "refusal"
    status: ClassVar[int] = 400
    wire_code: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = details


class InvalidRequest(Refusal):
    code = "invalid_request"

    def __init__(self, field: str, problem: str) -> None:
        issue = {"path": [field], "message": problem}
        super().__init__(f"Invalid request: {field} {problem}", details={"issues": [issue]})


class NotYourTrade(Refusal):
    code = "not_your_trade"

    def __init__(self) -> None:
        super().__init__("You do not own this trade")


class NotYourOrder(Refusal):
    code = "not_your_order"

    def __init__(self) -> None:
        super().__init__("You do not own this order")


class WrongState(Refusal):
    code = "wrong_state"


class SameAsPrevious(Refusal):
    code = "same_as_previous"

    def __init__(self, what: str) -> None:
        super().__init__(f"New {what} is the same as the previous one")


class InsufficientBalance(Refusal):
    code = "insufficient_balance"

    def __init__(self) -> None:
        super().__init__("Insufficient balance")


class InsufficientCrossMargin(Refusal):
    code = "insufficient_cross_margin"

    def __init__(self) -> None:
        super().__init__("Insufficient margin")


class LimitExceeded(Refusal):
    code = "limit_exceeded"


class InvoiceRefused(Refusal):
    code = "invoice_refused"


class BadInvoice(InvoiceRefused):
    code = "bad_invoice"

    def __init__(self, problem: str) -> None:
        super().__init__("Send a correct BOLT 11 invoice", details={"reason": problem})


class BadAddress(Refusal):
    code = "bad_address"

    def __init__(self, problem: str) -> None:
        super().__init__("Invalid address", details={"reason": problem})


class TierLimitExceeded(Refusal):
    code = "tier_limit_exceeded"
    wire_code = "TIER_LIMIT_EXCEEDED"


class LightningDown(Refusal):
    code = "lightning_down"
    status = 503
    wire_code = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("Lightning is temporarily unavailable")


class Unauthorized(Refusal):
    code = "unauthorized"
    status = 401
    wire_code = "UNAUTHORIZED"


class Forbidden(Refusal):
    code = "forbidden"
    status = 403
    wire_code = "FORBIDDEN"


class RouteNotFound(Refusal):
    code = "route_not_found"
    status = 404
    wire_code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Not found")


class MarketBusy(Refusal):
    code = "market_busy"
    status = 409
    wire_code = "CONFLICT"


class TooManyRequests(Refusal):
    code = "too_many_requests"
    status = 429
    wire_code = "TOO_MANY_REQUESTS"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__("Too many requests")
        self.retry_after_s = retry_after_s


class ServiceUnavailable(Refusal):
    code = "service_unavailable"
    status = 503
    wire_code = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("Trading engine is temporarily unavailable")
