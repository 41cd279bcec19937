"""Pages of lists, newest first; a cursor is the time of the last item and the next page is strictly older."""

from collections.abc import Callable, Iterable
from typing import Any

from axisor.paper.clock import iso
from axisor.paper.history import Shelf
from axisor.paper.server.params import Members
from axisor.paper.server.routes import Call


def shelf_page[Row](
    call: Call,
    shelf: Shelf[Row],
    *,
    at_ms: Callable[[Row], int],
    wire: Callable[[Row], dict[str, Any]],
    account_id: str | None = None,
    is_wanted: Callable[[Row], bool] = lambda _: True,
) -> dict[str, Any]:
    """Return the page of the caller's rows of a shelf, put with the same times that `at_ms` returns.

    `account_id` names another owner. Rows newer than what the page may contain are not read.
    """
    until_ms, before_ms = call.query.instant_ms("to"), call.query.instant_ms("cursor")
    ends = [end for end in (before_ms, None if until_ms is None else until_ms + 1) if end is not None]
    rows = call.exchange.engine.history.newest_first(
        call.account.account_id if account_id is None else account_id, shelf, before_ms=min(ends, default=None)
    )
    return page(filter(is_wanted, rows), call.query, at_ms=at_ms, wire=wire)


def page[T](
    newest_first: Iterable[T], query: Members, *, at_ms: Callable[[T], int], wire: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Return `{data, nextCursor}` of the items within `from` (inclusive) and `to` (inclusive), older than `cursor`.

    Items of one millisecond are never split over two pages: the cursor could not tell them apart. A `from` equal to
    `to` gives an empty page, as on the exchange.
    """
    limit = query.limit()
    since_ms, until_ms, before_ms = query.instant_ms("from"), query.instant_ms("to"), query.instant_ms("cursor")
    data: list[dict[str, Any]] = []
    last_ms: int | None = None
    if since_ms is not None and since_ms == until_ms:
        return {"data": [], "nextCursor": None}
    for item in newest_first:
        item_ms = at_ms(item)
        if (until_ms is not None and item_ms > until_ms) or (before_ms is not None and item_ms >= before_ms):
            continue
        if since_ms is not None and item_ms < since_ms:
            break
        if len(data) >= limit and item_ms != last_ms:
            assert last_ms is not None
            return {"data": data, "nextCursor": iso(last_ms)}
        data.append(wire(item))
        last_ms = item_ms
    return {"data": data, "nextCursor": None}
