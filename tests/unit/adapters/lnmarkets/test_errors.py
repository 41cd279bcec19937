from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from axisor.adapters.lnmarkets.errors import judge, retry_after_s
from axisor.adapters.lnmarkets.wire import WireApiError
from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeError,
    ExchangeRateLimited,
    ExchangeRejected,
    ExchangeUnavailable,
)
from axisor.ports.exchange import AnswerKind

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IN_JSON = WireApiError(code="BAD_REQUEST", message="no")
ENGINE_DOWN = WireApiError(code="SERVICE_UNAVAILABLE", message="Trading engine is temporarily unavailable")


@pytest.mark.parametrize(
    ("status", "form", "kind", "error"),
    [
        *((status, IN_JSON, AnswerKind.REFUSED, ExchangeRejected) for status in (400, 404, 405, 413, 422)),
        *((status, None, AnswerKind.UNKNOWN, ExchangeUnavailable) for status in (400, 404, 405, 413, 422)),
        *((status, IN_JSON, AnswerKind.NOT_PROCESSED, ExchangeAuthFailed) for status in (401, 403)),
        *((status, None, AnswerKind.UNKNOWN, ExchangeUnavailable) for status in (401, 403)),
        (429, IN_JSON, AnswerKind.NOT_PROCESSED, ExchangeRateLimited),
        (429, None, AnswerKind.NOT_PROCESSED, ExchangeRateLimited),
        (503, ENGINE_DOWN, AnswerKind.NOT_PROCESSED, ExchangeUnavailable),
        (503, IN_JSON, AnswerKind.UNKNOWN, ExchangeUnavailable),
        (503, None, AnswerKind.UNKNOWN, ExchangeUnavailable),
        (502, ENGINE_DOWN, AnswerKind.UNKNOWN, ExchangeUnavailable),
        *(
            (status, IN_JSON, AnswerKind.UNKNOWN, ExchangeUnavailable)
            for status in (301, 302, 307, 308, 402, 406, 408, 409, 410, 418, 425, 451, 500, 502, 504, 520, 599)
        ),
    ],
)
def test_each_status_and_form_means_one_thing(
    status: int, form: WireApiError | None, kind: AnswerKind, error: type[ExchangeError]
) -> None:
    verdict = judge(status, form, is_engine_down_without_effect=True)
    assert (verdict.kind, verdict.error) == (kind, error)


def test_only_authentication_is_flagged_as_such() -> None:
    flagged = {s for s in range(100, 600) if judge(s, IN_JSON, is_engine_down_without_effect=True).is_auth_failure}
    assert flagged == {401, 403}


def test_an_engine_that_is_down_is_unknown_when_its_promise_is_distrusted() -> None:
    assert judge(503, ENGINE_DOWN, is_engine_down_without_effect=False).kind is AnswerKind.UNKNOWN


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0 ", 0.0),
        ("999999", 120.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        (format_datetime(NOW + timedelta(seconds=7), usegmt=True), 7.0),
        (format_datetime(NOW - timedelta(seconds=7), usegmt=True), 0.0),
        ("Mon, 23 Nov 2026 12:00:07 -0000", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now=NOW) == seconds
