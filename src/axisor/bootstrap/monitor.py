"""Builds the monitor."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from axisor.adapters.lnd.client import LndAccess, LndNode
from axisor.bootstrap.exchange import make_venue, networks_of, signing_key
from axisor.domain.units import ExchangeAccountId
from axisor.features.credentials.service import CredentialsService
from axisor.features.execution.executor import Executor, Timing
from axisor.features.execution.recorder import Recorder
from axisor.features.execution.spool import Spool
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.session import Database
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient
from axisor.ports.lightning import LightningNode
from axisor.ports.market_feed import AccountFeed
from axisor.settings import Settings


def timing_of(settings: Settings) -> Timing:
    """Return the bounds the executor rests on."""
    guard = settings.guard
    return Timing(
        signature_window_s=guard.signature_window_s,
        quiet_period_s=guard.quiet_period_s,
        send_deadline_s=guard.send_deadline_s,
        commit_deadline_s=guard.commit_deadline_s,
    )


class MonitorParts:
    """What every account of a monitor shares, and what is built for each."""

    def __init__(
        self, settings: Settings, *, clock: Clock, database: Database, attempts: Database, lease: FileLease
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.database = database
        self._attempts = attempts
        self.lease = lease
        self.spool = Spool(settings.paths.data_dir / "spool", "shard-0")
        self.recorder = Recorder(database, self.spool, clock)
        self.venues = {network: make_venue(settings, network, clock=clock) for network in networks_of(settings)}
        self._credentials = CredentialsService(
            database, KeyRing(Key(settings.keys.master_key)), clock=clock, is_demo=settings.demo.enabled
        )
        self.money_in_blocked_until_s: float | None = None
        """Until when, on the boot-time clock, a predecessor's money may still be on its way."""

    @property
    def money_in_blocked_until(self) -> datetime | None:
        """Return the same instant by the wall clock as it stands now."""
        if self.money_in_blocked_until_s is None:
            return None
        return self.clock.now() + timedelta(seconds=self.money_in_blocked_until_s - self.clock.boottime_s())

    async def check(self) -> None:
        """Raise ConfigurationError where the master key is not the one that sealed the stored keys."""
        await self._credentials.check_master_key()

    async def connect(
        self, network: Network, exchange_account_id: ExchangeAccountId
    ) -> tuple[ExchangeClient, AccountFeed, Callable[[], Awaitable[None]]]:
        """Return an account's client and feed, and what closes them."""
        key = signing_key(await self._credentials.open(exchange_account_id))
        venue = self.venues[network]
        client = venue.account_client(key, name=exchange_account_id)
        return client, venue.account_feed(key), client.close

    def node(self, exchange_account_id: ExchangeAccountId) -> LightningNode | None:
        """Return the Lightning node that pays for an account, None where none does.

        Raises:
            ConfigurationError: its files cannot be read.
        """
        lnd = self.settings.lnd
        if lnd.url is None or lnd.macaroon is None or lnd.account != exchange_account_id:
            return None
        access = LndAccess.from_files(url=lnd.url, macaroon=lnd.macaroon, certificate=lnd.certificate)
        return LndNode(access, clock=self.clock)

    def executor(
        self,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        tasks: TaskSet,
        node: LightningNode | None = None,
    ) -> Executor:
        """Return the executor of one account."""
        return Executor(
            exchange_account_id=exchange_account_id,
            client=client,
            database=self._attempts,
            recorder=self.recorder,
            spool=self.spool,
            lease=self.lease,
            clock=self.clock,
            timing=timing_of(self.settings),
            tasks=tasks,
            node=node,
        )
