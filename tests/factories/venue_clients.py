"""Clients of the exchange for tests: a fake key, roomy limits, short deadlines."""

from typing import Any

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock
from axisor.adapters.lnmarkets.client import ClientConfig, LnMarketsClient
from axisor.adapters.lnmarkets.limits import RateLimit, TokenBucket
from axisor.infra.clock import SystemClock
from axisor.ports.clock import Clock

CREDENTIALS = Credentials("lnm_test_key", "lnm_test_secret", "lnm_test_passphrase")
ROOMY = RateLimit(rate_per_s=1000, burst=1000)


def a_client(
    rest_url: str, *, clock: Clock | None = None, credentials: Credentials | None = CREDENTIALS, **config: Any
) -> LnMarketsClient:
    clock = clock or SystemClock()
    return LnMarketsClient(
        ClientConfig(rest_url=rest_url, **({"read_deadline_s": 2.0} | config)),
        clock=clock,
        limiter=TokenBucket(ROOMY, clock),
        public_limiter=TokenBucket(ROOMY, clock),
        venue_clock=VenueClock(clock),
        credentials=credentials,
    )
