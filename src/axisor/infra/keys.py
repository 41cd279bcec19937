"""Every Valkey key and channel in one place: `axisor:<slice>:<what>[:<id>]`.

Valkey only nudges; PostgreSQL is the truth.
"""

from typing import Final

MARKET_PRICE: Final = "axisor:market:price"
"""Channel: the newest price, at most ten a second."""

MARKET_CANDLE: Final = "axisor:market:candle"
"""Channel: the 1-second bar that just changed."""

MONITOR_HEARTBEAT: Final = "axisor:monitor:heartbeat"
"""Key: what the monitor watches and how old its facts are; written every 500 ms, expires in 10 s."""

DEMO: Final = "axisor:demo"
"""Channel: the state of the demo changed."""

OUTBOX: Final = "axisor:outbox"
"""Channel: a row was committed to the outbox; relays look at once."""

CHANGED_PREFIX: Final = "axisor:changed:"
ACTIVITY_PREFIX: Final = "axisor:activity:"


def changed(exchange_account_id: str) -> str:
    """Return the channel that tells what changed of an exchange account: `{"what": ...}`."""
    return f"{CHANGED_PREFIX}{exchange_account_id}"


def activity(user_id: str) -> str:
    """Return the channel that tells of a person's new activity: `{"activity_id": ...}`."""
    return f"{ACTIVITY_PREFIX}{user_id}"


def account_sync_pause(exchange_account_id: str, *, every_s: int) -> str:
    """Return the key whose life keeps an account from being read again too soon."""
    return f"axisor:execution:sync:{every_s}:{exchange_account_id}"
