"""What this instance is, and whether it is well."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import APIRouter, Response
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from axisor import __version__
from axisor.api.routes.parts import ServicesDependency
from axisor.api.services import Services
from axisor.infra import keys
from axisor.infra.wire import answer

log = structlog.get_logger(__name__)
router = APIRouter(tags=["instance"])
health = APIRouter(tags=["health"])

_LOCALES: Final = ("en", "pt-BR")
_PROBE_DEADLINE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceView:
    version: str
    mode: str
    network: str
    locales: tuple[str, ...]
    registration: str
    """Who may make an account: `open`, `invitation` or `closed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`ok`, or the names of the parts that do not answer."""

    status: str
    failing: tuple[str, ...] = ()


@router.get("/instance", response_model=InstanceView, summary="What this instance is")
async def instance(services: ServicesDependency) -> Response:
    return answer(
        InstanceView(
            version=__version__,
            mode="demo" if services.is_demo else "live",
            network=services.network,
            locales=_LOCALES,
            registration=services.people.registration.policy,
        )
    )


@health.get("/.well-known/jwks.json", response_model=KeySet, summary="The keys that sign access tokens (RFC 7517)")
async def jwks(services: ServicesDependency) -> Response:
    """Return the public keys of this week and of the weeks beside it."""
    return answer(KeySet(keys=services.people.tokens.public_keys(now=services.clock.now())))


@health.get("/healthz", response_model=Health, summary="Does the process answer?")
async def healthz() -> Response:
    return answer(Health(status="ok"))


@health.get(
    "/readyz",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part does not answer."}},
    summary="Can it serve?",
)
async def readyz(services: ServicesDependency) -> Response:
    failing = await failing_parts(services)
    if failing:
        return answer(Health(status="failing", failing=failing), status_code=HTTPStatus.SERVICE_UNAVAILABLE)
    return answer(Health(status="ok"))


async def failing_parts(services: Services) -> tuple[str, ...]:
    """Return the names of the parts that do not answer within two seconds."""
    failing = []
    try:
        async with asyncio.timeout(_PROBE_DEADLINE_S), services.database.transaction() as connection:
            await connection.execute(text("select 1 from app_user limit 1"))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("not_ready", part="database", reason=type(error).__name__)
        failing.append("database")
    try:
        async with asyncio.timeout(_PROBE_DEADLINE_S):
            await services.valkey.exists(keys.MONITOR_HEARTBEAT)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("not_ready", part="valkey", reason=type(error).__name__)
        failing.append("valkey")
    return tuple(failing)
