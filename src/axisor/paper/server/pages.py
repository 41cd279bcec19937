"""Pages of lists, newest first; a cursor is the time of the last item and the next page is strictly older.

A page never holds more than its limit. Where more items than that share one millisecond, the cursor says in
microseconds how many of them were given: still an instant to everybody who reads it as one.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from axisor.paper.clock import iso
from axisor.paper.history import Shelf
from axisor.paper.server.params import Cursor, Members
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
    until_ms, cursor = call.query.instant_ms("to"), call.query.cursor()
    ends = [] if until_ms is None else [until_ms + 1]
    if cursor is not None:
        ends.append(cursor.before_ms)
    rows = call.exchange.engine.history.newest_first(
        call.account.account_id if account_id is None else account_id, shelf, before_ms=min(ends, default=None)
    )
    return page(filter(is_wanted, rows), call.query, at_ms=at_ms, wire=wire)


def page[T](
    newest_first: Iterable[T], query: Members, *, at_ms: Callable[[T], int], wire: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Return `{data, nextCursor}` of the items within `from` (inclusive) and `to` (inclusive), older than `cursor`.

    A `from` equal to `to` gives an empty page, as on the exchange.
    """
    limit = query.limit()
    cursor = query.cursor()
    rows = list(islice(_within(newest_first, query, cursor, at_ms=at_ms), limit + 1))
    kept, next_cursor = rows, None
    if len(rows) > limit:
        kept, next_cursor = _cut(rows, cursor, at_ms=at_ms)
    return {"data": [wire(row) for row in kept], "nextCursor": next_cursor}


def _within[T](
    newest_first: Iterable[T], query: Members, cursor: Cursor | None, *, at_ms: Callable[[T], int]
) -> Iterator[T]:
    since_ms, until_ms = query.instant_ms("from"), query.instant_ms("to")
    if since_ms is not None and since_ms == until_ms:
        return
    given = 0 if cursor is None else cursor.given
    for item in newest_first:
        item_ms = at_ms(item)
        if (until_ms is not None and item_ms > until_ms) or (cursor is not None and item_ms >= cursor.before_ms):
            continue
        if since_ms is not None and item_ms < since_ms:
            return
        if given and cursor is not None and item_ms == cursor.at_ms:
            given -= 1
            continue
        yield item


def _cut[T](rows: list[T], cursor: Cursor | None, *, at_ms: Callable[[T], int]) -> tuple[list[T], str]:
    """Return what a page holds of one row too many, and its cursor.

    Items of one millisecond stay together where the page can end before them: clients may keep milliseconds alone.
    """
    limit = len(rows) - 1
    cut_ms = at_ms(rows[limit])
    before = next(index for index, row in enumerate(rows) if at_ms(row) == cut_ms)
    if before > 0:
        return rows[:before], iso(at_ms(rows[before - 1]))
    already = cursor.given if cursor is not None and cursor.at_ms == cut_ms else 0
    return rows[:limit], Cursor(at_ms=cut_ms, given=already + limit).text
