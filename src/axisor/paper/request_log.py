"""What was asked of the exchange and what it answered: the evidence that tests judge by."""

from collections import deque
from itertools import count
from typing import Final

import msgspec

KEPT_ENTRIES: Final = 20_000
_KEPT_BODY: Final = 1_000


class LogEntry(msgspec.Struct, kw_only=True):
    """One request. Times are milliseconds since the epoch with microseconds; None: it has not happened."""

    seq: int
    method: str
    path: str
    query: str
    body: str
    remote: str
    received_at_ms: float
    account_id: str | None = None
    username: str | None = None
    signed_at_ms: int | None = None
    applied_at_ms: float | None = None
    answered_at_ms: float | None = None
    status: int | None = None
    error: str | None = None
    fault: str | None = None
    fault_id: str | None = None


class RequestLog:
    """The newest 20,000 requests."""

    def __init__(self) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=KEPT_ENTRIES)
        self._seq = count(1)

    def begin(self, *, method: str, path: str, query: str, body: bytes, remote: str, received_at_ms: float) -> LogEntry:
        """Return the entry of a request that has just come in."""
        entry = LogEntry(
            seq=next(self._seq),
            method=method,
            path=path,
            query=query,
            body=body[:_KEPT_BODY].decode("utf-8", errors="replace"),
            remote=remote,
            received_at_ms=received_at_ms,
        )
        self._entries.append(entry)
        return entry

    def entries(self, *, after_seq: int = 0, path: str | None = None, account_id: str | None = None) -> list[LogEntry]:
        """Return entries newer than a sequence number, oldest first, whose path contains `path`."""
        return [
            entry
            for entry in self._entries
            if entry.seq > after_seq
            and (path is None or path in entry.path)
            and (account_id is None or entry.account_id == account_id)
        ]
