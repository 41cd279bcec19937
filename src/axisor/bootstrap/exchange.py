"""Clients and feeds of the exchange a network stands for."""

from dataclasses import dataclass

from axisor.adapters.lnmarkets.auth import Credentials as SigningKey
from axisor.adapters.lnmarkets.auth import VenueClock
from axisor.adapters.lnmarkets.client import ClientConfig, LnMarketsClient
from axisor.adapters.lnmarkets.feeds import LnMarketsAccountFeed, LnMarketsMarketFeed, TwinMarketFeed
from axisor.adapters.lnmarkets.limits import RateLimit, TokenBucket
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.domain.errors import ConfigurationError
from axisor.ports.clock import Clock
from axisor.ports.credentials import Credentials, Network
from axisor.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    rest_url: str
    stream_url: str


def addresses(settings: Settings, network: Network) -> Addresses:
    """Return where a network's exchange is.

    Raises:
        ConfigurationError: the paper exchange's address is not set.
    """
    exchange = settings.exchange
    match network:
        case Network.MAINNET:
            return Addresses(rest_url=exchange.mainnet_rest_url, stream_url=exchange.mainnet_stream_url)
        case Network.SIGNET:
            return Addresses(rest_url=exchange.signet_rest_url, stream_url=exchange.signet_stream_url)
        case Network.PAPER:
            if exchange.paper_rest_url is None or exchange.paper_stream_url is None:
                raise ConfigurationError(
                    "AXISOR_PAPER_REST_URL and AXISOR_PAPER_STREAM_URL are needed for paper accounts",
                    variable="AXISOR_PAPER_REST_URL",
                )
            return Addresses(rest_url=exchange.paper_rest_url, stream_url=exchange.paper_stream_url)


class Venue:
    """One network's exchange as this process reaches it: one clock and one public rate limit for all accounts."""

    def __init__(self, settings: Settings, network: Network, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._addresses = addresses(settings, network)
        self.network = network
        self.venue_clock = VenueClock(clock)
        self._public_limiter = TokenBucket(
            RateLimit(rate_per_s=settings.exchange.public_rate_per_s, burst=1), clock, name=f"{network}:public"
        )

    def public_client(self) -> LnMarketsClient:
        """Return a client without keys."""
        return LnMarketsClient(
            ClientConfig(rest_url=self._addresses.rest_url),
            clock=self._clock,
            limiter=self._public_limiter,
            public_limiter=self._public_limiter,
            venue_clock=self.venue_clock,
        )

    def account_client(self, credentials: Credentials, *, name: str, limit: RateLimit | None = None) -> LnMarketsClient:
        """Return the client of one account, with a rate limit of its own."""
        exchange = self._settings.exchange
        default = RateLimit(rate_per_s=exchange.private_rate_per_s, burst=exchange.private_burst)
        return LnMarketsClient(
            ClientConfig(
                rest_url=self._addresses.rest_url,
                signature_max_age_s=self._settings.guard.signature_window_s,
            ),
            clock=self._clock,
            limiter=TokenBucket(limit or default, self._clock, name=name),
            public_limiter=self._public_limiter,
            venue_clock=self.venue_clock,
            credentials=signing_key(credentials),
        )

    def account_feed(self, credentials: Credentials) -> LnMarketsAccountFeed:
        """Return the private stream of one account."""
        return LnMarketsAccountFeed(
            StreamConfig(url=self._addresses.stream_url),
            signing_key(credentials),
            clock=self._clock,
            venue_clock=self.venue_clock,
        )

    def market_feed(self) -> LnMarketsMarketFeed:
        """Return one public price stream."""
        return LnMarketsMarketFeed(
            StreamConfig(url=self._addresses.stream_url), clock=self._clock, venue_clock=self.venue_clock
        )

    def twin_market_feed(self) -> TwinMarketFeed:
        """Return two public price streams of which the first frame wins."""
        return TwinMarketFeed(self.market_feed(), self.market_feed())


def signing_key(credentials: Credentials) -> SigningKey:
    """Return the credentials in the form that signs."""
    return SigningKey(key=credentials.key, secret=credentials.secret, passphrase=credentials.passphrase)


def networks_of(settings: Settings) -> tuple[Network, ...]:
    """Return the networks this instance may touch: a demo paper alone, a live instance everything but paper."""
    return (Network.PAPER,) if settings.demo.enabled else (Network.SIGNET, Network.MAINNET)
