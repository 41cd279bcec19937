"""Reads the members of a request, and refuses what does not have the promised shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from axisor.domain.errors import PriceOffTick
from axisor.domain.units import Price, price_from_usd
from axisor.paper.clock import epoch_ms, iso
from axisor.paper.errors import InvalidRequest

MAX_LIMIT: Final = 1_000
MAX_CLIENT_ID: Final = 64
_MAX_NUMBER: Final = Decimal(10**15)
_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; no body is an empty object. Numbers stay exact."""
    if not body:
        return {}
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidRequest("body", f"is not a JSON object: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a list goes on: after the first `given` items of a millisecond (0: after all of them)."""

    at_ms: int
    given: int = 0

    @property
    def before_ms(self) -> int:
        """What is left is older than this."""
        return self.at_ms + 1 if self.given else self.at_ms

    @property
    def text(self) -> str:
        return f"{iso(self.at_ms).removesuffix('Z')}{self.given:03d}Z" if self.given else iso(self.at_ms)


class Members:
    """The members of one request's body or query, read by name and type."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidRequest(name, "must be a text")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def choice[T](self, name: str, choices: Mapping[str, T], *, default: str | None = None) -> T:
        """Return what the wire's word stands for."""
        value = self._values.get(name) if self.has(name) else default
        if not isinstance(value, str) or value not in choices:
            raise InvalidRequest(name, f"must be one of {', '.join(choices)}")
        return choices[value]

    def optional_choice[T](self, name: str, choices: Mapping[str, T]) -> T | None:
        return self.choice(name, choices) if self.has(name) else None

    def number(self, name: str) -> Decimal:
        """Return a number exactly as it was written."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise InvalidRequest(name, "must be a number")
        number = Decimal(value)
        if not number.is_finite() or abs(number) > _MAX_NUMBER:
            raise InvalidRequest(name, "is out of range")
        return number

    def integer(self, name: str) -> int:
        number = self.number(name)
        if number != number.to_integral_value():
            raise InvalidRequest(name, "must be an integer")
        return int(number)

    def positive_integer(self, name: str) -> int:
        value = self.integer(name)
        if value <= 0:
            raise InvalidRequest(name, "must be greater than 0")
        return value

    def price(self, name: str) -> Price:
        """Return a price in USD, which lies on the tick of 0.5."""
        try:
            return price_from_usd(self.number(name))
        except PriceOffTick as error:
            raise InvalidRequest(name, "must be a multiple of 0.5") from error

    def optional_price(self, name: str) -> Price | None:
        """Return a price, None where it is absent or 0: the exchange's word for "not set"."""
        if not self.has(name) or self.number(name) == 0:
            return None
        return self.price(name)

    def client_id(self) -> str | None:
        if not self.has("clientId"):
            return None
        value = self._values["clientId"]
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_CLIENT_ID:
            raise InvalidRequest("clientId", f"must be a text of 1 to {MAX_CLIENT_ID} characters")
        return value

    # Query strings, in which every value is text

    def flag(self, name: str) -> bool | None:
        """Return what `true` or `false` says, None where it is absent."""
        return self.optional_choice(name, {"true": True, "false": False})

    def limit(self) -> int:
        value = self._values.get("limit")
        if value is None:
            return MAX_LIMIT
        try:
            limit = int(Decimal(str(value)))
        except (InvalidOperation, ValueError, OverflowError) as error:
            raise InvalidRequest("limit", "must be an integer") from error
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest("limit", f"must lie between 1 and {MAX_LIMIT}")
        return limit

    def instant_ms(self, name: str) -> int | None:
        """Return an ISO-8601 instant in milliseconds since the epoch; without a zone it is UTC."""
        at = self._instant(name)
        return None if at is None else epoch_ms(at)

    def cursor(self) -> "Cursor | None":
        at = self._instant("cursor")
        return None if at is None else Cursor(at_ms=epoch_ms(at), given=at.microsecond % 1000)

    def _instant(self, name: str) -> datetime | None:
        value = self._values.get(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise InvalidRequest(name, "must be an ISO-8601 date") from error
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
