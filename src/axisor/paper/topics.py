"""The topics of the stream."""

from typing import Final

from axisor.paper.candles import RANGES
from axisor.paper.scopes import Scope

_PREFIX: Final = "futures/inverse/btc_usd"
ANNOUNCEMENTS: Final = "announcements"
TICKER: Final = f"{_PREFIX}/ticker"
LAST_PRICE: Final = f"{_PREFIX}/lastPrice"
INDEX: Final = f"{_PREFIX}/index"
BUCKETS: Final = f"{_PREFIX}/buckets"
FUNDING: Final = f"{_PREFIX}/funding"
OHLC: Final = {interval: f"{_PREFIX}/ohlc/{interval}" for interval in RANGES}
ISOLATED_TRADES: Final = f"{_PREFIX}/isolated/trades"
CROSS_ORDERS: Final = f"{_PREFIX}/cross/orders"
CROSS_POSITION: Final = f"{_PREFIX}/cross/position"
DEPOSITS: Final = "wallet/deposit"
WITHDRAWALS: Final = "wallet/withdrawal"

PUBLIC: Final = frozenset({ANNOUNCEMENTS, TICKER, LAST_PRICE, INDEX, BUCKETS, FUNDING, *OHLC.values()})
SCOPE_OF_PRIVATE: Final[dict[str, Scope]] = {
    ISOLATED_TRADES: Scope.ISOLATED_READ,
    CROSS_ORDERS: Scope.CROSS_READ,
    CROSS_POSITION: Scope.CROSS_READ,
    DEPOSITS: Scope.DEPOSITS_READ,
    WITHDRAWALS: Scope.WITHDRAWALS_READ,
}
"""A private topic needs the permission to read what it announces."""
