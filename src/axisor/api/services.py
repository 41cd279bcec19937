"""What the api role works with, built once from the settings."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from axisor.api.hub import Hub
from axisor.api.static import find_web_app
from axisor.api.watch import WatchBoard
from axisor.api.words import Language, language_of
from axisor.bootstrap.demo import make_demo
from axisor.domain.errors import ExchangeError
from axisor.domain.units import UserId
from axisor.features.accounts.auth import Doorkeeper
from axisor.features.accounts.limits import StreamTickets
from axisor.features.accounts.people import People
from axisor.features.accounts.rate_limits import RateLimits
from axisor.features.accounts.registration import Policy
from axisor.features.demo.service import DemoService
from axisor.features.margin_guard.rule_desk import RuleDesk
from axisor.features.trading.service import TradingService
from axisor.features.trading.spending import SpendingService
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.session import Database, make_engine
from axisor.infra.valkey import Valkey, connect
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network
from axisor.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of one api process; `demo` is None in an instance for real money."""

    database: Database
    valkey: Valkey
    clock: Clock
    doorkeeper: Doorkeeper
    people: People
    trading: TradingService
    spending: SpendingService
    rule_desk: RuleDesk
    board: WatchBoard
    hub: Hub
    is_demo: bool
    network: Network
    language: Language
    public_url: str
    internal_key: str | None
    web_app: Path
    demo: DemoService | None


def build(
    *,
    database: Database,
    valkey: Valkey,
    clock: Clock,
    jwt_secret: bytes,
    keys: KeyRing,
    previous_jwt_secrets: tuple[bytes, ...] = (),
    registration: Policy = "closed",
    has_mail: bool = False,
    is_demo: bool,
    public_url: str,
    internal_key: str | None,
    web_app: Path,
    language: Language = "en",
    demo: DemoService | None = None,
) -> Services:
    """Return the services of an api process over connections that somebody else owns."""
    people = People.build(
        database=database,
        valkey=valkey,
        keys=keys,
        jwt_secret=jwt_secret,
        previous_jwt_secrets=previous_jwt_secrets,
        policy="closed" if is_demo else registration,
        has_mail=has_mail,
        public_url=public_url,
        clock=clock,
    )
    accounts = people.accounts
    board = WatchBoard(valkey=valkey, clock=clock)

    async def demo_state(user_id: UserId) -> dict[str, Any] | None:
        if demo is None or user_id != await demo.ensure_user():
            return None
        try:
            return (await demo.state()).wire()
        except ExchangeError as error:
            log.info("demo_state_unknown", reason=error.code)
            return None

    return Services(
        database=database,
        valkey=valkey,
        clock=clock,
        doorkeeper=Doorkeeper(
            accounts=accounts,
            tokens=people.tokens,
            tickets=StreamTickets(valkey),
            rates=RateLimits(valkey, clock),
            api_tokens=people.api_tokens,
            devices=people.devices,
            clock=clock,
        ),
        people=people,
        trading=TradingService(database=database, valkey=valkey, clock=clock),
        spending=SpendingService(database=database, valkey=valkey, clock=clock),
        rule_desk=RuleDesk(database=database, valkey=valkey, clock=clock),
        board=board,
        hub=Hub(database=database, valkey=valkey, accounts=accounts, board=board, clock=clock, demo=demo_state),
        is_demo=is_demo,
        network=Network.PAPER if is_demo else Network.MAINNET,
        language=language,
        public_url=public_url,
        internal_key=internal_key,
        web_app=web_app,
        demo=demo,
    )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Yield the services that the settings describe, and close their connections at the end."""
    database = Database(make_engine(settings.database.app_url, pool_size=10, application_name="axisor-api"))
    valkey = connect(settings.valkey.url, name="api")
    clock = SystemClock()
    internal_key = settings.api.internal_key
    language = language_of(os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG"))
    demo = None
    try:
        if settings.demo.enabled:
            locale = "pt-BR" if language == "pt" else "en"
            demo = make_demo(settings, database=database, valkey=valkey, clock=clock, locale=locale)
        yield build(
            database=database,
            valkey=valkey,
            clock=clock,
            jwt_secret=settings.keys.jwt_key,
            keys=KeyRing(Key(settings.keys.master_key)),
            previous_jwt_secrets=settings.keys.previous_jwt_keys,
            registration=settings.people.registration,
            has_mail=settings.smtp.host is not None,
            is_demo=settings.demo.enabled,
            public_url=settings.api.url,
            internal_key=None if internal_key is None else internal_key.get_secret_value(),
            web_app=find_web_app(),
            language=language,
            demo=demo,
        )
    finally:
        if demo is not None:
            await demo.close()
        await valkey.aclose()
        await database.close()
