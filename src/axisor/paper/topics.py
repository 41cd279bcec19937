"""The topics of the stream."""

from typing import Final

from axisor.paper.candles import RANGES
from axisor.paper.scopes import Scope

PREFIX: Final = "futures/inverse/btc_usd"
ANNOUNCEMENTS: Final = "announcements"
TICKER: Final = f"{PREFIX}/ticker"
LAST_PRICE: Final = f"{PREFIX}/lastPrice"
INDEX: Final = f"{PREFIX}/index"
BUCKETS: Final = f"{PREFIX}/buckets"
FUNDING: Final = f"{PREFIX}/funding"
OHLC: Final = {interval: f"{PREFIX}/ohlc/{interval}" for interval in RANGES}
ISOLATED_TRADES: Final = f"{PREFIX}/isolated/trades"
CROSS_ORDERS: Final = f"{PREFIX}/cross/orders"
CROSS_POSITION: Final = f"{PREFIX}/cross/position"
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
