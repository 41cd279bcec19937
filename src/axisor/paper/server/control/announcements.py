"""Announcements of the exchange: published to every subscriber, withdrawn again."""

from typing import Any

import msgspec

from axisor.paper.server.control.routes import ControlCall, ControlTable, NotThere


class _News(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    message: str
    link: str | None = None


async def _list(call: ControlCall) -> Any:
    return call.exchange.news.standing


async def _add(call: ControlCall) -> Any:
    wanted = await call.read(_News)
    return call.exchange.news.add(title=wanted.title, message=wanted.message, link=wanted.link)


async def _remove(call: ControlCall) -> Any:
    announcement_id = call.request.match_info["announcement"]
    if not call.exchange.news.remove(announcement_id):
        raise NotThere(f"there is no announcement {announcement_id}")
    return {"id": announcement_id}


ANNOUNCEMENTS: ControlTable = {
    ("GET", "/announcements"): _list,
    ("POST", "/announcements"): _add,
    ("DELETE", "/announcements/{announcement}"): _remove,
}
