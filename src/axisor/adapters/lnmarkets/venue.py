"""Everything that speaks to one LN Markets network from this process, with what its parts share."""

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock
from axisor.adapters.lnmarkets.client import ClientConfig, LnMarketsClient
from axisor.adapters.lnmarkets.feeds import LnMarketsAccountFeed, LnMarketsMarketFeed, TwinMarketFeed
from axisor.adapters.lnmarkets.limits import (
    PRIVATE_LIMIT,
    PUBLIC_LIMIT,
    AddressBucket,
    RateLimit,
    SharedBucket,
    TokenBucket,
)
from axisor.adapters.lnmarkets.stream import StreamConfig
from axisor.ports.clock import Clock


class LnMarketsVenue:
    """Builds clients and feeds that share the public limit of this address and the measured exchange clock."""

    def __init__(
        self,
        *,
        rest: ClientConfig,
        stream: StreamConfig,
        clock: Clock,
        public_limit: RateLimit = PUBLIC_LIMIT,
        private_limit: RateLimit = PRIVATE_LIMIT,
        address_limit: RateLimit | None = None,
    ) -> None:
        self._rest = rest
        self._stream = stream
        self._clock = clock
        self._private_limit = private_limit
        self._address = None if address_limit is None else AddressBucket(address_limit, clock)
        self._public_limiter = TokenBucket(public_limit, clock, name="public")
        self._venue_clock = VenueClock(clock)

    def public_client(self) -> LnMarketsClient:
        """Return a client without a key: time, ticker and candles."""
        return self._client(self._public_limiter, None)

    def account_client(self, credentials: Credentials, *, name: str = "") -> LnMarketsClient:
        """Return the client of one key; `name` is what its limiter is called in logs."""
        if self._address is None:
            return self._client(TokenBucket(self._private_limit, self._clock, name=name), credentials)
        limiter = SharedBucket(self._private_limit, self._clock, address=self._address, name=name)
        return self._client(limiter, credentials)

    def market_feed(self) -> TwinMarketFeed:
        """Return the public prices over two sockets."""
        return TwinMarketFeed(self._single_market_feed(), self._single_market_feed())

    def account_feed(self, credentials: Credentials) -> LnMarketsAccountFeed:
        """Return the events of one key's account."""
        return LnMarketsAccountFeed(self._stream, credentials, clock=self._clock, venue_clock=self._venue_clock)

    def _single_market_feed(self) -> LnMarketsMarketFeed:
        return LnMarketsMarketFeed(self._stream, clock=self._clock, venue_clock=self._venue_clock)

    def _client(self, limiter: TokenBucket, credentials: Credentials | None) -> LnMarketsClient:
        return LnMarketsClient(
            self._rest,
            clock=self._clock,
            limiter=limiter,
            public_limiter=self._public_limiter,
            venue_clock=self._venue_clock,
            credentials=credentials,
        )
