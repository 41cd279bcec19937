"""What the monitor is told to look at again: the same thing asked for twice is looked at once."""

import asyncio
from typing import Any, Final

import structlog

from axisor.features.execution.recorder import AWAY
from axisor.infra import keys
from axisor.infra.valkey import Heard, LinkUp, Valkey, listen
from axisor.monitor.shard import Shard

log = structlog.get_logger(__name__)

RULES: Final = "rules"
REQUESTS: Final = "requests"
_WHAT: Final = {"rules": RULES, "spending": RULES, "requests": REQUESTS}


class Nudges:
    """Takes nudges of rules, the owner's switch, requests and new accounts; the sweeps find what is not heard.

    A new trade nudges its account. While an account with a hundred of them is looked at, the other ninety-nine wait as
    one.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._waiting: dict[tuple[str, str], None] = {}
        self._filled = asyncio.Event()

    def take(self, account_id: str, message: Any) -> None:
        """Take note of a message about an account; what nobody here understands is for others."""
        match message:
            case {"what": "accounts"}:
                self._shard.look_again()
            case {"what": str(what)} if what in _WHAT:
                self._waiting[account_id, _WHAT[what]] = None
                self._filled.set()
            case _:
                pass

    async def hear(self, valkey: Valkey) -> None:
        """Listen for ever."""
        async for event in listen(valkey, patterns=(f"{keys.CHANGED_PREFIX}*",)):
            match event:
                case LinkUp():
                    self._shard.look_again()
                case Heard(channel=channel, message=message):
                    self.take(channel.removeprefix(keys.CHANGED_PREFIX), message)

    async def run(self) -> None:
        """Look again where somebody asked for it, in the order in which they did, for ever."""
        while True:
            await self._filled.wait()
            while self._waiting:
                account_id, what = next(iter(self._waiting))
                del self._waiting[account_id, what]
                try:
                    await self._look(account_id, what)
                except AWAY as error:
                    log.warning("nudge_waits_for_database", error=type(error).__name__)
            self._filled.clear()

    async def _look(self, account_id: str, what: str) -> None:
        if what == RULES:
            await self._shard.reload_rules(account_id)
        else:
            await self._shard.take_requests(account_id)
