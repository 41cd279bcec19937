"""Errors as RFC 9457 problem documents: one table says which status each class has."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from axisor.domain.errors import (
    AccessError,
    AxisorError,
    ConfigurationError,
    Conflict,
    DomainError,
    ExchangeError,
    ExchangeRateLimited,
    InfraError,
    NotFound,
    NotPermitted,
    TradeNotRunning,
)
from axisor.features.accounts.errors import ChallengeLocked, TooManyAttempts
from axisor.features.accounts.rate_limits import RateExceeded

log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[AxisorError], HTTPStatus]] = {
    TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    RateExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    ChallengeLocked: HTTPStatus.TOO_MANY_REQUESTS,
    NotPermitted: HTTPStatus.FORBIDDEN,
    AccessError: HTTPStatus.UNAUTHORIZED,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TradeNotRunning: HTTPStatus.CONFLICT,
    DomainError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExchangeRateLimited: HTTPStatus.SERVICE_UNAVAILABLE,
    ExchangeError: HTTPStatus.BAD_GATEWAY,
    InfraError: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    AxisorError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The nearest class above an error decides; a subclass may have a row of its own."""

PROBLEM_TYPE: Final = "application/problem+json"
_TYPE_BASE: Final = "urn:axisor:problem:"
_AWAY_CLASSES: Final = ("08", "53", "57", "58")
"""SQLSTATE classes of a server that is away, full, shutting down or failing: try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, for programs (`code`, stable) and for people (`title`, `detail`)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    context: dict[str, Any] | None = None


def status_of(error: AxisorError) -> HTTPStatus:
    """Return the HTTP status of an error's class."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    request: Request,
    *,
    status: HTTPStatus,
    code: str,
    detail: str,
    errors: tuple[FieldError, ...] = (),
    context: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document; the request's id in it finds the lines of the log."""
    body = Problem(
        type=_TYPE_BASE + code,
        title=status.phrase,
        status=status.value,
        detail=detail,
        code=code,
        request_id=cast("str | None", getattr(request.state, "request_id", None)),
        errors=errors,
        context=context or None,
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status.value,
        media_type=PROBLEM_TYPE,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def install(app: FastAPI) -> None:
    """Render every failure of `app` as a problem document."""
    app.add_exception_handler(AxisorError, _axisor_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (SQLAlchemyError, RedisError, TimeoutError, OSError):
        app.add_exception_handler(kind, _infrastructure)
    app.add_exception_handler(Exception, _bug)


async def _axisor_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AxisorError)
    status = status_of(error)
    (log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info)(
        "request_refused", code=error.code, status=status.value, path=request.url.path
    )
    headers: dict[str, str] = {}
    if isinstance(error, TooManyAttempts | RateExceeded):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, RateExceeded):
        headers |= error.rate.headers()
    if isinstance(error, AccessError) and status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    field = error.context.get("field")
    return problem(
        request,
        status=status,
        code=error.code,
        detail=error.message if status is not HTTPStatus.INTERNAL_SERVER_ERROR else "something failed on our side",
        errors=(FieldError(field=str(field), message=error.message),) if field is not None else (),
        context={key: value for key, value in error.context.items() if key != "field"},
        headers=headers,
    )


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The value that was sent is never repeated: it may be a password.
    errors = tuple(
        FieldError(field=".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), message=item["msg"])
        for item in error.errors()
    )
    return problem(
        request,
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code="malformed",
        detail="the request does not have the documented shape",
        errors=errors,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "not_found", HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed"}.get(
        status, "http_error"
    )
    return problem(request, status=status, code=code, detail=str(error.detail), headers=error.headers)


async def _infrastructure(request: Request, error: Exception) -> Response:
    if isinstance(error, SQLAlchemyError) and not _is_database_away(error):
        return await _bug(request, error)
    log.error("infrastructure_failed", path=request.url.path, error=type(error).__name__)
    return problem(
        request,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code="infra_error",
        detail="a part that this needs does not answer: try again",
        headers={"retry-after": "2"},
    )


def _is_database_away(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError):
        return "timeout" in type(error).__name__.lower()
    state = str(getattr(error.orig, "sqlstate", "") or "")
    return error.connection_invalidated or not state or state.startswith(_AWAY_CLASSES)


async def _bug(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(
        request,
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        detail="something failed on our side; the request id finds it in the log",
    )
