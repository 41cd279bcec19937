"""What an answer of LN Markets means: one table from status and form to the outcome of a command or a reading.

"JSON form" is a body that parses as `{code, message}`: then the API itself speaks. The same status in another form
may come from anything on the way and says nothing about what happened behind it.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from axisor.adapters.lnmarkets.wire import WireApiError
from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeError,
    ExchangeRateLimited,
    ExchangeRejected,
    ExchangeUnavailable,
)
from axisor.ports.exchange import AnswerKind

_MAX_RETRY_AFTER_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refusing answer means for a command (`kind`) and for a reading (`error`)."""

    kind: AnswerKind
    error: type[ExchangeError]
    is_auth_failure: bool = False


UNKNOWN: Final = Verdict(AnswerKind.UNKNOWN, ExchangeUnavailable)
_REFUSED: Final = Verdict(AnswerKind.REFUSED, ExchangeRejected)
_AUTH: Final = Verdict(AnswerKind.NOT_PROCESSED, ExchangeAuthFailed, is_auth_failure=True)
_LIMITED: Final = Verdict(AnswerKind.NOT_PROCESSED, ExchangeRateLimited)
_ENGINE_DOWN: Final = Verdict(AnswerKind.NOT_PROCESSED, ExchangeUnavailable)

_IN_ANY_FORM: Final = {429: _LIMITED}
_IN_JSON_FORM: Final = {
    400: _REFUSED,
    404: _REFUSED,
    405: _REFUSED,
    413: _REFUSED,
    422: _REFUSED,
    401: _AUTH,
    403: _AUTH,
}
_ENGINE_DOWN_STATUS: Final = 503
_ENGINE_DOWN_CODE: Final = "SERVICE_UNAVAILABLE"


def judge(status: int, api_error: WireApiError | None, *, is_engine_down_without_effect: bool) -> Verdict:
    """Return what an answer other than 2xx means; whatever is not in the table is unknown.

    Args:
        is_engine_down_without_effect: 503 with code SERVICE_UNAVAILABLE promises that nothing was processed. The
            promise stands in the official client's comments only, so it can be distrusted.
    """
    if status in _IN_ANY_FORM:
        return _IN_ANY_FORM[status]
    if api_error is None:
        return UNKNOWN
    if status == _ENGINE_DOWN_STATUS and api_error.code == _ENGINE_DOWN_CODE and is_engine_down_without_effect:
        return _ENGINE_DOWN
    return _IN_JSON_FORM.get(status, UNKNOWN)


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """Return how long a `Retry-After` header asks to wait, in seconds (0 to 120); None without a readable one."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return min(max(0.0, (at - now).total_seconds()), _MAX_RETRY_AFTER_S)
