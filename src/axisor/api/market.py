"""The newest price, as the recorder publishes it: the one quote that every figure of this process uses."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import structlog

from axisor.domain.errors import PriceOffTick
from axisor.domain.units import Price, price_from_usd
from axisor.features.trading.views import Quote
from axisor.infra.wire import Instant, instant

log = structlog.get_logger(__name__)

_OPTIONAL: Final = ("index_price", "funding_rate", "funding_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceView:
    last_price: float
    bid_price: float | None
    ask_price: float | None
    index_price: float | None
    funding_rate: float | None
    funding_at: Instant | None
    price_at: Instant
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """The newest price with its quote; `view` carries the age it has when it is asked for."""

    quote: Quote
    age_s: float
    """When it was received."""
    received_s: float
    """By the boot-time clock: the exchange's clock may differ from ours."""
    index_price: float | None
    funding_rate: float | None
    funding_at: Instant | None

    def view(self, now_s: float) -> PriceView:
        """Return the price as the wire has it, with the age it has at an instant of the boot-time clock."""
        quote = self.quote
        return PriceView(
            last_price=quote.last_price / 2,
            bid_price=None if quote.bid_price is None else quote.bid_price / 2,
            ask_price=None if quote.ask_price is None else quote.ask_price / 2,
            index_price=self.index_price,
            funding_rate=self.funding_rate,
            funding_at=self.funding_at,
            price_at=instant(quote.at),
            age_s=round(self.age_s + max(0.0, now_s - self.received_s), 1),
        )


def parse_price(message: Any, *, received_s: float) -> MarketState | None:
    """Return the state that a message of the recorder describes; None, with a line in the log, for anything else."""
    try:
        quote = Quote(
            last_price=_price(message["last_price"]),
            bid_price=_optional_price(message.get("bid_price")),
            ask_price=_optional_price(message.get("ask_price")),
            at=datetime.fromisoformat(message["price_at"]),
        )
        age_s = float(message.get("age_s") or 0.0)
        extras = {name: message.get(name) for name in _OPTIONAL}
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError, PriceOffTick):
        log.exception("price_not_readable")
        return None
    return MarketState(quote=quote, age_s=age_s, received_s=received_s, **extras)


def _price(usd: float) -> Price:
    return price_from_usd(Decimal(str(usd)))


def _optional_price(usd: float | None) -> Price | None:
    return None if usd is None else _price(usd)
