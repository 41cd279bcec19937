"""What tests judge by: the books and the request log."""

from typing import Any

from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES
from axisor.paper.server.control.routes import ControlCall, ControlTable


async def _get_books(call: ControlCall) -> Any:
    engine = call.exchange.engine
    return {
        "totals_sats": {str(book): amount for book, amount in sorted(engine.books.totals.items())},
        "totals_usd_cents": {str(book): amount for book, amount in engine.swaps.books.totals.items()},
        "discrepancies": engine.discrepancies(is_deep=call.request.query.get("deep") == "1"),
    }


async def _get_account_books(call: ControlCall) -> Any:
    account = call.account()
    books, history = call.exchange.engine.books, call.exchange.engine.history
    closed = history.oldest_first(account.account_id, CLOSED_TRADES)
    canceled = history.oldest_first(account.account_id, CANCELED_TRADES)
    return {
        "account_id": account.account_id,
        "balance_sats": account.balance_sats,
        "net_flow_sats_of_trade": books.net_flows(account),
        "postings": list(books.of(account)),
        "trades": {
            trade.trade_id: str(trade.close_kind or trade.status)
            for trade in (*account.live.values(), *closed, *canceled)
        },
    }


async def _list_requests(call: ControlCall) -> Any:
    query = call.request.query
    return call.exchange.requests.entries(
        after_seq=call.after_seq(), path=query.get("path"), account_id=query.get("account_id")
    )


EVIDENCE: ControlTable = {
    ("GET", "/books"): _get_books,
    ("GET", "/accounts/{account}/books"): _get_account_books,
    ("GET", "/requests"): _list_requests,
}
