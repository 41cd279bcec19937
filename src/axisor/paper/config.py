"""How a paper exchange is started, and where it can be reached once it runs."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from axisor.paper.engine import MAX_LIVE_TRADES
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.faults import Fault
from axisor.paper.lightning.opening import LightningTerms
from axisor.paper.player import FundingMode, Speed


class StreamWhileAway(StrEnum):
    """What becomes of stream sockets during maintenance."""

    CLOSE = "close"  # closed with 1012, and upgrades are refused with 503
    SILENT = "silent"  # they stay open and get nothing; calls but ping and time are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Requests per second and burst; a rate of 0 switches a limit off."""

    private_per_s: float = 10.0
    private_burst: int = 20
    public_per_s: float = 5.0
    public_burst: int = 10
    stream_per_s: float = 10.0
    stream_burst: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """One paper exchange. Without `data_dir` it forgets everything when it ends."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one, chosen by the system."""
    scenario: str = "calm"
    """A name of `axisor.paper.market`, or `manual`: a price that only the control interface moves."""
    start_price_usd: Decimal = Decimal(62_000)
    """Where the scenario `manual` begins."""
    tape: Path | None = None
    tape_start: datetime | None = None
    speed: Speed = 1.0
    """Market seconds in a second, or `max`: as fast as this machine can while it answers requests."""
    seed: int = 1
    data_dir: Path | None = None
    start_paused: bool = False
    """True: a calm loop is played until the control interface says start."""
    funding: FundingMode = FundingMode.MARKET
    liquidates_on: LiquidatesOn = LiquidatesOn.LAST
    limits: RateLimits = field(default_factory=RateLimits)
    window_s: float = 30.0
    """How far a signature's time may be from the exchange's clock."""
    history_minutes: int = 1_440
    max_live_trades: int = MAX_LIVE_TRADES
    wallet: WalletTerms = field(default_factory=WalletTerms)
    stream_while_away: StreamWhileAway = StreamWhileAway.CLOSE
    serves_market_data_while_away: bool = False
    """True: the public routes answer during maintenance too, not ping and time alone."""
    faults: tuple[Fault, ...] = ()
    lightning: LightningTerms = field(default_factory=LightningTerms)
    lnd_port: int | None = None
    """Where the user's Lightning node answers, on the loopback address; 0: a free port, None: nowhere."""
    lnd_has_tls: bool = True
    """False: plain HTTP."""
    control_token: str | None = field(default=None, repr=False)
    """Opens the control interface; None: made at start. A given one stays valid when the exchange is restarted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperAddresses:
    rest_url: str
    stream_url: str
    control_url: str
    control_token: str = field(repr=False)
    lnd_url: str | None = None
    lnd_folder: Path | None = None
    """Holds `tls.cert` and `admin.macaroon`, which LND's clients ask for."""
