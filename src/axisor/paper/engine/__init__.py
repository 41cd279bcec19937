"""The exchange without I/O: matching, margins, wallets and books, on an injected clock.

`Engine` is what the server and in-process simulations use; each kind of business is a desk of its own on a shared
`Core`.
"""

from axisor.paper.engine.engine import MAX_LIVE_TRADES, Engine
from axisor.paper.engine.triggers import LiquidatesOn

__all__ = ["MAX_LIVE_TRADES", "Engine", "LiquidatesOn"]
