"""Clients and feeds of the exchange a network stands for."""

from dataclasses import dataclass

from axisor.adapters.lnmarkets.auth import Credentials as SigningKey
from axisor.adapters.lnmarkets.client import ClientConfig
from axisor.adapters.lnmarkets.limits import RateLimit
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.adapters.lnmarkets.venue import LnMarketsVenue
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


def make_venue(
    settings: Settings, network: Network, *, clock: Clock, private_limit: RateLimit | None = None
) -> LnMarketsVenue:
    """Return what builds clients and feeds of a network: they share its public limit and its measured clock.

    `private_limit` bounds each key in place of the configured limit.
    """
    where, exchange = addresses(settings, network), settings.exchange
    return LnMarketsVenue(
        rest=ClientConfig(rest_url=where.rest_url, signature_max_age_s=settings.guard.signature_window_s / 3),
        stream=StreamConfig(url=where.stream_url),
        clock=clock,
        public_limit=RateLimit(rate_per_s=exchange.public_rate_per_s, burst=1),
        private_limit=private_limit
        or RateLimit(
            rate_per_s=exchange.private_rate_per_s,
            burst=exchange.private_burst,
            kept_for_protect=exchange.private_kept_for_protect,
        ),
        address_limit=None
        if exchange.address_rate_per_s is None
        else RateLimit(
            rate_per_s=exchange.address_rate_per_s,
            burst=exchange.address_burst,
            kept_for_protect=exchange.address_kept_for_protect,
        ),
    )


def signing_key(credentials: Credentials) -> SigningKey:
    """Return the credentials in the form that signs."""
    return SigningKey(key=credentials.key, secret=credentials.secret, passphrase=credentials.passphrase)


def networks_of(settings: Settings) -> tuple[Network, ...]:
    """Return the networks this instance may touch: a demo paper alone, a live instance everything but paper."""
    return (Network.PAPER,) if settings.demo.enabled else (Network.SIGNET, Network.MAINNET)
