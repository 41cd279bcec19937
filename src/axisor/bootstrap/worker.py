"""Builds what workers and the scheduler use."""

from dataclasses import dataclass
from typing import Final, Self

from axisor.adapters.lnmarkets.limits import RateLimit
from axisor.bootstrap.exchange import make_venue, networks_of, signing_key
from axisor.bootstrap.mail import make_mail_sender
from axisor.domain.units import ExchangeAccountId
from axisor.features.accounts.mail_jobs import MailRoom
from axisor.features.credentials.repository import list_accounts
from axisor.features.credentials.service import CredentialsService
from axisor.features.execution.periodic_jobs import HeartbeatReader
from axisor.features.execution.sync import AccountSync
from axisor.features.market_data.recorder import MarketRecorder
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.session import Database, make_engine
from axisor.infra.queue.bull import BullQueues
from axisor.infra.queue.jobs import JobContext
from axisor.infra.valkey import Nudges, Valkey, connect
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient
from axisor.settings import Settings

# The monitor needs the key's share of the exchange's limit: the routine reading of an account takes five calls a
# minute, and never faster than one a second.
SYNC_LIMIT: Final = RateLimit(rate_per_s=1.0, burst=2, kept_for_protect=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """The connections and services of one process."""

    settings: Settings
    clock: SystemClock
    database: Database
    valkey: Valkey
    queues: BullQueues
    credentials: CredentialsService

    @classmethod
    def build(cls, settings: Settings, *, role: str) -> Self:
        """Return the parts of a process of `role`; nothing is connected yet."""
        clock = SystemClock()
        database = Database(make_engine(settings.database.worker_url, application_name=f"axisor-{role}"))
        return cls(
            settings=settings,
            clock=clock,
            database=database,
            valkey=connect(settings.valkey.url, name=role),
            queues=BullQueues(settings.valkey.url),
            credentials=CredentialsService(
                database, KeyRing(Key(settings.keys.master_key)), clock=clock, is_demo=settings.demo.enabled
            ),
        )

    async def close(self) -> None:
        """Give back every connection."""
        await self.queues.close()
        await self.valkey.aclose()
        await self.database.close()

    def job_context(self) -> JobContext:
        """Return the services that jobs ask for."""
        nudges = Nudges(self.valkey)
        context = JobContext()
        context.provide(SystemClock, self.clock)
        context.provide(Database, self.database)
        context.provide(Nudges, nudges)
        context.provide(BullQueues, self.queues)
        context.provide(HeartbeatReader, HeartbeatReader(self.valkey, self.clock))
        sender = make_mail_sender(self.settings.smtp, clock=self.clock)
        context.provide(MailRoom, MailRoom(sender, KeyRing(Key(self.settings.keys.master_key))))
        context.provide(AccountSync, AccountSync(self.database, self._open_client(), nudges))
        return context

    def _open_client(self) -> "_ClientOpener":
        return _ClientOpener(self)

    async def recorded_network(self) -> Network:
        """Return whose prices are recorded: paper in a demo, else the network of the first account, or mainnet."""
        if self.settings.demo.enabled:
            return Network.PAPER
        async with self.database.transaction() as connection:
            accounts = await list_accounts(connection)
        return accounts[0].network if accounts else Network.MAINNET

    def recorder(self, network: Network) -> MarketRecorder:
        """Return the recorder of a network, over a feed of its own."""
        venue = make_venue(self.settings, network, clock=self.clock)
        return MarketRecorder(
            venue.market_feed(), network=network, database=self.database, valkey=self.valkey, clock=self.clock
        )

    def public_client(self, network: Network) -> ExchangeClient:
        """Return a client without keys; whoever asks for it closes it."""
        return make_venue(self.settings, network, clock=self.clock).public_client()


class _ClientOpener:
    """Opens clients of accounts; those of one network share its public limit and measured clock."""

    def __init__(self, parts: WorkerParts) -> None:
        self._credentials = parts.credentials
        self._venues = {
            network: make_venue(parts.settings, network, clock=parts.clock, private_limit=SYNC_LIMIT)
            for network in networks_of(parts.settings)
        }

    async def __call__(self, network: Network, exchange_account_id: ExchangeAccountId) -> ExchangeClient:
        key = signing_key(await self._credentials.open(exchange_account_id))
        return self._venues[network].account_client(key, name=f"sync-{exchange_account_id}")
