"""Who goes first in the event loop: what is about to leave for the exchange, before what only looks again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST_WAIT_S: Final = 0.02
"""So long one piece of routine work lets others pass; then it takes its turn, however many there are."""
WRITING_S: Final = 0.005
"""What passes from a durable attempt to its bytes on a warm connection, at the most."""


class Precedence:
    """The rescues that are under way in this process, from their decision to the first bytes on the wire.

    Each of them needs several turns of the loop, and whatever else is ready makes each of these turns longer.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold up routine work while a rescue is on its way."""
        self._under_way += 1
        self._is_clear.clear()
        try:
            yield
        finally:
            self._release()

    def keep(self) -> None:
        """Hold up routine work until what is durable now is written to its socket, about."""
        self._under_way += 1
        self._is_clear.clear()
        asyncio.get_running_loop().call_later(WRITING_S, self._release)

    def _release(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._is_clear.set()

    async def give_way(self) -> None:
        """Give everybody else a turn, and return once no rescue is under way, or has been for too long."""
        await asyncio.sleep(0)
        if self._is_clear.is_set():
            return
        try:
            async with asyncio.timeout(MOST_WAIT_S):
                await self._is_clear.wait()
        except TimeoutError:
            return
