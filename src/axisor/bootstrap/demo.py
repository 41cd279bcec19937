"""Builds the demonstration."""

from axisor.adapters.paper.control import PaperControl
from axisor.bootstrap.exchange import make_venue, signing_key
from axisor.domain.errors import ConfigurationError
from axisor.features.credentials.service import CredentialsService
from axisor.features.demo.service import DemoService
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.session import Database
from axisor.infra.valkey import Nudges, Valkey
from axisor.ports.clock import Clock
from axisor.ports.credentials import Credentials, Network
from axisor.ports.exchange import ExchangeClient
from axisor.settings import Settings


def make_demo(settings: Settings, *, database: Database, valkey: Valkey, clock: Clock, locale: str) -> DemoService:
    """Return the demonstration over connections that somebody else owns; `run` must be kept running.

    Raises:
        ConfigurationError: the paper exchange's control address or token is not set.
    """
    demo = settings.demo
    if demo.control_url is None or demo.control_token is None:
        raise ConfigurationError(
            "AXISOR_PAPER_CONTROL_URL and AXISOR_PAPER_CONTROL_TOKEN are needed for the demo",
            variable="AXISOR_PAPER_CONTROL_URL",
        )
    venue = make_venue(settings, Network.PAPER, clock=clock)

    def open_client(credentials: Credentials) -> ExchangeClient:
        return venue.account_client(signing_key(credentials), name="demo")

    return DemoService(
        database=database,
        credentials=CredentialsService(
            database, KeyRing(Key(settings.keys.master_key)), clock=clock, is_demo=demo.enabled
        ),
        market=PaperControl(demo.control_url, demo.control_token.get_secret_value()),
        open_client=open_client,
        nudges=Nudges(valkey),
        clock=clock,
        run_dir=settings.paths.run_dir,
        locale=locale,
    )
