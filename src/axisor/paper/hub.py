"""Fans frames out to the clients of the stream, and never waits for any of them.

A client has a queue for answers and events, which are never dropped (a client too slow to take them is closed), and
one slot per price topic, in which a newer frame replaces an older one.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

KEPT_EVENTS: Final = 1_000


class Frame(NamedTuple):
    topic: str | None  # None: an answer
    text: str


class Subscriber:
    """One client's way out. The endpoint's writer takes from it; the hub puts into it."""

    def __init__(self, *, kept_events: int = KEPT_EVENTS) -> None:
        self.topics: set[str] = set()
        self.account_id: str | None = None
        self.overrun = asyncio.Event()
        """Set once the client was too slow for its events: it must be closed."""
        self.stirred = asyncio.Event()
        """Set when a writer that holds everything back must look again."""
        self._kept_events = kept_events
        self._events: deque[Frame] = deque()
        self._prices: dict[str, str] = {}
        self._wake = asyncio.Event()

    def put_event(self, text: str, *, topic: str | None = None) -> None:
        """Queue a frame that must arrive; past the limit the client is given up instead."""
        if len(self._events) >= self._kept_events:
            self.overrun.set()
            self.stirred.set()
        else:
            self._events.append(Frame(topic, text))
        self._wake.set()

    def put_price(self, topic: str, frame: str) -> None:
        """Queue a frame that only the newest of its topic matters of."""
        self._prices[topic] = frame
        self._wake.set()

    async def take(self) -> list[Frame]:
        """Return what waits, events first; waits itself until there is something."""
        while not self._events and not self._prices and not self.overrun.is_set():
            self._wake.clear()
            await self._wake.wait()
        frames = [*self._events, *(Frame(topic, text) for topic, text in self._prices.items())]
        self._events.clear()
        self._prices.clear()
        return frames


class Hub:
    """Who has subscribed to what."""

    def __init__(self, *, is_open: Callable[[], bool] = lambda: True) -> None:
        self._is_open = is_open
        """False: frames get lost, as during maintenance."""
        self._by_topic: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._all: set[Subscriber] = set()
        self._of_account: defaultdict[str, set[Subscriber]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._all)

    def join(self, subscriber: Subscriber) -> None:
        self._all.add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        for topic in subscriber.topics:
            self._by_topic[topic].discard(subscriber)
        self._all.discard(subscriber)
        self._forget_account(subscriber)

    def identify(self, subscriber: Subscriber, account_id: str) -> None:
        """Note whose events a subscriber may have from now on."""
        self._forget_account(subscriber)
        subscriber.account_id = account_id
        self._of_account[account_id].add(subscriber)

    def is_heard_by(self, account_id: str) -> bool:
        """Return whether anyone listens who may have the events of an account."""
        return account_id in self._of_account

    def subscribe(self, subscriber: Subscriber, topic: str) -> None:
        subscriber.topics.add(topic)
        self._by_topic[topic].add(subscriber)

    def unsubscribe(self, subscriber: Subscriber, topic: str) -> None:
        subscriber.topics.discard(topic)
        self._by_topic[topic].discard(subscriber)

    def has_listeners(self, topic: str) -> bool:
        return bool(self._by_topic.get(topic)) and self._is_open()

    def publish_price(self, topic: str, data: dict[str, Any]) -> None:
        """Give the newest frame of a public topic to its subscribers."""
        if not self.has_listeners(topic):
            return
        frame = subscription_frame(topic, data)
        for subscriber in self._by_topic[topic]:
            subscriber.put_price(topic, frame)

    def publish_news(self, topic: str, data: dict[str, Any]) -> None:
        """Give a public event to every subscriber of its topic; none is replaced by a newer one."""
        if not self.has_listeners(topic):
            return
        frame = subscription_frame(topic, data)
        for subscriber in self._by_topic[topic]:
            subscriber.put_event(frame, topic=topic)

    def publish_event(self, topic: str, account_id: str, data: dict[str, Any]) -> None:
        """Give an event of one account to its own subscribers."""
        listeners = [s for s in self._of_account.get(account_id, ()) if topic in s.topics]
        if not listeners or not self._is_open():
            return
        frame = subscription_frame(topic, data)
        for subscriber in listeners:
            subscriber.put_event(frame, topic=topic)

    def _forget_account(self, subscriber: Subscriber) -> None:
        if subscriber.account_id is None:
            return
        others = self._of_account[subscriber.account_id]
        others.discard(subscriber)
        if not others:
            del self._of_account[subscriber.account_id]


def subscription_frame(topic: str, data: dict[str, Any]) -> str:
    """Return the text of a pushed frame."""
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "method": "subscription", "params": {"topic": topic, "data": data}}
    ).decode()
