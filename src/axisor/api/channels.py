"""Topics of the stream: numbered frames, memory of the last ones, and clients that cannot be overrun.

Every topic of one person (or of everybody) is one channel. A frame is encoded once and handed to every client as
the same string. What happens when a client is slower than the frames is the topic's `Delivery`.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec

from axisor.domain.units import UserId
from axisor.infra.wire import instant
from axisor.ports.clock import Clock

GAP_FRAMES: Final = 500
QUEUE_FRAMES: Final = 256
TOO_SLOW: Final = 1013
_SEQ_BLOCK: Final = 2**32
_SEQ_BLOCKS: Final = 2**20


class Delivery(Enum):
    """What a client that is slower than the frames gets."""

    LATEST = "latest"  # the newest frame alone: prices, figures
    BEST_EFFORT = "best_effort"  # every frame while its queue has room: bars, which can be read again
    CERTAIN = "certain"  # every frame, or the end of the connection: what happened to money


@dataclass(frozen=True, slots=True)
class Close:
    """The end of a connection: the WebSocket's close code and why."""

    code: int
    reason: str


class Client:
    """One reader's share: a bounded queue, and one slot per topic of which only the newest counts.

    `family_id` is the family of sessions it came with; None for a reader on this machine.
    """

    def __init__(self, *, user_id: UserId, family_id: str | None) -> None:
        self.user_id = user_id
        self.family_id = family_id
        self.closing: Close | None = None
        self._queue: deque[str] = deque()
        self._slots: dict[str, str] = {}
        self._filled = asyncio.Event()

    def offer(self, topic: str, frame: str, delivery: Delivery) -> None:
        """Take a frame in, as far as this client keeps up."""
        if self.closing is not None:
            return
        if delivery is Delivery.LATEST:
            self._slots[topic] = frame
        elif len(self._queue) < QUEUE_FRAMES:
            self._queue.append(frame)
        elif delivery is Delivery.CERTAIN:
            self.close(Close(TOO_SLOW, "too slow: connect again and resume"))
        self._filled.set()

    def say(self, message: dict[str, Any]) -> None:
        """Queue an answer to something the client asked."""
        self.offer("", msgspec.json.encode(message).decode(), Delivery.CERTAIN)

    def close(self, close: Close) -> None:
        """End the connection once what is being written has been written."""
        self.closing = self.closing or close
        self._filled.set()

    async def next_frames(self) -> list[str]:
        """Return what waits to be written, what happened to money first; empty once the client is closing."""
        while not self._queue and not self._slots and self.closing is None:
            self._filled.clear()
            await self._filled.wait()
        if self.closing is not None:
            return []
        frames = [*self._queue, *self._slots.values()]
        self._queue.clear()
        self._slots.clear()
        return frames


class Channel:
    """One topic of one scope. Sequence numbers grow by one from a random block.

    A number from an earlier start or another server is therefore never mistaken for one of this channel.
    """

    def __init__(self, topic: str, delivery: Delivery, *, clock: Clock) -> None:
        self.topic = topic
        self.delivery = delivery
        self.clients: set[Client] = set()
        self._waiting: set[Client] = set()
        self._clock = clock
        self._seq = secrets.randbelow(_SEQ_BLOCKS) * _SEQ_BLOCK
        self._memory: deque[tuple[int, str]] = deque(maxlen=GAP_FRAMES)
        self._snapshot: Any = None
        self._has_snapshot = False

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens or waits for the first frame."""
        return bool(self.clients or self._waiting)

    def publish(self, data: object, *, snapshot: object = None) -> None:
        """Send a frame to every client; `snapshot` is what a newcomer gets in its place (None: the same data)."""
        self._snapshot = data if snapshot is None else snapshot
        self._has_snapshot = True
        self._seq += 1
        if self.clients or self.delivery is not Delivery.LATEST:
            frame = self._frame(data)
            if self.delivery is not Delivery.LATEST:
                self._memory.append((self._seq, frame))
            for client in self.clients:
                client.offer(self.topic, frame, self.delivery)
        self._greet()

    def prime(self, snapshot: object) -> None:
        """Set what newcomers get without telling those who are there already."""
        self._snapshot = snapshot
        self._has_snapshot = True
        self._greet()

    def join(self, client: Client, *, since: int | None) -> None:
        """Add a client: it gets what it missed after `since` where that is still known, else a snapshot."""
        if client in self.clients or client in self._waiting:
            return
        gap = self._gap(since)
        if gap is None:
            self._waiting.add(client)
            self._greet()
            return
        self.clients.add(client)
        for frame in gap:
            client.offer(self.topic, frame, self.delivery)

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        self._waiting.discard(client)

    def _gap(self, since: int | None) -> Sequence[str] | None:
        if since is None or self.delivery is Delivery.LATEST:
            return None
        if since == self._seq:
            return ()
        if not self._memory or not self._memory[0][0] - 1 <= since < self._seq:
            return None
        return [frame for seq, frame in self._memory if seq > since]

    def _greet(self) -> None:
        if not self._waiting or not self._has_snapshot:
            return
        frame = self._frame(self._snapshot, is_snapshot=True)
        for client in self._waiting:
            client.offer(self.topic, frame, self.delivery)
        self.clients |= self._waiting
        self._waiting.clear()

    def _frame(self, data: object, *, is_snapshot: bool = False) -> str:
        frame: dict[str, Any] = {
            "topic": self.topic,
            "seq": self._seq,
            "at": instant(self._clock.now()),
            "data": data,
        }
        if is_snapshot:
            frame["snapshot"] = True
        return msgspec.json.encode(frame).decode()
