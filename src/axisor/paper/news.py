"""Announcements of the exchange to everybody: published as they are made and removed, shown to who subscribes later."""

from uuid import uuid4

import msgspec

from axisor.paper import topics
from axisor.paper.hub import Hub


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One announcement, as it goes over the wire."""

    id: str
    title: str
    message: str
    link: str | None = None


class NewsBoard:
    """The announcements that stand; they last as long as the process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._standing: dict[str, Announcement] = {}

    @property
    def standing(self) -> list[Announcement]:
        """Return the announcements that were not removed, the oldest first."""
        return list(self._standing.values())

    def add(self, *, title: str, message: str, link: str | None = None) -> Announcement:
        """Return a new announcement, published to every subscriber."""
        announcement = Announcement(id=str(uuid4()), title=title, message=message, link=link)
        self._standing[announcement.id] = announcement
        self._hub.publish_news(topics.ANNOUNCEMENTS, msgspec.to_builtins(announcement))
        return announcement

    def remove(self, announcement_id: str) -> bool:
        """Return whether there was such an announcement; its removal is published."""
        if self._standing.pop(announcement_id, None) is None:
            return False
        self._hub.publish_news(topics.ANNOUNCEMENTS, {"id": announcement_id})
        return True
